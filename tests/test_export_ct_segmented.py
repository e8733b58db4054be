"""Cases of segmented volumes: labels are the expert's, masks what a segmenter draws, and networks learn."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="PyTorch is only needed for training and export")
for needed in ("monai", "nibabel"):
    pytest.importorskip(needed, reason=f"{needed} is only needed for training and export")

from export.data import ct, ct_segmented  # noqa: E402
from export.data.balance import balanced  # noqa: E402
from export.data.ct_marked import Marked  # noqa: E402
from export.data.ct_segmented import CONTEXT, SHAPE, Coarse  # noqa: E402
from export.data.ct_segmented_cases import cases, measured, scenes  # noqa: E402
from export.data.ct_segmented_pool import CaseSampler, Pool, vary  # noqa: E402
from export.models.ct_class_volume import MODELS  # noqa: E402
from export.models.ct_class_volume_train import ClassTrainer, read  # noqa: E402
from export.networks import volume_classes  # noqa: E402
from export.training import Plan  # noqa: E402
from plugin.analysis.segmented_volume import lesion_channels  # noqa: E402

VOXEL = (5.0, 3.0, 3.0)


@pytest.fixture(scope="module")
def chest(tmp_path_factory: pytest.TempPathFactory) -> tuple[ct.Volume, Marked, Coarse]:
    """A body with two lungs and a lesion, and a segmenter that marks half of it and a bit besides."""
    shape = (50, 90, 110)
    k, j, i = np.indices(shape)
    lung = ((k - 25) / 20.0) ** 2 + ((j - 45) / 30.0) ** 2 + ((np.abs(i - 55) - 25) / 18.0) ** 2 < 1
    lesion = lung & ((k - 25) ** 2 + (j - 45) ** 2 + (i - 30) ** 2 < 90)
    draw = np.random.default_rng(3)
    hu = np.where(lung, -850, 40) + draw.integers(-60, 60, size=shape)
    hu[lesion] += 600
    volume = ct.Volume("coronacases_001", "coronacases", hu.astype(np.int16), VOXEL, lesion, lung, True)
    other = lung & ((k - 25) ** 2 + (j - 45) ** 2 + (i - 80) ** 2 < 20)
    marked = Marked(lungs=lung, opacities=(lesion & (k > 24)) | other)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CHEST_AI_RUNS", str(tmp_path_factory.mktemp("runs")))
        return volume, marked, ct_segmented.keep(volume, marked)


def test_a_chest_keeps_its_volumes_on_the_grid(chest: tuple[ct.Volume, Marked, Coarse]) -> None:
    volume, marked, coarse = chest
    assert coarse.image.shape == SHAPE
    for mask, layer in ((volume.lesion, coarse.lesion), (marked.opacities, coarse.marked)):
        assert layer.sum() / 255 * coarse.voxel_ml == pytest.approx(volume.millilitres(mask), rel=0.02)
    assert coarse.image[coarse.lesion == 255].mean() > 1.5 * coarse.image[coarse.lungs == 255].mean()


def test_the_whole_chest_is_what_the_plugin_gives_the_network(
    chest: tuple[ct.Volume, Marked, Coarse],
) -> None:
    """The first case is made from what was kept in bytes, the plugin's from HU: they are the same."""
    volume, marked, coarse = chest
    frame = ct_segmented.frame_of(volume, marked.lungs)
    plugin = lesion_channels(
        frame,
        volume.hu,
        marked.opacities,
        low=ct_segmented.LOW,
        high=ct_segmented.HIGH,
        context=CONTEXT,
    )
    first = next(cases(coarse, 0, np.random.default_rng(0)))
    assert (first.kind, first.mask, first.label) == ("whole", "left-out", 1)
    np.testing.assert_allclose(first.channels / 255, plugin, atol=1.01 / 255)


def test_scenes_have_both_classes_and_only_real_ones_a_segmenters_marks(
    chest: tuple[ct.Volume, Marked, Coarse],
) -> None:
    _, _, coarse = chest
    real, healed, made_up = scenes(coarse, np.random.default_rng(1))
    assert real.marked is not None
    assert healed.marked is None
    assert made_up.marked is None
    assert not healed.lesion.any()
    inside = coarse.lesion == 255
    clear = (coarse.lungs == 255) & (coarse.lesion == 0)
    assert healed.image[inside].mean() == pytest.approx(healed.image[clear].mean(), abs=0.03)
    opaque = made_up.lesion > 0.9
    assert made_up.image[opaque].mean() > 1.3 * made_up.image[clear & ~opaque].mean()
    # What was marked beside the lesion is marked in all of them; what was marked of the lesion is not.
    assert real.falsely.any()
    assert not (real.falsely[coarse.lesion > 0]).any()


def test_cases_are_labelled_by_the_expert_and_masked_by_another(
    chest: tuple[ct.Volume, Marked, Coarse],
) -> None:
    _, _, coarse = chest
    found = list(cases(coarse, 24, np.random.default_rng(2)))
    assert {case.label for case in found} == {0, 1}
    assert {case.mask for case in found} == {"left-out", "falsely", "spoiled"}
    assert all(case.label == 0 for case in found if case.kind.startswith("healed"))
    assert all(case.label == 1 for case in found if case.kind.startswith("made-up"))
    for case in found:
        image, mask = case.channels
        assert not image[mask == 0].all()
        assert (image > 0).sum() >= (mask > 127).sum()
    without = [case for case in found if case.label == 0]
    assert any((case.channels[1] > 0).any() for case in without), "an empty mask would give the answer away"


def test_what_is_measured_is_no_spoiled_mask(chest: tuple[ct.Volume, Marked, Coarse]) -> None:
    _, _, coarse = chest
    found = list(measured(coarse, 8, np.random.default_rng(2)))
    assert {case.mask for case in found} == {"left-out", "falsely"}
    assert [case.kind for case in found if case.mask == "falsely"] == ["healed whole"]
    assert sum(case.kind == "whole" for case in found) == 1


def pool(count: int = 8) -> Pool:
    """Blobs of another brightness in each class; ``count`` cases."""
    draw = np.random.default_rng(0)
    channels = np.zeros((count, 2, 16, 24, 24), dtype=np.uint8)
    label = np.arange(count) % 2
    for row in range(count):
        channels[row, 0, 4:12, 6:18, 6:18] = 200 if label[row] else 60
        channels[row, 1, 4:12, 6:18, 6:18] = draw.integers(200, 255)
    names = np.array([f"coronacases_00{1 + row // 4}" for row in range(count)])
    return Pool(
        channels=channels,
        label=label,
        kind=np.full(count, "slab"),
        mask=np.full(count, "spoiled"),
        coverage=np.ones(count),
        name=names,
    )


def test_a_step_draws_the_same_cases_again_and_varies_only_what_is_seen() -> None:
    sampler = CaseSampler(pool(), seed=5, device=torch.device("cpu"))
    one, again, other = sampler.batch(3, 6), sampler.batch(3, 6), sampler.batch(4, 6)
    torch.testing.assert_close(one.image, again.image)
    assert not torch.equal(one.image, other.image)
    assert one.image.min() >= 0
    assert one.image.max() <= 1
    volume = torch.zeros(4, 2, 16, 24, 24)
    varied = vary(volume, torch.Generator().manual_seed(0))
    assert not varied.any(), "an empty volume stays empty: neither noise nor greys may be put there"


def test_both_classes_and_all_volumes_count_alike() -> None:
    name = np.array(["a", "a", "a", "b"])
    counts = balanced(name, np.array([1, 1, 0, 1]), np.array([1.0, 3.0, 1.0, 1.0]))
    np.testing.assert_allclose(counts, [0.0625, 0.1875, 0.5, 0.25])


@pytest.mark.parametrize("name", ["compact", *volume_classes.NETWORKS])
def test_networks_tell_whence_their_logits_come(name: str) -> None:
    build = volume_classes.compact if name == "compact" else volume_classes.NETWORKS[name]
    network = build().eval()
    with torch.inference_mode():
        logits, attention = network(torch.rand(2, 2, 32, 48, 48))
    torch.testing.assert_close(logits, attention.mean(dim=(2, 3, 4)) + network.bias)


def test_the_trainer_learns_and_reads_bytes(tmp_path: Path) -> None:
    given = pool()
    torch.manual_seed(1)
    plan = Plan(steps=25, batch=8, rate=3e-3, warmup=3, average=0.8)
    trainer = ClassTrainer(volume_classes.inception(), plan, tmp_path / "part.pt")
    network = trainer.run(CaseSampler(given, 0, trainer.device))
    logit = read(network, given.channels)
    assert logit[given.label == 1].min() > logit[given.label == 0].max()


def test_the_card_says_how_the_plugin_makes_the_volume() -> None:
    for model in MODELS:
        spec = model.input
        assert spec.view == "volume"
        assert spec.patch == SHAPE
        assert spec.volume is not None
        assert spec.volume.context == CONTEXT

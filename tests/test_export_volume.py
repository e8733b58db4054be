"""3-D U-Net++: shapes, patches with their masks, training that resumes, a graph that the plugin loads."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="PyTorch is only needed for training and export")
pytest.importorskip("monai", reason="MONAI is only needed for training and export")
pytest.importorskip("nibabel", reason="nibabel is only needed for training")

from torch import nn  # noqa: E402

from export.data import ct  # noqa: E402
from export.data.ct_patches import PatchSampler, Stored, warp  # noqa: E402
from export.measured import Measured, read_measured  # noqa: E402
from export.models import ct_segmenter, ct_volume, ct_volume_measure, ct_volume_text  # noqa: E402
from export.networks import folding, unetpp  # noqa: E402
from plugin.models.loading import load_model  # noqa: E402
from plugin.models.session import CPU  # noqa: E402

MODEL, PUBLISHED = ct_volume.MODELS
PATCH = (16, 32, 32)


@pytest.mark.parametrize(("build", "least"), [(unetpp.published, 6.9e6), (unetpp.compact, 2.0e6)])
def test_a_logit_for_every_voxel_and_each_depth_in_training(build, least) -> None:
    network = build()
    assert least < sum(weight.numel() for weight in network.parameters()) < 1.1 * least
    image = torch.zeros(1, 1, 16, 64, 64)
    with torch.inference_mode():
        assert network.eval()(image).shape == image.shape
        assert network.train()(image).shape == (4, *image.shape)


def test_the_published_patch_is_the_papers() -> None:
    """(256, 256, 128): in plane, then slices. Every side is halved four times."""
    assert PUBLISHED.patch == (128, 256, 256)
    assert PUBLISHED.spacing == (2.5, 1.0, 1.0)
    assert all(side % 16 == 0 for side in PUBLISHED.patch)


def test_voxels_folded_into_channels_come_back_to_their_places() -> None:
    image = torch.rand(2, 1, 6, 8, 10)
    folded = folding.folded(image, 2)
    assert folded.shape == (2, 4, 6, 4, 5)
    assert torch.equal(folded[:, 1], image[:, 0, :, 0::2, 1::2])
    assert torch.equal(folding.unfolded(folded, 2), image)


def _stored(name: str, kind: str, shape: tuple[int, int, int] = (40, 50, 60)) -> Stored:
    """A bright ball that is the finding, off the middle, in the dark."""
    grid = np.indices(shape)
    ball = sum((axis - middle) ** 2 for axis, middle in zip(grid, (25, 15, 40), strict=True)) < 64
    image = np.where(ball, 200, 20).astype(np.uint8)
    lesion = np.where(ball & (kind != "other"), 255, 0).astype(np.uint8)
    return Stored(name, kind, image, lesion, np.zeros_like(image))


def test_a_patch_is_drawn_by_seed_and_step_and_its_mask_lies_on_its_finding() -> None:
    volumes = [_stored("a", "coronacases"), _stored("b", "radiopaedia")]
    sampler = PatchSampler(volumes, PATCH, 3)
    first, again, other = sampler.batch(5, 2), sampler.batch(5, 2), sampler.batch(6, 2)
    assert torch.equal(first.image, again.image)
    assert not torch.equal(first.image, other.image)
    assert first.image.shape == first.target.shape == first.known.shape == (2, 1, *PATCH)
    shown = 0
    for step in range(20):
        batch = sampler.batch(step, 1)
        inside = batch.target > 0.5
        if inside.sum() < 200:
            continue
        shown += 1
        bright = batch.image > (batch.image[inside].mean() + batch.image[batch.target < 0.01].mean()) / 2
        overlap = 2 * (bright & inside).sum() / (bright.sum() + inside.sum())
        assert overlap > 0.85, step
    assert shown > 8


def test_a_patch_covers_as_many_voxels_as_it_has() -> None:
    """Over many draws the patch's corners lie half a patch from its centre, in voxels, on average."""
    shape, centre = np.array([40, 50, 60]), np.array([20.0, 25.0, 30.0])
    draw = torch.Generator().manual_seed(0)
    sides = []
    for _ in range(200):
        matrix = warp(shape, centre, PATCH, draw).numpy()
        corners = np.array([[1, 0, 0, 1], [0, 1, 0, 1], [0, 0, 1, 1], [0, 0, 0, 1]]) @ matrix.T
        voxels = (corners[:3] - corners[3]) * np.array([60, 50, 40]) / 2
        assert np.allclose((corners[3] + 1) / 2 * [60, 50, 40], centre[::-1])
        sides.append(np.linalg.norm(voxels, axis=1) * 2)
    assert np.allclose(np.mean(sides, axis=0), PATCH[::-1], rtol=0.05)


class _Small(nn.Module):
    """Heads as U-Net++ has them in training."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Conv3d(1, 1, 1)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        answer = self.layer(image)
        return torch.stack([answer] * 4) if self.training else answer


def test_training_goes_on_where_it_was_and_learns(tmp_path: Path) -> None:
    sampler = PatchSampler([_stored("a", "coronacases")], PATCH, 3)
    plan = replace(MODEL.plan, steps=30, rate=0.1, warmup=2)
    torch.manual_seed(0)
    trainer = ct_volume.VolumeTrainer(_Small(), plan, 0.25, 0.35, tmp_path / "a.pt")
    begun = trainer.learn(sampler.batch(0, 1))
    for step in range(1, 20):
        trainer.learn(sampler.batch(step, 1))
    trainer.save()
    later = ct_volume.VolumeTrainer(_Small(), plan, 0.25, 0.35, tmp_path / "a.pt")
    assert later.step == 20
    network = later.run(sampler)
    assert later.step == 30
    assert trainer.learn(sampler.batch(0, 1)) < 0.7 * begun
    assert network(torch.zeros(1, 1, *PATCH)).shape == (1, 1, *PATCH)


def test_the_compact_network_becomes_a_folder_that_the_plugin_loads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ct_segmenter, "ONNX_MODELS", tmp_path)
    monkeypatch.setattr(ct_volume.VolumeModel, "trained", lambda _self, _part: unetpp.compact().eval())
    beside = read_measured(ct_volume.BESIDE)
    worse = [
        figure.model_copy(update={"remark": "coronacases_001 0.500; radiopaedia_011 0.700"})
        for figure in beside.figures
        if figure.name == ct_volume_measure._DICE
    ]
    difference = ct_volume_measure.beside(worse, ct_volume.BESIDE, "a test")
    # 0.542 and 0.756 stand on the other's card.
    assert difference.value == pytest.approx(-0.049)
    measured = Measured(figures=(*worse, difference), thresholds={"findings": 0.3})
    MODEL.onnx(measured)
    model = load_model(tmp_path / MODEL.name, thresholds={}, providers=[CPU], threads=1)
    assert model.card.needs_lungs
    assert model.card.input.patch == MODEL.patch
    assert model.card.limits.startswith(
        "Worse than ct-segment-compact on the same patients: findings Dice -0.049 (-0.056 to -0.042)."
    )
    assert (tmp_path / MODEL.name / "model.onnx").stat().st_size < 10_000_000


class _Threshold(nn.Module):
    """Findings where HU are above 200, as a network that was trained to the end."""

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        level = ((200 - ct_volume.LOW) / (ct_volume.HIGH - ct_volume.LOW) - ct_volume.MEAN) / ct_volume.STD
        return 50 * (image - level)


def test_whole_volumes_are_measured_in_lungs_that_know_nothing_of_the_findings(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    hu = np.full((40, 60, 70), 40, dtype=np.int16)
    grid = np.indices(hu.shape)

    def ball(centre, radii):
        parts = zip(grid, centre, radii, strict=True)
        return sum(((axis - middle) / radius) ** 2 for axis, middle, radius in parts) <= 1

    for column in (20, 50):
        hu[ball((20, 30, column), (16, 20, 12))] = -850
    lesion = ball((18, 34, 50), (4, 6, 5))
    hu[lesion] = 1250  # half-way to lung is 200: no other tissue has that
    hu[:, [0, -1]] = hu[:, :, [0, -1]] = -1000
    lung = ((hu < -200) & (hu > -1000)) | lesion
    volume = ct.Volume("coronacases_001", "coronacases", hu, (4.0, 4.0, 4.0), lesion, lung, covid=True)
    monkeypatch.setattr(ct, "load_volume", lambda _name: volume)
    assert not ct_volume_measure.lungs_without_findings(volume)[~lung].any()
    reader = ct_volume_measure.VolumeReader(
        _Threshold(), MODEL.spacing, PATCH, 10.0, ct_volume.LOW, ct_volume.HIGH, ct_volume.MEAN, ct_volume.STD
    )
    result = ct_volume_measure.read_volume(reader, "coronacases_001")
    assert result.findings_dice > 0.85
    assert result.findings_ml == pytest.approx(result.true_findings_ml, rel=0.25)


@pytest.mark.parametrize(
    ("interval", "words"),
    [
        ((0.01, 0.09), "Better than x on the same patients: findings Dice +0.050 (+0.010 to +0.090)."),
        ((-0.01, 0.09), "No better than x on the same patients"),
        ((-0.09, -0.01), "Worse than x on the same patients"),
        (None, "Not compared with x."),
    ],
)
def test_the_limits_begin_with_how_it_stands(interval: tuple[float, float] | None, words: str) -> None:
    figure = read_measured(ct_volume.BESIDE).figures[0]
    difference = figure.model_copy(
        update={"name": "findings Dice less that of x", "value": 0.05, "interval": interval}
    )
    assert ct_volume_text.limits(Measured(figures=(difference,)), "x").startswith(words)

"""3-D U-Net++: shapes, patches with their masks, training that resumes, a graph that the plugin loads."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="PyTorch is only needed for training and export")
pytest.importorskip("monai", reason="MONAI is only needed for training and export")
pytest.importorskip("nibabel", reason="nibabel is only needed for training")

from scipy.special import expit  # noqa: E402
from torch import nn  # noqa: E402
from torch.nn import functional  # noqa: E402
from volumes import stored  # noqa: E402

from export import model_folder  # noqa: E402
from export.data import ct  # noqa: E402
from export.data.ct_patches import PatchSampler, cut, warp  # noqa: E402
from export.measured import Measured, read_measured  # noqa: E402
from export.models import ct_volume, ct_volume_measure, ct_volume_text  # noqa: E402
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


def test_a_patch_is_drawn_by_seed_and_step_and_its_mask_lies_on_its_finding() -> None:
    sampler = PatchSampler([stored("a", "coronacases"), stored("b", "radiopaedia")], PATCH, 3)
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


def test_a_patch_looks_into_a_part_of_a_volume_as_into_the_whole() -> None:
    draw, generator = np.random.default_rng(0), torch.Generator().manual_seed(0)
    shape = np.array([40, 70, 60])
    whole = torch.rand((1, 1, *shape.tolist()), generator=generator)

    def seen(values: torch.Tensor, matrix: torch.Tensor) -> torch.Tensor:
        grid = functional.affine_grid(matrix[None], [1, 1, *PATCH], align_corners=False)
        return functional.grid_sample(values, grid, padding_mode="zeros", align_corners=False)

    for _ in range(20):
        matrix = warp(shape, draw.uniform(0, 1, 3) * shape, PATCH, generator)
        part, inside = cut(shape, matrix)
        assert whole[0, 0][part].numel() < 0.7 * whole.numel()
        assert torch.allclose(seen(whole, matrix), seen(whole[:, :, *part], inside), atol=1e-4)


class _Small(nn.Module):
    """Heads as U-Net++ has them in training."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Conv3d(1, 1, 1)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        answer = self.layer(image)
        return torch.stack([answer] * 4) if self.training else answer


def test_training_goes_on_where_it_was_and_learns(tmp_path: Path) -> None:
    sampler = PatchSampler([stored("a", "coronacases")], PATCH, 3)
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
    monkeypatch.setattr(model_folder, "ONNX_MODELS", tmp_path)
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


def test_training_ends_with_its_time_and_its_rate_is_then_at_its_end(tmp_path: Path) -> None:
    sampler = PatchSampler([stored("a", "coronacases")], PATCH, 3)
    plan = replace(MODEL.plan, steps=10**6, warmup=2)
    trainer = ct_volume.VolumeTrainer(_Small(), plan, 0.25, 0.35, tmp_path / "a.pt")
    trainer.run(sampler, seconds=1.5)
    assert trainer.finished
    assert 2 < trainer.step < 10**6
    assert trainer.optimiser.param_groups[0]["lr"] < 0.2 * plan.rate
    assert trainer._rate() == pytest.approx(0.01 * plan.rate)
    again = ct_volume.VolumeTrainer(_Small(), plan, 0.25, 0.35, tmp_path / "a.pt")
    assert again.finished
    assert again.step == trainer.step
    assert torch.equal(again.averaged().layer.weight, trainer.averaged().layer.weight)


def test_a_step_without_finite_gradients_leaves_the_weights_finite(tmp_path: Path) -> None:
    batch = PatchSampler([stored("a", "coronacases")], PATCH, 3).batch(0, 1)
    trainer = ct_volume.VolumeTrainer(_Small(), MODEL.plan, 0.25, 0.35, tmp_path / "a.pt")
    trainer.learn(replace(batch, image=torch.full_like(batch.image, torch.nan)))
    assert torch.isfinite(trainer.network.layer.weight).all()


def _bright(patches: np.ndarray) -> np.ndarray:
    """Findings where HU are above 200, as a network that was trained to the end."""
    level = ((200 - ct_volume.LOW) / (ct_volume.HIGH - ct_volume.LOW) - ct_volume.MEAN) / ct_volume.STD
    return np.asarray(expit(50 * (patches - level)))


def test_whole_volumes_are_measured_in_lungs_of_another(
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
    reader = ct_volume_measure.VolumeReader(
        _bright, MODEL.spacing, PATCH, 10.0, ct_volume.LOW, ct_volume.HIGH, ct_volume.MEAN, ct_volume.STD
    )
    result = ct_volume_measure.read_volume(reader, "coronacases_001", lung & ~lesion)
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

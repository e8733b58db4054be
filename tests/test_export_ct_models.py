"""Training and reading of the CT networks."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="PyTorch is only needed for training and export")
pytest.importorskip("monai", reason="MONAI is only needed for training and export")

from export.data.ct_segment import Sampler, SliceSet, deform  # noqa: E402
from export.models import ct_finetune  # noqa: E402
from export.models.ct_finetune import Pictures, finetune, logits_of  # noqa: E402
from export.models.ct_segment_measure import Reader, dice  # noqa: E402
from export.models.ct_segment_train import SegmentTrainer  # noqa: E402
from export.networks import efficientdet  # noqa: E402
from export.networks.lite import lite_classifier  # noqa: E402
from export.training import Plan  # noqa: E402

SIZE = 64


@pytest.fixture
def sampler() -> Sampler:
    """Ten slices with a bright square of findings in a wider square of lung."""
    image = np.full((10, SIZE, SIZE), 30, dtype=np.uint8)
    lung, lesion = np.zeros_like(image), np.zeros_like(image)
    lung[:, 16:48, 16:48] = 255
    lesion[:5, 24:32, 24:32] = 255
    image[lesion > 0] = 160
    return Sampler([SliceSet("made-up", "coronacases", image, lung, lesion)], seed=4)


def test_batches_depend_on_seed_and_step_alone(sampler: Sampler) -> None:
    first, again = sampler.batch(3, 4), sampler.batch(3, 4)
    assert torch.equal(first.image, again.image)
    assert not torch.equal(first.image, sampler.batch(4, 4).image)
    assert first.image.shape == (4, 1, SIZE, SIZE)
    assert first.target.shape == first.known.shape == (4, 2, SIZE, SIZE)


def test_without_flip_the_sides_stay() -> None:
    picture = torch.zeros(32, 1, SIZE, SIZE)
    picture[..., : SIZE // 2] = 1
    turned = deform(picture, torch.Generator().manual_seed(1), flip=False)
    left, right = turned[..., : SIZE // 2].mean(dim=(1, 2, 3)), turned[..., SIZE // 2 :].mean(dim=(1, 2, 3))
    assert (left > right).all()


def trainer(folder: Path, steps: int) -> SegmentTrainer:
    torch.manual_seed(5)
    network = efficientdet.compact(SIZE, 16, pretrained=False)
    return SegmentTrainer(network, Plan(steps=steps, batch=2, warmup=2), 0.5, 0.5, folder / "net.pt")


def test_training_goes_on_where_it_was_cut_off(sampler: Sampler, tmp_path: Path) -> None:
    cut = trainer(tmp_path, 6)
    for _ in range(3):
        cut.learn(sampler.batch(cut.step, 2))
    cut.save()
    resumed = trainer(tmp_path, 6)
    assert resumed.step == 3
    losses = [float(each.learn(sampler.batch(3, 2))) for each in (resumed, cut)]
    assert losses[0] == pytest.approx(losses[1], rel=1e-3)


def test_training_lowers_the_loss(sampler: Sampler, tmp_path: Path) -> None:
    learner = trainer(tmp_path, 12)
    losses = [learner.learn(sampler.batch(0, 2)) for _ in range(12)]
    assert losses[-1] < losses[0]


class Bright(torch.nn.Module):
    """Lung where the picture is dark, findings where it is bright."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.cat([-x[:, :1], x[:, :1]], dim=1) * 50


def test_reader_gives_masks_of_the_slices_size() -> None:
    hu = np.full((3, 100, 120), -1000, dtype=np.int16)
    hu[:, 40:60, 40:60] = 100
    reader = Reader(Bright(), SIZE, -1024, 200, 0.5, 0.5)
    lung, findings = reader.read(hu, (5.0, 3.0, 3.0))
    assert lung.shape == findings.shape == hu.shape
    assert lung[:, 0, 0].all()
    assert not (findings & ~lung).any()
    assert findings[:, 50, 50].all()
    single = reader.lung_of_slice(hu[0].astype(np.float32))
    assert single[0, 0]
    assert not single[50, 50]


def test_dice() -> None:
    mask = np.zeros((4, 20), dtype=np.bool_)
    mask[:, :5] = True
    assert dice(mask, mask) == 1
    assert dice(mask, ~mask) == 0
    assert dice(mask[:, 10:], mask[:, 10:]) == 1


def test_whole_networks_learn_what_tells_the_classes_apart() -> None:
    draw = np.random.default_rng(6)
    label = np.arange(40) % 2
    image = draw.integers(0, 60, size=(40, 1, SIZE, SIZE)).astype(np.uint8)
    image[label == 1, :, 20:40, 20:40] += 150
    names = np.array([f"patient-{n // 4}" for n in range(40)])
    pictures = Pictures(image, label, names, np.full(40, "slab"), np.ones(40, dtype=np.bool_))
    plan = ct_finetune.Plan(steps=12, batch=8, dropout=0.0)
    start = lite_classifier(0, (SIZE, SIZE), 2)
    network = finetune(start, pictures, plan, lambda values, _draw: values, seed=1)
    logits = logits_of(network, image)
    assert logits[label == 1].min() > logits[label == 0].max()
    with torch.inference_mode():
        answers, attention = network(torch.randn(1, 3, SIZE, SIZE))
    evidence = attention.mean(dim=(2, 3)) + network.bias
    assert torch.allclose(evidence, answers, atol=1e-4)

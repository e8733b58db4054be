"""The X-ray networks' training on films made here: cached features, probe, fine-tuning, figures."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("torch", reason="the export side needs PyTorch")
pytest.importorskip("monai", reason="the export side needs MONAI")
pytest.importorskip("sklearn", reason="the export side needs scikit-learn")

import torch

from export.data.cxr import CLASSES, Film
from export.models import xray_measures, xray_samples, xray_training
from export.networks.attention import AttentionClassifier
from export.networks.lite import MEAN, STD, lite_classifier
from export.networks.published import efficientnet_classifier
from plugin.cards import Equalise, ModelInput, Resize
from plugin.models import prepare

SIZE = 64
SPEC = ModelInput(
    name="image",
    shape=(1, 3, SIZE, SIZE),
    intensity=Equalise(),
    resize=Resize(mode="stretch"),
    mean=MEAN,
    std=STD,
)


def _lite() -> AttentionClassifier:
    return lite_classifier(0, (SIZE, SIZE), len(CLASSES))


@pytest.fixture
def films(tmp_path: Path) -> list[Film]:
    """Twenty films of stripes: along rows, along columns, or none; sources as in the real data."""
    draw = np.random.default_rng(0)
    found = []
    row, column = np.mgrid[:96, :80]
    for index in range(20):
        label = index % 3
        stripes = (np.sin(row / 3), np.sin(column / 3), np.zeros((96, 80)))[label]
        values = 120 + 80 * stripes + draw.normal(0, 10, (96, 80))
        path = tmp_path / f"{index}.png"
        Image.fromarray(values.clip(0, 255).astype(np.uint8)).save(path)
        source = "ieee8023" if index % 2 else "elsewhere"
        found.append(Film(path, label, source, f"patient {index // 2}", "", ""))
    return found


def _examples(
    films: list[Film], network: AttentionClassifier, frozen: int, folder: Path
) -> tuple[list[xray_samples.Sample], xray_training.Examples]:
    samples = xray_samples.plan(films, variants=1, spoiled=0)
    extract = xray_samples.extractor(network, frozen, SPEC, folder)
    features = xray_samples.features_of(samples, extract, folder, "key")
    labels = np.array([sample.label for sample in samples])
    return samples, xray_training.Examples(features, labels, xray_samples.weights(samples))


@pytest.mark.parametrize("frozen", [18, 16, 0])
def test_cached_features_give_the_networks_own_logits(frozen: int, films: list[Film], tmp_path: Path) -> None:
    network = _lite().eval()
    torch.nn.init.normal_(network.evidence.weight)
    _, examples = _examples(films, network, frozen, tmp_path)
    cached = xray_training.predict(network, examples.features.maps[:4], frozen)
    pictures = [np.asarray(Image.open(film.path)) for film in films[:4]]
    with torch.inference_mode():
        whole = network(torch.from_numpy(np.stack([prepare(SPEC, p) for p in pictures])))[0].numpy()
    np.testing.assert_allclose(cached, whole, atol=0.05 * np.abs(whole).max())


def test_features_are_made_once(films: list[Film], tmp_path: Path) -> None:
    samples, examples = _examples(films, _lite().eval(), 18, tmp_path)

    def refuse(_pictures: object) -> xray_samples.Features:
        raise AssertionError("the cache was not read")

    again = xray_samples.features_of(samples, refuse, tmp_path, "key")
    assert np.array_equal(again.pooled, examples.features.pooled)


@pytest.mark.parametrize(
    ("build", "frozen", "epochs", "least"),
    [
        (_lite, 18, 0, 0.8),
        (_lite, 16, 2, 0.8),
        # Two epochs from random weights only show that the whole network is trained.
        (lambda: efficientnet_classifier("efficientnet-b0", 3), 0, 2, 0.0),
    ],
    ids=["probe", "last block", "from random weights"],
)
def test_training_learns_the_stripes(
    build: Callable[[], AttentionClassifier],
    frozen: int,
    epochs: int,
    least: float,
    *,
    films: list[Film],
    tmp_path: Path,
) -> None:
    torch.manual_seed(0)
    start = build().eval()
    _, examples = _examples(films, start, frozen, tmp_path)
    schedule = xray_training.Schedule(
        frozen=frozen, epochs=epochs, draws=32, batch=8, frozen_statistics=frozen > 0
    )
    network = xray_training.fit(start, examples, schedule, seed=0)
    logits = xray_training.predict(network, examples.features.maps, frozen)
    accuracy = float((logits.argmax(axis=1) == examples.labels).mean())
    assert np.isfinite(logits).all()
    assert accuracy >= least
    changed = [
        name
        for (name, before), after in zip(
            start.trunk.named_parameters(), network.trunk.parameters(), strict=True
        )
        if not torch.equal(before, after)
    ]
    assert bool(changed) == (epochs > 0)


def test_measure_of_perfect_and_of_blind_logits(films: list[Film]) -> None:
    samples = xray_samples.plan(films, variants=0, spoiled=1)
    labels = np.array([sample.label for sample in samples])
    perfect = xray_measures.measure(samples, 8.0 * np.eye(3)[labels], "none")
    by_name = {found.name: found.value for found in perfect.figures}
    assert by_name["AUC COVID against NON-COVID, ieee8023"] == 1.0
    assert by_name["AUC REJECTION against frontal"] == 1.0
    assert by_name["frontal films rejected"] == 0.0
    assert by_name["REJECTION rejected"] == 1.0
    blind = xray_measures.measure(samples, np.zeros((len(samples), 3)), "none")
    assert {f.name: f.value for f in blind.figures}["AUC REJECTION against frontal"] == 0.5


def test_operating_point_weighs_the_cases() -> None:
    labels, scores = np.array([1, 1, 0, 0]), np.array([0.9, 0.4, 0.5, 0.1])
    assert xray_measures.operating_point(labels, scores, np.array([1, 9.0, 1, 1])) == 0.4
    assert xray_measures.operating_point(labels, scores, np.array([9.0, 1, 1, 1])) == 0.9


def test_films_know_what_they_are(films: list[Film]) -> None:
    rejected = dataclasses.replace(films[0], label=CLASSES.index("REJECTION"))
    assert not rejected.frontal
    assert xray_samples.Sample(rejected, xray_samples.FILM).group == "REJECTION"
    assert xray_samples.Sample(films[1], "blur").label == CLASSES.index("REJECTION")
    assert xray_samples.Sample(films[1], xray_samples.FILM).group == "NON-COVID of ieee8023"

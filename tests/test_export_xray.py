"""The X-ray networks' training on films made here: cached inputs, probe, training from pixels, figures."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("torch", reason="the export side needs PyTorch")
pytest.importorskip("monai", reason="the export side needs MONAI")
pytest.importorskip("sklearn", reason="the export side needs scikit-learn")

import torch

from export.data.cxr import CLASSES, Film
from export.models import xray_measures, xray_samples, xray_shortcuts, xray_training
from export.networks.attention import AttentionClassifier
from export.networks.lite import MEAN, STD, TwoScaleTrunk, two_scale_classifier
from export.networks.published import efficientnet_classifier
from plugin.models.cards import Equalise, ModelInput, Resize
from plugin.models.network import prepare

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
    return two_scale_classifier((SIZE, SIZE), len(CLASSES))


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
    films: list[Film], trunk: torch.nn.Module | None, folder: Path
) -> tuple[list[xray_samples.Sample], xray_training.Examples]:
    samples = xray_samples.plan(films, variants=1, spoiled=0)
    extract = xray_samples.extractor(trunk, SPEC, folder)
    inputs = xray_samples.inputs_of(samples, extract, folder, "key")
    labels = np.array([sample.label for sample in samples])
    return samples, xray_training.Examples(inputs, labels, xray_samples.weights(samples))


@pytest.mark.parametrize("frozen", [True, False])
def test_cached_inputs_give_the_networks_own_logits(
    *, frozen: bool, films: list[Film], tmp_path: Path
) -> None:
    network = _lite().eval()
    torch.nn.init.normal_(network.evidence.weight)
    _, examples = _examples(films, network.trunk if frozen else None, tmp_path)
    cached = xray_training.predict(network, examples.inputs[:4])
    pictures = [np.asarray(Image.open(film.path)) for film in films[:4]]
    with torch.inference_mode():
        whole = network(torch.from_numpy(np.stack([prepare(SPEC, p) for p in pictures])))[0].numpy()
    np.testing.assert_allclose(cached, whole, atol=0.01 * np.abs(whole).max())


def test_inputs_are_made_once(films: list[Film], tmp_path: Path) -> None:
    samples, examples = _examples(films, _lite().trunk, tmp_path)

    def refuse(_pictures: object) -> xray_training.Inputs:
        raise AssertionError("the cache was not read")

    assert np.array_equal(xray_samples.inputs_of(samples, refuse, tmp_path, "key"), examples.inputs)


def test_a_probe_learns_the_stripes_and_leaves_the_trunk(films: list[Film], tmp_path: Path) -> None:
    start = _lite().eval()
    _, examples = _examples(films, start.trunk, tmp_path)
    network = xray_training.fit(start, examples, xray_training.Probe(groups=TwoScaleTrunk.GROUPS), seed=0)
    logits = xray_training.predict(network, examples.inputs)
    assert (logits.argmax(axis=1) == examples.labels).mean() >= 0.8
    for before, after in zip(start.trunk.parameters(), network.trunk.parameters(), strict=True):
        assert torch.equal(before, after)


def test_groups_weigh_alike_whatever_their_size() -> None:
    draw = np.random.default_rng(3)
    labels = np.arange(300) % 3
    small, large = labels[:, None] + draw.normal(0, 1, (300, 2)), draw.normal(0, 1, (300, 98))
    large[:, 0] += labels
    inputs = np.concatenate([small, large], axis=1).astype(np.float32)
    examples = xray_training.Examples(inputs, labels, np.ones(300))
    shares = []
    for groups in ((), (2, 98)):
        network = AttentionClassifier(torch.nn.Identity(), 100, 3)
        how = xray_training.Probe(regularisation=1e-4, groups=groups)
        weight = xray_training.fit(network, examples, how, seed=0).evidence.weight.detach().abs()
        shares.append(float(weight[:, :2].sum() / weight.sum()))
    assert shares[1] > 1.2 * shares[0]


def test_training_from_pixels_changes_the_whole_network(films: list[Film], tmp_path: Path) -> None:
    torch.manual_seed(0)
    start = efficientnet_classifier("efficientnet-b0", 3, pretrained=False).eval()
    _, examples = _examples(films, None, tmp_path)
    schedule = xray_training.Schedule(epochs=2, draws=32, batch=8)
    network = xray_training.fit(start, examples, schedule, seed=0)
    assert np.isfinite(xray_training.predict(network, examples.inputs)).all()
    parts = zip(start.trunk.parameters(), network.trunk.parameters(), strict=True)
    assert all(not torch.equal(before, after) for before, after in parts)


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


def test_a_source_in_no_training_is_told_from_covid_by_what_is_seen(films: list[Film]) -> None:
    samples = xray_samples.plan(films, variants=1, spoiled=0)
    sighted = np.array([float(s.label == CLASSES.index("COVID")) for s in samples])
    found = xray_shortcuts.unseen_source_figure(samples, sighted, "none")
    assert found.value == 1.0
    assert found.n == sum(f.frontal and (f.label == 0 or not f.ieee8023) for f in films)
    assert xray_shortcuts.unseen_source_figure(samples, 0 * sighted, "none").value == 0.5

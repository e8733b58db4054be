"""The rejection of X-ray networks: what teaches it, what measures it, learning it anew on a shipped one."""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

pytest.importorskip("torch", reason="the export side needs PyTorch")
pytest.importorskip("sklearn", reason="the export side needs scikit-learn")
pytest.importorskip("efficientnet_lite_pytorch", reason="needs the EfficientNet-Lite wheels")

import onnx
import onnxruntime
from torch import nn

from export import measured
from export.data.cxr import COVID, IEEE8023, NIH, NON_COVID, REJECTION, SIIM, Film, folds
from export.models import xray_refit
from export.models.xray_rejection import Rejection
from export.paths import ONNX_MODELS
from plugin.models.cards import Figure, read_card
from plugin.models.loading import load_model

NAME = "xray-covid-lite0"
SOURCES = (SIIM, IEEE8023, NIH, "rsna", "kermany")


def _films(folder: Path, count: int) -> list[Film]:
    """``count`` films of each source and as many pictures to reject, all of noise."""
    draw = np.random.default_rng(0)
    found = []
    for source in (*SOURCES, "boneage"):
        for number in range(count):
            path = folder / f"{source}-{number}.png"
            Image.fromarray(draw.integers(0, 255, (64, 64), dtype=np.uint8)).save(path)
            label = REJECTION if source == "boneage" else (COVID, NON_COVID)[number % 2]
            found.append(Film(path, label, source, f"{source} {number}", "", ""))
    return found


@pytest.fixture
def rejects(tmp_path: Path) -> Rejection:
    films = _films(tmp_path, 20)
    return Rejection(films, folds(films, 5))


def _pooled(rejects: Rejection, turned: str = "") -> npt.NDArray[np.float32]:
    """Features of which one tells what is to be refused, the other way round in the source ``turned``."""
    tells = np.where(rejects.refused, 1.0, -1.0) * np.where(rejects.sources == turned, -1.0, 1.0)
    noise = np.random.default_rng(0).normal(0, 0.1, (len(tells), 4))
    return (noise + tells[:, None] * np.array([1.0, 0, 0, 0])).astype(np.float32)


def test_a_source_is_measured_by_a_rejection_that_learnt_nothing_of_it(rejects: Rejection) -> None:
    own = (rejects.sources == "kermany") & ~rejects.to_reject
    straight, _ = rejects.refusals(_pooled(rejects))
    turned, _ = rejects.refusals(_pooled(rejects, "kermany"))
    assert np.array_equal(straight >= 0.5, rejects.refused)
    assert np.array_equal((turned >= 0.5)[own], ~rejects.refused[own])


def test_each_source_weighs_alike(rejects: Rejection) -> None:
    """A source that looks different is accepted, however few its films are."""
    pooled = _pooled(rejects)
    few = (rejects.sources == "kermany") & ~rejects.refused
    pooled[few] = (0.3, 3.0, 0.0, 0.0)
    chosen = ~few
    chosen[np.flatnonzero(few)[:2]] = True
    layer = rejects.learn(pooled, chosen)
    slope, offset = layer.weight.detach().numpy()[0], float(layer.bias.detach()[0])
    assert ((pooled[few] @ slope + offset) < 0).all()
    without = rejects.learn(pooled, ~few)
    slope, offset = without.weight.detach().numpy()[0], float(without.bias.detach()[0])
    assert ((pooled[few] @ slope + offset) > 0).all()


@pytest.fixture
def shipped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the shipped networks' folder, and films of noise in the place of the real ones."""
    models, pictures = tmp_path / "onnx_models", tmp_path / "films"
    pictures.mkdir()
    shutil.copytree(ONNX_MODELS / NAME, models / NAME)
    films = _films(pictures, 6)
    for module in (xray_refit, measured):
        monkeypatch.setattr(module, "ONNX_MODELS", models)
    monkeypatch.setattr(xray_refit, "read_films", lambda: films)
    return models / NAME


def test_the_rejection_alone_is_learnt_anew(shipped: Path) -> None:
    before, film = read_card(shipped), np.random.default_rng(0).normal(0, 1, (1, 3, 256, 256))
    answers = []
    for learn in (False, True):
        if learn:
            xray_refit.refit(NAME)
        session = onnxruntime.InferenceSession(shipped / "model.onnx")
        answers.append(session.run(None, {"image": film.astype(np.float32)}))
    (old, places), (new, moved) = answers
    assert np.array_equal(old[:, :2], new[:, :2])
    assert np.array_equal(places, moved)
    assert old[0, 2] != new[0, 2]

    card, told = read_card(shipped), measured.read_measured(NAME)
    assert card.sha256 == hashlib.sha256((shipped / "model.onnx").read_bytes()).hexdigest()
    assert card.figures == told.figures
    assert {each.name: each.threshold for each in card.outputs[0].classes} == told.thresholds
    assert not [name for name in _others(before.figures) if name not in _others(card.figures)]
    assert "frontal films rejected, kermany" in {figure.name for figure in card.figures}
    load_model(shipped, thresholds={}, providers=["CPUExecutionProvider"], threads=1)


def _others(figures: tuple[Figure, ...]) -> dict[str, float | None]:
    return {each.name: each.value for each in figures if not each.name.startswith(xray_refit._FIGURES)}


def test_a_graph_without_a_rejection_is_refused() -> None:
    model = onnx.load(ONNX_MODELS / "ct-reject-compact" / "model.onnx")
    with pytest.raises(ValueError, match=r"no reject\.weight and no reject\.bias"):
        xray_refit.put_rejection(model, nn.Linear(3, 1))

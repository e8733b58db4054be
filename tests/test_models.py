"""Networks are used only as their cards say: file, self-test, classes, operating points."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from plugin.domain.errors import ModelError
from plugin.models.cards import Card, read_card, read_cards
from plugin.models.inputs import ModelInput
from plugin.models.lineup import load_lineup
from plugin.models.loading import load_model
from plugin.models.network import prepare
from plugin.models.selftest import self_test_picture
from plugin.models.session import available_providers
from plugin.settings import read_settings
from tests.conftest import ROOT

MODELS = ROOT / "onnx_models"
NAMES = sorted(path.parent.name for path in MODELS.glob("*/card.json"))
SEGMENTER = next(name for name in NAMES if read_card(MODELS / name).task == "segment")
CPU = available_providers("cpu")


def _copy(tmp_path: Path, name: str = SEGMENTER, **changes: Any) -> Path:
    """A model folder of its own, with changes to its card."""
    folder = tmp_path / "models" / name
    shutil.copytree(MODELS / name, folder)
    card = json.loads((folder / "card.json").read_text())
    (folder / "card.json").write_text(json.dumps(card | changes))
    return folder


@pytest.mark.parametrize("name", NAMES)
def test_every_model_loads_and_passes_its_self_test(name: str) -> None:
    model = load_model(MODELS / name, thresholds={}, providers=CPU, threads=1)
    assert model.card.name == name
    assert model.provider == CPU[0]
    assert (MODELS / name / model.card.file).stat().st_size < 95 * 2**20
    assert model.card.figures, "a card without figures"


@pytest.mark.parametrize("name", NAMES)
def test_probabilities_are_probabilities_whatever_comes_in(name: str) -> None:
    model = load_model(MODELS / name, thresholds={}, providers=CPU, threads=1)
    for picture in (
        np.zeros((600, 512), np.float32),
        np.full((512, 512), 3000, np.int16),
        np.random.default_rng(1).normal(-500, 400, (300, 700)).astype(np.float32),
    ):
        if model.card.input.volume is None:
            prepared = model.prepare(picture)
        else:
            prepared = model.prepare_volume(np.resize(picture, model.card.input.patch))
        answer = model.predict(prepared[None])
        assert answer.probabilities.shape[:2] == (1, len(model.classes))
        assert np.all((answer.probabilities >= 0) & (answer.probabilities <= 1))
        if answer.attention is not None:
            output = model.card.output("attention")
            assert output is not None
            assert answer.attention.shape[:2] == (1, len(output.classes))


def _taught(name: str) -> bool | None:
    """Whether the model's attention was taught where; None where it has none."""
    output = read_card(MODELS / name).output("attention")
    return None if output is None else output.localises


@pytest.mark.parametrize("name", [name for name in NAMES if _taught(name) is False])
def test_the_attention_map_is_exact(name: str) -> None:
    """Its mean over the picture or volume is the logit, up to the bias that is the same for every one."""
    model = load_model(MODELS / name, thresholds={}, providers=CPU, threads=1)
    random = np.random.default_rng(5)
    biases = []
    for _ in range(3):
        if model.card.input.volume is None:
            given = model.prepare(random.random((400, 400), dtype=np.float32) * 1500 - 1000)
        else:
            given = model.prepare_channels(random.random(model.card.input.shape[1:], dtype=np.float32))
        logits, attention = model.session.run(["logits", "attention"], {model.card.input.name: given[None]})
        places = attention.reshape(*attention.shape[:2], -1)
        biases.append(np.ravel(logits) - places.mean(axis=2).ravel())
    assert np.ptp(biases, axis=0).max() < 2e-2


def test_a_file_that_is_not_the_cards_is_refused(tmp_path: Path) -> None:
    folder = _copy(tmp_path, sha256="0" * 64)
    with pytest.raises(ModelError, match="SHA-256"):
        load_model(folder, thresholds={}, providers=CPU, threads=1)


def test_a_model_that_answers_otherwise_is_refused(tmp_path: Path) -> None:
    card = read_card(MODELS / SEGMENTER)
    expected = [value + 1 for value in card.self_test.expected]
    changed = card.self_test.model_dump() | {"expected": expected}
    folder = _copy(tmp_path, self_test=changed)
    with pytest.raises(ModelError, match="self-test"):
        load_model(folder, thresholds={}, providers=CPU, threads=1)


def test_a_file_that_is_no_graph_is_refused(tmp_path: Path) -> None:
    digest = "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824"  # of "hello"
    folder = _copy(tmp_path, sha256=digest)
    (folder / "model.onnx").write_bytes(b"hello")
    with pytest.raises(ModelError, match="cannot load"):
        load_model(folder, thresholds={}, providers=CPU, threads=1)


def test_operating_points_can_be_set_and_are_part_of_the_identity() -> None:
    card = read_card(MODELS / SEGMENTER)
    name = card.outputs[0].classes[0].name
    plain = load_model(MODELS / SEGMENTER, thresholds={}, providers=CPU, threads=1)
    moved = load_model(MODELS / SEGMENTER, thresholds={name: 0.9}, providers=CPU, threads=1)
    assert moved.classes[0].threshold == 0.9
    assert plain.card != moved.card, "the recipe of a result is made from the card"
    with pytest.raises(ModelError, match="brain"):
        load_model(MODELS / SEGMENTER, thresholds={"brain": 0.9}, providers=CPU, threads=1)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"task": "guess"}, "task"),
        ({"sha256": "abc"}, "sha256"),
        ({"name": "../../etc"}, "name"),
        ({"file": "../other.onnx"}, "file"),
        ({"colour": "red"}, "colour"),
    ],
)
def test_a_wrong_card_is_named(change: dict[str, Any], words: str) -> None:
    card = json.loads((MODELS / SEGMENTER / "card.json").read_text())
    with pytest.raises(ValidationError, match=words):
        Card.model_validate(card | change)


def test_a_dropped_in_model_is_chosen_by_its_rank(tmp_path: Path) -> None:
    folder = _copy(tmp_path, default_rank=1)
    other = folder.with_name("other-hospital")
    shutil.copytree(folder, other)
    card = json.loads((other / "card.json").read_text())
    (other / "card.json").write_text(json.dumps(card | {"name": "other-hospital", "default_rank": 0}))
    lineup = load_lineup(read_settings({"ChestAI": {"ModelsFolder": str(folder.parent)}}))
    assert lineup.ct_segmentation is not None
    assert lineup.ct_segmentation.card.name == "other-hospital"
    assert "no model for Xray" in "; ".join(lineup.problems)
    named = {"ModelsFolder": str(folder.parent), "Models": {"CtSegmentation": SEGMENTER}}
    lineup = load_lineup(read_settings({"ChestAI": named}))
    assert lineup.ct_segmentation is not None
    assert lineup.ct_segmentation.card.name == SEGMENTER


def test_a_card_must_carry_its_folders_name(tmp_path: Path) -> None:
    folder = _copy(tmp_path, name=SEGMENTER)
    folder.rename(folder.with_name("renamed"))
    cards, problems = read_cards(folder.parent)
    assert cards == {}
    assert SEGMENTER in problems["renamed"]


def test_the_input_is_made_as_the_card_says() -> None:
    spec = read_card(MODELS / SEGMENTER).input
    rows, columns = spec.shape[2:]
    low = prepare(spec, np.full((512, 512), -3000, np.int16))
    assert low.shape == (spec.shape[1], rows, columns)
    expected = -np.asarray(spec.mean, np.float32) / np.asarray(spec.std, np.float32)
    np.testing.assert_allclose(low[:, 0, 0], expected, atol=1e-6)


def test_three_projections_fill_a_channel_each() -> None:
    spec = read_card(MODELS / "ct-reject-compact").input
    assert spec.projection is not None
    assert spec.projection.axis == "orthogonal"
    shapes, greys = [(512, 512), (100, 512), (100, 400)], [-1024, 0, 200]
    pictures = [np.full(shape, grey, np.float32) for shape, grey in zip(shapes, greys, strict=True)]
    alone = [prepare(spec, picture) for picture in pictures]
    together = prepare(spec, *pictures)
    for channel in range(3):
        np.testing.assert_array_equal(together[channel], alone[channel][channel])
    assert together[0].max() < together[1].min() < together[2].min()
    with pytest.raises(ValidationError, match="three channels"):
        ModelInput.model_validate(spec.model_dump() | {"shape": (1, 1, 128, 128), "mean": (0,), "std": (1,)})


def test_the_self_tests_picture_is_of_squares() -> None:
    shape, mean, std = (2, 3, 40, 20), (0.5, 0.0, 0.25), (1.0, 2.0, 0.5)
    fine = self_test_picture(7, "noise", shape, mean, std)
    noise = np.random.default_rng(7).random(shape, dtype=np.float32)
    offset, scale = np.reshape(mean, (3, 1, 1)), np.reshape(std, (3, 1, 1))
    np.testing.assert_allclose(fine, (noise - offset) / scale, rtol=1e-6)
    coarse = self_test_picture(7, "squares", shape, mean, std)
    assert coarse.shape == shape
    grey = coarse * scale + offset
    np.testing.assert_allclose(grey, np.broadcast_to(grey[:, :1], shape), rtol=1e-6)
    for rows in (slice(0, 16), slice(16, 32), slice(32, 40)):
        for columns in (slice(0, 16), slice(16, 20)):
            square = coarse[:, :, rows, columns]
            assert (square == square[:, :, :1, :1]).all()
    assert len(np.unique(coarse[:, 0])) == 2 * 3 * 2

"""What a card must say so that the pipelines can use it."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest
from pydantic import ValidationError
from results_factory import ERRORS

from plugin.models.cards import Card
from tests.conftest import ROOT

MODELS = ROOT / "onnx_models"


def _card(name: str) -> dict[str, Any]:
    return dict(json.loads((MODELS / name / "card.json").read_text()))


def _changed(name: str, place: str, value: Any) -> dict[str, Any]:
    """A model's card with another value at a dotted place such as ``outputs.0.activation``."""
    card = copy.deepcopy(_card(name))
    *path, last = place.split(".")
    part: Any = card
    for step in path:
        part = part[int(step)] if isinstance(part, list) else part[step]
    part[int(last) if isinstance(part, list) else last] = value
    return card


def _volumetric(name: str, volume: dict[str, Any], channels: int = 3, **changes: Any) -> dict[str, Any]:
    """A model's card with patches of a volume for its input, ``changes`` made to that."""
    card = _changed(name, "input.shape", [1, channels, 8, 8, 8])
    card["input"] |= {"volume": volume, "mean": [0.5] * channels, "std": [0.5] * channels} | changes
    return card


XRAY, AXIAL, REJECT, SEGMENT = (
    "xray-covid-lite0",
    "ct-class-ax-compact",
    "ct-reject-compact",
    "ct-segment-full",
)
COVID = {"name": "COVID", "meaning": "COVID-19", "role": "finding"}
OTHER = {"name": "NON-COVID", "meaning": "no COVID-19", "role": "other"}
LOGITS = {"name": "logits", "meaning": "logits", "activation": "sigmoid", "classes": [COVID, OTHER]}
VOLUME = {"spacing": [2.5, 1, 1]}
LUNGS = {"axis": "axial", "over": "lungs", "level_hu": -900, "dense_hu": -600, "depth_mm": 300}
ONE_CHANNEL = _card(AXIAL)["input"] | {
    "shape": [1, 1, 128, 128],
    "mean": [0.5],
    "std": [0.5],
    "projection": LUNGS,
}
PERCENTILES = {"rule": "percentiles", "low": 1, "high": 99}


@pytest.mark.parametrize(
    ("card", "words"),
    [
        # A negative reading has to be called something.
        (_changed(XRAY, "outputs", [LOGITS | {"classes": [COVID]}]), "role other"),
        (_changed(XRAY, "outputs", [LOGITS | {"classes": [OTHER]}]), "role finding"),
        (_changed(XRAY, "outputs", [LOGITS | {"classes": [COVID, OTHER, OTHER]}]), "twice"),
        (_card(XRAY) | {"volume_errors": ERRORS.model_dump()}, "only a model that segments"),
        (_changed(XRAY, "outputs", [LOGITS, LOGITS]), "one output whose meaning is logits"),
        (_changed(XRAY, "outputs.1.classes", [OTHER]), "attention has no class COVID"),
        (_changed(REJECT, "outputs.0.classes", [_card(REJECT)["outputs"][0]["classes"][1]]), "softmax"),
        (_changed(AXIAL, "input.projection", None), "input.projection"),
        (_changed(AXIAL, "input.projection", {"axis": "orthogonal"}), "axial or sagittal"),
        (_changed(AXIAL, "input.intensity", PERCENTILES), "hu_window"),
        (_changed(REJECT, "input.intensity", PERCENTILES), "hu_window"),
        (_changed(SEGMENT, "input.projection", {"axis": "axial"}), "unless it segments"),
        (_changed(XRAY, "input.projection", {"axis": "axial"}), "only a CT"),
        (_changed(SEGMENT, "input.volume", VOLUME), "five numbers needs input.volume"),
        (_changed(SEGMENT, "input.shape", [1, 3, 8, 8, 8]), "five numbers needs input.volume"),
        (_volumetric(SEGMENT, {"spacing": [2.5, 0, 1]}), "greater than 0"),
        (_volumetric(SEGMENT, VOLUME | {"orientation": "SPA"}), "one of L and R"),
        (_volumetric(SEGMENT, VOLUME | {"overlap": 1.0}), "overlap"),
        (_volumetric(AXIAL, VOLUME), "neither projected"),
        (_volumetric(XRAY, VOLUME), "only a CT"),
        (_volumetric(REJECT, VOLUME, projection=None), "a rejector none"),
        (_volumetric(SEGMENT, VOLUME | {"context": 6}, channels=2), "without input.volume.context"),
        (_volumetric(AXIAL, VOLUME, projection=None), "a segmented one with it"),
        (_volumetric(AXIAL, VOLUME | {"context": 6}, projection=None), "two channels"),
        (_volumetric(AXIAL, VOLUME | {"context": 6, "crop": "body"}, projection=None), "crop must be lungs"),
        (_volumetric(AXIAL, VOLUME | {"context": -1}, projection=None), "context"),
        (_changed(AXIAL, "input.projection", {"axis": "axial", "over": "lungs"}), "dense_hu and depth_mm"),
        (_changed(AXIAL, "input.projection", {"axis": "axial", "depth_mm": 300}), "only there"),
        (_changed(AXIAL, "input.projection", LUNGS | {"axis": "orthogonal"}), "axial or sagittal"),
        (_changed(AXIAL, "input", ONE_CHANNEL), "three channels"),
    ],
)
def test_a_card_that_no_pipeline_can_use_is_refused(card: dict[str, Any], words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        Card.model_validate(card)


def test_a_classifier_with_one_sigmoid_for_each_class_is_a_card() -> None:
    card = Card.model_validate(_changed(XRAY, "outputs", [LOGITS]))
    assert [c.role for c in card.logits.classes] == ["finding", "other"]


def test_a_classifier_may_read_the_segmented_volume() -> None:
    given = _volumetric(AXIAL, VOLUME | {"context": 6}, channels=2, projection=None)
    card = Card.model_validate(given)
    assert card.input.view == "volume"
    assert Card.model_validate(_card(AXIAL)).input.view == "axial"
    assert Card.model_validate(_card(SEGMENT)).input.view is None


def test_a_segmenter_of_volumes_may_leave_the_lungs_to_another() -> None:
    card = _volumetric(SEGMENT, VOLUME)
    both = Card.model_validate(card)
    assert both.input.patch == (8, 8, 8)
    card["outputs"][0]["classes"] = [c for c in card["outputs"][0]["classes"] if c["role"] == "finding"]
    assert Card.model_validate(card).needs_lungs
    card["input"]["volume"] = VOLUME | {"crop": "body"}
    assert Card.model_validate(card).needs_lungs
    assert not Card.model_validate(_volumetric(SEGMENT, VOLUME | {"crop": "body"})).needs_lungs

"""What a card must say so that the pipelines can use it."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest
from pydantic import ValidationError

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


XRAY, AXIAL, REJECT, SEGMENT = (
    "xray-covid-lite0",
    "ct-class-ax-compact",
    "ct-reject-compact",
    "ct-segment-full",
)
COVID = {"name": "COVID", "meaning": "COVID-19", "role": "finding"}
OTHER = {"name": "NON-COVID", "meaning": "no COVID-19", "role": "other"}
LOGITS = {"name": "logits", "meaning": "logits", "activation": "sigmoid", "classes": [COVID, OTHER]}
PERCENTILES = {"rule": "percentiles", "low": 1, "high": 99}


@pytest.mark.parametrize(
    ("card", "words"),
    [
        # A negative reading has to be called something.
        (_changed(XRAY, "outputs", [LOGITS | {"classes": [COVID]}]), "role other"),
        (_changed(XRAY, "outputs", [LOGITS | {"classes": [OTHER]}]), "role finding"),
        (_changed(XRAY, "outputs", [LOGITS | {"classes": [COVID, OTHER, OTHER]}]), "twice"),
        (_changed(XRAY, "outputs", [LOGITS, LOGITS]), "one output whose meaning is logits"),
        (_changed(XRAY, "outputs.1.classes", [OTHER]), "attention has no class COVID"),
        (_changed(REJECT, "outputs.0.classes", [_card(REJECT)["outputs"][0]["classes"][1]]), "softmax"),
        (_changed(AXIAL, "input.projection", None), "input.projection"),
        (_changed(AXIAL, "input.projection", {"axis": "orthogonal"}), "axial or sagittal"),
        (_changed(AXIAL, "input.intensity", PERCENTILES), "hu_window"),
        (_changed(REJECT, "input.intensity", PERCENTILES), "hu_window"),
        (_changed(SEGMENT, "input.projection", {"axis": "axial"}), "unless it segments"),
        (_changed(XRAY, "input.projection", {"axis": "axial"}), "only a CT"),
    ],
)
def test_a_card_that_no_pipeline_can_use_is_refused(card: dict[str, Any], words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        Card.model_validate(card)


def test_a_classifier_with_one_sigmoid_for_each_class_is_a_card() -> None:
    card = Card.model_validate(_changed(XRAY, "outputs", [LOGITS]))
    assert [c.role for c in card.logits.classes] == ["finding", "other"]

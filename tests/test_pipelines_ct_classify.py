"""What the CT classifiers are given: the projection of the body, or of the lungs that the segmenter found."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from plugin.analysis.lung_projection import LungProjections, LungScale, lung_level
from plugin.analysis.projection import Projections
from plugin.dicom.imaging import CtVolume
from plugin.domain.kinds import RemarkCode
from plugin.models.cards import Card, read_card
from plugin.models.inputs import HuWindow
from plugin.models.lineup import Lineup
from plugin.models.network import Model
from plugin.pipelines.ct_classify import classify, window_of, windows_of
from plugin.pipelines.ct_lesions import Lesions
from tests.conftest import ROOT
from tests.results_factory import grid, volume

REJECT, UNETPP = "ct-reject-compact", "ct-segment-unetpp-compact"
SIZE = 32
SCALE = LungScale(low=-1024.0, high=200.0, level=-900.0, dense=-600.0, depth=300.0)
OUTPUT = {
    "classes": [
        {"name": "NO-FINDINGS", "meaning": "none", "role": "other"},
        {"name": "FINDINGS", "meaning": "some", "role": "finding"},
    ],
    "temperature": 1.0,
}


class Recorder:
    """Stands in for a network: keeps its input, answers with a high score and evidence everywhere."""

    provider = "CPUExecutionProvider"

    def __init__(self) -> None:
        self.given: list[np.ndarray] = []

    def run(self, _wanted: Any, inputs: dict[str, np.ndarray]) -> list[np.ndarray]:
        self.given.append(inputs["image"])
        return [np.array([[-3.0, 3.0]], np.float32), np.full((1, 2, 4, 4), 9.0, np.float32)]


def model(name: str, axis: str, over: str) -> Model:
    card = json.loads((ROOT / "onnx_models" / "ct-class-ax-b4" / "card.json").read_text())
    card["name"] = name
    card["input"]["shape"] = [1, 3, SIZE, SIZE]
    card["input"]["projection"] = {"axis": axis, "over": over}
    if over == "lungs":
        card["input"]["projection"] |= {
            "level_hu": SCALE.level,
            "dense_hu": SCALE.dense,
            "depth_mm": SCALE.depth,
        }
    card["outputs"] = [output | OUTPUT for output in card["outputs"]]
    session: Any = Recorder()
    return Model(card=Card.model_validate(card), session=session)


@pytest.fixture
def chest() -> tuple[CtVolume, np.ndarray]:
    """A body of noise with two lungs in it, and the lungs' labels."""
    where = grid(slices=20, rows=40, columns=48)
    lungs = np.zeros(where.shape, dtype=np.uint8)
    lungs[where.ball((-50, 10, 0), 35)] = 1
    lungs[where.ball((50, 10, 0), 35)] = 2
    hu = np.random.default_rng(2).integers(-200, 200, size=where.shape).astype(np.int16)
    hu[lungs > 0] -= 700
    return volume(where, hu=hu), lungs


def lesions(lungs: np.ndarray) -> Lesions:
    return Lesions(lungs=lungs, findings=np.zeros(lungs.shape, dtype=np.bool_))


def body_of(chest: CtVolume, models: list[Model]) -> dict[HuWindow, Projections]:
    found = {}
    for window in {window_of(m) for m in models}:
        found[window] = Projections(low=window.low, high=window.high, thickness=chest.thickness)
        for k, slice_ in enumerate(chest.hu):
            found[window].add(k, slice_)
    return found


@pytest.mark.parametrize("axis", ["axial", "sagittal"])
def test_a_network_is_given_the_lungs_box_in_three_channels(
    chest: tuple[CtVolume, np.ndarray], axis: str
) -> None:
    ct, lungs = chest
    reader = model("lungs-only", axis, "lungs")
    classified = classify([reader], ct, body_of(ct, [reader]), lesions(lungs))
    level = lung_level(ct.hu, lungs > 0)
    sums = LungProjections(SCALE, level=level, spacing=ct.spacing)
    for slice_, mask in zip(ct.hu, lungs, strict=True):
        sums.add(slice_, mask > 0)
    pictures = (sums.axial if axis == "axial" else sums.sagittal).pictures(SCALE)
    assert pictures is not None
    recorder: Any = reader.session
    np.testing.assert_allclose(recorder.given[0][0], reader.prepare(*pictures.channels), atol=1e-5)
    assert [said.positive for said in classified.said] == [True]
    assert classified.remarks == ()


@pytest.mark.parametrize("axis", ["axial", "sagittal"])
def test_the_evidence_lies_in_the_lungs_and_nowhere_else(
    chest: tuple[CtVolume, np.ndarray], axis: str
) -> None:
    ct, lungs = chest
    reader = model("lungs-only", axis, "lungs")
    (seen,) = classify([reader], ct, body_of(ct, [reader]), lesions(lungs)).seen
    met = lungs.any(axis=0) if axis == "axial" else lungs.any(axis=2)[::-1]
    np.testing.assert_array_equal(seen.attention.shades > 0, met)
    assert seen.picture.shape == met.shape
    assert seen.attention.outside == 0
    height, width = seen.size
    assert height / met.shape[0] == pytest.approx(6 if axis == "axial" else 5)
    assert width / met.shape[1] == pytest.approx(5 if axis == "axial" else 6)


def test_without_lungs_who_reads_them_says_nothing_and_the_others_do(
    chest: tuple[CtVolume, np.ndarray],
) -> None:
    ct, lungs = chest
    readers = [model("lungs-only", "sagittal", "lungs"), model("whole-body", "axial", "body")]
    for found in (None, np.zeros_like(lungs)):
        classified = classify(readers, ct, body_of(ct, readers), None if found is None else lesions(found))
        assert [said.algorithm.name for said in classified.said] == ["whole-body"]
        (remark,) = classified.remarks
        assert remark.code == RemarkCode.NOT_CLASSIFIED
        assert "lungs-only" in remark.message
    assert not classify(readers, ct, body_of(ct, readers), lesions(lungs)).remarks


def test_windows_come_in_the_same_order_everywhere_and_none_for_a_segmenter() -> None:
    """Sets of windows are ordered by hashes of text, which differ from process to process."""
    cards = {name: read_card(ROOT / "onnx_models" / name) for name in (REJECT, UNETPP)}
    models = {name: Model(card=card, session=None) for name, card in cards.items()}  # type: ignore[arg-type]
    classifier = model("one", "axial", "body")
    changed = classifier.card.input.model_copy(update={"intensity": HuWindow(low=-1000, high=400)})
    other = Model(card=classifier.card.model_copy(update={"input": changed}), session=classifier.session)
    reject, segmenter = models[REJECT], models[UNETPP]
    assert window_of(segmenter) not in {window_of(reject), window_of(other)}
    lineup = Lineup(ct_reject=reject, ct_classifiers=(other,), ct_segmentation=segmenter)
    assert windows_of(lineup) == (window_of(reject), window_of(other))
    assert windows_of(Lineup(ct_segmentation=segmenter)) == (window_of(segmenter),)

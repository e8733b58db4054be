"""The X-ray pipeline on a synthetic film: where the map locates, the report shows where."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from unittest.mock import patch

import numpy as np
import pytest
from highdicom.sr.utils import find_content_items
from pydicom.dataset import Dataset

from plugin import pipelines
from plugin.domain.findings import ClassProbability
from plugin.domain.kinds import Modality
from plugin.models.cards import ModelOutput
from plugin.models.lineup import Lineup, load_lineup
from plugin.models.network import Model, Prediction
from plugin.pipelines import steps
from plugin.pipelines.reading import Request, Stages
from plugin.settings import read_settings
from tests.dicom_factory import MemorySource, source, xray_dataset
from tests.results_factory import IDENTITY

ROWS, COLUMNS = 640, 520
SETTINGS = read_settings({"ChestAI": {"Provider": "cpu", "Models": {"CtReject": "", "CtSegmentation": ""}}})
Asked = Callable[..., tuple[Prediction, tuple[ClassProbability, ...]]]


@pytest.fixture(scope="module")
def lineup() -> Lineup:
    return load_lineup(SETTINGS)


def asked(score: float) -> Asked:
    """A network that gives that score, and sees opacities in a part of the upper left of the picture."""

    def ask(model: Model, picture: np.ndarray) -> tuple[Prediction, tuple[ClassProbability, ...]]:
        evidence = np.full((1, 1, 16, 16), -4.0, np.float32)
        evidence[..., 4:8, 2:6] = 4.0
        classes = tuple(
            ClassProbability(
                name=c.name,
                meaning=c.meaning,
                code=c.code,
                role=c.role,
                probability={"finding": score, "other": 0.9 - score}.get(c.role, 0.1),
                threshold=c.threshold,
            )
            for c in model.classes
        )
        return Prediction(probabilities=np.zeros((1, 3), np.float32), attention=evidence), classes

    return ask


def film() -> MemorySource:
    """A film of a grey body in dark air."""
    pixels = np.full((ROWS, COLUMNS), 30, np.uint16)
    pixels[40:, 30:-30] = 2000
    pixels[200:500, 90:220] = 1200
    return source(xray_dataset(pixels))


def report(lineup: Lineup, score: float, of: MemorySource | None = None) -> Dataset:
    """The SR of a film."""
    request = Request(
        source=of or film(),
        identity=IDENTITY,
        lineup=lineup,
        settings=SETTINGS,
        stages=Stages(lambda _stage, _progress: None),
    )
    with patch.object(steps, "ask", asked(score)):
        return pipelines.read(Modality.XRAY, request).results["sr"]


def outlined(sr: Dataset) -> list[np.ndarray]:
    found = find_content_items(sr, value_type="SCOORD", recursive=True)
    return [np.array(item.GraphicData).reshape(-1, 2) for item in found]


def test_where_the_map_locates_opacities_that_are_called_they_are_outlined(lineup: Lineup) -> None:
    """Cells 4 to 7 down and 2 to 5 across of 16, give or take half a cell between seen and not seen."""
    (points,) = outlined(report(lineup, 0.9))
    (left, top), (right, bottom) = points.min(axis=0), points.max(axis=0)
    cell = COLUMNS / 16, ROWS / 16
    assert [left / cell[0], right / cell[0]] == pytest.approx([2, 6], abs=0.1)
    assert [top / cell[1], bottom / cell[1]] == pytest.approx([4, 8], abs=0.1)
    assert left >= 30, "in the air beside the body"


def test_a_film_that_is_not_called_has_no_outline(lineup: Lineup) -> None:
    assert outlined(report(lineup, 0.2)) == []


def test_a_map_that_was_not_measured_to_locate_is_not_outlined(lineup: Lineup) -> None:
    (model,) = lineup.xray

    def unmeasured(output: ModelOutput) -> ModelOutput:
        return output.model_copy(update={"localises": False})

    card = model.card.model_copy(update={"outputs": tuple(map(unmeasured, model.card.outputs))})
    assert outlined(report(replace(lineup, xray=(replace(model, card=card),)), 0.9)) == []

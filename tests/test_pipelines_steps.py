"""What probabilities say at the operating points of a card."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from plugin.domain.codes import Role
from plugin.domain.findings import ClassProbability, Remark, Severity, Verdict
from plugin.domain.kinds import RemarkCode
from plugin.models.cards import read_card
from plugin.models.loading import load_model
from plugin.models.network import Model
from plugin.models.session import available_providers
from plugin.pipelines import steps
from plugin.pipelines.reading import Stages
from plugin.settings import read_settings
from tests.conftest import ROOT

XRAY = next(
    path.parent
    for path in sorted((ROOT / "onnx_models").glob("*/card.json"))
    if read_card(path.parent).modality == "xray"
)


@pytest.fixture(scope="module")
def model() -> Model:
    return load_model(Path(XRAY), thresholds={}, providers=available_providers("cpu"), threads=1)


def _classes(finding: float, other: float, reject: float) -> tuple[ClassProbability, ...]:
    given: tuple[tuple[str, Role, float, float], ...] = (
        ("COVID", "finding", finding, 0.3),
        ("NON-COVID", "other", other, 0.5),
        ("REJECTION", "reject", reject, 0.4),
    )
    return tuple(
        ClassProbability(name=n, meaning=n, code=None, role=r, probability=p, threshold=t)
        for n, r, p, t in given
    )


@pytest.mark.parametrize(
    ("finding", "other", "reject", "called"),
    [
        (0.30, 0.60, 0.10, "COVID"),
        (0.29, 0.61, 0.10, "NON-COVID"),
        (0.10, 0.20, 0.70, "NON-COVID"),
    ],
)
def test_the_finding_is_called_at_its_operating_point(
    model: Model, finding: float, other: float, reject: float, called: str
) -> None:
    said = steps.classification(model, _classes(finding, other, reject))
    assert said.called == called
    assert said.positive == (called == "COVID")
    assert said.finding.probability == finding


def test_a_network_rejects_at_its_operating_point(model: Model) -> None:
    assert steps.network_verdict(model, _classes(0.3, 0.31, 0.39)).accepted
    verdict = steps.network_verdict(model, _classes(0.3, 0.3, 0.4))
    assert not verdict.accepted
    assert [(r.code, r.severity) for r in verdict.remarks] == [("network_rejection", Severity.REJECT)]
    assert "rejection score 40.0 of 100, limit 40" in verdict.remarks[0].message
    certain = steps.network_verdict(model, _classes(0.05, 0.05, 0.8964))
    assert "rejection score 90 of 100, limit 40" in certain.remarks[0].message


def test_a_network_without_such_a_class_rejects_nothing(model: Model) -> None:
    assert steps.network_verdict(model, _classes(0.1, 0.1, 0.9)[:2]).accepted


def test_the_settings_label_the_results() -> None:
    section = {"SeriesDescription": "Clinic X", "SeriesNumbers": {"Sr": 77}, "Language": "pt"}
    label = steps.label_of(read_settings({"ChestAI": section}))
    assert (label.description, label.numbers["sr"], label.language) == ("Clinic X", 77, "pt")


def test_stages_add_up_and_tell_where_they_are() -> None:
    told: list[tuple[str, float]] = []
    stages = Stages(lambda stage, progress: told.append((stage, progress)))
    began = time.monotonic()
    stages.enter("decode")
    time.sleep(0.03)
    stages.progress(0.5)
    stages.enter("classify")
    stages.enter("decode")
    time.sleep(0.03)
    stages.end()
    elapsed = time.monotonic() - began
    assert told == [("decode", 0.0), ("decode", 0.5), ("classify", 0.0), ("decode", 0.0)]
    assert set(stages.timings) == {"decode", "classify"}
    assert stages.timings["decode"] >= 0.06
    assert sum(stages.timings.values()) == pytest.approx(elapsed, abs=0.01)


@pytest.mark.parametrize(
    ("codes", "wanted", "noted"),
    [
        (["network_rejection"], "content", True),
        (["hu_range"], "content", True),
        (["missing_slices"], "content", True),
        (["body_part"], "content", False),
        (["localizer", "few_slices"], "content", False),
        (["missing_slices", "body_part"], "content", False),
        (["body_part"], "all", True),
        (["network_rejection"], "none", False),
    ],
)
def test_a_note_is_left_where_a_reader_waits_for_results(codes: list[str], wanted: str, noted: bool) -> None:
    remarks = tuple(Remark(code=RemarkCode(code), severity=Severity.REJECT, message="no") for code in codes)
    assert steps._noted(Verdict(remarks=remarks), wanted) == noted

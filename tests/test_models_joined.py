"""The joined statement of a CT: data that is read and checked, made only of the parts it was fitted to."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from plugin.domain.findings import Classification, Findings, LungMeasurements, as_json
from plugin.domain.kinds import Modality
from plugin.domain.outcome import kept_findings
from plugin.models.joined import Joiner, read_joiners
from plugin.results.statement import Tone, state
from plugin.results.summary import headline, summarise
from plugin.results.texts import Texts
from tests.results_factory import classification, measurements

DIGESTS = {"ax": "a" * 64, "sg": "b" * 64, "seg": "c" * 64}
CARD: dict[str, Any] = {
    "name": "together",
    "version": "1.0.0",
    "title": "All parts",
    "manufacturer": "maker",
    "intercept": -1.0,
    "axial": {"model": "ax", "sha256": DIGESTS["ax"], "weight": 0.5},
    "sagittal": {"model": "sg", "sha256": DIGESTS["sg"], "weight": 0.25},
    "segmentation": {"model": "seg", "sha256": DIGESTS["seg"], "weight": 1.5},
    "least_percent": 0.1,
    "most_percent": 8.0,
    "classes": [
        {"name": "NO-FINDINGS", "meaning": "none", "role": "other"},
        {"name": "FINDINGS", "meaning": "Opacity consistent with COVID-19 pneumonia", "role": "finding"},
    ],
    "threshold": 0.4,
    "training_data": "some",
    "training_licence": "some",
    "figures": [],
    "intended_use": "research",
    "limits": "many",
    "licence": "some",
    "examples": [
        {"axial": 0.5, "sagittal": 0.5, "percent": 1.0, "probability": 1 / (1 + math.e)},
        {"axial": 0.5, "sagittal": 0.5, "percent": 0.0, "probability": 0.011498},
    ],
}


def joiner(folder: Path, **changes: Any) -> Joiner:
    (folder / "together").mkdir(exist_ok=True)
    (folder / "together" / "joined.json").write_text(json.dumps(CARD | changes))
    (found,), problems = read_joiners(folder)
    assert not problems
    return found


def named(name: str, probability: float = 0.83) -> Classification:
    return classification(name, "axial", probability)


def measured(name: str = "seg", findings_ml: float = 500.0) -> LungMeasurements:
    found = measurements()
    half = replace(found.left, volume_ml=2500.0, findings_ml=findings_ml / 2)
    return replace(
        found,
        algorithm=replace(found.algorithm, name=name),
        left=half,
        right=replace(found.right, volume_ml=2500.0, findings_ml=findings_ml / 2),
    )


def loaded(name: str, *, digest: str | None = None, as_measured: bool = True) -> Any:
    card = SimpleNamespace(name=name, sha256=digest or DIGESTS[name])
    return SimpleNamespace(card=card, as_measured=as_measured)


def test_the_log_odds_are_weighed_and_added(tmp_path: Path) -> None:
    join = joiner(tmp_path)
    said = [named("ax", probability=0.8), named("sg", probability=0.3)]
    joined = join.join(said, measured())
    assert joined is not None
    odds = -1 + 0.5 * math.log(4) + 0.25 * math.log(3 / 7) + 1.5 * math.log(8)
    assert joined.finding.probability == pytest.approx(1 / (1 + math.exp(-odds)), abs=1e-6)
    assert joined.positive
    assert joined.algorithm.operating_points == (("FINDINGS", 0.4),)
    nothing = join.join(said, measured(findings_ml=0))
    assert nothing is not None
    assert not nothing.positive


def test_nothing_is_joined_where_a_part_is_missing(tmp_path: Path) -> None:
    join = joiner(tmp_path)
    both = [named("ax"), named("sg")]
    assert join.join(both, measured()) is not None
    assert join.join(both[:1], measured()) is None
    assert join.join(both, None) is None
    assert join.join([named("ax"), named("another")], measured()) is None
    assert join.join(both, measured("another")) is None


def test_it_fits_its_very_parts_and_no_others(tmp_path: Path) -> None:
    join = joiner(tmp_path)
    parts = [loaded("ax"), loaded("sg"), loaded("seg")]
    assert join.fits(parts)
    assert not join.fits(parts[:2])
    assert not join.fits([*parts[:2], loaded("seg", digest="d" * 64)])
    assert not join.fits([*parts[:2], loaded("seg", as_measured=False)])


def test_a_third_classifier_has_no_say_and_takes_none_away(tmp_path: Path) -> None:
    """A classifier of the segmented volume beside the parts: the headline stays theirs, it is told below."""
    join = joiner(tmp_path)
    assert join.fits([loaded("ax"), loaded("sg"), loaded("seg")])
    both = [named("ax", probability=0.9), named("sg", probability=0.8)]
    third = classification("ct-volume", "volume", 0.01)
    joined = join.join([*both, third], measured())
    assert joined == join.join(both, measured())
    findings = Findings(modality=Modality.CT, classifications=(*both, third), joined=joined, lungs=measured())
    without = replace(findings, classifications=tuple(both))
    assert headline(findings, Texts("en")) == headline(without, Texts("en"))
    assert "ct-volume (segmented volume): negative; score 1 of 100" in summarise(findings, Texts("en"))
    assert "ct-volume (volume segmentado): negativo" in summarise(findings, Texts("pt"))
    assert [used.name for used in findings.algorithms].count("ct-volume") == 1


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"name": "other"}, "names it other"),
        ({"threshold": 1.5}, "threshold"),
        ({"intercept": 0.0}, "example"),
        ({"classes": [CARD["classes"][0]] * 2}, "one class of role finding"),
        ({"extra": 1}, "extra"),
    ],
)
def test_what_is_wrong_with_one_is_said(tmp_path: Path, changes: dict[str, Any], words: str) -> None:
    (tmp_path / "together").mkdir()
    (tmp_path / "together" / "joined.json").write_text(json.dumps(CARD | changes))
    found, problems = read_joiners(tmp_path)
    assert not found
    assert words in problems["together"]


@pytest.mark.parametrize(
    ("probability", "words", "tone"),
    [
        (0.95, "Opacities likely", Tone.ALERT),
        (0.05, "Opacities unlikely", Tone.NOTICE),
        (0.42, "Borderline: opacities neither likely nor unlikely", Tone.NOTICE),
    ],
)
def test_the_headline_is_the_joined_statement(
    tmp_path: Path, probability: float, words: str, tone: Tone
) -> None:
    joined = joiner(tmp_path).join([named("ax"), named("sg")], measured())
    assert joined is not None
    classes = tuple(
        replace(c, probability=probability if c.role == "finding" else 1 - probability)
        for c in joined.classes
    )
    called = "FINDINGS" if probability >= 0.4 else "NO-FINDINGS"
    findings = Findings(
        modality=Modality.CT,
        classifications=(named("ax", probability=0.9), named("sg", probability=0.2)),
        joined=replace(joined, classes=classes, called=called),
        lungs=measured(),
    )
    said, how = headline(findings, Texts("en"))
    assert said == f"{words}; 500 mL marked (10.0 % of the lungs), on both sides"
    assert how is tone is state(findings).tone
    assert state(findings).answer in words.lower()
    text = summarise(findings, Texts("en"))
    for part in ("together (all parts together)", "ax (", "sg ("):
        assert part in text
    assert as_json(findings)["joined"]["probabilities"]["FINDINGS"] == probability
    kept = kept_findings(findings)
    assert kept.joined is not None
    assert kept.joined.positive == (probability >= 0.4)

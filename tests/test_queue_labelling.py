"""Labels: which a series and its study get, and whose are left alone."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from plugin.queue.labelling import Labelling
from plugin.queue.ledger import Ledger
from plugin.result_settings import Labels
from plugin.settings import SettingsError, read_settings
from tests.dicom_factory import as_file, xray_dataset
from tests.fake_pacs import FakeOrthanc
from tests.test_web_worklist import OUTCOME, entered


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    ledger = Ledger(f"sqlite:///{tmp_path / 'ledger.sqlite'}")
    yield ledger
    ledger.close()


def add(fake: FakeOrthanc, number: int = 1) -> str:
    """A series of the one study."""
    return fake.add(
        as_file(
            xray_dataset(
                np.zeros((8, 8), np.uint16),
                StudyInstanceUID="1.2.3",
                SeriesInstanceUID=f"1.2.3.{number}",
                SOPInstanceUID=f"1.2.3.{number}.1",
            )
        )
    )


def study_of(fake: FakeOrthanc, series: str) -> str:
    return fake.pacs.series(series).study


def outcome(answer: str | None, *, positive: bool = False) -> dict[str, Any]:
    said = OUTCOME["findings"]["classifications"][0] | {"positive": positive}
    return OUTCOME | {"answer": answer, "findings": {"classifications": [said], "lungs": None, "remarks": []}}


def settle(ledger: Ledger, series: str, state: str = "done", **values: Any) -> None:
    ledger.forget(series)
    entered(ledger, [{"series": series, "modality": "ct", "state": state, "updated_at": 1.0} | values])


def told(fake: FakeOrthanc, ledger: Ledger, series: str, **names: str) -> tuple[list[str], list[str]]:
    """The labels of the series and of its study, once they were told."""
    Labelling(fake.pacs, ledger, Labels.model_validate(names)).tell(series)
    labels = fake.pacs.labels
    return sorted(labels("series", series)), sorted(labels("studies", study_of(fake, series)))


@pytest.mark.parametrize(
    ("answer", "positive", "label"),
    [
        ("likely", True, ["ai-findings"]),
        ("unlikely", False, ["ai-no-findings"]),
        ("unlikely", True, ["ai-findings"]),
        ("marked", False, ["ai-findings"]),
        ("suspected", True, ["ai-findings"]),
        ("borderline", False, ["ai-findings"]),
        ("none_marked", True, ["ai-findings"]),
        ("none_marked", False, ["ai-no-findings"]),
        ("few_marked", False, ["ai-no-findings"]),
        ("not_suspected", False, ["ai-no-findings"]),
        ("nothing_said", False, []),
        (None, True, []),
    ],
)
def test_what_was_found(
    fake: FakeOrthanc, ledger: Ledger, answer: str | None, positive: bool, label: list[str]
) -> None:
    fake.has_labels = True
    series = add(fake)
    settle(ledger, series, outcome=outcome(answer, positive=positive))
    assert told(fake, ledger, series) == (label, label)


def test_a_new_reading_changes_ours_and_leaves_the_sites(fake: FakeOrthanc, ledger: Ledger) -> None:
    fake.has_labels = True
    series = add(fake)
    study = study_of(fake, series)
    fake.pacs.label("series", series, add=["teaching"], remove=[])
    fake.pacs.label("studies", study, add=["urgent"], remove=[])
    settle(ledger, series, outcome=outcome("marked"))
    assert told(fake, ledger, series) == (["ai-findings", "teaching"], ["ai-findings", "urgent"])
    settle(ledger, series, "rejected")
    assert told(fake, ledger, series) == (["ai-rejected", "teaching"], ["ai-rejected", "urgent"])
    settle(ledger, series, "failed")
    assert told(fake, ledger, series)[1] == ["ai-failed", "urgent"]
    settle(ledger, series, "waiting")
    assert told(fake, ledger, series)[1] == ["ai-failed", "urgent"]


def test_a_study_has_the_labels_of_all_its_series(fake: FakeOrthanc, ledger: Ledger) -> None:
    fake.has_labels = True
    clear, marked, scout = (add(fake, number) for number in (1, 2, 3))
    settle(ledger, clear, outcome=outcome("none_marked"))
    assert told(fake, ledger, clear)[1] == ["ai-no-findings"]
    settle(ledger, scout, "rejected")
    assert told(fake, ledger, scout)[1] == ["ai-no-findings", "ai-rejected"]
    settle(ledger, marked, outcome=outcome("marked"))
    assert told(fake, ledger, marked) == (["ai-findings"], ["ai-findings", "ai-rejected"])


def test_names_are_the_sites_and_an_empty_one_is_none(fake: FakeOrthanc, ledger: Ledger) -> None:
    fake.has_labels = True
    series = add(fake)
    settle(ledger, series, outcome=outcome("marked"))
    assert told(fake, ledger, series, Findings="look")[0] == ["look"]
    settle(ledger, series, "failed")
    assert told(fake, ledger, series, Findings="look", Failed="")[0] == []
    with pytest.raises(SettingsError, match=r"ChestAI\.Labels\.Findings"):
        read_settings({"ChestAI": {"Labels": {"Findings": "../x"}}})


def test_an_orthanc_without_labels_is_left_alone(fake: FakeOrthanc, ledger: Ledger) -> None:
    series = add(fake)
    settle(ledger, series, outcome=outcome("marked"))
    Labelling(fake.pacs, ledger, Labels()).tell(series)
    assert not any("labels" in call for call in fake.calls)


def test_a_series_that_is_gone_breaks_nothing(
    fake: FakeOrthanc, ledger: Ledger, caplog: pytest.LogCaptureFixture
) -> None:
    fake.has_labels = True
    series = add(fake)
    settle(ledger, series, outcome=outcome("marked"))
    fake.delete(series)
    Labelling(fake.pacs, ledger, Labels()).tell(series)
    assert "is not labelled" in caplog.text

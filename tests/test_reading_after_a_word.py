"""A film that is read again after a physician's word: the PDF tells it, under UIDs of its own."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from unittest.mock import patch

import pytest
from pydicom.dataset import Dataset

from plugin import __version__
from plugin.domain.assessment import Decision
from plugin.models.lineup import Lineup, load_lineup
from plugin.pipelines import steps
from plugin.pipelines.reading import Stages
from plugin.queue.assessing import Assessing
from plugin.queue.job import Job
from plugin.queue.ledger import Ledger
from plugin.results.sr.assessment import Observer
from plugin.settings import read_settings
from tests.fake_pacs import FakeOrthanc
from tests.test_pipelines_xray import asked, film

SETTINGS = {"Provider": "cpu", "Models": {"CtReject": "", "CtSegmentation": ""}}
MARY = Observer(name="Silva^Mary", organization="Hospital São José", verified=True)
KINDS = ("sr", "pdf", "attention", "key_images")


class Ward:
    """One film in an Orthanc, read and assessed as often as wanted."""

    def __init__(self, fake: FakeOrthanc, ledger: Ledger, lineup: Lineup) -> None:
        self.fake, self.ledger, self.lineup = fake, ledger, lineup
        of = film()
        self.series = fake.add(*(of.read(instance) for instance in of.instance_ids))

    def read(self, score: float = 0.9, **setting: object) -> dict[str, Dataset]:
        """What a reading that somebody asks for stores, by kind."""
        self.ledger.request(self.series, "xray")
        entry = self.ledger.claim()
        assert entry is not None
        settings = read_settings({"ChestAI": SETTINGS | setting})
        stages = Stages(lambda _stage, _progress: None)
        job = Job(self.fake.pacs, self.ledger, self.lineup, settings, stages)
        with patch.object(steps, "ask", asked(score)):
            job.run(entry)
        outputs = self._outputs()
        return {kind: self.fake.file(outputs[kind]) for kind in KINDS if outputs[kind]}

    def assess(self, decision: Decision, observer: Observer = MARY, **said: str) -> None:
        """Give a word on the result that is current."""
        settings = read_settings({"ChestAI": SETTINGS})
        assessing = Assessing(self.fake.pacs, self.ledger, lambda: self.lineup, settings)
        words = {"corrected": None, "text": ""} | said
        assessing.take(
            self.series,
            assessed=self._outputs()["sr"],
            decision=decision,
            observer=observer,
            **words,  # type: ignore[arg-type]
        )

    def _outputs(self) -> dict[str, str]:
        entry = self.ledger.get(self.series)
        assert entry is not None
        assert entry.outcome is not None
        outputs: dict[str, str] = entry.outcome["outputs"]
        return outputs


@pytest.fixture(scope="module")
def lineup() -> Lineup:
    return load_lineup(read_settings({"ChestAI": SETTINGS}))


@pytest.fixture
def ward(fake: FakeOrthanc, tmp_path: Path, lineup: Lineup) -> Iterator[Ward]:
    ledger = Ledger(f"sqlite:///{tmp_path / 'ledger.sqlite'}")
    yield Ward(fake, ledger, lineup)
    ledger.close()


def words(pdf: Dataset, folder: Path) -> str:
    path = folder / "report.pdf"
    path.write_bytes(pdf.EncapsulatedDocument)
    done = subprocess.run(
        ["pdftotext", "-layout", str(path), "-"], capture_output=True, text=True, check=True
    )
    return " ".join(done.stdout.split())


def minute_of(result: Dataset) -> str:
    written = datetime.strptime(result.ContentDate + result.ContentTime[:6], "%Y%m%d%H%M%S")
    return written.strftime("%Y-%m-%d %H:%M")


def uids(read: dict[str, Dataset]) -> set[str]:
    return {str(result.SOPInstanceUID) for result in read.values()}


@pytest.mark.skipif(shutil.which("pdftotext") is None, reason="needs Poppler's pdftotext")
def test_the_next_pdf_tells_the_word_and_of_which_result_it_is(ward: Ward, tmp_path: Path) -> None:
    first = ward.read()
    assert "assessed" not in words(first["pdf"], tmp_path)
    ward.assess(Decision.REJECT, text="Old scars.\nNo pneumonia.")
    today = datetime.now(UTC).astimezone().strftime("%Y-%m-%d")
    told = words(ward.read()["pdf"], tmp_path)
    assert (
        f"Silva, Mary (Hospital São José) rejected the result of {minute_of(first['pdf'])} on {today}" in told
    )
    assert "The result on this page is newer; it is not the one that was assessed." in told
    assert "Comment: “Old scars. No pneumonia.”" in told
    assert f"The assessed result is by orthanc-chest-ai {__version__} (xray-covid-lite0" in told
    unknown = Observer(name="john", organization="", verified=False)
    ward.assess(Decision.MODIFY, unknown, corrected="NON-COVID")
    told = words(ward.read(Language="pt")["pdf"], tmp_path)
    assert "john (identidade não verificada) corrigiu o resultado de" in told
    assert "não é o que foi avaliado" in told
    assert "Silva" not in told, "a word that was replaced"


def test_a_word_makes_other_results_once(ward: Ward) -> None:
    """The same after the same words, byte by byte; another word, other UIDs."""
    first = ward.read()
    ward.assess(Decision.ACCEPT)
    second = ward.read()
    assert not uids(first) & uids(second)
    assert ward.read() == second
    assert ward.read() == second
    ward.assess(Decision.REJECT)
    third = ward.read()
    assert not uids(third) & (uids(first) | uids(second))
    assert ward.read() == third

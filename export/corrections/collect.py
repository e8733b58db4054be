"""``./run export corrections``: from an Orthanc's assessed results to training cases and counts.

The last word on each report counts. A film that was accepted gets the class that the first network called,
one that was modified the class that the physician found. A CT that was accepted gets the findings of the
plugin's own Segmentation; where somebody stored another Segmentation of the same series later, that one. What
was rejected is counted, and teaches nothing.
"""

from __future__ import annotations

import argparse
import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydicom.dataset import Dataset

from export.corrections.archive import Archive, Images
from export.corrections.cases import Cases, LeftOut, Pseudonyms, findings_in
from export.corrections.words import Called, Word, called, evidence, latest, networks, word_of
from export.paths import ONNX_MODELS
from plugin.domain.assessment import Decision
from plugin.domain.errors import ImagingError
from plugin.models.cards import Card, read_card
from plugin.results.common import PRODUCT
from plugin.results.sr.assessment import STATION
from plugin.screening.gate import is_own_result


@dataclass
class Counts:
    """How physicians judged the results."""

    decisions: Counter[str] = field(default_factory=Counter)
    networks: dict[str, Counter[str]] = field(default_factory=dict)
    classes: dict[str, Counter[str]] = field(default_factory=dict)
    left_out: Counter[str] = field(default_factory=Counter)
    cases: Counter[str] = field(default_factory=Counter)

    def as_json(self) -> dict[str, Any]:
        """For the report: decisions in all, by network and version, by network and class; cases."""
        return {
            "assessed": sum(self.decisions.values()),
            "decisions": dict(self.decisions),
            "by_network": {name: dict(count) for name, count in sorted(self.networks.items())},
            "by_class": {name: dict(count) for name, count in sorted(self.classes.items())},
            "cases": {kind: self.cases[kind] for kind in ("films", "volumes")},
            "left_out": dict(self.left_out),
        }


def collect(archive: Archive, folder: Path, names: Pseudonyms) -> Counts:
    """Write the training cases of an Orthanc into a folder; what was found."""
    counts, cases, cards = Counts(), Cases(folder, names), _cards()
    for word in latest(_words(archive)):
        instance = archive.instance(word.assessed)
        if instance is None:
            counts.left_out["the assessed report is gone"] += 1
            continue
        report = archive.dataset(instance)
        _count(counts, word, report)
        try:
            modality = _case(archive, cases, cards, word, report)
        except (LeftOut, ImagingError) as error:
            counts.left_out[str(error)] += 1
        else:
            counts.cases["volumes" if modality == "CT" else "films"] += 1
    return counts


def _words(archive: Archive) -> list[Word]:
    found = []
    for series in archive.find("Series", Modality="SR", Manufacturer=PRODUCT):
        for instance in archive.instances(series):
            report = archive.dataset(instance)
            word = word_of(report) if report.get("ManufacturerModelName") == STATION else None
            if word is not None:
                found.append(word)
    return found


def _cards() -> dict[str, Card]:
    return {path.parent.name: read_card(path.parent) for path in ONNX_MODELS.glob("*/card.json")}


def _count(counts: Counts, word: Word, report: Dataset) -> None:
    counts.decisions[word.decision.value] += 1
    for network in networks(report):
        counts.networks.setdefault(network, Counter())[word.decision.value] += 1
    for said in called(report):
        name = f"{said.model} {said.version}: {said.finding} {'called' if said.present else 'not called'}"
        counts.classes.setdefault(name, Counter())[word.decision.value] += 1


def _case(archive: Archive, cases: Cases, cards: dict[str, Card], word: Word, report: Dataset) -> str:
    """Make one training case; of which modality. Raises LeftOut or ImagingError where it becomes none."""
    if word.decision is Decision.REJECT:
        raise LeftOut("rejected by the physician")
    series, modality = _images(archive, report)
    images = Images(archive, series)
    if modality == "CT":
        cases.volume(images, _segmentation(archive, word, report, series))
    else:
        label = _label(cards, word, called(report))
        cases.film(images, label=label, finding=word.corrected or "accepted by the physician")
    return modality


def _images(archive: Archive, report: Dataset) -> tuple[str, str]:
    """Orthanc's id of the series that a report is about, and its modality. Raises LeftOut."""
    for uid in evidence(report):
        series = archive.series(uid)
        modality = archive.tags(series).get("Modality", "") if series else ""
        if series and modality in ("CT", "CR", "DX"):
            return series, modality
    raise LeftOut("the images are gone")


def _label(cards: dict[str, Card], word: Word, said: Sequence[Called]) -> str:
    """The class of a film, as the card of the first network names it. Raises LeftOut."""
    if not said:
        raise LeftOut("the report calls no class")
    first = said[0]
    card = cards.get(first.model)
    if card is None:
        raise LeftOut("the network of the report is not among the models here")
    classes = card.logits.classes
    if word.decision is Decision.MODIFY:
        found = next((c for c in classes if word.corrected in (c.meaning, c.name)), None)
        coded = next((c for c in classes if c.code and c.code.meaning == word.corrected), None)
        if found is None and coded is None:
            raise LeftOut("modified without a class of the network")
        return (found or coded).name  # type: ignore[union-attr] # one of them is there
    wanted = "finding" if first.present else "other"
    return next(c.name for c in classes if c.role == wanted)


def _segmentation(archive: Archive, word: Word, report: Dataset, series: str) -> Dataset:
    """The Segmentation that the physician stands for. Raises LeftOut."""
    source = archive.tags(series)["SeriesInstanceUID"]
    own, others = None, []
    for found in archive.find("Series", StudyInstanceUID=str(report.StudyInstanceUID), Modality="SEG"):
        for instance in archive.instances(found):
            made = archive.dataset(instance)
            if not any(one.SeriesInstanceUID == source for one in made.get("ReferencedSeriesSequence", ())):
                continue
            if not is_own_result(made):
                others += [made] if findings_in(made) else []
            elif any(str(made.SOPInstanceUID) in uids for uids in evidence(report).values()):
                own = made
    if others:
        return max(others, key=lambda made: f"{made.get('ContentDate', '')}{made.get('ContentTime', '')}")
    if word.decision is Decision.MODIFY or own is None:
        raise LeftOut("no corrected segmentation is stored beside it")
    return own


def main(arguments: Sequence[str]) -> None:
    """The command line of ``./run export corrections``."""
    parser = argparse.ArgumentParser(prog="./run export corrections", description=__doc__)
    parser.add_argument("--from", dest="address", required=True, metavar="ORTHANC-URL")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR")
    parser.add_argument("--key", type=Path, help="of the pseudonyms; default: pseudonyms.key beside DIR")
    given = parser.parse_args(arguments)
    given.out.mkdir(parents=True, exist_ok=True)
    key = given.key or given.out.parent / "pseudonyms.key"
    counts = collect(Archive(given.address), given.out, Pseudonyms(key)).as_json()
    (given.out / "corrections.json").write_text(json.dumps(counts, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(counts, indent=1))
    if not counts["assessed"]:
        print("No physician has assessed a result in this Orthanc yet.")

"""The results as a reader sees them: in OHIF over Orthanc's DICOMweb, and in Orthanc's own Explorer."""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pydicom
import pytest
from PIL import Image

pytest.importorskip("playwright", reason="playwright is not installed")

from demo.server import ORTHANC
from tests.browser import CHROMIUM
from tests.conftest import Pacs
from tests.ohif import DIST, Viewer, fitted, picture, viewer
from tests.pacs_client import settled

pytestmark = [
    pytest.mark.skipif(not Path(ORTHANC).exists(), reason="Orthanc is not installed"),
    pytest.mark.skipif(not CHROMIUM, reason="Chromium is not installed"),
    pytest.mark.skipif(not DIST.is_dir(), reason=f"OHIF is not in {DIST} (./run test fetches it)"),
]

RIGHT, LEFT, FINDINGS = "Right lung", "Left lung", "Opacities in the lungs"
EDGE = 80
"""Along the edges of its window the viewer writes words of its own, in blue, on so many pixels."""

COLOURS = {RIGHT: (79, 148, 205), LEFT: (102, 187, 106), FINDINGS: (229, 83, 60)}


@dataclass(frozen=True, kw_only=True)
class Read:
    """An Orthanc that has read both synthetic studies; by modality, what its ledger tells of them."""

    pacs: Pacs
    entries: dict[str, dict[str, Any]]

    def study(self, modality: str) -> str:
        """The Study Instance UID of ``ct`` or ``xray``."""
        study = self.pacs.get(f"/series/{self.entries[modality]['series']}/study")
        return str(study["MainDicomTags"]["StudyInstanceUID"])

    def result(self, modality: str, kind: str, what: str = "file") -> bytes:
        """A stored result: ``file``, ``pdf`` or ``preview`` of it."""
        return self.pacs.read(f"/instances/{self.entries[modality]['outputs'][kind]}/{what}")


@pytest.fixture(scope="module")
def read(tmp_path_factory: pytest.TempPathFactory, synthetic: dict[str, list[Path]]) -> Iterator[Read]:
    pacs = Pacs(tmp_path_factory.mktemp("ohif"), stable_age=2)
    try:
        pacs.start()
        pacs.store([*synthetic["xray"], *synthetic["ct"]])
        entries = {entry["modality"]: entry for entry in settled(pacs, 2).values()}
        assert {entry["state"] for entry in entries.values()} == {"done"}, entries
        yield Read(pacs=pacs, entries=entries)
    finally:
        pacs.kill()


@pytest.fixture(scope="module")
def ohif(read: Read) -> Iterator[Viewer]:
    with viewer(read.pacs.http_port, width=1200, height=800) as window:
        yield window


def segments(file: bytes, source: str) -> dict[str, npt.NDArray[np.bool_]]:
    """Each segment's mask on one source image, by its label."""
    seg = pydicom.dcmread(io.BytesIO(file))
    labels = {segment.SegmentNumber: segment.SegmentLabel for segment in seg.SegmentSequence}
    masks = {label: np.zeros((seg.Rows, seg.Columns), bool) for label in labels.values()}
    for groups, frame in zip(seg.PerFrameFunctionalGroupsSequence, seg.pixel_array, strict=True):
        image = groups.DerivationImageSequence[0].SourceImageSequence[0]
        if image.ReferencedSOPInstanceUID == source:
            number = groups.SegmentIdentificationSequence[0].ReferencedSegmentNumber
            masks[labels[number]] = frame.astype(bool)
    return masks


def sources(files: list[Path]) -> dict[int, str]:
    """SOP Instance UIDs by Instance Number."""
    headers = (pydicom.dcmread(file, stop_before_pixels=True) for file in files)
    return {int(header.InstanceNumber): header.SOPInstanceUID for header in headers}


def painted(screen: npt.NDArray[np.uint8]) -> dict[str, npt.NDArray[np.bool_]]:
    """The pixels in the colour of each segment; of the lungs, those that no findings cover.

    The images below are grey, so what remains of a pixel less its mean is the paint's alone. Findings
    are painted over the lungs, half transparent.
    """
    tint = {label: np.array(colour) - np.mean(colour) for label, colour in COLOURS.items()}
    mixed = [tint[FINDINGS] + share * tint[lung] for lung in (RIGHT, LEFT) for share in (0, 0.25, 0.5)]
    labels = [RIGHT, LEFT, *[FINDINGS] * len(mixed)]
    palette = np.array([tint[RIGHT], tint[LEFT], *mixed])
    palette /= np.linalg.norm(palette, axis=1, keepdims=True)
    seen = screen - screen.mean(axis=2, keepdims=True)
    likeness = seen @ palette.T
    nearest = np.where(np.linalg.norm(seen, axis=2) > 15, likeness.argmax(axis=2), -1)
    nearest[likeness.max(axis=2) < 0.9 * np.linalg.norm(seen, axis=2)] = -1
    inside = np.zeros(nearest.shape, bool)
    inside[EDGE:-EDGE, EDGE:-EDGE] = True
    nearest[~inside] = -1
    return {
        label: np.isin(nearest, [n for n, name in enumerate(labels) if name == label]) for label in COLOURS
    }


def dice(a: npt.NDArray[np.bool_], b: npt.NDArray[np.bool_]) -> float:
    return float(2 * (a & b).sum() / (a.sum() + b.sum()))


def assert_painted(screen: npt.NDArray[np.uint8], masks: dict[str, npt.NDArray[np.bool_]]) -> None:
    """Every segment is on the screen where its mask is, in its colour, the right lung on the left."""
    seen = painted(screen)
    for label, mask in masks.items():
        assert mask.sum() > 100, f"{label}: not on this slice"
        visible = mask if label == FINDINGS else mask & ~masks[FINDINGS]
        expected = fitted(visible, *screen.shape[:2])
        overlap = dice(seen[label], expected)
        print(f"{label}: overlap on the screen {overlap:.3f}")
        assert overlap > 0.95, label
    # The viewer shows the patient from the feet.
    columns = np.arange(screen.shape[1])
    assert np.average(columns, weights=seen[RIGHT].sum(axis=0)) < 0.45 * screen.shape[1]
    assert np.average(columns, weights=seen[LEFT].sum(axis=0)) > 0.55 * screen.shape[1]


def assert_classification(shown: dict[str, float], classification: dict[str, Any]) -> None:
    """The finding's probability and operating point, to two places."""
    (finding,) = (name for name in classification["probabilities"] if name in {"COVID", "FINDINGS"})
    assert shown["Probability"] == pytest.approx(classification["probabilities"][finding], abs=0.006)
    threshold = classification["thresholds"][finding]
    assert shown["Operating point (called at or above)"] == pytest.approx(threshold, abs=0.006)


def test_the_segmentation_lies_on_the_ct_in_its_colours(
    read: Read, ohif: Viewer, synthetic: dict[str, list[Path]], tmp_path: Path
) -> None:
    ohif.show_segmentation(read.study("ct"), FINDINGS)
    source = sources(synthetic["ct"])[ohif.instance_number()]
    screen = ohif.canvas()
    Image.fromarray(screen).save(tmp_path / "screen.png")
    print(tmp_path / "screen.png")
    assert_painted(screen, segments(read.result("ct", "seg"), source))


def test_the_report_of_the_ct_tells_its_numbers(read: Read, ohif: Viewer) -> None:
    findings = read.entries["ct"]["findings"]
    ohif.open(read.study("ct"))
    ohif.show_report()
    joined = [findings["joined"]] if findings["joined"] else []
    for classification in [*joined, *findings["classifications"]]:
        assert_classification(ohif.numbers(), classification)
        ohif.next_measurement()
    for side in ("right", "left"):
        shown, measured = ohif.numbers(), findings["lungs"][side]
        assert shown["Volume"] == pytest.approx(measured["volume_ml"], abs=0.06)
        assert shown["Volume of findings in lung"] == pytest.approx(measured["findings_ml"], abs=0.06)
        assert shown["Percentage of lung volume involved"] == pytest.approx(measured["percent"], abs=0.006)
        ohif.next_measurement()


def test_the_pdf_is_shown(read: Read, ohif: Viewer) -> None:
    ohif.open(read.study("ct"))
    content = ohif.show_document()
    assert content.startswith(b"%PDF-")
    assert content.rstrip(b"\0") == read.result("ct", "pdf", "pdf").rstrip(b"\0")  # padded to even length
    window = picture(ohif.page.screenshot())
    assert (window.min(axis=2) > 250).mean() > 0.2, "no white page on the screen"


def test_the_attention_map_is_shown_as_it_is_stored(read: Read, ohif: Viewer) -> None:
    ohif.open(read.study("xray"))
    ohif.show_attention()
    screen = ohif.canvas()
    stored = fitted(picture(read.result("xray", "attention", "preview")), *screen.shape[:2])
    # Orthanc's preview and the viewer's screen, but for the viewer's own words in the corners.
    difference = np.abs(screen.astype(int) - stored).mean()
    print(f"mean difference {difference:.2f} of 255")
    assert difference < 8
    assert stored.std() > 40, "an empty picture"


def test_orthanc_explorer_previews_what_was_stored(read: Read) -> None:
    for modality in ("ct", "xray"):
        assert read.result(modality, "pdf", "pdf").startswith(b"%PDF-")
    attention = pydicom.dcmread(io.BytesIO(read.result("xray", "attention")))
    preview = picture(read.result("xray", "attention", "preview"))
    np.testing.assert_array_equal(preview, attention.pixel_array)

"""The reports of the gallery as OHIF shows them, where Orthanc, Chromium and OHIF are installed."""

from __future__ import annotations

import io
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from highdicom.sr.utils import find_content_items
from PIL import Image
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes

from demo.rest import Orthanc
from demo.server import ORTHANC
from plugin.results.texts import LANGUAGES, Texts
from tests.browser import CHROMIUM
from tests.conftest import Pacs
from tests.gallery_cases import Series
from tests.ohif import DIST, Viewer, viewer

Shows = Callable[[Series, Dataset], list[Image.Image]]
WINDOW = {"width": 1000, "height": 720}


@contextmanager
def report_viewer() -> Iterator[Shows]:
    """What makes pictures of a report over its images: of its first measurement, and of the one of the
    largest opacity; none of a report that draws nothing."""
    if not (Path(ORTHANC).exists() and CHROMIUM and DIST.is_dir()):
        print("without OHIF: the reports are shown in words only")
        yield lambda _series, _report: []
        return
    with tempfile.TemporaryDirectory() as folder:
        pacs = Pacs(Path(folder), chest_ai={"Enabled": False})
        try:
            pacs.start()
            with viewer(pacs.http_port, **WINDOW) as window:
                yield lambda series, report: _shown(window, Orthanc(pacs.url), series, report)
        finally:
            pacs.kill()


def _shown(window: Viewer, pacs: Orthanc, series: Series, report: Dataset) -> list[Image.Image]:
    if not find_content_items(report, value_type="SCOORD", recursive=True):
        return []
    for image in [*series, report]:
        buffer = io.BytesIO()
        image.save_as(buffer, enforce_file_format=True)
        pacs.post("/instances", buffer.getvalue())
    window.open(report.StudyInstanceUID)
    window.show_report()
    shown = [Image.fromarray(window.canvas())]
    place = _place(report)
    for _ in range(place):
        window.next_measurement()
    if place:
        shown.append(Image.fromarray(window.canvas()))
    for study in pacs.get("/studies"):
        pacs.delete(f"/studies/{study}")
    return shown


def _place(report: Dataset) -> int:
    """How many measurements OHIF shows before the one of the largest opacity; 0 where there is none."""
    largest = {Texts(language)("sr.opacity", number=1, side="") for language in LANGUAGES}
    told: dict[str, str] = {}
    for group in find_content_items(report, name=codes.DCM.MeasurementGroup, recursive=True):
        uid = next(i.UID for i in group.ContentSequence if i.ValueType == "UIDREF")
        words = next(i.TextValue for i in group.ContentSequence if i.ValueType == "TEXT")
        told.setdefault(uid, words)
    places = (n for n, words in enumerate(told.values()) if words.startswith(tuple(largest)))
    return next(places, 0)

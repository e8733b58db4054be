"""The OHIF viewer in a headless Chromium, over the DICOMweb of a running Orthanc."""

from __future__ import annotations

import http.client
import http.server
import io
import json
import mimetypes
import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image
from playwright.sync_api import Error, Page, expect

from demo.server import ROOT
from tests.browser import chromium

DIST = ROOT / ".cache" / "ohif" / "package" / "dist"
"""OHIF's finished build, as npm's package @ohif/app ships it."""

SECONDS = 60
"""How long the viewer may take over one step: it draws without a graphics card."""

NOWHERE = (300, 20)
"""A point of the window, in pixels, at which OHIF shows nothing that a mouse would make it explain."""

_SWITCHES = (
    "--use-gl=angle",
    "--use-angle=swiftshader",
    "--enable-unsafe-swiftshader",
    "--ignore-gpu-blocklist",
)
"""So that Chromium draws in three dimensions without a graphics card."""

_CONFIGURATION = {
    "routerBasename": None,
    "extensions": [],
    "modes": [],
    "customizationService": {},
    "showStudyList": True,
    "maxNumberOfWebWorkers": 2,
    "showCPUFallbackMessage": False,
    "strictZSpacingForVolumeViewport": True,
    "investigationalUseDialog": {"option": "never"},
    "defaultDataSourceName": "dicomweb",
    "dataSources": [
        {
            "namespace": "@ohif/extension-default.dataSourcesModule.dicomweb",
            "sourceName": "dicomweb",
            "configuration": {
                "friendlyName": "Orthanc",
                "name": "Orthanc",
                "wadoUriRoot": "/dicom-web",
                "qidoRoot": "/dicom-web",
                "wadoRoot": "/dicom-web",
                "qidoSupportsIncludeField": False,
                "imageRendering": "wadors",
                "thumbnailRendering": "wadors",
                "enableStudyLazyLoad": True,
                "supportsFuzzyMatching": False,
                "supportsWildcard": False,
                "bulkDataURI": {"enabled": True, "relativeResolution": "series"},
            },
        }
    ],
}


class _Handler(http.server.BaseHTTPRequestHandler):
    """OHIF's files and Orthanc's DICOMweb on one origin, isolated as OHIF's shared memory demands."""

    protocol_version = "HTTP/1.1"

    def __init__(self, pacs_port: int, *arguments: Any) -> None:
        self._pacs_port = pacs_port
        super().__init__(*arguments)

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        file = DIST / path.lstrip("/")
        if path.startswith("/dicom-web"):
            self._forward()
        elif path == "/app-config.js":
            self._answer(200, f"window.config = {json.dumps(_CONFIGURATION)};".encode(), "text/javascript")
        else:
            file = file if file.is_file() else DIST / "index.html"
            kind = mimetypes.guess_type(file.name)[0] or "application/octet-stream"
            self._answer(200, file.read_bytes(), kind)

    def do_POST(self) -> None:
        """What the viewer stores, by STOW-RS."""
        body = self.rfile.read(int(self.headers["Content-Length"]))
        pacs = http.client.HTTPConnection("127.0.0.1", self._pacs_port)
        headers = {name: self.headers[name] for name in ("Accept", "Content-Type") if name in self.headers}
        pacs.request("POST", self.path, body=body, headers=headers)
        answer = pacs.getresponse()
        kind = answer.getheader("Content-Type", "application/dicom+json")
        self._answer(answer.status, answer.read(), kind)

    def log_message(self, *arguments: Any) -> None:
        """Say nothing: a page is hundreds of requests."""

    def _forward(self) -> None:
        pacs = http.client.HTTPConnection("127.0.0.1", self._pacs_port)
        # The host becomes part of the addresses that Orthanc answers with.
        headers = {name: self.headers[name] for name in ("Accept", "Host") if name in self.headers}
        if "/bulk/" in self.path:
            # OHIF would rather have a PDF than bytes; DICOMweb 1.20 of Debian 13 refuses to choose.
            headers["Accept"] = 'multipart/related; type="application/octet-stream"'
        pacs.request("GET", self.path, headers=headers)
        answer = pacs.getresponse()
        kind = answer.getheader("Content-Type", "application/octet-stream")
        self._answer(answer.status, answer.read(), kind)

    def _answer(self, status: int, body: bytes, kind: str) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Cross-Origin-Opener-Policy", "same-origin")
        self.send_header("Cross-Origin-Embedder-Policy", "require-corp")
        self.send_header("Cross-Origin-Resource-Policy", "same-origin")
        self.end_headers()
        self.wfile.write(body)


class Viewer:
    """OHIF in a browser window, as a reader uses it."""

    def __init__(self, page: Page, url: str) -> None:
        self.page = page
        self._url = url

    def open(self, study: str, mode: str = "viewer") -> None:
        """Open a study by its Study Instance UID; ``mode``: viewer or segmentation."""
        self.page.goto(f"{self._url}/{mode}?StudyInstanceUIDs={study}")
        canvas = self.page.locator("canvas").first
        try:
            expect(canvas).to_be_visible()
        except AssertionError:  # on a busy machine OHIF was once seen to stay blank until it was loaded anew
            self.page.reload()
            expect(canvas).to_be_visible()
        self.settle()

    def show_segmentation(self, study: str, segment: str) -> None:
        """Open a study's segmentation, and go to the middle of the segment with this label."""
        self.open(study, "segmentation")
        self._choose("SEG")
        self._answer("Yes")
        self.page.get_by_text(segment).first.click()
        self.settle()

    def paint(self, begin: tuple[int, int], end: tuple[int, int]) -> None:
        """Paint with the brush into the segment that is shown, from a point of the window to another."""
        self.page.locator('[data-cy="Brush-btn"]').click()
        self.page.mouse.move(*begin)
        self.page.mouse.down()
        self.page.mouse.move(*end, steps=8)
        self.page.mouse.up()
        self.settle()

    def store_segmentation(self, name: str) -> None:
        """Store the segmentation of that name, as it is now, by the viewer's own export as DICOM SEG."""
        expect(self.page.get_by_text(name).last).to_be_visible()
        self.page.locator('[data-cy^="segmentation"][data-cy$="more-btn-Labelmap"]').click()
        self.page.get_by_role("menuitem", name="Export").hover()
        # A mouse on its way there would close the menu.
        self.page.get_by_role("menuitem", name="DICOM SEG").evaluate("item => item.click()")
        with self.page.expect_response(lambda answer: answer.request.method == "POST") as stored:
            self.page.get_by_role("button", name="Save", exact=True).click()
        assert stored.value.ok, stored.value.status

    def show_report(self, *, answer: str | None = None) -> None:
        """Open the Structured Report of the study that is open. ``answer``: to the question whether its
        measurements are to be taken over, which OHIF asks only of some."""
        drawn = self.page.locator("svg text").first
        question = self.page.get_by_role("button", name=answer or "none", exact=True)
        for _ in range(3):
            self._choose("SR")
            try:
                drawn.or_(question).first.wait_for(state="attached", timeout=SECONDS / 3 * 1000)
                if answer and question.is_visible():
                    self._answer(answer)
                drawn.wait_for(state="attached", timeout=SECONDS / 3 * 1000)
            except Error:
                # Now and then the image comes after its measurements, and hides them until it is shown anew.
                self.page.locator('[data-cy="study-browser-thumbnail"]').first.dblclick()
                self.settle()
            else:
                self.settle()
                return
        raise AssertionError("the report's measurements are not drawn")

    def next_measurement(self) -> None:
        """Go to the report's next group of measurements, or from the last one to the first."""
        self.page.locator(".right-viewport-scrollbar svg.rotate-180").click()
        self.settle()

    def show_document(self) -> bytes:
        """Open the PDF of the study that is open; returns the file that the viewer then holds."""
        self._choose("DOC")
        # The element is there before it is told what to show.
        document = self.page.locator('object[type="application/pdf"][data]')
        expect(document).to_be_visible()
        held = "async element => [...new Uint8Array(await (await fetch(element.data)).arrayBuffer())]"
        content = bytes(document.evaluate(held))
        self.settle()
        return content

    def show_attention(self) -> None:
        """Open the attention map of the study that is open."""
        self._choose("OT")
        expect(self.page.get_by_text(re.compile("attention map")).nth(1)).to_be_visible()
        self.settle()

    def instance_number(self) -> int:
        """The Instance Number that the viewer shows beside the image: 7 in ``I:7 (130/136)``."""
        text = self.page.inner_text("body")
        found = re.search(r"I:\s*(\d+) \(\d+/\d+\)", text)
        assert found, text
        return int(found[1])

    def numbers(self) -> dict[str, float]:
        """The numbers written beside the measurement that is shown, by what they are called."""
        lines = self.page.locator("svg text tspan").all_text_contents()
        found = (re.fullmatch(r"(.+): ([\d.]+) \S+", line) for line in lines)
        return {match[1]: float(match[2]) for match in found if match}

    def canvas(self) -> npt.NDArray[np.uint8]:
        """What the viewer draws, as seen on the screen: uint8 (rows, columns, RGB)."""
        return picture(self.page.screenshot(clip=self.page.locator("canvas").first.bounding_box()))

    def settle(self) -> None:
        """Wait until what is seen does not change any more, the mouse where nothing is explained."""
        self.page.mouse.move(*NOWHERE)
        deadline = time.monotonic() + SECONDS
        before = None
        while (now := self.page.screenshot()) != before:
            assert time.monotonic() < deadline, "the viewer draws on and on"
            before = now
            self.page.wait_for_timeout(1500)

    def _choose(self, modality: str) -> None:
        """Double click on the series of a modality in the list at the left."""
        rows = self.page.locator('[data-cy^="study-browser-thumbnail"]')
        rows.filter(has=self.page.get_by_text(modality, exact=True)).first.dblclick()

    def _answer(self, text: str) -> None:
        button = self.page.get_by_role("button", name=text, exact=True)
        button.click()
        expect(button).to_have_count(0)
        self.settle()


def fitted(image: npt.NDArray[Any], rows: int, columns: int) -> npt.NDArray[Any]:
    """A picture with square pixels as a viewer fits it into a window: scaled, in the middle, zeros around.

    ``image``: (rows, columns) or (rows, columns, RGB), bool or uint8; returns the same kind.
    """
    scale = min(rows / image.shape[0], columns / image.shape[1])
    height, width = round(image.shape[0] * scale), round(image.shape[1] * scale)
    whole = Image.fromarray(image.astype(np.uint8))
    how = Image.Resampling.NEAREST if image.dtype == bool else Image.Resampling.BILINEAR
    framed = np.zeros((rows, columns, *image.shape[2:]), image.dtype)
    top, left = (rows - height) // 2, (columns - width) // 2
    framed[top : top + height, left : left + width] = np.asarray(whole.resize((width, height), how))
    return framed


def picture(png: bytes) -> npt.NDArray[np.uint8]:
    """A PNG as uint8 (rows, columns, RGB)."""
    return np.asarray(Image.open(io.BytesIO(png)).convert("RGB"))


@contextmanager
def viewer(pacs_port: int, *, width: int = 1500, height: int = 950) -> Iterator[Viewer]:
    """A browser window with OHIF over the Orthanc that listens on a port of this machine."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), partial(_Handler, pacs_port))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        with chromium(*_SWITCHES) as browser:
            page = browser.new_page(viewport={"width": width, "height": height})
            page.set_default_timeout(SECONDS * 1000)
            expect.set_options(timeout=SECONDS * 1000)
            page.add_init_script("localStorage.setItem('shownTours', '[\"basicViewerTour\"]')")
            yield Viewer(page, f"http://127.0.0.1:{server.server_port}")
    finally:
        server.shutdown()
        server.server_close()

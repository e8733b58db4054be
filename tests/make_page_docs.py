"""``.venv-dev/bin/python -m tests.make_page_docs``: the pictures of the page in ``docs/``, made anew.

Of the synthetic studies only, one of them reviewed, one that is rejected.
"""

from __future__ import annotations

import io
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image
from playwright.sync_api import Page, expect

from demo.phantom.files import write_studies
from tests.browser import chromium, opened
from tests.conftest import Pacs
from tests.dicom_factory import as_file, xray_dataset
from tests.make_docs import DOCS
from tests.pacs_client import settled

DESK = {"width": 1280, "height": 860}
PHONE = {"width": 390, "height": 844}
COLOURS = 256
"""Of a picture's palette: enough for greys and a few colours, and a fraction of the size."""


def main() -> None:
    """Let an Orthanc of its own read the studies, and picture what the page shows of them."""
    expect.set_options(timeout=60_000)
    with tempfile.TemporaryDirectory(prefix="chest-ai-page-") as work:
        write_studies(Path(work) / "studies")
        hip = Path(work) / "studies" / "hip.dcm"
        hip.write_bytes(as_file(xray_dataset(np.zeros((512, 512), np.uint16), BodyPartExamined="HIP")))
        pacs = Pacs(Path(work) / "pacs", stable_age=2)
        try:
            pacs.start()
            pacs.upload(sorted((Path(work) / "studies").rglob("*.dcm")))
            entries = {
                entry["modality"]: entry
                for entry in settled(pacs, 3, seconds=600).values()
                if entry["state"] == "done"
            }
            word = {
                "decision": "modify",
                "corrected": "FINDINGS",
                "name": "Silva^Mary",
                "text": "Ground glass in both lower lobes.",
                "assessed": entries["ct"]["outputs"]["sr"],
            }
            ct, xray = (entries[modality]["series"] for modality in ("ct", "xray"))
            answer = pacs.request("POST", f"/ai/series/{ct}/review", json=word)
            if answer.status_code != 200:
                raise SystemExit(answer.text)
            take(f"{pacs.url}/ai/", ct, xray)
        finally:
            pacs.kill()


def take(url: str, ct: str, xray: str) -> None:
    """The pictures of a page at that address."""
    troubles: list[str] = []
    with chromium() as browser:
        desk = opened(browser, troubles, viewport=DESK)
        desk.goto(url)
        expect(desk.locator("table.worklist tbody tr")).to_have_count(3)
        save(desk, "page-worklist")
        desk.goto(f"{url}#/series/{ct}")
        expect(desk.locator(".legend li")).to_have_count(3)
        save(desk, "page-ct")
        desk.locator("#head button").click()
        desk.goto(f"{url}#/series/{xray}")
        expect(desk.locator(".films img")).to_have_count(2)
        save(desk, "page-xray-light")
        phone = opened(browser, troubles, viewport=PHONE)
        phone.goto(url)
        expect(phone.locator("table.worklist tbody tr")).to_have_count(3)
        save(phone, "page-phone")
    if troubles:
        raise SystemExit("\n".join(troubles))


def save(page: Page, name: str) -> None:
    """A picture of a page, once all that it shows has come."""
    page.wait_for_function("() => [...document.images].every((image) => image.complete)")
    page.wait_for_timeout(1000)
    picture = Image.open(io.BytesIO(page.screenshot())).convert("RGB")
    picture.quantize(COLOURS, dither=Image.Dither.NONE).save(DOCS / f"{name}.png", optimize=True)


if __name__ == "__main__":
    main()

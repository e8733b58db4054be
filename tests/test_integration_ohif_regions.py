"""Where a network sees opacities on a film, in OHIF over Orthanc's DICOMweb."""

from __future__ import annotations

import io
from collections.abc import Callable

import numpy as np
import pytest

pytest.importorskip("playwright", reason="playwright is not installed")

from plugin.models.lineup import load_lineup
from tests.browser import CHROMIUM
from tests.conftest import Pacs
from tests.ohif import DIST, viewer
from tests.test_pipelines_xray import COLUMNS, ROWS, SETTINGS, film, outlined, report

pytestmark = [
    pytest.mark.skipif(not CHROMIUM, reason="Chromium is not installed"),
    pytest.mark.skipif(not DIST.is_dir(), reason=f"OHIF is not in {DIST} (./run test fetches it)"),
]


def test_a_region_is_drawn_where_it_is_with_the_score_beside_it(orthanc_server: Callable[..., Pacs]) -> None:
    source = film()
    sr = report(load_lineup(SETTINGS), 0.9, source)
    written = io.BytesIO()
    sr.save_as(written, enforce_file_format=True)
    pacs = orthanc_server(chest_ai={"Enabled": False})
    for file in (source.read(source.instance_ids[0]), written.getvalue()):
        assert pacs.request("POST", "/instances", data=file).status_code == 200
    with viewer(pacs.http_port, width=1200, height=800) as window:
        window.open(sr.StudyInstanceUID)
        window.show_report()
        assert window.numbers()["Probability"] == pytest.approx(0.9)
        screen = window.page.locator("canvas").first.bounding_box()
        drawn = window.page.locator('svg polyline[stroke^="rgb"]').first.bounding_box()
    assert screen is not None
    assert drawn is not None
    # The viewer fits the film into its window.
    scale = min(screen["width"] / COLUMNS, screen["height"] / ROWS)
    left = screen["x"] + (screen["width"] - scale * COLUMNS) / 2
    top = screen["y"] + (screen["height"] - scale * ROWS) / 2
    (points,) = outlined(sr)
    wanted = np.array([left, top]) + scale * np.array([points.min(axis=0), points.max(axis=0)])
    seen = [[drawn["x"], drawn["y"]], [drawn["x"] + drawn["width"], drawn["y"] + drawn["height"]]]
    np.testing.assert_allclose(seen, wanted, atol=5)  # the line has a width of its own

"""The Segmentation corrected in OHIF and stored by its own export: picked up, and told."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("playwright", reason="playwright is not installed")

from demo.server import ORTHANC
from tests.browser import CHROMIUM
from tests.conftest import StartPacs
from tests.ohif import DIST, viewer
from tests.pacs_client import settled, wait_until

pytestmark = [
    pytest.mark.skipif(not Path(ORTHANC).exists(), reason="Orthanc is not installed"),
    pytest.mark.skipif(not CHROMIUM, reason="Chromium is not installed"),
    pytest.mark.skipif(not DIST.is_dir(), reason=f"OHIF is not in {DIST} (./run test fetches it)"),
]

STROKE = ((480, 420), (540, 520))
"""Across the right lung, in a window of 1400 x 900 pixels."""


@pytest.mark.parametrize("kind", ["LABELMAP", "BINARY"])
def test_what_is_painted_in_ohif_comes_back(
    orthanc_server: StartPacs, synthetic: dict[str, list[Path]], kind: str
) -> None:
    """OHIF writes segments that overlap onto slices that are not theirs. That is seen, and said."""
    pacs = orthanc_server(stable_age=2, chest_ai={"SegmentationType": kind})
    pacs.store(synthetic["ct"])
    ((series, entry),) = settled(pacs, 1).items()
    study = pacs.get(f"/series/{series}/study")["MainDicomTags"]["StudyInstanceUID"]
    with viewer(pacs.http_port, width=1400, height=900) as window:
        window.show_segmentation(study, "Opacities in the lungs")
        window.paint(*STROKE)
        window.store_segmentation("AI chest lungs")
    (said,) = wait_until(
        lambda: pacs.get(f"/ai/series/{series}")["corrections"], seconds=120, what="the correction"
    )
    assert said["current"]
    assert pacs.get(f"/ai/series/{series}")["outputs"] == entry["outputs"]
    if kind == "BINARY":
        assert said["lungs"] is None
        assert "their places are not true" in said["reason"]
        return
    before = entry["findings"]["lungs"]
    # A stroke on one slice: a little more in the right lung, in the left one nothing.
    added = said["lungs"]["right"]["findings_ml"] - before["right"]["findings_ml"]
    assert 0.5 < added < 30
    assert said["lungs"]["left"]["findings_ml"] == pytest.approx(before["left"]["findings_ml"], abs=0.5)
    for side in ("right", "left"):
        assert said["lungs"][side]["volume_ml"] == pytest.approx(before[side]["volume_ml"], rel=0.01)

"""Slice-wise and volumetric segmenters in a real Orthanc, and a classifier of what they mark."""

from __future__ import annotations

from pathlib import Path

import pydicom
import pytest

from tests.conftest import ROOT, StartPacs
from tests.pacs_client import settled
from tests.tiny_models import FINDINGS, write_segmenter, write_volume_classifier

SLICES, VOLUMES, LESIONS = "ct-segment-compact", "site-volumes", "site-lesions"


@pytest.fixture
def models(tmp_path: Path) -> Path:
    """The shipped models, and a hospital's own volumetric networks dropped in beside them."""
    folder = tmp_path / "models"
    write_segmenter(
        folder,
        VOLUMES,
        shape=(1, 1, 32, 64, 64),
        bands=[(FINDINGS, -650.0, -50.0)],
        volume={"orientation": "SPL", "spacing": [2.5, 2.0, 2.0]},
    )
    write_volume_classifier(
        folder,
        LESIONS,
        patch=(64, 80, 112),
        volume={"spacing": [5.0, 3.0, 3.0], "context": 6.0},
        gain=2000.0,
        bias=1.0,
    )
    for shipped in (ROOT / "onnx_models").iterdir():
        if shipped.is_dir():
            (folder / shipped.name).symlink_to(shipped)
    return folder


@pytest.mark.parametrize("chosen", [[VOLUMES, SLICES], [SLICES, VOLUMES], [VOLUMES]], ids=" and ".join)
def test_the_first_ones_masks_are_stored_and_both_are_told(
    orthanc_server: StartPacs,
    synthetic: dict[str, list[Path]],
    models: Path,
    tmp_path: Path,
    chosen: list[str],
) -> None:
    pacs = orthanc_server(chest_ai={"ModelsFolder": str(models), "Models": {"CtSegmentation": chosen}})
    pacs.store(synthetic["ct"])
    (entry,) = settled(pacs, 1).values()
    assert entry["state"] == "done", entry
    findings = entry["findings"]
    assert findings["lungs"]["model"] == chosen[0]
    assert [beside["model"] for beside in findings["beside"]] == chosen[1:]
    assert all(0 < beside["agreement"] < 1 for beside in findings["beside"])
    # The lungs are the slice-wise network's either way.
    assert 2000 < findings["lungs"]["both"]["volume_ml"] < 8000
    assert {SLICES, *chosen} <= {model["name"] for model in entry["models"]}

    path = tmp_path / "seg.dcm"
    path.write_bytes(pacs.request("GET", f"/instances/{entry['outputs']['seg']}/file").content)
    seg = pydicom.dcmread(path)
    drawn = [
        item.SegmentationAlgorithmIdentificationSequence[0].AlgorithmName for item in seg.SegmentSequence
    ]
    assert drawn == [SLICES, SLICES, chosen[0]]


def test_a_classifier_of_the_segmented_volume_is_told_beside_the_others(
    orthanc_server: StartPacs, synthetic: dict[str, list[Path]], models: Path, tmp_path: Path
) -> None:
    pacs = orthanc_server(chest_ai={"ModelsFolder": str(models), "Models": {"CtVolume": [LESIONS]}})
    pacs.store(synthetic["ct"])
    (entry,) = settled(pacs, 1).values()
    assert entry["state"] == "done", entry
    *others, third = entry["findings"]["classifications"]
    assert (third["model"], third["projection"], third["positive"]) == (LESIONS, "volume", True)
    assert [one["projection"] for one in others] == ["axial", "sagittal"]
    # The joined statement is that of its very parts, with or without a third beside them.
    assert entry["findings"]["joined"]["model"] == "ct-joined"
    assert LESIONS in {model["name"] for model in entry["models"]}
    (card,) = (card for card in pacs.get("/ai/models") if card["name"] == LESIONS)
    assert card["input"]["volume"]["context"] == 6.0

    path = tmp_path / "sr.dcm"
    path.write_bytes(pacs.request("GET", f"/instances/{entry['outputs']['sr']}/file").content)
    report = pydicom.dcmread(path)
    assert any(f"{LESIONS} (segmented volume): positive" in str(e.value) for e in report.iterall())

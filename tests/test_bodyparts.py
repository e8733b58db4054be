"""Body parts in the languages of devices."""

from __future__ import annotations

import pytest
from pydicom.dataset import Dataset

from plugin.dicom.body_parts import Region, body_part, region_of

CHEST = """CHEST THORAX TORAX TÓRAX LUNG LUNGS PULMONARY PULMÃO BRUST BRUSTKORB POUMONS TORACE Chest
CHEST_TO_PELVIS CHESTABDPELVIS CHESTABDOMEN THORACOABDOMINAL ABDOMEN_CHEST CHEST/ABD POLMONI
BORSTKAS KLATKA_PIERSIOWA PŁUCA HRUDNÍK MELLKAS GÖĞÜS TORAKS RINTAKEHÄ 胸部 ГРУДНАЯ ΘΩΡΑΚΑΣ TAP CAP THX"""
OTHER = """HEAD SKULL BRAIN NECK ABDOMEN ABD_PELVIS_ABDOMEN PELVIS BACINO HIP HAND FOOT KNEE LEG EXTREMITY
SHOULDER TSPINE LSPINE CSPINE SPINE THORACIC_SPINE BRUSTWIRBELSÄULE BREAST ANKLE WRIST ELBOW FEMUR
CABEZA CABEÇA TÊTE KOPF JOELHO RODILLA MÃO_HAND SCHÄDEL BECKEN LENDENWIRBEL"""
UNKNOWN = [
    "",
    "TOTAL B",
    "WHOLE BODY",
    "TRUNK",
    "HEART",
    "RIB",
    "STERNUM",
    "UNKNOWN",
    "ABC123",
    "BODY",
    "CTA",
]


@pytest.mark.parametrize("name", CHEST.split())
def test_chest_words(name: str) -> None:
    assert region_of(name.replace("_", " ")) is Region.CHEST
    assert region_of(name.lower()) is Region.CHEST


@pytest.mark.parametrize("name", OTHER.split())
def test_other_parts(name: str) -> None:
    assert region_of(name.replace("_", " ")) is Region.OTHER
    assert region_of(name) is Region.OTHER


@pytest.mark.parametrize("name", UNKNOWN)
def test_unknown_stays_open(name: str) -> None:
    assert region_of(name) is Region.UNKNOWN


def test_the_anatomic_region_counts_where_the_body_part_is_missing() -> None:
    region = Dataset()
    region.CodeValue, region.CodingSchemeDesignator, region.CodeMeaning = "T-D3000", "SRT", "Chest"
    dataset = Dataset()
    assert body_part(dataset) == ""
    dataset.AnatomicRegionSequence = [region]
    assert body_part(dataset) == "CHEST"
    dataset.BodyPartExamined = "HAND"
    assert body_part(dataset) == "HAND"

"""The coded concepts of the results: standard ones where they exist, our own scheme where none does.

Sources: DICOM PS3.16 Annex D (DCM), SNOMED CT as PS3.16 uses it (SCT), UCUM for units.
"""

from __future__ import annotations

import re

from highdicom.coding_schemes import CodingSchemeIdentificationItem
from highdicom.sr import CodedConcept

from plugin.domain.codes import Code
from plugin.domain.findings import Side
from plugin.domain.kinds import Modality

SCHEME = "99CHESTAI"

NO_UNITS = CodedConcept("1", "UCUM", "no units")
PERCENT = CodedConcept("%", "UCUM", "Percent")
MILLILITRE = CodedConcept("mL", "UCUM", "milliliter")

LUNG = CodedConcept("39607008", "SCT", "Lung")
BOTH_LUNGS = CodedConcept("74101002", "SCT", "Both lungs")
CHEST = CodedConcept("816094009", "SCT", "Chest")
LATERALITY = {
    Side.LEFT: CodedConcept("7771000", "SCT", "Left"),
    Side.RIGHT: CodedConcept("24028007", "SCT", "Right"),
}
OPACITY = CodedConcept("112033", "DCM", "Abnormal opacity")
ABNORMAL = CodedConcept("49755003", "SCT", "Morphologically Abnormal Structure")
ANATOMY = CodedConcept("123037004", "SCT", "Anatomical Structure")

VOLUME = CodedConcept("118565006", "SCT", "Volume")
VOLUME_METHOD = CodedConcept("126030", "DCM", "Sum of segmented voxel volumes")
FINDINGS_VOLUME = CodedConcept("FINDINGS_VOLUME", SCHEME, "Volume of findings in lung")
FINDINGS_PERCENT = CodedConcept("FINDINGS_PERCENT", SCHEME, "Percentage of lung volume involved")
PERCENT_CHANGE = CodedConcept("PERCENT_CHANGE", SCHEME, "Change in percentage of lung involved")

PROBABILITY = CodedConcept("122157", "DCM", "Probability")
OPERATING_POINT = CodedConcept("OPERATING_POINT", SCHEME, "Operating point (called at or above)")
PRESENCE = CodedConcept("705057003", "SCT", "Presence")
PRESENT = CodedConcept("52101004", "SCT", "Present")
ABSENT = CodedConcept("2667000", "SCT", "Absent")
CALLED = CodedConcept("CALLED_CLASS", SCHEME, "Class called by the operating points")

SERIES_QUALITY = CodedConcept("130550", "DCM", "Imaging Series Quality")
UNUSABLE = CodedConcept("111235", "DCM", "Unusable - Quality renders image unusable")
DOUBTFUL = CodedConcept("111236", "DCM", "Usable - Does not meet the quality control standard")
USABLE = CodedConcept("111237", "DCM", "Usable - Meets the quality control standard")
REMARK = CodedConcept("REMARK", SCHEME, "Remark on the series")

COMMENT = CodedConcept("121106", "DCM", "Comment")
SUMMARY = CodedConcept("121111", "DCM", "Summary")
QUALITATIVE = CodedConcept("C0034375", "UMLS", "Qualitative Evaluations")
ARTIFICIAL_INTELLIGENCE = CodedConcept("123110", "DCM", "Artificial Intelligence")

PROCEDURE = {
    Modality.CT: CodedConcept("169069000", "SCT", "CT of chest"),
    Modality.XRAY: CodedConcept("399208008", "SCT", "Plain chest X-ray"),
}
LANGUAGE = {
    "en": CodedConcept("en", "RFC5646", "English"),
    "pt": CodedConcept("pt-BR", "RFC5646", "Portuguese (Brazil)"),
}


def of_card(code: Code) -> CodedConcept:
    """A code of a model card as a coded concept."""
    return CodedConcept(code.value, code.scheme, code.meaning)


def class_concept(name: str, meaning: str, code: Code | None) -> CodedConcept:
    """The concept of a class: the card's own code, else one of our scheme made from its name."""
    return of_card(code) if code is not None else own(f"CLASS_{name}", meaning)


def own(value: str, meaning: str) -> CodedConcept:
    """A concept of our scheme: the value cut to what a Code Value may hold (SH, 16 characters)."""
    return CodedConcept(re.sub(r"[^A-Z0-9_]", "_", value.upper())[:16], SCHEME, meaning[:64])


def coding_schemes() -> list[CodingSchemeIdentificationItem]:
    """Says what our private scheme is (Coding Scheme Identification Sequence, PS3.3 C.12.1.1.1)."""
    return [
        CodingSchemeIdentificationItem(
            designator=SCHEME,
            name="orthanc-chest-ai private concepts",
            version="1",
            responsible_organization="orthanc-chest-ai",
        )
    ]

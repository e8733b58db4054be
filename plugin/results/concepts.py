"""The coded concepts of the results: standard ones where they exist, our own scheme where none does.

Sources: DICOM PS3.16 Annex D (DCM), SNOMED CT as PS3.16 uses it (SCT), UCUM for units.
"""

from __future__ import annotations

import re

from highdicom.coding_schemes import CodingSchemeIdentificationItem
from highdicom.sr import CodedConcept

from plugin.domain.codes import Code
from plugin.domain.findings import Side
from plugin.domain.kinds import Modality, RemarkCode

SCHEME = "99CHESTAI"

NO_UNITS = CodedConcept("1", "UCUM", "no units")
PERCENT = CodedConcept("%", "UCUM", "Percent")
PERCENTAGE_POINTS = CodedConcept("%{points}", "UCUM", "percentage points")
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
BOTH_VOLUME = CodedConcept("BOTH_VOLUME", SCHEME, "Volume of both lungs")
BOTH_FINDINGS = CodedConcept("BOTH_FINDINGS", SCHEME, "Volume of findings in both lungs")
BOTH_PERCENT = CodedConcept("BOTH_PERCENT", SCHEME, "Percentage of both lungs involved")
SEPARATE = CodedConcept("SEPARATE_COUNT", SCHEME, "Number of separate opacities")
UPPER_UNCERTAINTY = CodedConcept("371886008", "SCT", "+, range of upper measurement uncertainty")
LOWER_UNCERTAINTY = CodedConcept("371885007", "SCT", "-, range of lower measurement uncertainty")
AGREEMENT = CodedConcept("AGREEMENT", SCHEME, "Dice coefficient with the leading segmentation of findings")
EARLIER_REPORT = CodedConcept("EARLIER_REPORT", SCHEME, "Report of an earlier study")
PERCENT_CHANGE = CodedConcept("PERCENT_CHANGE", SCHEME, "Change in percentage of lung involved")

PROBABILITY = CodedConcept("122157", "DCM", "Probability")
OPERATING_POINT = CodedConcept("OPERATING_POINT", SCHEME, "Operating point (called at or above)")
PRESENCE = CodedConcept("705057003", "SCT", "Presence")
PRESENT = CodedConcept("52101004", "SCT", "Present")
ABSENT = CodedConcept("2667000", "SCT", "Absent")

ANALYSES = CodedConcept("111065", "DCM", "Summary of Analyses")
SUCCEEDED = CodedConcept("111222", "DCM", "Succeeded")
NOT_ATTEMPTED = CodedConcept("111225", "DCM", "Not Attempted")
REMARK = CodedConcept("REMARK", SCHEME, "Remark on the series")

SOURCE = CodedConcept("260753009", "SCT", "Source")
COMMENT = CodedConcept("121106", "DCM", "Comment")
SUMMARY = CodedConcept("121111", "DCM", "Summary")
OF_INTEREST = CodedConcept("113000", "DCM", "Of Interest")
QUALITATIVE = CodedConcept("C0034375", "UMLS", "Qualitative Evaluations")
ARTIFICIAL_INTELLIGENCE = CodedConcept("123110", "DCM", "Artificial Intelligence")

PROCEDURE = {
    Modality.CT: CodedConcept("169069000", "SCT", "CT of chest"),
    Modality.XRAY: CodedConcept("399208008", "SCT", "Plain chest X-ray"),
}
PROCEDURE_OF_ANY_REGION = {
    Modality.CT: CodedConcept("25045-6", "LN", "CT unspecified body region"),
    Modality.XRAY: CodedConcept("43468-8", "LN", "XR unspecified body region"),
}
RELATED = {
    "pdf": CodedConcept("RESULT_PDF", SCHEME, "Report of this reading as a PDF"),
    "attention": CodedConcept("RESULT_ATTENTION", SCHEME, "Attention map of this reading"),
    "seg": CodedConcept("RESULT_SEG", SCHEME, "Segmentation of this reading"),
    "key_images": CodedConcept("RESULT_KEY_IMG", SCHEME, "Key images of this reading"),
}
LANGUAGE = {
    "en": CodedConcept("en", "RFC5646", "English"),
    "pt": CodedConcept("pt-BR", "RFC5646", "Portuguese (Brazil)"),
}


def of_card(code: Code) -> CodedConcept:
    """A code of a model card as a coded concept."""
    return CodedConcept(code.value, code.scheme, code.meaning)


def class_concept(meaning: str, code: Code | None) -> CodedConcept:
    """The concept of a class: the card's own code, else one of our scheme made from its meaning, so that
    one code has one meaning whatever the cards call their classes."""
    return of_card(code) if code is not None else own(meaning, meaning)


def remark(code: RemarkCode) -> CodedConcept:
    """What a remark is about, in words."""
    words = _REMARKS.get(code) or code.replace("_", " ")
    return own(code, f"{words[:1].upper()}{words[1:]}")


_REMARKS = {
    RemarkCode.FOR_PROCESSING: "image not processed for presentation",
    RemarkCode.HU_RANGE: "implausible range of Hounsfield units",
    RemarkCode.NETWORK_REJECTION: "rejected by a network",
    RemarkCode.NOT_CLASSIFIED: "not read by a classifier",
    RemarkCode.NOT_SCREENED: "not screened by a network",
    RemarkCode.NO_FINDINGS: "no findings in the lungs",
    RemarkCode.NO_LUNGS: "no lungs found",
    RemarkCode.NO_LEFT_LUNG: "no left lung found",
    RemarkCode.NO_RIGHT_LUNG: "no right lung found",
    RemarkCode.LUNGS_CUT_APEX: "lungs cut at the apex",
    RemarkCode.LUNGS_CUT_BASE: "lungs cut at the base",
    RemarkCode.SOP_CLASS: "kind of DICOM object that is not read",
    RemarkCode.UNEVEN_SPACING_SMALL: "slightly uneven spacing",
}


def own(value: str, meaning: str) -> CodedConcept:
    """A concept of our scheme. A value of more than 16 characters becomes a Long Code Value (PS3.3
    Section 8.1), and nothing is cut."""
    return CodedConcept(re.sub(r"[^A-Z0-9]+", "_", value.upper()).strip("_"), SCHEME, meaning)


def coding_schemes() -> list[CodingSchemeIdentificationItem]:
    """What our private scheme is (Coding Scheme Identification Sequence, PS3.3 C.12.1.1.1)."""
    return [
        CodingSchemeIdentificationItem(
            designator=SCHEME,
            name="orthanc-chest-ai private concepts",
            version="1",
            responsible_organization="orthanc-chest-ai",
        )
    ]

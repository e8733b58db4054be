"""Which region of the body a header names, in the languages that devices are set to.

Body Part Examined (0018,0015) is a free choice of the device: defined terms, local words, cut words. So
only what names the chest, or clearly another part, is decided here; anything else is left open.
"""

from __future__ import annotations

import re
import unicodedata
from enum import Enum

from pydicom.dataset import Dataset

from plugin.dicom import headers


class Region(Enum):
    """The region of the body that a header names."""

    CHEST = "chest"
    OTHER = "other"
    UNKNOWN = "unknown"


# Parts of words (after removal of accents), checked in this order: the chest wins over what is imaged
# together with it, as in CHEST_TO_PELVIS; the thoracic spine is not the chest.
_CHEST = (
    r"CHEST|CHSTABD|THORAX|TORAX|TORAKS|TORACE|THORACOABD|THORACO ABD|TORACOABD|THORABD|THORAXABD|"
    r"LUNG|PULMO|POLMON|POUMON|PULMAO|PULMOES|PLAMAN|PLUCA|PLICE|PLUC\b|KEUHKO|AKCIGER|TUDO\b|"
    r"BRUSTKORB|BRYSTKASSE|BROSTKORG|BORSTKAS|POITRINE|KLATKA|KLP\b|HRUDNI|MELLKAS|RINTAKEHA|GOGUS|"
    r"PRSNI|PECHO|GRUDN|LEGKI|\bTHX\b|\bCXR\b|\bTX\b|\bTAP\b|\bCAP\b|\bDADA\b|\bPARU\b|\bNGUC\b|"
    r"ГРУД|ЛЕГК|ОГК|ΘΩΡΑΚ|ΠΝΕΥΜ|胸|肺|흉부|صدر|חזה"
)
_OTHER = (
    r"HEAD|SKULL|CRANI|BRAIN|KOPF|SCHADEL|TETE\b|CABEZA|CABECA|TESTA\b|ENCEPHAL|CEREBR|HERSEN|HOOFD|"
    r"\bFACE\b|FACIAL|SINUS|ORBIT|\bEYES?\b|\bEARS?\b|\bNOSE|NASAL|\bJAW|MANDIB|MAXILL|DENTAL|TEETH|TOOTH|ZAHN|TMJ|\bIAC\b|"
    r"NECK|HALS\b|CUELLO|PESCOCO|COLLO\b|CERVICAL|CSPINE|TSPINE|LSPINE|SSPINE|SPINE|WIRBEL|\bHWS\b|\bBWS\b|"
    r"\bLWS\b|COLUMNA|COLUNA|COLONNA|RACHIS|VERTEBR|SACRUM|COCCYX|LUMBAR|LUMBAL|"
    r"ABDOM|BAUCH|BUIK|\bKUB\b|LIVER|HEPAT|LEBER|KIDNEY|RENAL|NIERE|PANCREAS|SPLEEN|STOMACH|\bCOLON\b|BOWEL|"
    r"BLADDER|PROSTATE|UTERUS|PELVI|BECKEN|BACINO|BEKKEN|BASSIN|\bHIPS?\b|HUFTE|CADERA|QUADRIL|\bANCA\b|HANCHE|"
    r"EXTREMIT|SHOULDER|SCHULTER|HOMBRO|OMBRO|SPALLA|EPAULE|CLAVIC|SCAPULA|ACJOINT|\bARMS?\b|FOREARM|HUMERUS|"
    r"ELBOW|ELLENBOGEN|CODO\b|COTOVELO|GOMITO|RADIUS|ULNA|WRIST|HANDGELENK|MUNECA|PUNHO|POLSO|"
    r"HAND|\bMANO\b|FINGER|THUMB|\bLEGS?\b|\bBEIN\b|PIERNA|PERNA|FEMUR|THIGH|KNEE|KNIE|RODILLA|JOELHO|"
    r"GINOCCHIO|GENOU|PATELLA|TIBIA|FIBULA|CALF|ANKLE|TOBILLO|TORNOZELO|CAVIGLIA|CHEVILLE|SPRUNGGELENK|"
    r"FOOT|FUSS\b|PIED|PIEDE|\bPIE\b|HEEL|CALCANEUS|\bTOES?\b|BREAST|MAMMA|"
    r"ГОЛОВ|ШЕЯ|ПОЗВОН|ЖИВОТ|БРЮШ|ТАЗ|頭|腹|腰椎|頸|骨盤|두부|복부"
)
_CHEST_WITH_OTHERS = r"THORAC|TORAC|BRUST|BORST|BROST|BRYST|\bLONG(EN)?\b"

_RULES = tuple(
    (re.compile(pattern), region)
    for pattern, region in (
        (_CHEST, Region.CHEST),
        (_OTHER, Region.OTHER),
        (_CHEST_WITH_OTHERS, Region.CHEST),
    )
)


def body_part(header: Dataset) -> str:
    """The body part as the header names it: Body Part Examined, else the Anatomic Region's meaning."""
    named = " ".join(headers.texts(header, "BodyPartExamined"))
    if named:
        return named
    regions = headers.items(header, "AnatomicRegionSequence")
    return " ".join(filter(None, (headers.text(item, "CodeMeaning") for item in regions)))


def region_of(name: str) -> Region:
    """What a body part's name stands for. Empty and unknown names are UNKNOWN."""
    decomposed = unicodedata.normalize("NFKD", name.upper().replace("Ł", "L"))
    plain = "".join(c for c in decomposed if not unicodedata.combining(c))
    words = re.sub(r"[\W_]+", " ", unicodedata.normalize("NFC", plain))
    return next((region for rule, region in _RULES if rule.search(words)), Region.UNKNOWN)

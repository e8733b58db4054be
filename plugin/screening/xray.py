"""Header rules of a radiograph."""

from __future__ import annotations

import re
from collections.abc import Iterator
from enum import Enum

from pydicom.dataset import Dataset
from pydicom.uid import (
    UID,
    ComputedRadiographyImageStorage,
    DigitalXRayImageStorageForPresentation,
    DigitalXRayImageStorageForProcessing,
)

from plugin.dicom import headers
from plugin.dicom.imaging import Instance
from plugin.domain.findings import Remark
from plugin.domain.kinds import RemarkCode
from plugin.screening.common import body_part, greatest_size, grey_image, least_size, reject, shown, warn
from plugin.screening.limits import XrayLimits

_ACCEPTED = {ComputedRadiographyImageStorage, DigitalXRayImageStorageForPresentation}


class View(Enum):
    """What a header says of the projection."""

    FRONTAL = "frontal"
    LATERAL = "lateral"
    OBLIQUE = "oblique"
    UNKNOWN = "unknown"


# View Position (0018,5101), defined terms of DICOM PS3.3 C.8.11.1 and what devices write.
_POSITIONS = {
    View.FRONTAL: {"AP", "PA", "A-P", "P-A", "A.P.", "P.A.", "ANTERO-POSTERIOR", "POSTERO-ANTERIOR"},
    View.LATERAL: {"LL", "RL", "LLD", "RLD", "LAT", "LATERAL", "LLAT", "RLAT", "ML", "LM"},
    View.OBLIQUE: {"LLO", "RLO", "RAO", "LAO", "RPO", "LPO", "OBL", "OBLIQUE"},
}
# View Code Sequence (0054,0220): CID 4010 DX View, SNOMED CT and the older SRT.
_CODES = {
    View.FRONTAL: {
        *("399348003", "R-10206"),  # antero-posterior
        *("272479007", "R-10214", "R-40888"),  # postero-anterior
        *("399033003", "R-10202"),  # frontal
    },
    View.LATERAL: {
        *("399067008", "R-102CD"),  # lateral
        *("399173006", "R-10236"),  # left lateral
        *("399198007", "R-10232"),  # right lateral
        *("399260004", "R-10224"),  # medio-lateral
        *("399352003", "R-10228"),  # latero-medial
        *("30730003", "G-A145"),  # sagittal
    },
    View.OBLIQUE: {
        *("399312000", "R-10208", "399059000", "R-10216"),  # AP and PA oblique
        *("399135007", "R-10220", "399356000", "R-40985"),  # left and right anterior oblique
        *("399006002", "R-10212", "399038007", "R-10210"),  # left and right posterior oblique
        *("399184004", "R-10238", "399236003", "R-10234"),  # left and right oblique
        *("399182000", "R-102C1", "399160007", "R-10204"),  # oblique, frontal oblique
    },
}


def view_of(header: Dataset) -> View:
    """The projection by View Position, else by View Code Sequence."""
    position = headers.text(header, "ViewPosition")
    if position:
        return _view_by_words(position)
    for item in headers.items(header, "ViewCodeSequence"):
        code = headers.text(item, "CodeValue")
        view = next((view for view, codes in _CODES.items() if code in codes), None)
        view = view or _view_by_words(headers.text(item, "CodeMeaning"))
        if view is not View.UNKNOWN:
            return view
    return View.UNKNOWN


def _view_by_words(text: str) -> View:
    words = {text, *re.split(r"[\s_/,]+", text)}
    order = (View.OBLIQUE, View.LATERAL, View.FRONTAL)
    return next((view for view in order if words & _POSITIONS[view]), View.UNKNOWN)


def remarks(instance: Instance, limits: XrayLimits) -> Iterator[Remark]:
    """Every rule that one radiograph fails."""
    header = instance.header
    yield from _kind_of_object(instance)
    yield from body_part(header)
    view = view_of(header)
    if view in {View.LATERAL, View.OBLIQUE}:
        yield reject(RemarkCode.VIEW_POSITION, f"the view is {view.value}: a frontal view (AP, PA) is needed")
    yield from grey_image(header)
    yield from _size(header, limits)
    if headers.text(header, "QualityControlImage") == "YES":
        yield reject(
            RemarkCode.QUALITY_CONTROL_IMAGE, "this is an image for quality control, not a patient's"
        )
    if headers.text(header, "BurnedInAnnotation") == "YES":
        yield warn(RemarkCode.BURNED_IN_ANNOTATION, "text is burnt into the picture")
    yield from _age(header, limits)


def _kind_of_object(instance: Instance) -> Iterator[Remark]:
    header = instance.header
    sop_class = headers.text(header, "SOPClassUID")
    if sop_class == DigitalXRayImageStorageForProcessing:
        message = "this is raw detector data (Digital X-Ray Image Storage - For Processing)"
        yield reject(RemarkCode.FOR_PROCESSING, message)
    elif sop_class not in _ACCEPTED:
        kind = shown(UID(sop_class).name)
        message = f"objects of the kind {kind} are not read: CR or DX for presentation is needed"
        yield reject(RemarkCode.SOP_CLASS, message, kind=kind)
    if headers.text(header, "PresentationIntentType") == "FOR PROCESSING":
        message = "this is raw detector data (PresentationIntentType is FOR PROCESSING)"
        yield reject(RemarkCode.PRESENTATION_INTENT, message)
    image_type = headers.texts(header, "ImageType")
    if image_type[1:2] == ("SECONDARY",):
        yield reject(RemarkCode.SECONDARY_IMAGE, "ImageType says SECONDARY: PRIMARY is needed")
    if image_type[:1] == ("DERIVED",):
        message = "ImageType says DERIVED: the pixels were processed or compressed"
        yield warn(RemarkCode.DERIVED_IMAGE, message)
    if not instance.has_pixels:
        yield reject(RemarkCode.NO_PIXEL_DATA, "the image has no pixel data")


def _size(header: Dataset, limits: XrayLimits) -> Iterator[Remark]:
    yield from least_size(header, limits.min_pixels)
    yield from greatest_size(header, limits.max_pixels)
    rows, columns = headers.number(header, "Rows"), headers.number(header, "Columns")
    if rows and columns and not limits.min_aspect <= rows / columns <= limits.max_aspect:
        ratio, least, most = f"{rows / columns:.2f}", f"{limits.min_aspect:g}", f"{limits.max_aspect:g}"
        message = f"the image is {ratio} times as high as it is wide: {least} to {most} times is accepted"
        yield reject(RemarkCode.ASPECT, message, ratio=ratio, least=least, most=most)
    frames = headers.number(header, "NumberOfFrames")
    if frames is not None and frames > 1:
        yield reject(RemarkCode.NUMBER_OF_FRAMES, f"the image has {frames:g} frames: one is needed")


def _age(header: Dataset, limits: XrayLimits) -> Iterator[Remark]:
    age = headers.age_years(header)
    if age is not None and age < limits.min_age_years:
        say = reject if limits.young_age == "reject" else warn
        limit = f"{limits.min_age_years:g}"
        message = f"the patient is younger than {limit} years, and the network is meant for adults"
        yield say(RemarkCode.YOUNG_PATIENT, message, age=limit)

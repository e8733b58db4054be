"""The image library of the Structured Report (DICOM PS3.16 TID 1600)."""

from __future__ import annotations

from collections.abc import Sequence

from highdicom.sr import (
    CodeContentItem,
    ContainerContentItem,
    ImageContentItem,
    RelationshipTypeValues,
    UIDRefContentItem,
)
from highdicom.sr.value_types import ContentSequence
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes

from plugin.results import concepts

_CONTAINS = RelationshipTypeValues.CONTAINS
_MODALITY = {
    "CT": codes.cid29.ComputedTomography,
    "CR": codes.cid29.ComputedRadiography,
    "DX": codes.cid29.DigitalRadiography,
}


def insert_image_library(content: ContentSequence, references: Sequence[Dataset], *, of_chest: bool) -> None:
    """Put the library before the measurements: one group, as all is one series.

    The target region is said where the images are known to show the chest (``of_chest``). What is common to
    the series is said once for the group, so that a CT of a thousand slices keeps a small report.
    """
    first = references[0]
    group = ContainerContentItem(name=codes.DCM.ImageLibraryGroup, relationship_type=_CONTAINS)
    group.ContentSequence = ContentSequence()
    modality = _MODALITY.get(first.get("Modality", ""))
    context = RelationshipTypeValues.HAS_ACQ_CONTEXT
    if modality is not None:
        group.ContentSequence.append(
            CodeContentItem(name=codes.DCM.Modality, value=modality, relationship_type=context)
        )
    if of_chest:
        group.ContentSequence.append(
            CodeContentItem(name=codes.DCM.TargetRegion, value=concepts.CHEST, relationship_type=context)
        )
    if "FrameOfReferenceUID" in first:
        group.ContentSequence.append(
            UIDRefContentItem(
                name=codes.DCM.FrameOfReferenceUID,
                value=first.FrameOfReferenceUID,
                relationship_type=context,
            )
        )
    group.ContentSequence.extend(_library_entry(reference) for reference in references)
    library = ContainerContentItem(name=codes.DCM.ImageLibrary, relationship_type=_CONTAINS)
    library.ContentSequence = ContentSequence([group])
    content.insert(len(content) - 1, library)


def _library_entry(reference: Dataset) -> ImageContentItem:
    return ImageContentItem(
        name=concepts.SOURCE,
        referenced_sop_class_uid=reference.SOPClassUID,
        referenced_sop_instance_uid=reference.SOPInstanceUID,
        relationship_type=_CONTAINS,
    )

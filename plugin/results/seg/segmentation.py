"""The Segmentation of a CT: right lung, left lung, findings.

DICOM PS3.3 Section A.51. Masks come in the volume's canonical orientation and are written as the source
stores its frames, each frame tied to the source instance it was made of, so that the segments lie on
the source in patient space whatever its order and its flips.
"""

from __future__ import annotations

import uuid
from copy import deepcopy
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from highdicom import AlgorithmIdentificationSequence
from highdicom.color import CIELabColor
from highdicom.seg import SegmentAlgorithmTypeValues, Segmentation, SegmentDescription
from highdicom.sr import CodedConcept
from pydicom.dataset import Dataset
from pydicom.uid import DeflatedExplicitVRLittleEndian, ExplicitVRLittleEndian, RLELossless

from plugin.dicom.imaging import CtVolume
from plugin.domain.findings import Findings, LungMeasurements, Side
from plugin.results import concepts
from plugin.results.common import SeriesLabel, finish, reference_header
from plugin.results.identity import Identity
from plugin.results.provenance import parameters
from plugin.results.seg import masks

SegmentationType = Literal["BINARY", "BINARY_DEFLATED", "LABELMAP"]
"""Each segment its own frames; the same in the deflated transfer syntax (PS3.5 Section A.5); one frame with
all segments that does not overlap."""

SEGMENTS = ("lung-right", "lung-left", "findings")
"""What is segmented, by the name from which the tracking UIDs are derived."""


@dataclass(frozen=True, kw_only=True)
class _Part:
    """One segment: the cells it is made of, what it is, and its colour in sRGB."""

    key: str
    cells: tuple[int, ...]
    category: CodedConcept
    kind: CodedConcept
    side: Side | None
    colour: tuple[int, int, int]


class _SegmentStack(np.ndarray[Any, np.dtype[np.uint8]]):
    """Masks along the last axis. Summed in 8 bits, which is how overlap is looked for: numpy's own
    choice of eight bytes a voxel takes longer than all the rest of the writing, and 600 MB."""

    def sum(self, axis: int = -1) -> npt.NDArray[np.uint8]:  # type: ignore[override]
        total: npt.NDArray[np.uint8] = np.add.reduce(self.view(np.ndarray), axis=axis, dtype=np.uint8)
        return total


def build_seg(
    *,
    volume: CtVolume,
    lungs: npt.NDArray[np.uint8],
    findings_mask: npt.NDArray[np.bool_],
    findings: Findings,
    identity: Identity,
    label: SeriesLabel,
    segmentation_type: SegmentationType = "BINARY",
) -> Dataset | None:
    """The Segmentation, or None where there is nothing to segment.

    ``lungs``: uint8, canonical (slices, rows, columns): 0 none, 1 right lung, 2 left lung, findings
    included. ``findings_mask``: bool, same shape; what of it lies outside the lungs is left out.
    A segment without any voxel is left out. BINARY: findings overlap the lungs. LABELMAP cannot
    overlap: its lung segments are without the findings, and say so in their labels.
    Raises ValueError where a mask's shape is not that of the volume, or no algorithm measured lungs.
    """
    if lungs.shape != volume.hu.shape or findings_mask.shape != volume.hu.shape:
        raise ValueError(
            f"masks of shape {lungs.shape} and {findings_mask.shape} for a volume of {volume.hu.shape}"
        )
    overlapping = segmentation_type != "LABELMAP"
    voxels = masks.counts(lungs, findings_mask).sum(axis=0)
    parts = [part for part in _parts(overlapping) if voxels[list(part.cells)].sum() > 0]
    if not parts:
        return None
    if findings.lungs is None:
        raise ValueError("a segmentation needs the measurements of the lungs that it shows")
    references = _references(volume, identity)
    segmentation = Segmentation(
        source_images=references,
        pixel_array=_frames(volume, lungs, findings_mask, parts),
        segmentation_type="BINARY" if overlapping else "LABELMAP",
        segment_descriptions=[
            _description(number, part, findings.lungs, identity, label)
            for number, part in enumerate(parts, start=1)
        ],
        series_instance_uid=identity.series_instance_uid("seg"),
        series_number=label.numbers["seg"],
        sop_instance_uid=identity.sop_instance_uid("seg"),
        instance_number=1,
        manufacturer=label.manufacturer,
        manufacturer_model_name=label.model_name,
        software_versions=label.software_version,
        device_serial_number=label.device_serial,
        transfer_syntax_uid=ExplicitVRLittleEndian if overlapping else RLELossless,
        content_label="LUNGS_FINDINGS",
        content_description=label.texts("seg.description"),
        omit_empty_frames=True,
        workers=0,
    )
    if segmentation_type == "BINARY_DEFLATED":
        segmentation.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    _derive_organization(segmentation, identity)
    # A label map's background comes last: OHIF takes names by number, but colours by place.
    order = sorted(segmentation.SegmentSequence, key=lambda item: item.SegmentNumber or len(parts) + 1)
    segmentation.SegmentSequence = order
    source = volume.sources[0].header
    return finish(
        segmentation,
        kind="seg",
        source=source,
        identity=identity,
        label=label,
        algorithms=list(dict.fromkeys((findings.lungs.outlined_by, findings.lungs.algorithm))),
    )


def _parts(overlapping: bool) -> list[_Part]:
    suffix = "" if overlapping else "-clear"
    sides = (
        (Side.RIGHT, masks.RIGHT, (79, 148, 205)),
        (Side.LEFT, masks.LEFT, (102, 187, 106)),
    )
    parts = [
        _Part(
            key=f"lung-{side.value}{suffix}",
            cells=masks.WHOLE[f"lung-{side.value}"] if overlapping else (cell,),
            category=concepts.ANATOMY,
            kind=concepts.LUNG,
            side=side,
            colour=colour,
        )
        for side, cell, colour in sides
    ]
    parts.append(
        _Part(
            key="findings",
            cells=masks.WHOLE["findings"],
            category=concepts.ABNORMAL,
            kind=concepts.OPACITY,
            side=None,
            colour=(229, 83, 60),
        )
    )
    return parts


def _frames(
    volume: CtVolume,
    lungs: npt.NDArray[np.uint8],
    findings_mask: npt.NDArray[np.bool_],
    parts: list[_Part],
) -> npt.NDArray[np.uint8]:
    """The segments as the source stores its frames: (frames, rows, columns, segments) where they share
    cells, else one label map (frames, rows, columns)."""
    shape = (lungs.shape[0], *volume.to_frame(lungs[0]).shape)
    used = [cell for part in parts for cell in part.cells]
    overlapping = len(used) > len(set(used)) or len(parts) == 1
    # Each segment's frames lie together in memory: they are written segment by segment.
    stack = np.zeros((len(parts), *shape) if overlapping else shape, np.uint8)
    for k, (lung, finding) in enumerate(zip(lungs, findings_mask, strict=True)):
        cells = volume.to_frame(masks.cells(lung, finding)).astype(np.uint8)
        for number, part in enumerate(parts):
            mask = masks.select(cells, part.cells)
            if overlapping:
                stack[number, k] = mask
            else:
                stack[k][mask] = number + 1
    return np.moveaxis(stack, 0, -1).view(_SegmentStack) if overlapping else stack


def _description(
    number: int, part: _Part, lungs: LungMeasurements, identity: Identity, label: SeriesLabel
) -> SegmentDescription:
    regions = None if part.side else [concepts.LUNG]
    algorithm = lungs.outlined_by if part.side else lungs.algorithm
    # The tracking UID names the measured thing, whichever way its segment is drawn.
    tracked = part.key.removesuffix("-clear")
    description = SegmentDescription(
        segment_number=number,
        segment_label=label.texts(f"segment.{part.key}"),
        segmented_property_category=part.category,
        segmented_property_type=part.kind,
        algorithm_type=SegmentAlgorithmTypeValues.AUTOMATIC,
        algorithm_identification=AlgorithmIdentificationSequence(
            name=algorithm.name,
            family=concepts.ARTIFICIAL_INTELLIGENCE,
            version=algorithm.version,
            source=algorithm.manufacturer,
            parameters=parameters(algorithm),
        ),
        tracking_uid=identity.tracking_uid(tracked),
        tracking_id=label.texts(f"segment.{tracked}"),
        anatomic_regions=regions,
        display_color=CIELabColor.from_rgb(*part.colour),
    )
    description.SegmentDescription = label.texts("disclaimer")
    if part.side is not None:
        kind = deepcopy(part.kind)
        kind.SegmentedPropertyTypeModifierCodeSequence = [concepts.LATERALITY[part.side]]
        description.SegmentedPropertyTypeCodeSequence = [kind]
    return description


def _references(volume: CtVolume, identity: Identity) -> list[Dataset]:
    """The source headers in the order of the slices; a source without a frame of reference gets one.

    Slice Thickness may be empty in a source (type 2); what highdicom then writes is the slices' distance.
    """
    references = [reference_header(instance.header) for instance in volume.sources]
    for reference in references:
        if "SliceThickness" not in reference:
            reference.SliceThickness = round(volume.spacing[0], 6)
    if not references[0].get("FrameOfReferenceUID"):
        for reference in references:
            reference.FrameOfReferenceUID = identity.tracking_uid("frame-of-reference")
    return references


def _derive_organization(segmentation: Dataset, identity: Identity) -> None:
    """Replace the random Dimension Organization UID by a derived one, so that bytes repeat."""
    seed = uuid.uuid5(uuid.NAMESPACE_OID, identity.sop_instance_uid("seg"))
    uid = f"2.25.{seed.int}"
    segmentation.DimensionOrganizationSequence[0].DimensionOrganizationUID = uid
    for index in segmentation.DimensionIndexSequence:
        index.DimensionOrganizationUID = uid

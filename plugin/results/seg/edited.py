"""A Segmentation that somebody has corrected in a viewer: which of our segments it has, and its volumes.

OHIF writes BINARY or LABELMAP (RLE), 3D Slicer BINARY. Masks are kept packed, a bit a voxel, by the position
of their plane; planes on which nothing is marked may be left out (DICOM PS3.3 Section C.8.20).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
from pydicom.dataset import Dataset
from pydicom.pixels.utils import iter_pixels

from plugin.domain.findings import volumes_json
from plugin.results.texts import LANGUAGES, Texts

RIGHT, LEFT, FINDINGS = "lung-right", "lung-left", "findings"

_LABELS = {
    Texts(language)(f"segment.{name}{clear}").casefold(): (name, bool(clear))
    for language in LANGUAGES
    for name, clear in ((RIGHT, ""), (RIGHT, "-clear"), (LEFT, ""), (LEFT, "-clear"), (FINDINGS, ""))
}
_SAME_PLANE = 0.01
"""Positions in mm nearer than this are one plane."""

Packed = npt.NDArray[np.uint8]


class Unmeasurable(ValueError):
    """A Segmentation that cannot be measured, with the reason in one sentence."""


class NotOurs(Unmeasurable):
    """A Segmentation of something else."""


@dataclass
class Masks:
    """Masks by segment and plane; planes are numbered by their position.

    ``area``: mm² of a pixel; None where it is not said, as OHIF 3.12 does not.
    """

    shape: tuple[int, int]
    area: float | None
    planes: dict[str, dict[int, Packed]] = field(default_factory=dict)
    overlap: bool = True
    """Whether the lungs include the findings; in a label map, where segments cannot overlap, they do not."""

    def add(self, name: str, plane: int, mask: npt.NDArray[np.bool_]) -> None:
        """Add a frame of a segment. Raises Unmeasurable where the segment has one on this plane already."""
        held = self.planes.setdefault(name, {})
        if plane in held:  # OHIF 3.12 writes overlapping segments so, each on slices that are not its own
            raise Unmeasurable(
                "two frames of one segment lie on one slice, so that their places are not true"
            )
        held[plane] = np.packbits(mask)

    def of(self, name: str, plane: int) -> Packed:
        """The mask of a segment on a plane, empty where nothing is marked."""
        empty = np.zeros((self.shape[0] * self.shape[1] + 7) // 8, np.uint8)
        return self.planes.get(name, {}).get(plane, empty)

    def unpacked(self, name: str, plane: int) -> npt.NDArray[np.bool_]:
        """The mask of a segment on a plane, a value a pixel."""
        count = self.shape[0] * self.shape[1]
        return np.unpackbits(self.of(name, plane), count=count).reshape(self.shape).astype(bool)

    @property
    def distance(self) -> float:
        """The usual distance of neighbouring planes in mm. Raises Unmeasurable where there is one plane."""
        every = sorted({plane for held in self.planes.values() for plane in held})
        if len(every) < 2:
            raise Unmeasurable("it marks fewer than two slices")
        return float(np.median(np.diff(every))) * _SAME_PLANE


def read_masks(segmentation: Dataset) -> Masks:
    """The masks of our three segments in a Segmentation.

    Raises Unmeasurable, and NotOurs where it has no segment for the findings.
    """
    known = labels(segmentation)
    names = {number: name for number, (name, _) in known.items()}
    if FINDINGS not in names.values():
        raise NotOurs("none of its segments is called as the opacities are")
    kind = str(segmentation.get("SegmentationType", ""))
    if kind not in ("BINARY", "LABELMAP"):
        raise Unmeasurable(f"its masks are of kind {kind or 'unknown'}, not BINARY or LABELMAP")
    frames = segmentation.PerFrameFunctionalGroupsSequence
    shared = segmentation.SharedFunctionalGroupsSequence[0]
    spacing = _group(shared, frames[0], "PixelMeasuresSequence").get("PixelSpacing")
    cosines = _group(shared, frames[0], "PlaneOrientationSequence").ImageOrientationPatient
    normal = np.cross(np.array(cosines[:3], float), np.array(cosines[3:], float))
    masks = Masks(
        shape=(segmentation.Rows, segmentation.Columns),
        area=float(spacing[0]) * float(spacing[1]) if spacing else None,
        overlap=kind == "BINARY" and not any(clear for _, clear in known.values()),
    )
    for groups, frame in zip(frames, iter_pixels(segmentation), strict=True):
        position = np.array(_group(shared, groups, "PlanePositionSequence").ImagePositionPatient, float)
        plane = round(float(position @ normal) / _SAME_PLANE)
        numbers: Iterable[int] = names if kind == "LABELMAP" else [_segment_of(shared, groups)]
        for number in numbers:
            if number in names:
                masks.add(names[number], plane, frame == number if kind == "LABELMAP" else frame > 0)
    return masks


def measure(edited: Masks, original: Masks | None) -> dict[str, dict[str, float]]:
    """Volumes in mL and percentages of each lung and of both, as the routes answer them.

    The lungs are those of ``edited`` where it has both under the findings, else those of ``original``, the
    Segmentation that was corrected, with what was added to them. Where neither has the findings in its
    lungs, those of ``edited`` are filled up with its findings. Raises Unmeasurable.
    """
    if original is not None and original.shape != edited.shape:
        raise Unmeasurable("it has another size than the Segmentation that was corrected")
    area = edited.area or (original.area if original else None)
    if area is None:
        raise Unmeasurable("it does not say how large its pixels are")
    sources = _lungs(edited, original)
    volumes = dict(_volumes(edited, sources, area * (original or edited).distance / 1000))
    both = (volumes["right"][0] + volumes["left"][0], volumes["right"][1] + volumes["left"][1])
    return {side: volumes_json(*volume) for side, volume in (*volumes.items(), ("both", both))}


def _lungs(edited: Masks, original: Masks | None) -> list[Masks]:
    """The masks whose lungs, together, are the lungs with all that is in them. Raises Unmeasurable."""
    has_both = {RIGHT, LEFT} <= set(edited.planes)
    if has_both and edited.overlap:
        return [edited]
    if original is not None and original.overlap and {RIGHT, LEFT} <= set(original.planes):
        return [original, edited]
    if has_both:
        return [edited, _filled(edited)]
    raise Unmeasurable("it does not have both lungs, and neither has the Segmentation that was corrected")


def _filled(masks: Masks) -> Masks:
    """The findings as parts of the lungs: on each side of the line midway between both lungs' centres."""
    right, left = _centre(masks, RIGHT), _centre(masks, LEFT)
    axis = int(np.argmax(np.abs(right - left)))  # along which the lungs lie side by side
    low, high = (RIGHT, LEFT) if right[axis] < left[axis] else (LEFT, RIGHT)
    beyond = np.indices(masks.shape)[axis] > (right[axis] + left[axis]) / 2
    filled = Masks(shape=masks.shape, area=masks.area)
    for plane in masks.planes[FINDINGS]:
        mask = masks.unpacked(FINDINGS, plane)
        filled.add(low, plane, mask & ~beyond)
        filled.add(high, plane, mask & beyond)
    return filled


def _centre(masks: Masks, name: str) -> npt.NDArray[np.float64]:
    """The mean row and column of a segment."""
    counts = np.zeros(masks.shape, np.int64)
    for plane in masks.planes[name]:  # one at a time: only packed do all of them fit
        counts += masks.unpacked(name, plane)
    return np.array([np.average(index, weights=counts) for index in np.indices(masks.shape)])


def _volumes(edited: Masks, sources: list[Masks], voxel: float) -> Iterator[tuple[str, tuple[float, float]]]:
    """Lung and findings in it, in mL, by side."""
    for side, name in (("right", RIGHT), ("left", LEFT)):
        planes = {plane for source in sources for plane in source.planes.get(name, {})}
        lung = findings = 0
        for plane in planes:
            mask = np.bitwise_or.reduce([source.of(name, plane) for source in sources])
            lung += int(np.bitwise_count(mask).sum())
            findings += int(np.bitwise_count(mask & edited.of(FINDINGS, plane)).sum())
        yield side, (lung * voxel, findings * voxel)


def labels(segmentation: Dataset) -> dict[int, tuple[str, bool]]:
    """Which of our segments each number is, by its label in any language of ours; whether that says that
    the findings are left out."""
    called = {
        int(one.SegmentNumber): str(one.get("SegmentLabel", "")).strip().casefold()
        for one in segmentation.SegmentSequence
    }
    return {number: _LABELS[label] for number, label in called.items() if label in _LABELS}


def _segment_of(shared: Dataset, frame: Dataset) -> int:
    """The number of the segment that a frame of a BINARY Segmentation marks."""
    return int(_group(shared, frame, "SegmentIdentificationSequence").ReferencedSegmentNumber)


def _group(shared: Dataset, frame: Dataset, keyword: str) -> Dataset:
    """A functional group, shared by all frames or of this one. Raises Unmeasurable without it."""
    for groups in (shared, frame):
        if groups.get(keyword):
            found: Dataset = groups[keyword].value[0]
            return found
    raise Unmeasurable(f"it has no {keyword}")

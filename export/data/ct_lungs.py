"""Lung masks derived from the voxels, for volumes that have no expert's mask.

Air inside the body, less trachea and main bronchi, joined with the findings and closed. Good enough to
teach from and to compare with; where they serve as a reference the figures say that it is derived.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy import ndimage

Mask = npt.NDArray[np.bool_]

AIR_HU = -400
CLOSING_MM = 8.0
AIRWAY_LIMIT_MM2 = 900.0
SECOND_LUNG_SHARE = 0.1


def derive_lungs(hu: npt.NDArray[np.int16], spacing: tuple[float, float, float], lesion: Mask) -> Mask:
    """Lungs of a canonical volume (HU; spacing (dk, dj, di) in mm) whose findings are ``lesion``."""
    air = inner_air(hu)
    trachea = airways(air, spacing)
    joined = largest_parts(air & ~trachea) | lesion
    return close_slices(joined, spacing, CLOSING_MM) & ~trachea


def inner_air(hu: npt.NDArray[np.int16]) -> Mask:
    """Air-like voxels that no air of the surroundings touches within their slice."""
    air = hu < AIR_HU
    result = np.zeros_like(air)
    for k, plane in enumerate(air):
        padded = np.pad(plane, 1, constant_values=True)
        labels, _ = ndimage.label(padded)
        result[k] = (padded & (labels != labels[0, 0]))[1:-1, 1:-1]
    return ndimage.binary_opening(result, structure=np.ones((1, 2, 2)))


def largest_parts(mask: Mask) -> Mask:
    """The largest component, and the second where it is at least a tenth of the first."""
    labels, count = ndimage.label(mask)
    if count == 0:
        return np.zeros_like(mask)
    sizes = np.bincount(labels.ravel())
    sizes[0] = 0
    first, *rest = np.argsort(sizes)[::-1]
    keep = [first]
    if rest and sizes[rest[0]] >= SECOND_LUNG_SHARE * sizes[first]:
        keep.append(rest[0])
    return np.isin(labels, keep)


def airways(air: Mask, spacing: tuple[float, float, float]) -> Mask:
    """Trachea and main bronchi, followed from the top downwards slice by slice.

    In each slice the components of inner air that overlap the airway of the slice above are airway,
    unless they are too large: then the airway has met the lung there.
    """
    pixel = spacing[1] * spacing[2]
    result = np.zeros_like(air)
    above = np.zeros(air.shape[1:], dtype=np.bool_)
    for k in range(air.shape[0] - 1, -1, -1):
        labels, count = ndimage.label(air[k])
        areas = np.bincount(labels.ravel(), minlength=count + 1) * pixel
        for label in range(1, count + 1):
            part = labels == label
            if areas[label] > AIRWAY_LIMIT_MM2:
                continue
            begins = not result.any() and _central_and_round(part, areas[label], spacing)
            if begins or (part & above).any():
                result[k] |= part
        if result[k].any():
            above = result[k]
        elif result.any():
            break
    return ndimage.binary_dilation(result, structure=np.ones((1, 3, 3)))


def _central_and_round(part: Mask, area: float, spacing: tuple[float, float, float]) -> bool:
    """Whether a component of a slice can be the trachea: 60 to 900 mm2, compact, near the middle."""
    if area < 60:
        return False
    rows, columns = np.nonzero(part)
    height = (np.ptp(rows) + 1) * spacing[1]
    width = (np.ptp(columns) + 1) * spacing[2]
    middle = abs(columns.mean() / part.shape[1] - 0.5) < 0.12
    return bool(middle and area > 0.5 * height * width and max(height, width) < 45)


def close_slices(mask: Mask, spacing: tuple[float, float, float], distance: float) -> Mask:
    """Each lung's slices closed by a disk of ``distance`` mm and filled: vessels and walls belong."""
    labels, count = ndimage.label(mask)
    disk = _disk(spacing, distance)
    margin = max(disk.shape)
    result = np.zeros_like(mask)
    for label in range(1, count + 1):
        part = labels == label
        for k in np.flatnonzero(part.any(axis=(1, 2))):
            closed = ndimage.binary_closing(np.pad(part[k], margin), disk)
            result[k] |= ndimage.binary_fill_holes(closed)[margin:-margin, margin:-margin]
    return result


def _disk(spacing: tuple[float, float, float], radius: float) -> Mask:
    rows, columns = (max(1, round(radius / s)) for s in spacing[1:])
    r, c = np.ogrid[-rows : rows + 1, -columns : columns + 1]
    return np.asarray((r / (rows + 0.01)) ** 2 + (c / (columns + 0.01)) ** 2 <= 1)

"""Where to look: for each measured thing one outline on one source image.

A segmentation says where every voxel is; viewers that open a report on its own need a place to show a
number at, and take a reader to the slice where there is most to see.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from plugin.dicom.imaging import CtVolume
from plugin.results.seg import masks

_SPREAD = (0.5, 0.6, 0.4, 0.7, 0.3, 0.8)
"""Where in the lungs each classifier's slice is, from their base to their apex."""

_MOST_ROWS = 40


@dataclass(frozen=True, kw_only=True)
class KeyRegion:
    """A closed outline on one image.

    ``outline``: float64 (points, 2), column and row in the image as stored, (0, 0) being the upper left
    corner of the upper left pixel (DICOM PS3.3 C.18.6); the last point is the first.
    """

    sop_instance_uid: str
    outline: npt.NDArray[np.float64]


def key_regions(
    *, volume: CtVolume, lungs: npt.NDArray[np.uint8], findings_mask: npt.NDArray[np.bool_]
) -> Mapping[str, KeyRegion]:
    """The outline of each lung, of the findings in them and of both lungs in the slice where it is largest.

    Masks as for the Segmentation. By the names that the tracking UIDs are derived from: ``lung-right``,
    ``lung-left``, ``findings``, ``lungs``; what is empty is left out. Further ``classifier-0`` to
    ``classifier-5``: both lungs in slices spread over them, one for each classifier, as viewers set
    numbers on one slice over each other.
    """
    counts = masks.counts(lungs, findings_mask)
    slices: dict[str, int] = {}
    for what, cells in masks.WHOLE.items():
        area = counts[:, list(cells)].sum(axis=1)
        if area.any():
            slices[what] = _untaken(area, slices.values())
    filled = np.flatnonzero(counts[:, 1:].any(axis=1))
    for number, share in enumerate(_SPREAD if filled.size else ()):
        distance = np.abs(filled - np.quantile(filled, share))
        closeness = np.zeros(len(counts))
        closeness[filled] = 1 / (1 + distance)
        slices[f"classifier-{number}"] = _untaken(closeness, slices.values())
    regions = {}
    for what, index in slices.items():
        cells = masks.WHOLE.get(what, masks.WHOLE["lungs"])
        mask = masks.select(masks.cells(lungs[index], findings_mask[index]), cells)
        regions[what] = KeyRegion(
            sop_instance_uid=volume.sources[index].header.SOPInstanceUID,
            outline=outline_of(volume.to_frame(mask)),
        )
    return regions


def _untaken(score: npt.NDArray[Any], taken: Collection[int]) -> int:
    """The slice with the highest score that is not taken, or the highest where all are that have any."""
    free = score.copy()
    free[list(taken)] = 0
    return int((free if free.any() else score).argmax())


def outline_of(mask: npt.NDArray[np.generic]) -> npt.NDArray[np.float64]:
    """A closed outline around all of a mask (rows, columns) that is not empty: its left and right extent
    in every row, at most forty rows of them."""
    rows = np.flatnonzero(mask.any(axis=1))
    rows = rows[np.unique(np.linspace(0, len(rows) - 1, _MOST_ROWS).round().astype(int))]
    left = np.array([np.flatnonzero(mask[row])[0] for row in rows], np.float64)
    right = np.array([np.flatnonzero(mask[row])[-1] + 1 for row in rows], np.float64)
    middle = rows + 0.5
    down = np.column_stack([right, middle])
    up = np.column_stack([left, middle])[::-1]
    points = np.concatenate([down, up])
    return np.concatenate([points, points[:1]])


def whole_image(rows: int, columns: int, inset: float = 0.0) -> npt.NDArray[np.float64]:
    """The border of an image as an outline, moved inwards by a share of the image."""
    corners = np.array([[0, 0], [1, 0], [1, 1], [0, 1], [0, 0]], np.float64)
    return (inset + corners * (1 - 2 * inset)) * np.array([columns, rows], np.float64)

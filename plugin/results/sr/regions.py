"""Outlines, on the source images, of what was found and measured there.

On a CT each lung and the largest separate opacities, each on the slice where most of it is seen. On an X-ray
the parts of a map that was measured to locate opacities. What has no place that was measured has no outline:
a report without lungs and without opacities draws nothing.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from plugin.analysis.lesions import Lesion
from plugin.analysis.outline import outlines
from plugin.dicom.imaging import CtVolume, XrayImage
from plugin.domain.findings import Side
from plugin.results.opacities import MOST
from plugin.results.seg import masks

LEAST_OF_FILM = 1 / 256
"""Regions of a film that are smaller are left out: a map of 16 x 16 places does not see finer."""

_SPREAD = (0.5, 0.6, 0.4, 0.7, 0.3, 0.8, 0.45)
"""Where in the lungs each statement about both is shown, from their base to their apex."""


@dataclass(frozen=True, kw_only=True)
class Outline:
    """A closed outline on one image.

    ``points``: float64 (points, 2), column and row in the image as stored, (0, 0) being the upper left
    corner of the upper left pixel (DICOM PS3.3 C.18.6); the last point is the first.
    """

    sop_instance_uid: str
    points: npt.NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Opacity:
    """One separate opacity: its outline where its area is largest, its volume in mL, its side."""

    outline: Outline
    volume_ml: float
    side: Side


@dataclass(frozen=True, kw_only=True)
class Regions:
    """What of a report can be drawn.

    ``lung``: the outline of each lung, by its side; ``lungs``: the outlines of both on slices spread over
    them, for statements about both, which viewers would set over each other on one slice;
    ``opacities``: the largest of ``opacity_count``; ``evidence``: of an X-ray the outlines of where the
    first classifier sees its finding, the largest first, where its map was measured to locate it.
    """

    lung: Mapping[Side, Outline] = field(default_factory=lambda: MappingProxyType({}))
    lungs: tuple[tuple[Outline, ...], ...] = ()
    opacities: tuple[Opacity, ...] = ()
    opacity_count: int = 0
    evidence: tuple[Outline, ...] = ()


NOWHERE = Regions()
"""Nothing to be drawn."""


def ct_regions(
    *,
    volume: CtVolume,
    lungs: npt.NDArray[np.uint8],
    findings_mask: npt.NDArray[np.bool_],
    opacities: tuple[Sequence[Lesion], int],
) -> Regions:
    """The outlines of what was segmented. Masks as for the Segmentation; ``opacities``: the largest of the
    findings in the lungs, and how many there are (:func:`plugin.results.opacities.largest_opacities`).
    """
    counts = masks.counts(lungs, findings_mask)
    drawn = _Slices(volume)
    taken: dict[Side, int] = {}
    lung: dict[Side, Outline] = {}
    for side in Side:
        area = counts[:, list(masks.WHOLE[f"lung-{side.value}"])].sum(axis=1)
        if area.any():
            taken[side] = _untaken(area, taken.values())
            lung[side] = drawn.outlines(taken[side], lungs[taken[side]] == _LABEL[side])[0]
    found, count = opacities
    return Regions(
        lung=MappingProxyType(lung),
        lungs=_both(lungs, counts, drawn, taken.values()),
        opacities=tuple(_opacity(lesion, lungs, drawn) for lesion in found),
        opacity_count=count,
    )


def xray_regions(*, image: XrayImage, shades: npt.NDArray[np.float32]) -> Regions:
    """Outlines of where a map that locates opacities shows any: the borders of its colours.

    ``shades``: float32, the picture's shape, in [0, 1], 0 outside the body, NaN where the network saw none.
    """
    parts, count = ndimage.label(shades > 0, np.ones((3, 3)))
    sizes = np.bincount(parts.ravel(), minlength=count + 1)
    kept = np.isin(parts, 1 + np.flatnonzero(sizes[1:] >= LEAST_OF_FILM * shades.size))
    uid = image.source.header.SOPInstanceUID
    found = outlines(kept)[:MOST]
    return Regions(evidence=tuple(Outline(sop_instance_uid=uid, points=points) for points in found))


_LABEL = {Side.RIGHT: masks.RIGHT, Side.LEFT: masks.LEFT}


class _Slices:
    """The slices of a volume, on which masks of it are outlined as the source stores them."""

    def __init__(self, volume: CtVolume) -> None:
        self._volume = volume

    def outlines(self, index: int, mask: npt.NDArray[np.bool_]) -> tuple[Outline, ...]:
        """The outline of each part of a mask (rows, columns) of a slice, the largest first."""
        uid = self._volume.sources[index].header.SOPInstanceUID
        found = outlines(self._volume.to_frame(mask).astype(bool))
        return tuple(Outline(sop_instance_uid=uid, points=points) for points in found)


def _both(
    lungs: npt.NDArray[np.uint8],
    counts: npt.NDArray[np.int64],
    drawn: _Slices,
    taken: Collection[int],
) -> tuple[tuple[Outline, ...], ...]:
    """The largest part of each lung on slices spread over them, each slice once where there are enough."""
    filled = np.flatnonzero(counts[:, 1:].any(axis=1))
    used, shown = list(taken), []
    for share in _SPREAD if filled.size else ():
        closeness = np.zeros(len(counts))
        closeness[filled] = 1 / (1 + np.abs(filled - np.quantile(filled, share)))
        index = _untaken(closeness, used)
        used.append(index)
        parts = (drawn.outlines(index, lungs[index] == label)[:1] for label in _LABEL.values())
        shown.append(tuple(outline for part in parts for outline in part))
    return tuple(shown)


def _opacity(lesion: Lesion, lungs: npt.NDArray[np.uint8], drawn: _Slices) -> Opacity:
    here = lungs[lesion.slice][lesion.area]
    mostly_right = 2 * np.count_nonzero(here == masks.RIGHT) >= here.size
    return Opacity(
        outline=drawn.outlines(lesion.slice, lesion.area)[0],
        volume_ml=lesion.volume,
        side=Side.RIGHT if mostly_right else Side.LEFT,
    )


def _untaken(score: npt.NDArray[Any], taken: Collection[int]) -> int:
    """The slice with the highest score that is not taken, or the highest where all are that have any."""
    free = score.copy()
    free[list(taken)] = 0
    return int((free if free.any() else score).argmax())

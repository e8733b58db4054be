"""How well the map's patches agree with the boxes that radiologists drew: average precision."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from export.data.cxr import Box, Film
from export.figures import Array, Labels, figure
from plugin.analysis.preprocess import resize
from plugin.models.cards import Figure

_FINER = 8
"""A patch is outlined on a grid so many times finer than the map, interpolated."""

_MOST = 16
"""Patches of one film that are looked at, the strongest first: no film has as many boxes."""


def patches(evidence: npt.NDArray[np.float32]) -> list[tuple[float, Box]]:
    """The connected patches of a map (h, w) above 0, as (its peak, box in shares), strongest first."""
    rows, columns = (_FINER * size for size in evidence.shape)
    fine = resize(evidence, rows, columns)
    marked, count = ndimage.label(fine > 0)
    peaks = ndimage.maximum(fine, marked, range(1, count + 1))
    places = ndimage.find_objects(marked)
    found = [
        (float(peak), (across.start / columns, down.start / rows, across.stop / columns, down.stop / rows))
        for peak, (down, across) in zip(peaks, places, strict=True)
    ]
    return sorted(found, reverse=True)[:_MOST]


def overlap(one: Box, other: Box) -> float:
    """Intersection over union of two boxes (left, top, right, bottom)."""
    width = min(one[2], other[2]) - max(one[0], other[0])
    height = min(one[3], other[3]) - max(one[1], other[1])
    if width <= 0 or height <= 0:
        return 0.0
    areas = sum((box[2] - box[0]) * (box[3] - box[1]) for box in (one, other))
    return width * height / (areas - width * height)


def matched(found: Sequence[tuple[float, Box]], boxes: Sequence[Box]) -> Array:
    """(_MOST, 2): each patch's evidence and whether it meets a box (1 or 0) that no stronger one met.

    A patch meets a box with an intersection over union of at least 0.5. Unused rows are NaN.
    """
    rows = np.full((_MOST, 2), np.nan)
    left = list(boxes)
    for number, (peak, place) in enumerate(found):
        best = max(left, key=lambda box: overlap(place, box), default=None)
        hit = best is not None and overlap(place, best) >= 0.5
        if best is not None and hit:
            left.remove(best)
        rows[number] = peak, hit
    return rows


def average_precision(boxes: Labels, rows: Array) -> float:
    """Area under precision over recall, precision made monotone (PASCAL VOC 2010).

    ``boxes`` (n,) counts the boxes of each film, ``rows`` (n, _MOST, 2) is what :func:`matched` gave.
    """
    peaks, hits = rows[..., 0].ravel(), rows[..., 1].ravel()
    used = np.flatnonzero(np.isfinite(peaks))
    if boxes.sum() == 0:
        return float("nan")
    order = used[np.argsort(-peaks[used], kind="stable")]
    right = np.cumsum(hits[order])
    precision = right / np.arange(1, order.size + 1)
    best = np.maximum.accumulate(precision[::-1])[::-1]
    return float((best * hits[order]).sum() / boxes.sum())


def box_figure(
    films: Sequence[Film], evidence: npt.NDArray[np.float32], *, measured_on: str, command: str
) -> Figure:
    """The average precision at 0.5 of the maps (n, h, w) of films with and without boxes."""
    rows = np.stack([matched(patches(own), film.boxes) for own, film in zip(evidence, films, strict=True)])
    return figure(
        "box AP at 0.5, siim",
        average_precision,
        np.array([len(film.boxes) for film in films], np.int64),
        rows,
        [film.patient for film in films],
        measured_on=measured_on,
        command=command,
    )

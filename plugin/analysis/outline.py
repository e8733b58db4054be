"""Closed outlines around the parts of a mask, through the middles of its pixels' edges."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Points = npt.NDArray[np.float64]

_TOLERANCE = 0.3
"""Pixels. A line that cuts a pixel's corner passes its centre at 0.35: with less than that to spare, the
centre of every pixel stays on its side of the outline."""

_MOST_POINTS = 4000
"""More than two coordinates each of so many do not fit one value of DICOM's graphic data (64 KiB)."""

_STEPS = ((1, 0), (0, 1), (-1, 0), (0, -1))
"""Along the upper, right, lower and left edge of a pixel, as (column, row): the mask is on the right."""

_Vertex = tuple[int, int]


def outlines(mask: npt.NDArray[np.bool_], *, tolerance: float = _TOLERANCE) -> list[Points]:
    """The outer outline of every part of a mask, the one around the largest area first.

    ``mask``: bool (rows, columns); pixels that touch at a corner belong together. Each outline is float64
    (points, 2), column and row, (0, 0) being the upper left corner of the upper left pixel; its last point
    is its first. Holes are enclosed. The centres of a part's pixels are inside, those of all pixels around
    it outside; only an outline of more than four thousand points is coarser, or one that may be by a larger
    ``tolerance`` in pixels.
    """
    loops = [loop for loop in _loops(_edges(mask)) if _area(loop) > 0]
    return [_simplified(loop, tolerance) for loop in sorted(loops, key=_area, reverse=True)]


def _edges(mask: npt.NDArray[np.bool_]) -> dict[_Vertex, list[int]]:
    """The edges between mask and not, by the vertex at which they begin: their directions."""
    framed = np.pad(mask, 1)
    inside = framed[1:-1, 1:-1]
    beyond = (framed[:-2, 1:-1], framed[1:-1, 2:], framed[2:, 1:-1], framed[1:-1, :-2])
    corner = ((0, 0), (1, 0), (1, 1), (0, 1))
    edges: dict[_Vertex, list[int]] = {}
    for direction, (neighbour, (right, down)) in enumerate(zip(beyond, corner, strict=True)):
        for row, column in np.argwhere(inside & ~neighbour).tolist():
            edges.setdefault((column + right, row + down), []).append(direction)
    return edges


def _loops(edges: dict[_Vertex, list[int]]) -> list[Points]:
    """Every closed walk along the edges, by the middles of them; turns left where two parts touch at a
    corner."""
    loops = []
    while edges:
        start = next(iter(edges))
        first = direction = edges[start][0]
        (x, y), middles = start, []
        while first in edges.get(start, ()) or (x, y) != start:
            onward = edges[x, y]
            direction = next(d % 4 for d in (direction - 1, direction, direction + 1) if d % 4 in onward)
            onward.remove(direction)
            if not onward:
                del edges[x, y]
            right, down = _STEPS[direction]
            middles.append((x + right / 2, y + down / 2))
            x, y = x + right, y + down
        loops.append(np.array([*middles, middles[0]], np.float64))
    return loops


def _area(loop: Points) -> float:
    """The area that a closed walk has on its right, negative around a hole."""
    x, y = loop[:-1].T
    following_x, following_y = loop[1:].T
    return float((x * following_y - following_x * y).sum() / 2)


def _simplified(loop: Points, tolerance: float) -> Points:
    """The outline with as few of its points as come within the tolerance, doubled until they fit."""
    simpler = _within(loop, tolerance)
    while len(simpler) > _MOST_POINTS:
        tolerance *= 2
        simpler = _within(loop, tolerance)
    return simpler


def _within(loop: Points, tolerance: float) -> Points:
    """The points of a closed outline that the others come within a tolerance of (Douglas and Peucker)."""
    far = int(np.hypot(*(loop - loop[0]).T).argmax())
    kept = np.zeros(len(loop), bool)
    kept[[0, far, -1]] = True
    spans = [(0, far), (far, len(loop) - 1)]
    while spans:
        begin, end = spans.pop()
        if end - begin < 2:
            continue
        away = _distances(loop[begin + 1 : end], loop[begin], loop[end])
        worst = int(away.argmax())
        if away[worst] > tolerance:
            middle = begin + 1 + worst
            kept[middle] = True
            spans += [(begin, middle), (middle, end)]
    return np.asarray(loop[kept])


def _distances(points: Points, begin: Points, end: Points) -> Points:
    """How far points are from the straight line between two others."""
    along = end - begin
    length = float(along @ along)
    offset = points - begin
    share = np.clip(offset @ along / length, 0, 1) if length else np.zeros(len(points))
    return np.asarray(np.hypot(*(offset - share[:, None] * along).T))

"""Which part of a lung mask is the left lung, which the right, and how large they are.

Volumes are canonical: axis 0 to the head, axis 1 to posterior, axis 2 to the patient's left, so that the
right lung is the one with the lower columns.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from plugin.analysis.grid import Grid, Labels, Mask, components, grow, main_parts

RIGHT, LEFT = 1, 2

SECOND_LUNG_SHARE = 0.1
"""The smaller lung has at least this share of both."""
ONE_LUNG_SHARE = 0.05
"""With less than this beyond the body's midline there is one lung."""
OVERLAP = 0.3
"""Two parts lie side by side when their middle 90 % overlap by less than this share from left to right."""
BALL_STEP_MM = 1.0
BODY_HU = -500.0


def separate(mask: Mask, *, spacing: tuple[float, float, float], midline: float | None = None) -> Labels:
    """Tell the right from the left lung in a mask: uint8 (slices, rows, columns), 0, RIGHT, LEFT.

    26-connected components first; where both lungs are one, they are opened with a growing ball until
    they come apart, and what the ball took away is given back by a watershed from the two seeds; where
    that fails, the same in each coronal plane, and at last the midline. Small parts that are connected
    to neither lung are left out (0). With nearly all of the mask on one side there is only that lung.

    ``spacing``: mm between slices, rows, columns. ``midline``: the body's middle column (see
    :func:`body_midline`); None for the middle of the picture.
    """
    grid = Grid.of(mask, spacing)
    if grid is None:
        return np.zeros(mask.shape, dtype=np.uint8)
    middle = grid.column((mask.shape[2] - 1) / 2 if midline is None else midline)
    return grid.spread(_label(grid, middle), mask)


def volume_ml(mask: Mask, *, thickness: npt.NDArray[np.float64], pixel_area: float) -> float:
    """Volume of a mask (slices, rows, columns) in mL: pixels of ``pixel_area`` mm2 times ``thickness``."""
    counts = np.array([np.count_nonzero(plane) for plane in mask], dtype=np.float64)
    return float(np.dot(counts, thickness)) * pixel_area / 1000


def body_midline(axial: npt.NDArray[np.float32]) -> float:
    """The body's middle column in an axial mean projection in HU (rows, columns).

    Half-way between the body's left and right edge, median over the rows that hold the body; the middle
    of the picture where there is no body.
    """
    body = axial > BODY_HU
    widths = body.sum(axis=1)
    rows = np.flatnonzero(widths > 0.5 * widths.max()) if widths.any() else np.array([], dtype=int)
    if rows.size == 0:
        return float(axial.shape[1] - 1) / 2
    first = body[rows].argmax(axis=1)
    last = axial.shape[1] - 1 - body[rows][:, ::-1].argmax(axis=1)
    return float(np.median((first + last) / 2))


def _label(grid: Grid, middle: float) -> Labels:
    """The cells of a grid as 0, RIGHT, LEFT."""
    cells = main_parts(grid.cells)
    single = _only_side(cells, middle, ONE_LUNG_SHARE)
    if single is not None:
        return cells * np.uint8(single)
    labels = _split(cells, grid.size)
    if labels is not None:
        return labels
    single = _only_side(cells, middle, 2.5 * SECOND_LUNG_SHARE)
    if single is not None:
        return cells * np.uint8(single)
    return _coronal(cells, grid.size, middle)


def _only_side(cells: Mask, middle: float, share: float) -> int | None:
    """The side on which all but ``share`` of the cells lie, None where they lie on both."""
    profile = cells.sum(axis=(0, 1))
    right = float(profile[np.arange(len(profile)) < middle].sum()) / max(float(profile.sum()), 1.0)
    if right < share:
        return LEFT
    return RIGHT if right > 1 - share else None


def _split(cells: Mask, size: tuple[float, float, float]) -> Labels | None:
    """Cells as RIGHT and LEFT by growing-ball opening and watershed; None where they do not part."""
    distance = None
    for radius in _radii(cells, size):
        if radius > 0 and distance is None:
            distance = ndimage.distance_transform_edt(np.pad(cells, 1), sampling=size)[1:-1, 1:-1, 1:-1]
            distance = distance.astype(np.float32)
        core = cells if distance is None else distance > radius
        if not core.any():
            return None
        seeds = _two_sides(core)
        if seeds is not None:
            flooded = seeds if distance is None else _flood(cells, distance, seeds, radius)
            return _with_remnants(cells, flooded)
    return None


def _radii(cells: Mask, size: tuple[float, float, float]) -> Iterator[float]:
    """0, then radii of the ball in mm, growing by a step and then faster, to a fifth of the extent."""
    radius, greatest = 0.0, 0.2 * cells.shape[2] * size[2]
    while radius <= greatest:
        yield radius
        radius += max(BALL_STEP_MM, 0.2 * radius)


def _two_sides(core: Mask) -> Labels | None:
    """The two largest components as RIGHT and LEFT; None where they are not two lungs side by side."""
    labels, sizes = components(core)
    if len(sizes) < 3:
        return None
    first, second = np.argsort(sizes)[::-1][:2]
    if sizes[second] < SECOND_LUNG_SHARE * sizes.sum():
        return None
    spans = [_middle_span(labels == label) for label in (first, second)]
    (low, high), (other_low, other_high) = spans
    overlap = min(high, other_high) - max(low, other_low)
    if overlap > OVERLAP * min(high - low, other_high - other_low):
        return None
    right, left = (first, second) if low + high < other_low + other_high else (second, first)
    sides = np.zeros(core.shape, dtype=np.uint8)
    sides[labels == right] = RIGHT
    sides[labels == left] = LEFT
    return sides


def _middle_span(mask: Mask) -> tuple[float, float]:
    """The columns between which the middle 90 % of a mask lie."""
    cumulative = np.cumsum(mask.sum(axis=(0, 1)))
    low, high = np.searchsorted(cumulative, np.array([0.05, 0.95]) * cumulative[-1])
    return float(low), float(high) + 1


def _flood(cells: Mask, distance: npt.NDArray[np.float32], seeds: Labels, radius: float) -> Labels:
    """Watershed from two seeds on the distance to the outline, level by level from ``radius`` down."""
    labels = seeds
    for level in np.arange(radius - BALL_STEP_MM, 0, -BALL_STEP_MM):
        labels = grow(labels, distance > level)
    return grow(labels, cells)


def _with_remnants(cells: Mask, labels: Labels) -> Labels:
    """Cells that no seed reaches, with the lung whose centre is nearer from left to right."""
    rest = cells & (labels == 0)
    if not rest.any():
        return labels
    columns = np.arange(cells.shape[2])
    centres = {}
    for side in (RIGHT, LEFT):
        profile = (labels == side).sum(axis=(0, 1))
        centres[side] = float(profile @ columns) / float(profile.sum())
    parts, _ = components(rest)
    for number, box in enumerate(ndimage.find_objects(parts), start=1):
        part = parts[box] == number
        centre = box[2].start + float(part.sum(axis=(0, 1)) @ np.arange(part.shape[2])) / part.sum()
        nearer = min(centres, key=lambda side: abs(centres[side] - centre))
        labels[box][part] = nearer
    return labels


def _coronal(cells: Mask, size: tuple[float, float, float], middle: float) -> Labels:
    """Each coronal plane split by itself, by the midline where that fails."""
    by_midline = np.where(np.arange(cells.shape[2]) < middle, RIGHT, LEFT).astype(np.uint8)
    labels = np.zeros(cells.shape, dtype=np.uint8)
    for j in range(cells.shape[1]):
        plane = cells[:, j : j + 1]
        split = _split(plane, size) if plane.any() else None
        labels[:, j : j + 1] = plane * by_midline if split is None else split
    return labels

"""Slice-wise segmentation of a volume by a network, and what makes lungs of its answer."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from plugin.analysis.grid import Grid, Mask, main_parts
from plugin.analysis.preprocess import resize

FloatArray = npt.NDArray[np.float32]

CLOSING_MM = 6.0
"""How far findings may lie in a dent of the lung's outline, as a consolidation at the pleura does."""
WHOLE_SHARE = 0.5
"""A finding of a slice of which this share lies in the lungs is kept whole."""


def segment(
    volume: npt.NDArray[np.int16],
    *,
    prepare: Callable[[npt.NDArray[np.int16]], FloatArray],
    predict: Callable[[FloatArray], FloatArray],
    batch: int,
    lung: tuple[int, float],
    findings: tuple[int, float],
    spacing: tuple[float, float, float],
    progress: Callable[[float], None] | None = None,
) -> tuple[Mask, Mask]:
    """Segment lungs and findings of a canonical volume (slices, rows, columns) in HU.

    ``prepare`` makes a network input (C, H, W) of a slice that shows all of it; ``predict`` answers
    (batch, C, H, W) with probabilities (batch, channels, h, w); ``lung`` and ``findings`` are the
    channel and the threshold of each. Only whole batches are asked for: the last is filled up with
    zeros. ``spacing``: mm between slices, rows, columns. ``progress`` is told the share of slices done;
    what it raises ends the segmentation.

    Returns the masks of :func:`refine`: lungs, and the findings in them, bool, at the volume's size.
    """
    masks = [(np.zeros(volume.shape, dtype=np.bool_), *choice) for choice in (lung, findings)]
    for start in range(0, len(volume), batch):
        chunk = volume[start : start + batch]
        inputs = [prepare(slice_) for slice_ in chunk]
        inputs += [np.zeros_like(inputs[0])] * (batch - len(inputs))
        probabilities = predict(np.stack(inputs))
        for offset, slice_ in enumerate(chunk):
            for mask, channel, threshold in masks:
                plane = resize(probabilities[offset, channel], *slice_.shape)
                mask[start + offset] = plane >= threshold
        if progress is not None:
            progress(min(1.0, (start + len(chunk)) / len(volume)))
    lungs, found = masks[0][0], masks[1][0]
    refine(lungs, found, spacing=spacing)
    return lungs, found


def refine(lungs: Mask, findings: Mask, *, spacing: tuple[float, float, float]) -> None:
    """Make raw masks the lungs and the findings in them, in place.

    Holes of the lungs are filled slice by slice; the two largest 26-connected components stay (and
    further large ones). Findings stay where they lie in the lungs' closed outline, and whole where they
    mostly do: a dense consolidation at the pleura is lung that the lung mask tends to miss. What stays
    belongs to the lungs.
    """
    for k in np.flatnonzero(lungs.any(axis=(1, 2))):
        lungs[k] = ndimage.binary_fill_holes(lungs[k])
    lungs &= largest_parts(lungs, spacing)
    for k in np.flatnonzero(findings.any(axis=(1, 2))):
        if (findings[k] & ~lungs[k]).any():
            findings[k] = _findings_of_lungs(findings[k], lungs[k], spacing[1:])
    lungs |= findings


def _findings_of_lungs(findings: Mask, lungs: Mask, spacing: tuple[float, float]) -> Mask:
    """The findings of one slice that belong to its lungs."""
    if not lungs.any():
        return np.zeros_like(findings)
    parts, _ = ndimage.label(findings)
    sizes = np.bincount(parts.ravel())
    overlap = np.bincount(parts[lungs], minlength=len(sizes))
    whole = (overlap >= WHOLE_SHARE * sizes)[parts]
    belongs: Mask = findings & (whole | close_plane(lungs, spacing, CLOSING_MM))
    return belongs


def largest_parts(mask: Mask, spacing: tuple[float, float, float]) -> Mask:
    """The large components of a mask (see ``grid.main_parts``), with the mask's own outline."""
    grid = Grid.of(mask, spacing)
    if grid is None:
        return np.zeros_like(mask)
    return grid.spread(main_parts(grid.cells).view(np.uint8), mask).view(np.bool_)


def close_plane(mask: Mask, spacing: tuple[float, float], distance: float) -> Mask:
    """A mask (rows, columns) closed by a disk of ``distance`` mm, by distance transforms."""
    if not mask.any():
        return mask
    margin = int(np.ceil(distance / min(spacing))) + 1
    padded = np.pad(mask, margin)
    dilated = ndimage.distance_transform_edt(~padded, sampling=spacing) <= distance
    closed = ndimage.distance_transform_edt(dilated, sampling=spacing) > distance
    return np.asarray(closed[margin:-margin, margin:-margin] | mask)

"""Segmentation by a network that reads patches of a volume: sliding window, Gaussian weights.

The window moves slice by slice of patches, so that only one patch's depth of probabilities is in memory,
however long the volume is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import product

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_]

_SIGMA = 0.125
"""The Gaussian's deviation as a share of the patch's side, as nnU-Net and MONAI have it."""
_LEAST_WEIGHT = 1e-3


def slide(
    volume: FloatArray,
    *,
    predict: Callable[[FloatArray], FloatArray],
    patch: tuple[int, int, int],
    batch: int,
    overlap: float,
    outside: Sequence[float],
    classes: Sequence[tuple[int, float]],
    progress: Callable[[float], None] | None = None,
) -> list[Mask]:
    """Segment a volume (channels, depth, rows, columns) that is ready for the network.

    ``predict`` answers (batch, channels, *patch) with probabilities (batch, classes, *patch). Patches overlap
    by the share ``overlap`` of their sides; where they do, the middle of a patch counts for more than its
    rim. A volume smaller than a patch lies in its middle; ``outside`` is what each channel has around it.
    ``classes``: the number of each class that is wanted, and from which probability on it is one.
    ``progress`` is told the share of patches done, before and after each run of the network; what it raises
    ends the segmentation.

    Returns a mask (depth, rows, columns) for each of ``classes``.
    """
    size = volume.shape[1:]
    before = [max(0, side - length) // 2 for side, length in zip(patch, size, strict=True)]
    after = [max(0, side - length) - first for side, length, first in zip(patch, size, before, strict=True)]
    if any(before) or any(after):
        margins = list(zip(before, after, strict=True))
        volume = np.stack(
            [np.pad(c, margins, constant_values=v) for c, v in zip(volume, outside, strict=True)]
        )
    masks = _slide(
        volume,
        predict=predict,
        patch=patch,
        batch=batch,
        overlap=overlap,
        classes=classes,
        progress=progress or _silent,
    )
    inner = tuple(slice(first, first + length) for first, length in zip(before, size, strict=True))
    return [mask[inner] for mask in masks]


def starts(length: int, side: int, overlap: float) -> list[int]:
    """Where patches of ``side`` begin that cover ``length`` evenly and overlap by at least that share."""
    if length <= side:
        return [0]
    step = max(1, int(side * (1 - overlap)))
    count = -(-(length - side) // step) + 1
    return [round(place) for place in np.linspace(0, length - side, count)]


def gaussian(patch: tuple[int, int, int]) -> FloatArray:
    """How much each voxel of a patch counts: 1 in the middle, less towards the rim, never 0."""
    profiles = [np.exp(-0.5 * ((np.arange(side) - (side - 1) / 2) / (_SIGMA * side)) ** 2) for side in patch]
    weights = profiles[0][:, None, None] * profiles[1][:, None] * profiles[2]
    return np.asarray(np.maximum(weights, _LEAST_WEIGHT), dtype=np.float32)


def _slide(
    volume: FloatArray,
    *,
    predict: Callable[[FloatArray], FloatArray],
    patch: tuple[int, int, int],
    batch: int,
    overlap: float,
    classes: Sequence[tuple[int, float]],
    progress: Callable[[float], None],
) -> list[Mask]:
    depth, rows, columns = volume.shape[1:]
    layers = starts(depth, patch[0], overlap)
    corners = list(product(starts(rows, patch[1], overlap), starts(columns, patch[2], overlap)))
    weights = gaussian(patch)
    masks = [np.zeros((depth, rows, columns), dtype=np.bool_) for _ in classes]
    sums = np.zeros((len(classes), patch[0], rows, columns), dtype=np.float32)
    total = np.zeros((patch[0], rows, columns), dtype=np.float32)
    runs = len(layers) * -(-len(corners) // batch)
    done = 0
    for layer, following in zip(layers, [*layers[1:], depth], strict=True):
        for places in _groups(corners, batch):
            progress(done / runs)
            cuts = [(slice(row, row + patch[1]), slice(column, column + patch[2])) for row, column in places]
            inputs = np.zeros((batch, len(volume), *patch), dtype=np.float32)
            for number, cut in enumerate(cuts):
                inputs[number] = volume[:, layer : layer + patch[0], cut[0], cut[1]]
            probabilities = predict(inputs)
            for number, cut in enumerate(cuts):
                total[:, *cut] += weights
                for place, (channel, _) in enumerate(classes):
                    sums[place][:, *cut] += weights * probabilities[number, channel]
            done += 1
        finished = following - layer
        for mask, summed, (_, threshold) in zip(masks, sums, classes, strict=True):
            mask[layer:following] = summed[:finished] >= threshold * total[:finished]
        _advance(sums, finished)
        _advance(total[None], finished)
    progress(1.0)
    return masks


def _advance(sums: FloatArray, by: int) -> None:
    """Drop the first ``by`` layers of (n, layers, rows, columns) and begin as many anew, in place."""
    kept = sums.shape[1] - by
    sums[:, :kept] = sums[:, by:].copy()
    sums[:, kept:] = 0


def _groups(items: Sequence[tuple[int, int]], size: int) -> Iterator[Sequence[tuple[int, int]]]:
    for start in range(0, len(items), size):
        yield items[start : start + size]


def _silent(_share: float) -> None:
    """Nobody wants to know."""

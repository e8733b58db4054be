"""Whole chests, spoiled chests and other body parts as mean projections along the three axes.

A whole chest holds both lungs from apex to base. What is spoiled is cut digitally from the chests.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import numpy.typing as npt

from export.data.ct import NOT_CHESTS, Volume, load_hu
from export.data.ct_projections import HIGH, LOW, Float, Sample, implant, orthogonal
from plugin.analysis import preprocess

ACCEPT, REJECT = 0, 1
#: At most this share of the lungs' length may be missing at an end of an accepted chest.
TOLERATED = 0.03
#: A spoiled chest lacks at least this share of the lungs' length.
LEAST_MISSING = 0.15
#: The fewest slices of which a projection is made.
FEWEST = 8

Draw = np.random.Generator
Cut = Callable[[Float, int, int, Draw], Float]


def _whole(values: Float, first: int, last: int, draw: Draw) -> Float:
    """All of the lungs, with a random part of what is below and above them.

    At times more is added below, mirrored, as in a scan that goes on into the abdomen.
    """
    length = last - first
    low = int(draw.integers(0, first + round(TOLERATED * length) + 1))
    high = int(draw.integers(last - round(TOLERATED * length), len(values) + 1))
    part = values[low:high]
    below = values[low:first]
    if draw.random() < 0.3 and len(below) >= 4:
        more = np.concatenate([below[::-1], below] * 3)[-length:]
        part = np.concatenate([more[-int(draw.integers(1, len(more))) :], part])
    return part


def _apex_missing(values: Float, first: int, last: int, draw: Draw) -> Float:
    cut = last - round(draw.uniform(LEAST_MISSING, 0.6) * (last - first))
    return values[int(draw.integers(0, first + 1)) : cut]


def _base_missing(values: Float, first: int, last: int, draw: Draw) -> Float:
    cut = first + round(draw.uniform(LEAST_MISSING, 0.6) * (last - first))
    return values[cut : int(draw.integers(last, len(values) + 1))]


def _few_slices(values: Float, first: int, last: int, draw: Draw) -> Float:
    count = max(FEWEST, round(draw.uniform(0.06, 0.4) * (last - first)))
    begin = int(draw.integers(first, max(first + 1, last - count)))
    return values[begin : begin + count]


def _one_lung(values: Float, first: int, last: int, draw: Draw) -> Float:
    half = round(values.shape[2] * draw.uniform(0.44, 0.54))
    part = _whole(values, first, last, draw)
    return part[:, :, :half] if draw.random() < 0.5 else part[:, :, half:]


def _upside_down(values: Float, first: int, last: int, draw: Draw) -> Float:
    return _whole(values, first, last, draw)[::-1]


def _back_to_front(values: Float, first: int, last: int, draw: Draw) -> Float:
    return _whole(values, first, last, draw)[:, ::-1]


def _axes_swapped(values: Float, first: int, last: int, draw: Draw) -> Float:
    return _whole(values, first, last, draw).transpose(1, 0, 2)


def _below_lungs(values: Float, first: int, _last: int, _draw: Draw) -> Float:
    return values[:first]


SPOILED: dict[str, Cut] = {
    "apex missing": _apex_missing,
    "base missing": _base_missing,
    "few slices": _few_slices,
    "one lung": _one_lung,
    "upside down": _upside_down,
    "back to front": _back_to_front,
    "axes swapped": _axes_swapped,
    "below the lungs": _below_lungs,
}


def field_of_view(values: Float, draw: Draw) -> Float:
    """Another field of view: cropped by up to 12 % or widened by air by up to 40 % in the plane."""
    factor = float(np.exp(draw.uniform(-0.13, 0.34)))
    rows, columns = values.shape[1:]
    if factor < 1:
        top, left = round(rows * (1 - factor) / 2), round(columns * (1 - factor) / 2)
        return values[:, top : rows - top, left : columns - left]
    top, left = round(rows * (factor - 1) / 2), round(columns * (factor - 1) / 2)
    return np.pad(values, ((0, 0), (top, top), (left, left)))


def lung_extent(lung: npt.NDArray[np.bool_]) -> tuple[int, int]:
    """First slice and one past the last that hold more than 2 % of the largest slice's lung."""
    areas = lung.sum(axis=(1, 2))
    inside = np.flatnonzero(areas > 0.02 * areas.max())
    return int(inside[0]), int(inside[-1]) + 1


def _halved(values: Float) -> Float:
    """Half the columns and rows, each the mean of four: far finer still than the network's picture."""
    rows, columns = (count - count % 2 for count in values.shape[1:])
    even = values[:, :rows, :columns]
    blocks = even.reshape(len(even), rows // 2, 2, columns // 2, 2)
    return blocks.mean(axis=(2, 4))


def chest_samples(volume: Volume, count: int, draw: Draw) -> Iterator[Sample]:
    """The chest as it is, ``count`` whole variants, and ``count`` over all kinds of spoiling.

    Every third is made from the chest with opacities implanted in up to 70 % of its lungs, for training
    only: ill lungs are lungs.
    """
    values = preprocess.window(volume.hu, LOW, HIGH)
    yield Sample(orthogonal(values), ACCEPT, volume.name, "as stored")
    ill, _ = implant(volume, values, draw, most=0.7)
    first, last = lung_extent(volume.lung)
    values, ill = _halved(values), _halved(ill)
    kinds: list[tuple[str, Cut, int]] = [("whole", _whole, ACCEPT)] * count
    for kind, cut in SPOILED.items():
        kinds += [(kind, cut, REJECT)] * max(2, round(count / len(SPOILED)))
    for number, (kind, cut, label) in enumerate(kinds):
        altered = number % 3 == 2
        part = cut(ill if altered else values, first, last, draw)
        if len(part) >= FEWEST:
            yield Sample(orthogonal(field_of_view(part, draw)), label, volume.name, kind, not altered)


def other_samples(name: str, count: int, draw: Draw) -> Iterator[Sample]:
    """``count`` parts of a volume of another body part, and all of it."""
    values = preprocess.window(load_hu(name)[0], LOW, HIGH)
    kind = NOT_CHESTS[name]
    yield Sample(orthogonal(values), REJECT, name, kind)
    values = _halved(values)
    for _ in range(count):
        length = int(draw.integers(min(FEWEST * 2, len(values)), len(values) + 1))
        begin = int(draw.integers(0, len(values) - length + 1))
        part = field_of_view(values[begin : begin + length], draw)
        yield Sample(orthogonal(part), REJECT, name, kind)

"""Parts of chest volumes projected over their lungs, as if they were all that was scanned.

A block is a range of slices or of columns. Its pictures are made by the plugin's code.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from export.data import ct
from export.data.ct_marked import marked
from export.data.ct_projections import HIGH, LOW, POSITIVE_ML, heal, implant, label_of
from plugin.analysis import preprocess
from plugin.analysis.lung_projection import LungPictures, LungScale, LungSums, layers, lung_level

Mask = npt.NDArray[np.bool_]
Float = npt.NDArray[np.float32]
Range = tuple[int, int]
#: From 250 HU above aerated lung on a voxel is dense: ground glass and more, and vessels. No lung is deeper
#: than 300 mm.
SCALE = LungScale(low=LOW, high=HIGH, level=-900.0, dense=-650.0, depth=300.0)
#: Pictures are kept at this size.
SIZE = 128
THINNEST_MM = 8.0


@dataclass(frozen=True)
class Block:
    """A part of a volume: slices and columns, each from and up to; ``kind``: whole, most or slab."""

    slices: Range
    columns: Range
    kind: str


@dataclass(frozen=True)
class Projected:
    """One block: bytes (4, SIZE, SIZE) of each axis: the network's three channels and the share of a ray's
    lung that is lesion. ``lung_ml`` and ``lesion_ml`` in it; ``coverage``: its share of the lungs."""

    block: Block
    axial: npt.NDArray[np.uint8]
    sagittal: npt.NDArray[np.uint8]
    lung_ml: float
    lesion_ml: float
    coverage: float

    @property
    def label(self) -> int | None:
        """1 with findings, 0 without any, None where that is not sure."""
        label = label_of(self.lesion_ml, self.lung_ml)
        if label is None and self.block.kind == "whole":
            return int(self.lesion_ml >= POSITIVE_ML)
        return label


class LungStack:
    """Sums of a volume's lungs up to each slice and each column, so that any block is a difference."""

    def __init__(
        self, hu: npt.NDArray[np.int16], lungs: Mask, lesion: Mask, spacing: tuple[float, float, float]
    ) -> None:
        """``lesion`` counts inside and outside ``lungs`` in mL, and inside them in pictures.

        The level of the lungs is that of the whole volume, in each of its blocks.
        """
        level = lung_level(hu, lungs)
        held = (lesion & lungs)[None].astype(np.float32)
        stacked = np.concatenate([layers(hu, lungs, SCALE, level), held])
        dk, _, di = spacing
        self.shape, self.spacing = hu.shape, spacing
        self.downwards = _cumulated(stacked.transpose(1, 0, 2, 3), dk)
        self.across = _cumulated(stacked.transpose(3, 0, 1, 2), di)
        voxel = float(np.prod(spacing)) / 1000
        self.lung = lungs.sum(axis=1, dtype=np.int64) * voxel
        self.lesion = lesion.sum(axis=1, dtype=np.int64) * voxel

    def axial(self, block: Block) -> npt.NDArray[np.float64]:
        """Sums along the body: lung, HU, dense lung and lesion (4, rows, columns) in mm."""
        (first, last), (left, right) = block.slices, block.columns
        return (self.downwards[last] - self.downwards[first])[..., left:right].astype(np.float64)

    def sagittal(self, block: Block) -> npt.NDArray[np.float64]:
        """Sums from right to left: (4, slices from head to feet, rows)."""
        (first, last), (left, right) = block.slices, block.columns
        return (self.across[right] - self.across[left])[:, first:last][:, ::-1].astype(np.float64)

    def project(self, block: Block) -> Projected | None:
        """The block's pictures; None where it holds no lung."""
        (first, last), (left, right) = block.slices, block.columns
        lung = float(self.lung[first:last, left:right].sum())
        if lung <= 0:
            return None
        return Projected(
            block=block,
            axial=_bytes(self.axial(block)),
            sagittal=_bytes(self.sagittal(block)),
            lung_ml=lung,
            lesion_ml=float(self.lesion[first:last, left:right].sum()),
            coverage=lung / float(self.lung.sum()),
        )


def pictures_of(sums: npt.NDArray[np.float64]) -> LungPictures | None:
    """The plugin's pictures of sums (3 or 4, rows, columns)."""
    return LungSums(depth=sums[0], hu=sums[1], dense=sums[2]).pictures(SCALE)


def _bytes(sums: npt.NDArray[np.float64]) -> npt.NDArray[np.uint8]:
    found = pictures_of(sums)
    assert found is not None
    top, left, bottom, right = found.box
    depth, lesion = (layer[top:bottom, left:right] for layer in (sums[0], sums[3]))
    share = np.where(depth > 0, lesion / np.where(depth > 0, depth, 1), 0).clip(0, 1).astype(np.float32)
    resized = [preprocess.resize(p, SIZE, SIZE) for p in (*found.channels, share)]
    return np.rint(np.stack(resized) * 255).astype(np.uint8)


def _cumulated(planes: Float, step: float) -> Float:
    """Sums (n + 1, ...) of planes (n, ...) that stand for ``step`` mm each, up to each of them."""
    sums = np.zeros((len(planes) + 1, *planes.shape[1:]), dtype=np.float32)
    np.cumsum(planes, axis=0, out=sums[1:])
    sums *= np.float32(step)
    return sums


def blocks_of(stack: LungStack, count: int, draw: np.random.Generator) -> Iterator[Block]:
    """The whole, then ``count`` random blocks: ranges of slices and of columns in turn, of log-uniform
    thickness from 8 mm to all of the lungs; every third holds nearly all of them."""
    planes, _, columns = stack.shape
    yield Block((0, planes), (0, columns), "whole")
    met = (stack.lung.sum(axis=1) > 0, stack.lung.sum(axis=0) > 0)
    steps = (stack.spacing[0], stack.spacing[2])
    for number in range(count):
        way = number % 2
        most = (number // 2) % 3 == 2
        begin, end = _range(np.flatnonzero(met[way]), len(met[way]), steps[way], most, draw)
        kind = "most" if most else "slab"
        if way == 0:
            yield Block((begin, end), (0, columns), kind)
        else:
            yield Block((0, planes), (begin, end), kind)


def _range(
    inside: npt.NDArray[np.int64], length: int, step: float, most: bool, draw: np.random.Generator
) -> Range:
    first, last = int(inside[0]), int(inside[-1]) + 1
    if most:
        margin = (last - first) // 10
        return int(draw.integers(0, first + margin + 1)), int(draw.integers(last - margin, length + 1))
    thickness = float(np.exp(draw.uniform(np.log(THINNEST_MM), np.log((last - first) * step))))
    planes = max(1, round(thickness / step))
    begin = int(draw.integers(first, max(first + 1, last - planes + 1)))
    return begin, min(begin + planes, length)


def stacks(volume: ct.Volume, draw: np.random.Generator) -> Iterator[tuple[str, LungStack]]:
    """The volume as it is, with its findings healed where it has any, and with made-up ones: by name.

    Made-up opacities go into healed lungs, so that every source has both classes.
    """
    lungs = marked(volume).lungs
    yield "", LungStack(volume.hu, lungs, volume.lesion, volume.spacing)
    values = preprocess.window(volume.hu, LOW, HIGH)
    if volume.lesion.any():
        values = heal(volume, values, draw)
        nothing = np.zeros_like(volume.lesion)
        yield "healed ", LungStack(_hu(values), lungs, nothing, volume.spacing)
    changed, mask = implant(volume, values, draw)
    yield "made-up ", LungStack(_hu(changed), lungs | mask, mask, volume.spacing)


def _hu(values: Float) -> npt.NDArray[np.int16]:
    return np.rint(LOW + values * (HIGH - LOW)).astype(np.int16)


def projected(stack: LungStack, blocks: Sequence[Block]) -> Iterator[Projected]:
    """Those of the blocks that are surely with or without findings."""
    for block in blocks:
        made = stack.project(block)
        if made is not None and made.label is not None:
            yield made

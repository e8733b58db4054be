"""Cases for the network that reads the segmented volume: parts of chests with and without lesions, and masks
as a segmenter draws them in patients whom it never saw.

A chest as it is, the same with its lesions healed, and with made-up ones: every collection has both classes.
An expert's mask alone would give the answer away, as it is empty where there is nothing. So masks are what
a segmenter marked that never saw the patient, or an expert's that is spoiled as such a segmenter's are:
drawn wider or narrower, parts of it left out, and other dense places of the lung marked as well.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from export.data import ct_segmented
from export.data.ct_projections import POSITIVE_ML, label_of
from export.data.ct_segmented import Bytes, Coarse, Float, Mask
from plugin.analysis.segmented_volume import Triple, masked

#: Of the lungs, what is falsely marked, log-uniform, and how often. More than segmenters do: only where as
#: much is marked without lesions as with them does the image decide.
FALSELY_MARKED = (3e-4, 0.05)
_FALSELY = 0.6
#: So often a part of the lesions is left out.
_LEFT_OUT = 0.25
#: A slab has at least so many mm.
THINNEST_MM = 30.0
#: Points around a lesion that still belong to it where what else is marked is told.
_RIM = 2
_HALF = 0.5


@dataclass(frozen=True)
class Case:
    """Bytes (2, *SHAPE) of the network's channels. ``label``: 1 with lesions, 0 without; ``kind``: whole,
    most or slab, after ``healed`` or ``made-up`` where it is changed; ``mask``: ``left-out`` (a segmenter's
    that never saw the patient), ``falsely`` (what of that is no lesion) or ``spoiled``; ``coverage``: its
    share of the lungs."""

    channels: Bytes
    label: int
    kind: str
    mask: str
    coverage: float


@dataclass(frozen=True)
class Scene:
    """A chest, as it is or changed: image and shares of lungs, lesion, and of what is marked ``falsely`` and
    ``marked`` at all (None where no segmenter read it), in [0, 1]."""

    kind: str
    image: Float
    lungs: Float
    lesion: Float
    falsely: Float
    marked: Float | None


def scenes(volume: Coarse, draw: np.random.Generator) -> Iterator[Scene]:
    """The chest as it is, healed where it has lesions, and with made-up ones in healed lungs."""
    image, lungs, lesion, marked = ct_segmented.shares(
        (volume.image, volume.lungs, volume.lesion, volume.marked)
    )
    around = ndimage.maximum_filter(lesion, size=1 + 2 * _RIM)
    falsely = np.where(around > 0, 0, marked).astype(np.float32)
    yield Scene("", image, lungs, lesion, falsely, marked)
    if lesion.any():
        image = _healed(image, lungs, lesion, draw)
        nothing = np.zeros_like(lesion)
        yield Scene("healed ", image, lungs, nothing, falsely, None)
    changed, made_up = _implanted(image, lungs, volume.steps, draw)
    yield Scene("made-up ", changed, lungs, made_up, falsely, None)


def _healed(image: Float, lungs: Float, lesion: Float, draw: np.random.Generator) -> Float:
    """Points with lesion take the value of a healthy point of their slice, else of the volume, smoothed by
    half a point."""
    healed = image.copy()
    healthy = (lungs > _HALF) & (ndimage.maximum_filter(lesion, size=3) == 0)
    everywhere = image[healthy]
    for k in np.flatnonzero(lesion.any(axis=(1, 2))):
        source = image[k][healthy[k]]
        source = everywhere if source.size < 50 else source
        holes = lesion[k] > 0
        filled = image[k].copy()
        filled[holes] = source[draw.integers(source.size, size=int(holes.sum()))]
        healed[k][holes] = ndimage.gaussian_filter(filled, 0.5)[holes]
    return healed


def _implanted(image: Float, lungs: Float, steps: Triple, draw: np.random.Generator) -> tuple[Float, Float]:
    """Made-up opacities of 2 to 6 cm in 2 to 30 % of the lungs, from ground glass to consolidation, and the
    share of each point that they take."""
    field = _field(image.shape, steps, draw.uniform(20, 60), draw)
    lung = lungs > _HALF
    limit = np.quantile(field[lung], 1 - np.exp(draw.uniform(np.log(0.02), np.log(0.3))))
    share = (np.clip((field - limit) * 4, 0, 1) * lungs).astype(np.float32)
    texture = 1 + 0.15 * _field(image.shape, steps, 6.0, draw)
    value = draw.uniform(0.4, 0.78) * texture
    changed = image + share * draw.uniform(0.5, 1.0) * np.maximum(value - image, 0)
    return np.clip(changed, 0, 1).astype(np.float32), share


def _field(shape: tuple[int, ...], steps: Triple, size: float, draw: np.random.Generator) -> Float:
    """Smooth noise of about unit deviation whose waves are about ``size`` mm long."""
    coarse = np.maximum(3, np.rint(np.array(shape) * steps / size)).astype(int)
    field = draw.standard_normal(coarse).astype(np.float32)
    return np.asarray(ndimage.zoom(field, np.array(shape) / coarse, order=1), dtype=np.float32)


def spoiled(scene: Scene, steps: Triple, draw: np.random.Generator) -> Float:
    """The lesions as a segmenter draws them: wider or narrower, some left out, other dense lung marked."""
    share = np.zeros_like(scene.lesion)
    if scene.lesion.any():
        blurred = ndimage.gaussian_filter(scene.lesion, draw.uniform(0.4, 1.2))
        ragged = blurred + 0.12 * _field(share.shape, steps, 15.0, draw)
        share = np.clip((ragged - draw.uniform(0.15, 0.6)) * 4 + _HALF, 0, 1)
        share = _some_left_out(np.where(blurred > 0.02, share, 0) * scene.lungs, draw)
    if draw.random() < _FALSELY:
        share = np.maximum(share, _dense(scene, steps, draw))
    return np.maximum(share, scene.falsely).astype(np.float32)


def _some_left_out(share: Float, draw: np.random.Generator) -> Float:
    labels, count = ndimage.label(share > _HALF)
    if count == 0 or draw.random() < _HALF:
        return share
    kept = draw.random(count + 1) >= _LEFT_OUT
    kept[0] = True
    gone = ndimage.maximum_filter((~kept)[labels], size=3)
    return np.where(gone, 0, share).astype(np.float32)


def _dense(scene: Scene, steps: Triple, draw: np.random.Generator) -> Float:
    """Dense places of lung without lesion, as far as chance has it: vessels, what lies below, walls."""
    low, high = (np.log(limit) for limit in FALSELY_MARKED)
    field = _field(scene.image.shape, steps, draw.uniform(10, 40), draw)
    smooth = ndimage.gaussian_filter(scene.image, draw.uniform(0.5, 1.5))
    clear = (scene.lungs > _HALF) & (ndimage.maximum_filter(scene.lesion, size=3) == 0)
    if clear.sum() < 100:
        return np.zeros_like(scene.image)
    weight = draw.uniform(0, 1)
    score = weight * (smooth - smooth[clear].mean()) / smooth[clear].std() + (1 - weight) * field
    limit = np.quantile(score[clear], 1 - np.exp(draw.uniform(low, high)))
    return np.where(clear & (score >= limit), scene.lungs, 0).astype(np.float32)


def cases(volume: Coarse, count: int, draw: np.random.Generator) -> Iterator[Case]:
    """The whole chest as a segmenter marked it, then ``count`` cases drawn from its scenes: those that surely
    hold lesions or surely hold none."""
    found = list(scenes(volume, draw))
    made = [_case(volume, found[0], "whole", "left-out", draw)]
    for number in range(4 * count):
        if len(made) > count:
            break
        if number % 8 == 7:  # other opacities than before
            found = list(scenes(volume, draw))
        scene = found[number % len(found)]
        kind = ("whole", "most", "slab", "slab")[int(draw.integers(4))]
        source = "spoiled" if draw.random() < _HALF else _segmenter(scene)
        case = _case(volume, scene, kind, source, draw)
        made += [] if case is None else [case]
    yield from (case for case in made if case is not None)


def measured(volume: Coarse, slabs: int, draw: np.random.Generator) -> Iterator[Case]:
    """Cases as they may come from a scanner, marked by a segmenter that never saw the patient: the whole
    chest, its slabs, and whole with the lesions healed."""
    for scene in scenes(volume, draw):
        if scene.kind.startswith("made-up"):
            continue
        source = _segmenter(scene)
        kinds = ["whole"] if scene.kind else ["whole", *("most",) * (slabs // 4), *("slab",) * slabs]
        for kind in kinds:
            case = _case(volume, scene, kind, source, draw)
            if case is not None:
                yield case


def _segmenter(scene: Scene) -> str:
    """What there is of a segmenter's own marks in a scene: all, what of them is no lesion, or too little."""
    if scene.marked is not None:
        return "left-out"
    return "spoiled" if scene.lesion.any() else "falsely"


def _case(volume: Coarse, scene: Scene, kind: str, source: str, draw: np.random.Generator) -> Case | None:
    block = _block(volume, kind, draw)
    lung_ml, lesion_ml = (
        float((layer * block).sum()) * volume.voxel_ml for layer in (scene.lungs, scene.lesion)
    )
    label = label_of(lesion_ml, lung_ml)
    if label is None and kind == "whole":
        label = int(lesion_ml >= POSITIVE_ML)
    if label is None:
        return None
    if source == "left-out" and scene.marked is not None:
        share = scene.marked
    else:
        share = scene.falsely if source == "falsely" else spoiled(scene, volume.steps, draw)
    channels = masked(scene.image * block, share * block, steps=volume.steps, context=ct_segmented.CONTEXT)
    return Case(
        channels=np.rint(channels * 255).astype(np.uint8),
        label=label,
        kind=scene.kind + kind,
        mask=source,
        coverage=lung_ml / max(float(scene.lungs.sum()) * volume.voxel_ml, 1e-6),
    )


def _block(volume: Coarse, kind: str, draw: np.random.Generator) -> Mask:
    """All, nearly all, or a slab of log-uniform thickness; a range of slices or of columns."""
    block: Mask = np.ones(volume.image.shape, dtype=np.bool_)
    if kind == "whole":
        return block
    axis = 0 if draw.random() < _HALF else 2
    others = tuple(other for other in range(3) if other != axis)
    met = np.flatnonzero(volume.lungs.any(axis=others))
    first, last, step = int(met[0]), int(met[-1]) + 1, volume.steps[axis]
    if kind == "most":
        begin = int(draw.integers(first, first + (last - first) // 10 + 1))
        end = int(draw.integers(last - (last - first) // 10, last + 1))
    else:
        extent = (last - first) * step
        thickness = np.exp(draw.uniform(np.log(min(THINNEST_MM, extent)), np.log(extent)))
        points = max(1, round(float(thickness) / step))
        begin = int(draw.integers(first, max(first + 1, last - points + 1)))
        end = begin + points
    kept: npt.NDArray[np.bool_] = np.zeros(volume.image.shape[axis], dtype=np.bool_)
    kept[begin:end] = True
    sides = [1, 1, 1]
    sides[axis] = len(kept)
    return block & kept.reshape(sides)

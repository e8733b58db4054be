"""Lungs and findings of a CT: every segmenter in use, slice-wise or volumetric, and what they measure."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from plugin.analysis.body import body_of_projection
from plugin.analysis.grid import bounding_box
from plugin.analysis.lungs import LEFT, RIGHT, separate, volume_ml
from plugin.analysis.resampling import Box, Lattice, grown, positions_of
from plugin.analysis.segmentation import refine, segment
from plugin.analysis.volumetric import slide
from plugin.dicom.imaging import CtVolume
from plugin.domain.codes import Role
from plugin.domain.errors import ModelError
from plugin.domain.findings import LungMeasurement, LungMeasurements, Side
from plugin.models.inputs import Volumetric
from plugin.models.lineup import Lineup
from plugin.models.network import Model

MAX_POINTS = 100_000_000
"""A grid of more points would take more than 2 GiB: a chest at (0.6, 0.6, 0.6) mm has about as many."""

_T = TypeVar("_T", np.bool_, np.float32)
Mask = npt.NDArray[np.bool_]
Progress = Callable[[float], None]


@dataclass(frozen=True, kw_only=True)
class Segmented:
    """Masks in canonical orientation: lungs (0 outside, RIGHT, LEFT), and the findings inside them.

    ``model`` found the findings; ``outline`` the lungs, where that was another.
    """

    model: Model
    outline: Model | None
    lungs: npt.NDArray[np.uint8]
    findings: Mask


def segment_all(
    lineup: Lineup, volume: CtVolume, *, midline: float | None, progress: Progress
) -> list[Segmented]:
    """What every segmenter in use finds, the leading one first.

    ``midline``: the body's middle column. ``progress`` is told the share done of all; what it raises ends
    the segmentation. Raises ModelError where a volumetric network has no other to find the lungs.
    """
    wanted = [m for m in (lineup.ct_segmentation, *lineup.ct_beside) if m is not None]
    used = [*wanted, *(m for m in (lineup.ct_lungs,) if m is not None)]
    slice_wise = [m for m in used if m.card.input.volume is None]
    steps = [*slice_wise, *(m for m in used if m.card.input.volume is not None)]
    masks: dict[str, tuple[Mask, Mask]] = {}
    for done, model in enumerate(steps):

        def share(part: float, done: int = done) -> None:
            progress((done + part) / len(steps))

        if model.card.input.volume is None:
            masks[model.card.name] = _by_slices(model, volume, share)
            continue
        lungs = masks[slice_wise[0].card.name][0] if slice_wise else None
        if lungs is None and model.card.needs_lungs:
            raise ModelError(f"no network is loaded that finds the lungs for {model.card.name}")
        masks[model.card.name] = _by_volume(model, model.card.input.volume, volume, lungs, share)
    return [
        Segmented(
            model=model,
            outline=None if model.class_index("lung") is not None else slice_wise[0],
            lungs=(labels := separate(lung, spacing=volume.spacing, midline=midline)),
            findings=findings & (labels > 0),
        )
        for model in wanted
        for lung, findings in [masks.pop(model.card.name)]
    ]


def measure(segmented: Segmented, volume: CtVolume, leading: Segmented | None = None) -> LungMeasurements:
    """Volumes of both lungs and of the findings in each; beside ``leading`` the agreement with that."""
    area = volume.spacing[1] * volume.spacing[2]

    def measurement(side: Side, label: int) -> LungMeasurement:
        lung = segmented.lungs == label
        volumes = (
            volume_ml(mask, thickness=volume.thickness, pixel_area=area)
            for mask in (lung, lung & segmented.findings)
        )
        return LungMeasurement(side=side, volume_ml=next(volumes), findings_ml=next(volumes))

    return LungMeasurements(
        algorithm=segmented.model.algorithm,
        outline=None if segmented.outline is None else segmented.outline.algorithm,
        left=measurement(Side.LEFT, LEFT),
        right=measurement(Side.RIGHT, RIGHT),
        agreement=None if leading is None else _dice(leading.findings, segmented.findings, volume),
    )


def _dice(one: Mask, other: Mask, volume: CtVolume) -> float | None:
    """The Dice coefficient of two masks by volume; None where both are empty."""
    shared, first, second = (
        volume_ml(mask, thickness=volume.thickness, pixel_area=1.0) for mask in (one & other, one, other)
    )
    return round(2 * shared / (first + second), 4) if first + second > 0 else None


def _by_slices(model: Model, volume: CtVolume, progress: Progress) -> tuple[Mask, Mask]:
    """Lungs and findings slice by slice."""
    return segment(
        volume.hu,
        prepare=model.prepare,
        predict=lambda inputs: model.predict(inputs).probabilities,
        batch=model.batch,
        lung=_channel(model, "lung"),
        findings=_channel(model, "finding"),
        spacing=volume.spacing,
        progress=progress,
    )


def _by_volume(
    model: Model, spec: Volumetric, volume: CtVolume, lungs: Mask | None, progress: Progress
) -> tuple[Mask, Mask]:
    """Lungs and findings patch by patch on the network's own grid; the lungs given where it finds none."""
    shape = volume.hu.shape
    source = positions_of(
        (shape[0], shape[1], shape[2]), slices=volume.positions, pixel_spacing=volume.spacing[1:]
    )
    box = bounding_box(lungs) if lungs is not None and spec.crop == "lungs" else _body(volume.hu)
    if box is None:
        return np.zeros(shape, dtype=np.bool_), np.zeros(shape, dtype=np.bool_)
    lattice = Lattice.over(
        grown(box, source=source, margin=spec.margin),
        source=source,
        spacing=spec.canonical(spec.spacing),
    )
    points = lattice.shape[0] * lattice.shape[1] * lattice.shape[2]
    if points > MAX_POINTS:
        raise ModelError(
            f"{model.card.name}: its spacing would make a grid of {points} points, the limit is {MAX_POINTS}"
        )
    channels = [_channel(model, "finding")]
    if model.class_index("lung") is not None:
        channels.append(_channel(model, "lung"))
    found = slide(
        turned(model.prepare_volume(lattice.resample(volume.hu)), spec),
        predict=lambda inputs: model.predict(inputs).probabilities,
        patch=model.card.input.patch,
        batch=model.batch,
        overlap=spec.overlap,
        outside=model.air,
        classes=channels,
        progress=progress,
    )
    findings, *own = (lattice.restore(turned_back(mask, spec)) for mask in found)
    lung = own[0] if own else None if lungs is None else lungs.copy()  # refined for these findings
    if lung is None:
        raise ModelError(f"no network is loaded that finds the lungs for {model.card.name}")
    refine(lung, findings, spacing=volume.spacing)
    return lung, findings


def _body(hu: npt.NDArray[np.int16]) -> Box | None:
    """The box of the body, over all slices."""
    mean = np.zeros(hu.shape[1:], dtype=np.float32)
    for plane in hu:
        mean += np.clip(plane, -1024, 600)
    body = body_of_projection(mean / np.float32(len(hu)))
    return bounding_box(np.broadcast_to(body, hu.shape))


def turned(volume: npt.NDArray[np.float32], spec: Volumetric) -> npt.NDArray[np.float32]:
    """A canonical volume (channels, slices, rows, columns) in the network's orientation."""
    along = volume.transpose(0, *(1 + axis for axis in spec.axes))
    return np.ascontiguousarray(along[:, *(_step(back) for back in spec.reversed)])


def turned_back(volume: npt.NDArray[_T], spec: Volumetric) -> npt.NDArray[_T]:
    """A mask or map (depth, rows, columns) in the network's orientation as a canonical one."""
    along = volume[tuple(_step(back) for back in spec.reversed)]
    return along.transpose(*np.argsort(spec.axes))


def _step(reversed_: bool) -> slice:
    return slice(None, None, -1 if reversed_ else 1)


def _channel(model: Model, role: Role) -> tuple[int, float]:
    """The channel of a segmenter's output that has a role, and its threshold."""
    index = model.class_index(role)
    if index is None:
        raise ModelError(f"{model.card.name} has no class of role {role}")
    return index, model.classes[index].threshold

"""The classifiers of a CT: each reads what its card asks for, a projection of the body or of the lungs, or
the segmented volume."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from plugin.analysis.attention import AttentionMap
from plugin.analysis.body import body_of_projection
from plugin.analysis.lung_projection import LungPictures, LungProjections, LungScale, LungSums, lung_level
from plugin.analysis.preprocess import window
from plugin.analysis.projection import Projections
from plugin.dicom.imaging import CtVolume
from plugin.domain.errors import ModelError
from plugin.domain.findings import Classification, Remark
from plugin.domain.kinds import RemarkCode
from plugin.models.inputs import HuWindow, ModelInput, Projection
from plugin.models.lineup import Lineup
from plugin.models.network import Model
from plugin.pipelines import steps
from plugin.pipelines.ct_lesions import Lesions, ask_segmented
from plugin.results.pdf.attention import ProjectionAttention
from plugin.screening.common import warn

Lungs = npt.NDArray[np.uint8]
FloatArray = npt.NDArray[np.float32]


@dataclass(frozen=True, kw_only=True)
class Classified:
    """What the classifiers said, each with the evidence it showed (None where it shows none), and what is to
    be remarked."""

    said: tuple[Classification, ...] = ()
    seen: tuple[ProjectionAttention, ...] = ()
    remarks: tuple[Remark, ...] = ()


def classify(
    models: Sequence[Model],
    volume: CtVolume,
    projections: Mapping[HuWindow, Projections],
    lesions: Lesions | None,
) -> Classified:
    """Ask every classifier. Those that read the lungs or what is marked in them are left out where
    ``lesions`` is None.

    ``projections``: of the body, for the window of every model that reads projections, or another.
    """
    lungs = None if lesions is None else lesions.lungs
    readers = [(m, projection_of(m.card.input)) for m in models if m.card.input.volume is None]
    scales = {_scale(m.card.input) for m, wanted in readers if wanted.over == "lungs"}
    over_lungs = {} if lungs is None else _project(volume, lungs, scales)
    said, seen, left_out = [], [], []
    for model, wanted in readers:
        pictures = None
        if wanted.over == "lungs":
            met = over_lungs.get(_scale(model.card.input))
            pictures = None if met is None else _side(met, wanted).pictures(_scale(model.card.input))
            if pictures is None:
                left_out.append(model.card.name)
                continue
        (body,) = views(model, projections)
        answer, shown = _ask(model, body, pictures, volume)
        said.append(answer)
        seen += [] if shown is None else [shown]
    for model in (m for m in models if m.card.input.volume is not None):
        found = None if lesions is None else ask_segmented(model, volume, lesions)
        if found is None:
            left_out.append(model.card.name)
            continue
        said.append(found[0])
        if found[1] is not None:
            body = next(iter(projections.values())).axial
            seen.append(_shown(found[0], body, found[1], volume))
    remarks: tuple[Remark, ...] = ()
    if left_out:
        names = ", ".join(left_out)
        words = f"without lungs there was nothing to read for {names}"
        remarks = (warn(RemarkCode.NOT_CLASSIFIED, words, models=names),)
    return Classified(said=tuple(said), seen=tuple(seen), remarks=remarks)


def views(model: Model, projections: Mapping[HuWindow, Projections]) -> tuple[FloatArray, ...]:
    """The mean projections of the body along the axes that a network's card names, in HU."""
    means = projections[window_of(model)]
    match projection_of(model.card.input).axis:
        case "axial":
            return (means.axial,)
        case "sagittal":
            return (means.sagittal,)
        case "orthogonal":
            return (means.axial, means.sagittal, means.coronal)


def window_of(model: Model) -> HuWindow:
    """The window of a network that reads a CT. Raises ModelError where its card has none."""
    if not isinstance(model.card.input.intensity, HuWindow):
        raise ModelError(f"{model.card.name} reads CT but its card has no HU window")
    return model.card.input.intensity


def windows_of(lineup: Lineup) -> tuple[HuWindow, ...]:
    """The windows in which a CT is projected, each once, in an order that is the same in every process.

    Those of the networks that read projections. A segmenter reads none: its window serves where no other is
    there in which to find the body's midline.
    """
    wanted = (lineup.ct_reject, *lineup.ct_classifiers)
    readers = [m for m in wanted if m is not None and m.card.input.projection is not None]
    if not readers and lineup.ct_segmentation is not None:
        readers = [lineup.ct_segmentation]
    return tuple(dict.fromkeys(window_of(m) for m in readers))


def projection_of(spec: ModelInput) -> Projection:
    """Which projection a network reads. Raises ModelError where its card names none."""
    if spec.projection is None:
        raise ModelError("a model classifies CT but its card names no projection")
    return spec.projection


def _scale(spec: ModelInput) -> LungScale:
    wanted, hu = projection_of(spec), spec.intensity
    level, dense, depth = wanted.level_hu, wanted.dense_hu, wanted.depth_mm
    if not isinstance(hu, HuWindow) or level is None or dense is None or depth is None:
        raise ModelError("a card of a projection over lungs lacks its scales")
    return LungScale(low=hu.low, high=hu.high, level=level, dense=dense, depth=depth)


def _project(
    volume: CtVolume, lungs: Lungs, scales: Collection[LungScale]
) -> dict[LungScale, LungProjections]:
    """The projections over the lungs on each of the scales."""
    if not scales:
        return {}
    level = lung_level(volume.hu, (mask > 0 for mask in lungs))
    spacing, thickness = volume.spacing, volume.thickness
    found = {s: LungProjections(s, level=level, spacing=spacing, thickness=thickness) for s in scales}
    for slice_, mask in zip(volume.hu, lungs, strict=True):
        for sums in found.values():
            sums.add(slice_, mask > 0)
    return found


def _side(met: LungProjections, wanted: Projection) -> LungSums:
    return met.axial if wanted.axis == "axial" else met.sagittal


def _ask(
    model: Model, body: FloatArray, pictures: LungPictures | None, volume: CtVolume
) -> tuple[Classification, ProjectionAttention | None]:
    """What a classifier says of its pictures, and where on the projection of the body it looked."""
    if pictures is None:
        prediction, classes = steps.ask(model, body)
        attention = steps.attention(model, prediction, classes, body_of_projection(body))
    else:
        prediction, classes = steps.ask(model, *pictures.channels)
        attention = steps.attention(model, prediction, classes, pictures.lungs, pictures.box)
        # It was given the lungs alone: what lies beside them is but the coarseness of its places.
        attention = None if attention is None else replace(attention, outside=0.0)
    said = steps.classification(model, classes)
    if attention is None or said.projection is None:
        return said, None
    return said, _shown(said, body, attention, volume)


def _shown(
    said: Classification, body: FloatArray, attention: AttentionMap, volume: CtVolume
) -> ProjectionAttention:
    between, rows, columns = (
        count * spacing for count, spacing in zip(volume.hu.shape, volume.spacing, strict=True)
    )
    return ProjectionAttention(
        projection=said.projection or "",
        picture=window(body, float(body.min()), float(body.max())),
        attention=attention,
        called=said.positive,
        size=(between, rows) if said.projection == "sagittal" else (rows, columns),
    )

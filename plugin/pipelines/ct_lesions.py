"""The classifiers of the segmented volume: each reads the lesions that the leading segmenter marked."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from plugin.analysis.attention import AttentionMap, attention_map
from plugin.analysis.preprocess import resize
from plugin.analysis.resampling import positions_of
from plugin.analysis.segmented_volume import Frame, lesion_channels
from plugin.dicom.imaging import CtVolume
from plugin.domain.errors import ModelError
from plugin.domain.findings import Classification
from plugin.models.inputs import HuWindow, Volumetric
from plugin.models.network import Model, Prediction
from plugin.pipelines import steps
from plugin.pipelines.ct_segment import turned, turned_back


@dataclass(frozen=True, kw_only=True)
class Lesions:
    """What a segmenter marked, canonical: ``lungs`` uint8 (slices, rows, columns), above 0 in the lungs;
    ``findings`` bool of that shape, inside them."""

    lungs: npt.NDArray[np.uint8]
    findings: npt.NDArray[np.bool_]


def ask_segmented(
    model: Model, volume: CtVolume, lesions: Lesions
) -> tuple[Classification, AttentionMap | None] | None:
    """What a classifier says of the segmented volume, and its evidence over the axial projection.

    None where there are no lungs. Where nothing is marked it is asked of an empty volume.
    Raises ModelError where its card does not say how the volume is made.
    """
    spec = model.card.input
    wanted, window = spec.volume, spec.intensity
    if wanted is None or wanted.context is None or not isinstance(window, HuWindow):
        raise ModelError(f"{model.card.name}: its card does not say how a segmented volume is made")
    slices, rows, columns = volume.hu.shape
    source = positions_of((slices, rows, columns), slices=volume.positions, pixel_spacing=volume.spacing[1:])
    frame = Frame.around(
        lesions.lungs,
        source=source,
        shape=wanted.canonical(spec.patch),
        spacing=wanted.canonical(wanted.spacing),
        margin=wanted.margin,
    )
    if frame is None:
        return None
    channels = lesion_channels(
        frame, volume.hu, lesions.findings, low=window.low, high=window.high, context=wanted.context
    )
    prediction, classes = steps.ask_prepared(model, model.prepare_channels(turned(channels, wanted)))
    said = steps.classification(model, classes)
    evidence = _along_the_body(model, prediction, wanted)
    if evidence is None:
        return said, None
    shades = steps.shades(model, evidence, classes)
    return said, _over_lungs(shades, frame, lesions.lungs, located=model.card.localises)


def _along_the_body(
    model: Model, prediction: Prediction, wanted: Volumetric
) -> npt.NDArray[np.float32] | None:
    """The evidence for the finding as seen along the body (rows, columns); None where the network tells none.

    Of a class activation map the mean along each ray: the mean of these is still the logit, less its bias.
    Of a map that was taught where, the most.
    """
    evidence = model.evidence(prediction)
    if evidence is None:
        return None
    places = turned_back(evidence[0], wanted)
    return np.asarray(places.max(axis=0) if model.card.localises else places.mean(axis=0))


def _over_lungs(
    shades: npt.NDArray[np.float32], frame: Frame, lungs: npt.NDArray[np.uint8], *, located: bool
) -> AttentionMap:
    """Shades of a patch as seen along the body, over the axial projection; nothing beside the lungs."""
    part, box = frame.plane(0)
    found = attention_map(
        np.ascontiguousarray(resize(shades, frame.shape[1], frame.shape[2])[part]),
        body=np.asarray((lungs > 0).any(axis=0)),
        input_shape=frame.shape[1:],
        short_side=None,
        box=box,
        located=located,
    )
    # It was given lungs alone: what lies beside them is but the coarseness of its places.
    return replace(found, outside=0.0)

"""A network as its card describes it: pictures in, probabilities and evidence out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from plugin.analysis import preprocess
from plugin.domain.codes import Role
from plugin.domain.findings import Algorithm
from plugin.models.cards import Card, ModelOutput, OutputClass
from plugin.models.figures import measured
from plugin.models.inputs import Equalise, HuWindow, ModelInput, Percentiles
from plugin.models.session import FloatArray, Session


@dataclass(frozen=True, kw_only=True)
class Prediction:
    """A network's answer to a batch of n inputs.

    ``probabilities``: float32 (n, classes) or (n, classes, H, W), after temperature and activation.
    ``attention``: float32 (n, classes, h, w), (n, classes, d, h, w) of a volume, or None where the network
    gives none.
    """

    probabilities: FloatArray
    attention: FloatArray | None


@dataclass(frozen=True, kw_only=True)
class Model:
    """A loaded network with its card. Safe to run from several threads.

    ``as_measured``: whether it runs at the operating points at which the card's figures were measured.
    """

    card: Card
    session: Session
    as_measured: bool = True

    @property
    def provider(self) -> str:
        """The execution provider that runs the network now."""
        return self.session.provider

    @property
    def classes(self) -> tuple[OutputClass, ...]:
        """The classes of the network's logits, in their order."""
        return self.card.logits.classes

    def class_index(self, role: Role) -> int | None:
        """The place of the class of that role among the logits, or None."""
        return next((number for number, c in enumerate(self.classes) if c.role == role), None)

    def evidence(self, prediction: Prediction) -> FloatArray | None:
        """Where the finding's evidence lies, (n, h, w) or (n, d, h, w); None where the network does not tell.

        The attention's classes may be fewer than the logits' and in another order: the name counts.
        """
        output = self.card.output("attention")
        if output is None or prediction.attention is None:
            return None
        finding = next(c.name for c in self.classes if c.role == "finding")
        place = next(number for number, c in enumerate(output.classes) if c.name == finding)
        return prediction.attention[:, place]

    @property
    def batch(self) -> int:
        """The fixed number of inputs in one run."""
        return self.card.input.shape[0]

    @property
    def algorithm(self) -> Algorithm:
        """How results name this network."""
        card = self.card
        return Algorithm(
            name=card.name,
            version=card.version,
            title=card.title,
            manufacturer=card.manufacturer,
            sha256=card.sha256,
            provider=self.provider,
            operating_points=tuple((c.name, c.threshold) for c in self.classes if c.role != "other"),
            measured=measured(card.figures) if self.as_measured else (),
            volume_errors=card.volume_errors if self.as_measured else None,
        )

    def prepare(self, *pictures: preprocess.NumberArray) -> FloatArray:
        """A (rows, columns) picture for all channels, or one for each, as the card's (channels, H, W)."""
        return prepare(self.card.input, *pictures)

    def prepare_volume(self, hu: preprocess.NumberArray) -> FloatArray:
        """A volume in HU on the network's grid as the card's channels, (channels, depth, rows, columns)."""
        return prepare_volume(self.card.input, hu)

    def prepare_channels(self, channels: FloatArray) -> FloatArray:
        """A segmented volume (channels, depth, rows, columns) in [0, 1], normalised for the network."""
        spec = self.card.input
        flat = preprocess.normalise(channels.reshape(*channels.shape[:2], -1), spec.mean, spec.std)
        return flat.reshape(channels.shape)

    @property
    def air(self) -> tuple[float, ...]:
        """What air is to each channel of the network: where a volume has no voxels there is air."""
        spec = self.card.input
        return tuple((0.0 - mean) / std for mean, std in zip(spec.mean, spec.std, strict=True))

    def predict(self, inputs: FloatArray) -> Prediction:
        """Run n <= batch prepared inputs of shape (n, channels, H, W); the rest is padded with zeros."""
        count = len(inputs)
        if count < self.batch:
            padding = np.zeros((self.batch - count, *inputs.shape[1:]), dtype=np.float32)
            inputs = np.concatenate([inputs, padding])
        wanted = [output.name for output in self.card.outputs]
        answers = self.session.run(wanted, {self.card.input.name: inputs})
        by_name = dict(zip(wanted, answers, strict=True))
        attention = self.card.output("attention")
        return Prediction(
            probabilities=_activate(by_name[self.card.logits.name][:count], self.card.logits),
            attention=None if attention is None else by_name[attention.name][:count],
        )


def prepare(spec: ModelInput, *pictures: preprocess.NumberArray) -> FloatArray:
    """One (rows, columns) picture for all channels, or one for each, as (channels, H, W).

    Intensity rule, resize and crop picture by picture, then normalisation.
    """
    return preprocess.normalise(np.stack([_fit(spec, p) for p in pictures]), spec.mean, spec.std)


def prepare_volume(spec: ModelInput, hu: preprocess.NumberArray) -> FloatArray:
    """A volume in HU (depth, rows, columns) as (channels, depth, rows, columns): window, then normalisation.

    Raises ValueError where the card has no HU window.
    """
    if not isinstance(spec.intensity, HuWindow):
        raise ValueError("a network that reads volumes needs an HU window")
    scaled = preprocess.window(hu, spec.intensity.low, spec.intensity.high)
    flat = preprocess.normalise(scaled.reshape(1, len(scaled), -1), spec.mean, spec.std)
    return flat.reshape(-1, *scaled.shape)


def _fit(spec: ModelInput, picture: preprocess.NumberArray) -> FloatArray:
    """A picture in [0, 1] at the network's size."""
    scaled = _scaled(spec, picture)
    rows, columns = spec.shape[2:]
    if spec.resize.mode == "stretch" or spec.resize.size is None:
        return preprocess.resize(scaled, rows, columns)
    shape = preprocess.short_side_shape(scaled.shape[0], scaled.shape[1], spec.resize.size)
    return preprocess.central_crop(preprocess.resize(scaled, *shape), rows, columns)


def _scaled(spec: ModelInput, picture: preprocess.NumberArray) -> FloatArray:
    """A picture in [0, 1] at its own size; a projection over lungs is that already."""
    if spec.projection is not None and spec.projection.over == "lungs":
        return picture.astype(np.float32)
    match spec.intensity:
        case HuWindow(low=low, high=high):
            return preprocess.window(picture, low, high)
        case Percentiles(low=low, high=high):
            return preprocess.percentile_window(picture, low, high)
        case Equalise():
            return preprocess.equalise(picture)


def _activate(values: Any, output: ModelOutput) -> FloatArray:
    scaled = np.asarray(values, dtype=np.float32) / np.float32(output.temperature)
    if output.activation == "softmax":
        shifted = np.exp(scaled - scaled.max(axis=1, keepdims=True))
        return np.asarray(shifted / shifted.sum(axis=1, keepdims=True), dtype=np.float32)
    if output.activation == "sigmoid":
        # exp of a large number overflows to inf, of which the reciprocal is the right zero.
        with np.errstate(over="ignore"):
            return np.asarray(1.0 / (1.0 + np.exp(-scaled)), dtype=np.float32)
    return scaled

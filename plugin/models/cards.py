"""Model cards: what the plugin must know of a network, typed, checked and read from ``card.json``.

A folder ``onnx_models/<name>/`` holds ``model.onnx`` and ``card.json``. Preprocessing, the meaning of
the outputs and the operating point come from the card alone, so that another hospital's model is a
folder dropped in.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field, model_validator

from plugin.domain.codes import Code, Role
from plugin.domain.kinds import Modality


class _Strict(BaseModel):
    """Base of every part of a card: a misspelt key is an error, and a card never changes once read."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class HuWindow(_Strict):
    """Hounsfield units clipped to [low, high] and scaled to [0, 1]."""

    rule: Literal["hu_window"] = "hu_window"
    low: float
    high: float


class Percentiles(_Strict):
    """Display values clipped to two percentiles of the picture (0-100) and scaled to [0, 1]."""

    rule: Literal["percentiles"] = "percentiles"
    low: float = Field(ge=0, lt=50)
    high: float = Field(gt=50, le=100)


class Equalise(_Strict):
    """Histogram equalisation of the whole picture to [0, 1]."""

    rule: Literal["equalise"] = "equalise"


Intensity = Annotated[HuWindow | Percentiles | Equalise, Field(discriminator="rule")]


class Resize(_Strict):
    """How a picture comes to the size of the network.

    ``stretch`` brings it to the input shape whatever its aspect; ``short_side`` scales so that its
    shorter side has ``size`` pixels, and a central crop of the input shape follows.
    Interpolation is always bilinear with antialiasing (``plugin.analysis.preprocess.resize``).
    """

    mode: Literal["stretch", "short_side"]
    size: int | None = None

    @model_validator(mode="after")
    def _size_belongs_to_short_side(self) -> Resize:
        if (self.mode == "short_side") != (self.size is not None):
            raise ValueError("resize.size is required for mode short_side, and only there")
        return self


class Projection(_Strict):
    """Which mean projections of a CT volume the network reads.

    ``axial``: the mean along the body axis, rows towards posterior, columns towards the patient's left.
    ``sagittal``: the mean along left-right, rows from head to feet, columns towards posterior.
    ``orthogonal``: the axial, the sagittal and the coronal mean, a channel each; the coronal is the mean
    along front-back, rows from head to feet, columns towards the patient's left.
    HU are clipped to the card's window before the mean is taken.
    """

    axis: Literal["axial", "sagittal", "orthogonal"]


class ModelInput(_Strict):
    """The network's input: name in the graph, fixed shape (N, C, H, W), and how it is made."""

    name: str
    shape: tuple[int, int, int, int]
    intensity: Intensity
    resize: Resize
    mean: tuple[float, ...]
    std: tuple[float, ...]
    projection: Projection | None = None

    @model_validator(mode="after")
    def _one_statistic_per_channel(self) -> ModelInput:
        if not len(self.mean) == len(self.std) == self.shape[1]:
            raise ValueError(f"mean and std must have {self.shape[1]} values, one per channel")
        return self

    @model_validator(mode="after")
    def _one_channel_per_projection(self) -> ModelInput:
        if self.projection and self.projection.axis == "orthogonal" and self.shape[1] != 3:
            raise ValueError("orthogonal projections need three channels")
        return self


class OutputClass(_Strict):
    """One class of an output, with the threshold at which it is called (probability >= threshold).

    ``role`` tells the plugin what the class is for, whatever its name: ``finding`` is what a classifier
    or segmenter looks for, ``reject`` ends the reading, ``lung`` is the lungs' mask.
    """

    name: str
    meaning: str
    role: Role = "other"
    code: Code | None = None
    threshold: float = Field(default=0.5, ge=0, le=1)


class ModelOutput(_Strict):
    """One output of the graph.

    ``logits`` of shape (N, classes) for classifiers, (N, classes, H, W) for segmenters;
    ``attention`` of shape (N, classes, h, w): the classifier's evidence per place, whose spatial mean
    plus bias is the logit (class activation map, exact for a linear classifier on pooled features).
    """

    name: str
    meaning: Literal["logits", "attention"]
    classes: tuple[OutputClass, ...]
    activation: Literal["softmax", "sigmoid", "none"]
    temperature: float = Field(default=1.0, gt=0)


class Figure(_Strict):
    """A measured figure with its 95 % interval, the data it was measured on, and the command that did."""

    name: str
    value: float | None
    interval: tuple[float, float] | None = None
    n: int
    measured_on: str
    command: str
    remark: str = ""


Pattern = Literal["noise", "squares"]
#: Pixels along each side of a square of the self-test's picture.
SQUARE = 16


class SelfTest(_Strict):
    """A seeded input and the expected values of the first output.

    The input is ``numpy.random.default_rng(seed).random``, put through the card's mean and std: ``noise`` of
    every value, or ``squares`` of 16 pixels of one grey, which are more like a picture: a network without
    bounds on its features may answer noise with anything. ``expected`` are the first values of the first
    output, flattened.
    """

    seed: int
    pattern: Pattern = "noise"
    expected: tuple[float, ...]
    tolerance: float = Field(gt=0)


def self_test_picture(
    seed: int, pattern: Pattern, shape: Sequence[int], mean: Sequence[float], std: Sequence[float]
) -> npt.NDArray[np.float32]:
    """The input of a :class:`SelfTest`, of ``shape`` (N, C, H, W)."""
    draw = np.random.default_rng(seed)
    if pattern == "noise":
        values = draw.random(tuple(shape), dtype=np.float32)
    else:
        count, _, rows, columns = shape
        greys = draw.random((count, 1, -(-rows // SQUARE), -(-columns // SQUARE)), dtype=np.float32)
        values = greys.repeat(SQUARE, axis=2).repeat(SQUARE, axis=3)[:, :, :rows, :columns]
    offset = np.asarray(mean, dtype=np.float32)[:, None, None]
    return (values - offset) / np.asarray(std, dtype=np.float32)[:, None, None]


class Card(_Strict):
    """A model card. See ``onnx_models/README.md`` for each key in words.

    ``task``: ``classify`` (which may have a REJECTION class), ``reject`` (accept or reject), ``segment``.
    ``default_rank``: among models of one task, modality and projection the settings' ``auto`` takes the
    one with the lowest rank.
    """

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9-]{1,62}$")
    version: str = Field(pattern=r"^\d+\.\d+\.\d+$")
    title: str = Field(max_length=64)
    task: Literal["reject", "classify", "segment"]
    modality: Modality
    default_rank: int = 100
    file: str = Field(default="model.onnx", pattern=r"^[A-Za-z0-9._-]+$")
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    architecture: str
    manufacturer: str = Field(max_length=64)
    input: ModelInput
    outputs: tuple[ModelOutput, ...]
    training_data: str
    training_licence: str
    figures: tuple[Figure, ...]
    shortcut_checks: tuple[Figure, ...] = ()
    intended_use: str
    limits: str
    licence: str
    self_test: SelfTest

    def output(self, meaning: str) -> ModelOutput | None:
        """The output of that meaning, or None."""
        return next((o for o in self.outputs if o.meaning == meaning), None)

    @model_validator(mode="after")
    def _has_the_classes_of_its_task(self) -> Card:
        logits = self.output("logits")
        if logits is None:
            raise ValueError("a model needs an output whose meaning is logits")
        roles = [c.role for c in logits.classes]
        for role in _ROLES[self.task]:
            if roles.count(role) != 1:
                raise ValueError(f"a model that can {self.task} needs one class of role {role}")
        return self


_ROLES: dict[str, tuple[Role, ...]] = {
    "classify": ("finding",),
    "reject": ("reject",),
    "segment": ("lung", "finding"),
}


def read_card(folder: Path) -> Card:
    """Read and check ``folder/card.json``.

    Raises OSError where the file cannot be read and pydantic.ValidationError where it is not a card.
    """
    return Card.model_validate_json((folder / "card.json").read_bytes())


def public_card(card: Card) -> dict[str, Any]:
    """The card as JSON-ready values, as ``GET /ai/models`` answers it."""
    return card.model_dump(mode="json")

"""Model cards: what the plugin must know of a network, typed, checked and read from ``card.json``.

A folder ``onnx_models/<name>/`` holds ``model.onnx`` and ``card.json``. Preprocessing, the meaning of
the outputs and the operating point come from the card alone, so that another hospital's model is a
folder dropped in.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from plugin.domain.codes import Code, Role
from plugin.domain.errors import first_line
from plugin.domain.kinds import Modality
from plugin.models.selftest import SelfTest
from plugin.models.volumetric import Volumetric


class Strict(BaseModel):
    """Base of every part of a card: a misspelt key is an error, and a card never changes once read."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class HuWindow(Strict):
    """Hounsfield units clipped to [low, high] and scaled to [0, 1]."""

    rule: Literal["hu_window"] = "hu_window"
    low: float
    high: float


class Percentiles(Strict):
    """Display values clipped to two percentiles of the picture (0-100) and scaled to [0, 1]."""

    rule: Literal["percentiles"] = "percentiles"
    low: float = Field(ge=0, lt=50)
    high: float = Field(gt=50, le=100)


class Equalise(Strict):
    """Histogram equalisation of the whole picture to [0, 1]."""

    rule: Literal["equalise"] = "equalise"


Intensity = Annotated[HuWindow | Percentiles | Equalise, Field(discriminator="rule")]


class Resize(Strict):
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


class Projection(Strict):
    """Which mean projections of a CT volume the network reads, and over which voxels.

    ``axial``: the mean along the body axis, rows towards posterior, columns towards the patient's left.
    ``sagittal``: the mean along left-right, rows from head to feet, columns towards posterior.
    ``orthogonal``: the axial, the sagittal and the coronal mean, a channel each; the coronal is the mean
    along front-back, rows from head to feet, columns towards the patient's left.
    HU are clipped to the card's window before the mean is taken.

    ``over``: ``body``, all voxels; or ``lungs``, those that the segmenter in use gives to the lungs. Then the
    network has three channels, cut to the box of the lungs: the mean HU of a ray's lung voxels in the card's
    window, the share of them from ``dense_hu`` on, and the lung's depth, of which ``depth_mm`` is 1. Before
    that the HU are shifted so that the tenth percentile of the lungs lies at ``level_hu``
    (``plugin.analysis.lung_projection``).
    """

    axis: Literal["axial", "sagittal", "orthogonal"]
    over: Literal["body", "lungs"] = "body"
    level_hu: float | None = None
    dense_hu: float | None = None
    depth_mm: float | None = Field(default=None, gt=0)

    @model_validator(mode="after")
    def _scales_belong_to_lungs(self) -> Projection:
        lungs = self.over == "lungs"
        if any(lungs == (scale is None) for scale in (self.level_hu, self.dense_hu, self.depth_mm)):
            raise ValueError(
                "level_hu, dense_hu and depth_mm are required for a projection over lungs, and only there"
            )
        if lungs and self.axis == "orthogonal":
            raise ValueError("a projection over lungs is axial or sagittal")
        return self


class ModelInput(Strict):
    """The network's input: name in the graph, fixed shape, and how it is made.

    ``shape`` is (N, C, H, W), or (N, C, D, H, W) for a segmenter that reads a volume, which then has
    ``volume`` and is resampled where others are resized.
    """

    name: str
    shape: tuple[Annotated[int, Field(ge=1)], ...] = Field(min_length=4, max_length=5)
    intensity: Intensity
    resize: Resize = Resize(mode="stretch")
    mean: tuple[float, ...]
    std: tuple[float, ...]
    projection: Projection | None = None
    volume: Volumetric | None = None

    @property
    def patch(self) -> tuple[int, int, int]:
        """What a network that reads a volume takes of it at a time."""
        first, second, third = self.shape[2:]
        return first, second, third

    @model_validator(mode="after")
    def _five_axes_for_a_volume(self) -> ModelInput:
        if (len(self.shape) == 5) != (self.volume is not None):
            raise ValueError("a shape of five numbers needs input.volume, and only that")
        if self.volume and (self.projection or self.resize.mode != "stretch"):
            raise ValueError("a volume is neither projected nor brought to a shorter side")
        return self

    @model_validator(mode="after")
    def _one_statistic_per_channel(self) -> ModelInput:
        if not len(self.mean) == len(self.std) == self.shape[1]:
            raise ValueError(f"mean and std must have {self.shape[1]} values, one per channel")
        return self

    @model_validator(mode="after")
    def _one_channel_per_projection(self) -> ModelInput:
        if self.projection and self.shape[1] != 3:
            if self.projection.axis == "orthogonal":
                raise ValueError("orthogonal projections need three channels")
            if self.projection.over == "lungs":
                raise ValueError("a projection over lungs needs three channels")
        return self

    @model_validator(mode="after")
    def _lungs_are_stretched(self) -> ModelInput:
        if self.projection and self.projection.over == "lungs" and self.resize.mode != "stretch":
            raise ValueError("a projection over lungs is stretched to the input")
        return self


class OutputClass(Strict):
    """One class of an output, with the threshold at which it is called (probability >= threshold).

    ``role`` tells the plugin what the class is for, whatever its name: ``finding`` is what a classifier
    or segmenter looks for, ``reject`` ends the reading, ``lung`` is the lungs' mask.
    """

    name: str
    meaning: str
    role: Role = "other"
    code: Code | None = None
    threshold: float = Field(default=0.5, ge=0, le=1)


class ModelOutput(Strict):
    """One output of the graph.

    ``logits`` of shape (N, classes) for classifiers, (N, classes, H, W) for segmenters of slices,
    (N, classes, D, H, W) for those of volumes;
    ``attention`` of shape (N, classes, h, w): the classifier's evidence per place, above 0 where there is
    any: a class activation map (whose spatial mean plus bias is the logit of a linear classifier on pooled
    features), or a map that was taught where and measured to be right (``localises``). Its classes are found
    by their names: they may be fewer than the logits', in any order.
    """

    name: str
    meaning: Literal["logits", "attention"]
    classes: tuple[OutputClass, ...]
    activation: Literal["softmax", "sigmoid", "none"]
    temperature: float = Field(default=1.0, gt=0)
    localises: bool = False

    @model_validator(mode="after")
    def _only_an_attention_localises(self) -> ModelOutput:
        if self.localises and self.meaning != "attention":
            raise ValueError(f"output {self.name}: only an attention can localise")
        return self

    @model_validator(mode="after")
    def _no_class_twice(self) -> ModelOutput:
        names = [c.name for c in self.classes]
        if len(set(names)) != len(names):
            raise ValueError(f"output {self.name} names a class twice")
        return self

    @model_validator(mode="after")
    def _softmax_has_a_choice(self) -> ModelOutput:
        if self.activation == "softmax" and len(self.classes) < 2:
            raise ValueError(f"output {self.name}: a softmax over one class is always 1")
        return self


class Figure(Strict):
    """A measured figure with its 95 % interval, the data it was measured on, and the command that did."""

    name: str
    value: float | None
    interval: tuple[float, float] | None = None
    n: int
    measured_on: str
    command: str
    remark: str = ""


class Card(Strict):
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

    @property
    def needs_lungs(self) -> bool:
        """Whether another network has to find the lungs before this one reads a CT."""
        volume = self.input.volume
        return volume is not None and (
            volume.crop == "lungs" or all(c.role != "lung" for c in self.logits.classes)
        )

    @property
    def logits(self) -> ModelOutput:
        """The output that every card has."""
        return next(o for o in self.outputs if o.meaning == "logits")

    @model_validator(mode="after")
    def _has_one_output_of_a_meaning(self) -> Card:
        meanings = [o.meaning for o in self.outputs]
        if meanings.count("logits") != 1:
            raise ValueError("a model needs one output whose meaning is logits")
        if meanings.count("attention") > 1:
            raise ValueError("a model has at most one output whose meaning is attention")
        return self

    @model_validator(mode="after")
    def _has_the_classes_of_its_task(self) -> Card:
        roles = [c.role for c in self.logits.classes]
        if roles.count("lung") > 1:
            raise ValueError("a model has at most one class of role lung")
        for role in _ROLES[self.task]:
            # A network of volumes may leave the lungs to a slice-wise one.
            if roles.count(role) != 1 and not (role == "lung" and self.input.volume):
                raise ValueError(f"a model that can {self.task} needs one class of role {role}")
        if self.task == "classify" and roles.count("reject") > 1:
            raise ValueError("a classifier has at most one class of role reject")
        if self.task == "classify" and "other" not in roles:
            raise ValueError(
                "a classifier needs a class of role other, which is called where the finding is not"
            )
        return self

    @model_validator(mode="after")
    def _shows_the_evidence_for_its_finding(self) -> Card:
        attention = self.output("attention")
        if attention is None or self.task != "classify":
            return self
        finding = next(c.name for c in self.logits.classes if c.role == "finding")
        if finding not in (c.name for c in attention.classes):
            raise ValueError(f"the attention has no class {finding}, which is the finding of the logits")
        return self

    @model_validator(mode="after")
    def _reads_what_its_modality_gives(self) -> Card:
        spec = self.input
        if spec.volume and self.task != "segment":
            raise ValueError("only a segmenter reads volumes")
        if self.modality != Modality.CT:
            if spec.projection is not None or spec.volume is not None:
                raise ValueError("only a CT has projections and volumes")
            return self
        if not isinstance(spec.intensity, HuWindow):
            raise ValueError("a model that reads CT needs input.intensity of rule hu_window")
        if (self.task == "segment") != (spec.projection is None):
            raise ValueError("a model that reads CT needs input.projection unless it segments")
        if self.task == "classify" and spec.projection and spec.projection.axis == "orthogonal":
            raise ValueError("a CT classifier reads one projection, axial or sagittal")
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


def read_cards(folder: Path) -> tuple[dict[str, Card], dict[str, str]]:
    """Every card of a model folder by name, and by folder what is wrong with those that cannot be read.

    A card must carry the name of its folder.
    """
    cards: dict[str, Card] = {}
    problems: dict[str, str] = {}
    for path in sorted(folder.glob("*/card.json")):
        name = path.parent.name
        try:
            card = read_card(path.parent)
        except ValidationError as error:
            problems[name] = "; ".join(what_is_wrong(item) for item in error.errors())
        except (OSError, ValueError) as error:
            problems[name] = first_line(error)
        else:
            if card.name == name:
                cards[name] = card
            else:
                problems[name] = f"its card names it {card.name}"
    return cards, problems


def what_is_wrong(item: Mapping[str, Any]) -> str:
    """One of pydantic's errors: where it is, and what."""
    place = ".".join(str(part) for part in item["loc"])
    return f"{place}: {item['msg']}" if place else str(item["msg"])


def public_card(card: Card) -> dict[str, Any]:
    """The card as JSON-ready values, as ``GET /ai/models`` answers it."""
    return card.model_dump(mode="json")

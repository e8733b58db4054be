"""Model cards: what the plugin must know of a network, typed, checked and read from ``card.json``.

A folder ``onnx_models/<name>/`` holds ``model.onnx`` and ``card.json``. Preprocessing, the meaning of
the outputs and the operating point come from the card alone, so that another hospital's model is a
folder dropped in.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, ValidationError, model_validator

from plugin.domain.codes import Code, Role
from plugin.domain.errors import first_line
from plugin.domain.kinds import Modality
from plugin.domain.volume_errors import VolumeErrors
from plugin.models.inputs import HuWindow, ModelInput, Strict
from plugin.models.selftest import SelfTest


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
    ``attention`` of shape (N, classes, h, w), (N, classes, d, h, w) where the classifier reads a volume: its
    evidence per place, above 0 where there is
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
    one with the lowest rank. ``volume_errors``: of a segmenter, measured at the thresholds of the card.
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
    volume_errors: VolumeErrors | None = None
    intended_use: str
    limits: str
    licence: str
    self_test: SelfTest

    def output(self, meaning: str) -> ModelOutput | None:
        """The output of that meaning, or None."""
        return next((o for o in self.outputs if o.meaning == meaning), None)

    @property
    def localises(self) -> bool:
        """Whether its attention was measured to find the disease's place."""
        attention = self.output("attention")
        return attention is not None and attention.localises

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
        if self.volume_errors is not None and self.task != "segment":
            raise ValueError("only a model that segments has volume_errors")
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
        if self.modality != Modality.CT:
            if spec.projection is not None or spec.volume is not None:
                raise ValueError("only a CT has projections and volumes")
            return self
        if spec.volume:
            context = {"segment": False, "classify": True}.get(self.task)
            if context is None or context != (spec.volume.context is not None):
                raise ValueError(
                    "a segmenter reads a volume without input.volume.context, a classifier a segmented one "
                    "with it, and a rejector none"
                )
        if not isinstance(spec.intensity, HuWindow):
            raise ValueError("a model that reads CT needs input.intensity of rule hu_window")
        if (self.task == "segment" or spec.volume is not None) != (spec.projection is None):
            raise ValueError(
                "a model that reads CT needs input.projection unless it segments or reads a segmented volume"
            )
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

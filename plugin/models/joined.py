"""How the classifiers and the segmentation of a CT are joined into one statement, as data.

``onnx_models/<name>/joined.json`` holds a logistic regression with its figures, as a card does for a network:
the parts by name and digest, what each weighs, the operating point, and examples that it must give. It joins
what those very parts said, and nothing else.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from pydantic import Field, ValidationError, model_validator

from plugin.analysis.attention import log_odds
from plugin.domain.codes import Code
from plugin.domain.errors import first_line
from plugin.domain.findings import (
    Algorithm,
    Classification,
    ClassProbability,
    LungMeasurements,
)
from plugin.models.cards import Figure, what_is_wrong
from plugin.models.figures import measured
from plugin.models.inputs import Strict
from plugin.models.network import Model

FILE = "joined.json"
PROVIDER = "arithmetic"
_TOLERANCE = 1e-4


class Part(Strict):
    """A network that has a say: its card's name, its file's digest, and the weight of what it says."""

    model: str
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    weight: float


class Example(Strict):
    """What the parts may say, and the probability that this comes to."""

    axial: float = Field(ge=0, le=1)
    sagittal: float = Field(ge=0, le=1)
    percent: float = Field(ge=0, le=100)
    probability: float = Field(ge=0, le=1)


class JoinedClass(Strict):
    """One of the two answers: its name and meaning as in a card."""

    name: str
    meaning: str
    role: Literal["finding", "other"]
    code: Code | None = None


class Joined(Strict):
    """The log odds are ``intercept`` plus, each times its weight, the log odds of ``axial`` and ``sagittal``
    and the log of the percentage of both lungs that ``segmentation`` marks.

    A percentage below ``least_percent`` counts as this, as so much is marked where there is nothing; one
    above ``most_percent`` as that, as how much there is then tells no more of whether there is any.
    """

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9-]{1,62}$")
    version: str = Field(pattern=r"^\d+\.\d+\.\d+$")
    title: str = Field(max_length=64)
    manufacturer: str = Field(max_length=64)
    intercept: float
    axial: Part
    sagittal: Part
    segmentation: Part
    least_percent: float = Field(gt=0, lt=100)
    most_percent: float = Field(gt=0, le=100)
    classes: tuple[JoinedClass, JoinedClass]
    threshold: float = Field(gt=0, lt=1)
    training_data: str
    training_licence: str
    figures: tuple[Figure, ...]
    shortcut_checks: tuple[Figure, ...] = ()
    intended_use: str
    limits: str
    licence: str
    examples: tuple[Example, ...] = Field(min_length=2)

    @property
    def parts(self) -> tuple[Part, Part, Part]:
        """The networks that are joined."""
        return self.axial, self.sagittal, self.segmentation

    def probability(self, *, axial: float, sagittal: float, percent: float) -> float:
        """The joined probability (0 to 1) of two probabilities and a percentage of both lungs."""
        share = math.log(min(max(percent, self.least_percent), self.most_percent))
        said = (log_odds(axial), log_odds(sagittal), share)
        odds = self.intercept + sum(part.weight * value for part, value in zip(self.parts, said, strict=True))
        return 1 / (1 + math.exp(-min(max(odds, -30.0), 30.0)))

    @model_validator(mode="after")
    def _has_a_finding_and_another(self) -> Joined:
        if sorted(c.role for c in self.classes) != ["finding", "other"]:
            raise ValueError("a joined statement has one class of role finding and one of role other")
        return self

    @model_validator(mode="after")
    def _gives_its_examples(self) -> Joined:
        for example in self.examples:
            got = self.probability(axial=example.axial, sagittal=example.sagittal, percent=example.percent)
            if abs(got - example.probability) > _TOLERANCE:
                raise ValueError(f"an example should give {example.probability}, and gives {got:.6f}")
        return self


class Joiner:
    """A joined statement that is ready to be made."""

    def __init__(self, card: Joined, sha256: str) -> None:
        """``sha256``: of the file that ``card`` was read from."""
        self.card = card
        self.algorithm = Algorithm(
            name=card.name,
            version=card.version,
            title=card.title,
            manufacturer=card.manufacturer,
            sha256=sha256,
            provider=PROVIDER,
            operating_points=tuple((c.name, card.threshold) for c in card.classes if c.role == "finding"),
            measured=measured(card.figures),
        )

    def fits(self, models: Sequence[Model]) -> bool:
        """Whether its very parts are in use, each as it was measured."""
        used = {(m.card.name, m.card.sha256) for m in models if m.as_measured}
        return all((part.model, part.sha256) in used for part in self.card.parts)

    def join(self, said: Sequence[Classification], lungs: LungMeasurements | None) -> Classification | None:
        """One statement of what the parts said; None where one of them said nothing."""
        by_name = {one.algorithm.name: one.finding.probability for one in said}
        axial, sagittal = (by_name.get(part.model) for part in (self.card.axial, self.card.sagittal))
        if axial is None or sagittal is None or lungs is None:
            return None
        if lungs.algorithm.name != self.card.segmentation.model:
            return None
        found = self.card.probability(axial=axial, sagittal=sagittal, percent=lungs.percent)
        classes = tuple(
            ClassProbability(
                name=c.name,
                meaning=c.meaning,
                code=c.code,
                role=c.role,
                probability=found if c.role == "finding" else 1 - found,
                threshold=self.card.threshold if c.role == "finding" else 1 - self.card.threshold,
            )
            for c in self.card.classes
        )
        role = "finding" if found >= self.card.threshold else "other"
        called = next(c.name for c in classes if c.role == role)
        return Classification(algorithm=self.algorithm, projection="joined", classes=classes, called=called)


def read_joiners(folder: Path) -> tuple[list[Joiner], dict[str, str]]:
    """Every joined statement of a model folder in the order of names, and by name what is wrong with others.

    It must carry the name of its folder.
    """
    found: list[Joiner] = []
    problems: dict[str, str] = {}
    for path in sorted(folder.glob(f"*/{FILE}")):
        name = path.parent.name
        try:
            content = path.read_bytes()
            card = Joined.model_validate_json(content)
        except ValidationError as error:
            problems[name] = "; ".join(what_is_wrong(item) for item in error.errors())
        except OSError as error:
            problems[name] = first_line(error)
        else:
            if card.name == name:
                found.append(Joiner(card, hashlib.sha256(content).hexdigest()))
            else:
                problems[name] = f"its file names it {card.name}"
    return found, problems

"""Networks on mean projections of a CT: features cached, one head per fold and one on everybody."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt

from export.data import ct
from export.data.ct_projections import HIGH, LOW, Axis, Sample
from export.measured import Measured
from export.models.ct_linear import Extractor, Features, Head, fit, joined
from export.networks.lite import MEAN, STD
from export.onnx_writer import write_card, write_graph
from export.paths import ONNX_MODELS, runs_folder
from plugin.cards import (
    Card,
    HuWindow,
    ModelInput,
    ModelOutput,
    OutputClass,
    Projection,
    Resize,
)

_log = logging.getLogger(__name__)
LICENCE = "Weights: CC BY-NC-SA 4.0, as the COVID-19-CT-Seg data ask; ImageNet start Apache-2.0"
TRAINING_LICENCE = "CC BY-NC-SA 4.0 (COVID-19-CT-Seg), CC BY 3.0 and 4.0; partly unstated"
PROD = " The head is fitted on all patients; the figures are those of heads fitted without the patient."


@dataclass(frozen=True)
class CardText:
    """What the card says in words."""

    title: str
    training_data: str
    intended_use: str
    limits: str


@dataclass(frozen=True)
class OutOfFold:
    """Every measured picture with the logit of the head that never saw its patient."""

    table: Features
    logit: npt.NDArray[np.float64]


@dataclass(frozen=True)
class ProjectionModel:
    """A two-class network on one mean projection; class 1 is the one that is called.

    ``samples``: (volume name, seed) to its labelled projections. ``measure``: figures, temperature and
    operating point from the pictures that the fold's head did not see.
    """

    name: str
    task: Literal["reject", "classify"]
    axis: Axis
    size: int
    variants: int
    strength: float
    volumes: Callable[[], list[str]]
    samples: Callable[[str, int], Iterator[Sample]]
    measure: Callable[[OutOfFold, str], Measured]
    classes: tuple[OutputClass, OutputClass]
    text: CardText
    default_rank: int

    def features(self, name: str) -> Features:
        """The features of one volume's projections; cached."""
        cache = runs_folder(self.name) / f"{name}.npz"
        if not cache.exists():
            seed = 1000 + self.volumes().index(name)
            extractor = Extractor(self.size, self.axis == "axial", self.variants)
            extractor.features(self.samples(name, seed), seed).save(cache)
        return Features.load(cache)

    def table(self, names: Iterable[str]) -> Features:
        """The features of several volumes, with progress."""
        parts = []
        for name in names:
            parts.append(self.features(name))
            _log.info("%s: %s, %d pictures", self.name, name, len(parts[-1].label))
        return joined(parts)

    def train(self) -> None:
        """TRAIN: a head per fold without its patients; PROD: one on all. Goes on where it was cut off."""
        table = self.table(n for n in self.volumes() if n != ct.DICOM_CHEST)
        folds = np.array([fold_of(name) for name in table.name])
        heads = [fit(table.at(folds != fold), self.strength) for fold in range(ct.FOLDS)]
        heads.append(fit(table, self.strength))
        np.savez(
            runs_folder(self.name) / "heads.npz",
            weight=np.stack([head.weight for head in heads]),
            bias=np.array([head.bias for head in heads]),
        )

    def heads(self) -> list[Head]:
        """The heads of the folds, then PROD's. Raises FileNotFoundError where it is not trained."""
        with np.load(runs_folder(self.name) / "heads.npz") as stored:
            pairs = zip(stored["weight"], stored["bias"], strict=True)
            return [Head(weight, float(bias)) for weight, bias in pairs]

    def out_of_fold(self) -> OutOfFold:
        """Every measured picture; the DICOM chest, which no head saw, by the mean of the folds' heads."""
        table = self.table(self.volumes())
        table = table.at(table.measured)
        heads = self.heads()[: ct.FOLDS]
        logits = np.stack([head.logits(table.values) for head in heads])
        folds = np.array([fold_of(name) for name in table.name])
        own = logits[folds, np.arange(len(folds))]
        return OutOfFold(table, np.where(table.name == ct.DICOM_CHEST, logits.mean(axis=0), own))

    def evaluate(self) -> Measured:
        """Figures by patients left out."""
        return self.measure(self.out_of_fold(), f"python -m export evaluate {self.name}")

    def onnx(self, measured: Measured) -> Path:
        """Write the PROD network with its attention map."""
        folder = ONNX_MODELS / self.name
        shape = (1, 3, self.size, self.size)
        network = self.heads()[-1].network(self.size)
        exported = write_graph(
            network, folder, shape=shape, outputs=["logits", "attention"], mean=MEAN, std=STD, half=True
        )
        classes = tuple(
            c.model_copy(update={"threshold": measured.thresholds.get(c.name, c.threshold)})
            for c in self.classes
        )
        card = Card(
            name=self.name,
            version="1.0.0",
            title=self.text.title,
            task=self.task,
            modality="ct",
            default_rank=self.default_rank,
            sha256=exported.sha256,
            architecture=(
                "EfficientNet-Lite0 (ImageNet, frozen) with a linear head on its pooled features, "
                f"{self.size} x {self.size}"
            ),
            manufacturer="orthanc-chest-ai",
            input=self._input(shape),
            outputs=_outputs(classes, measured.temperature),
            training_data=self.text.training_data + PROD,
            training_licence=TRAINING_LICENCE,
            figures=measured.figures,
            shortcut_checks=measured.shortcut_checks,
            intended_use=self.text.intended_use,
            limits=self.text.limits,
            licence=LICENCE,
            self_test=exported.self_test,
        )
        return write_card(card, folder)

    def _input(self, shape: tuple[int, int, int, int]) -> ModelInput:
        return ModelInput(
            name="image",
            shape=shape,
            intensity=HuWindow(low=LOW, high=HIGH),
            resize=Resize(mode="stretch"),
            mean=MEAN,
            std=STD,
            projection=Projection(axis=self.axis),
        )


def _outputs(classes: tuple[OutputClass, ...], temperature: float) -> tuple[ModelOutput, ModelOutput]:
    logits = ModelOutput(
        name="logits",
        meaning="logits",
        classes=classes,
        activation="softmax",
        temperature=round(temperature, 4),
    )
    attention = ModelOutput(name="attention", meaning="attention", classes=classes, activation="none")
    return logits, attention


def fold_of(name: str) -> int:
    """The fold of any volume: chests as for segmentation, other body parts one each."""
    if name == ct.DICOM_CHEST:
        return 0
    others = list(ct.NOT_CHESTS)
    return others.index(name) % ct.FOLDS if name in others else ct.fold_of(name)

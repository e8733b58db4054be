"""Networks on mean projections of a CT: one trained per fold of patients, and one on everybody."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt
import torch

from export.data import ct
from export.data.ct_projections import HIGH, LOW, Sample
from export.measured import Measured
from export.model_folder import classifier_outputs, write_model
from export.models.ct_finetune import Pictures, Plan, Vary, finetune, logits_of
from export.networks.attention import AttentionClassifier
from export.networks.lite import MEAN, STD, lite_classifier
from export.networks.published import ct_b4
from export.paths import runs_folder
from plugin.domain.kinds import Modality
from plugin.models.cards import OutputClass
from plugin.models.inputs import HuWindow, ModelInput, Projection, Resize

_log = logging.getLogger(__name__)
LITE = "EfficientNet-Lite0 (ImageNet)"
B4 = "EfficientNet-B4 as in Carmo et al. 2021 (grown from ImageNet's Lite2)"
LICENCE = "Weights: CC BY-NC-SA 4.0, as the COVID-19-CT-Seg data ask; ImageNet start Apache-2.0"
TRAINING_LICENCE = "CC BY-NC-SA 4.0 (COVID-19-CT-Seg), CC BY 3.0 and 4.0; partly unstated"
#: The number of PROD among the parts, after the folds.
PROD_PART = ct.FOLDS
PROD = (
    " PROD: trained on all patients but the DICOM chest of LIDC-IDRI; the figures are those of networks "
    "trained as long without the patient (three folds)."
)


def lite(size: int) -> AttentionClassifier:
    """ImageNet's EfficientNet-Lite0 for two classes and pictures of ``size`` pixels square."""
    return lite_classifier(0, (size, size), 2)


def b4(_size: int) -> AttentionClassifier:
    """The published EfficientNet-B4, grown from Lite2; its shapes follow the picture's."""
    return ct_b4()


@dataclass(frozen=True)
class CardText:
    """What the card says in words."""

    title: str
    training_data: str
    intended_use: str
    limits: str


@dataclass(frozen=True)
class OutOfFold:
    """Every measured picture with the logit of a network that never saw its patient."""

    table: Pictures
    logit: npt.NDArray[np.float64]


@dataclass(frozen=True)
class ProjectionModel:
    """A two-class network on mean projections; class 1 is the one that is called.

    ``samples``: (volume name, seed) to its labelled projections. ``measure``: figures, temperature and
    operating point from the pictures that the fold's network did not see.
    """

    name: str
    task: Literal["reject", "classify"]
    projection: Projection
    size: int
    plan: Plan
    vary: Vary
    volumes: Callable[[], list[str]]
    samples: Callable[[str, int], Iterator[Sample]]
    measure: Callable[[OutOfFold, str], Measured]
    classes: tuple[OutputClass, OutputClass]
    text: CardText
    default_rank: int
    architecture: str = LITE
    build: Callable[[int], AttentionClassifier] = lite

    def pictures(self, name: str) -> Pictures:
        """One volume's projections; cached."""
        cache = runs_folder(self.name) / f"{name}.npz"
        if not cache.exists():
            seed = 1000 + self.volumes().index(name)
            made = Pictures.of(list(self.samples(name, seed)), self.size)
            np.savez_compressed(cache, **vars(made))
            _log.info("%s: %s, %d pictures", self.name, name, len(made.label))
        with np.load(cache) as stored:
            return Pictures(**{key: stored[key] for key in stored.files})

    def table(self, names: Iterable[str]) -> Pictures:
        """The projections of several volumes."""
        return Pictures.joined([self.pictures(name) for name in names])

    def _checkpoint(self, part: int) -> Path:
        return runs_folder(self.name) / ("prod.pt" if part == PROD_PART else f"fold-{part}.pt")

    def train(self) -> None:
        """PROD on all patients, then TRAIN: one per fold without its patients, for the same steps."""
        table = self.table(n for n in self.volumes() if n != ct.DICOM_CHEST)
        folds = folds_of(table)
        missing = [p for p in (PROD_PART, *range(ct.FOLDS)) if not self._checkpoint(p).exists()]
        for part in missing:
            _log.info("%s: training %s", self.name, self._checkpoint(part).name)
            inside = table.at(folds != part)
            torch.manual_seed(part)
            network = finetune(self.build(self.size), inside, self.plan, self.vary, part)
            torch.save(network.state_dict(), self._checkpoint(part))

    def network(self, part: int) -> AttentionClassifier:
        """The network of a fold, or of PROD. Raises FileNotFoundError where it is not trained."""
        network = self.build(self.size)
        network.load_state_dict(torch.load(self._checkpoint(part), weights_only=True))
        return network.eval()

    def out_of_fold(self) -> OutOfFold:
        """Every measured picture; the DICOM chest, in no training, by the mean of the folds' logits."""
        table = self.table(self.volumes())
        table = table.at(table.measured)
        folds = folds_of(table)
        folds[table.name == ct.DICOM_CHEST] = ct.FOLDS
        logits = np.zeros(len(folds))
        for fold in range(ct.FOLDS):
            network = self.network(fold)
            logits[folds == fold] = logits_of(network, table.image[folds == fold])
            logits[folds == ct.FOLDS] += logits_of(network, table.image[folds == ct.FOLDS]) / ct.FOLDS
        return OutOfFold(table, logits)

    def evaluate(self) -> Measured:
        """Figures by patients left out."""
        return self.measure(self.out_of_fold(), f"python -m export evaluate {self.name}")

    def onnx(self, measured: Measured) -> Path:
        """Write the PROD network with its attention map."""
        classes = tuple(
            c.model_copy(update={"threshold": measured.thresholds.get(c.name, c.threshold)})
            for c in self.classes
        )
        return write_model(
            self.network(PROD_PART),
            name=self.name,
            version="1.1.0",
            task=self.task,
            modality=Modality.CT,
            default_rank=self.default_rank,
            spec=self._input((1, 3, self.size, self.size)),
            outputs=classifier_outputs(classes, measured.temperature, shown=classes),
            measured=measured,
            words={
                "title": self.text.title,
                "architecture": self._architecture(),
                "training_data": self.text.training_data + PROD,
                "training_licence": TRAINING_LICENCE,
                "intended_use": self.text.intended_use,
                "limits": self.text.limits,
                "licence": LICENCE,
            },
        )

    def _architecture(self) -> str:
        size = f"{self.size} x {self.size}"
        return f"{self.architecture}, trained as a whole, linear head on its pooled features, {size}"

    def _input(self, shape: tuple[int, int, int, int]) -> ModelInput:
        return ModelInput(
            name="image",
            shape=shape,
            intensity=HuWindow(low=LOW, high=HIGH),
            resize=Resize(mode="stretch"),
            mean=MEAN,
            std=STD,
            projection=self.projection,
        )


def folds_of(table: Pictures) -> npt.NDArray[np.int64]:
    """The fold of each picture (n,), by its volume."""
    return np.array([fold_of(name) for name in table.name], dtype=np.int64)


def fold_of(name: str) -> int:
    """The fold of any volume: chests as for segmentation, other body parts one each."""
    if name == ct.DICOM_CHEST:
        return 0
    others = list(ct.NOT_CHESTS)
    return others.index(name) % ct.FOLDS if name in others else ct.fold_of(name)

"""How each kind of model is read for ``./run export precision``: X-ray, CT projections, CT segmentation."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
from torch import nn

from export.data import ct
from export.data.ct_projections import HIGH, LOW
from export.data.ct_segment import load_set
from export.data.cxr import COVID, IEEE8023, REJECTION, SIIM, UNSURE, Film, read_films, read_picture
from export.data.cxr import folds as film_folds
from export.figures import Array, Labels, Statistic, auc, rate_at_least
from export.models import Model
from export.models.ct_finetune import normalised, to_input
from export.models.ct_projection import ProjectionModel, folds_of
from export.models.ct_segment import SegmentModel
from export.models.ct_segment_measure import SMALLEST_FINDINGS_ML, dice
from export.models.xray import FOLDS, XrayModel
from export.paths import ONNX_MODELS
from export.studies.precision import Bench, Cases, Study
from export.studies.precision_report import PRECISIONS, Precision
from plugin.analysis import preprocess
from plugin.analysis.segmentation import segment
from plugin.models.cards import Card, read_card
from plugin.models.network import Model as LoadedModel
from plugin.models.network import prepare
from plugin.models.session import FloatArray

_log = logging.getLogger(__name__)
#: Training pictures that the ranges of int8 are taken from.
CALIBRATION = 64


def _threshold(card: Card, name: str) -> float:
    """The operating point of a class."""
    return next(c.threshold for output in card.outputs for c in output.classes if c.name == name)


@dataclass
class XrayStudy:
    """Films of the model's folds as they are, each read by the network that left out its patient."""

    model: XrayModel
    card: Card

    def __post_init__(self) -> None:
        every = read_films()  # the folds are those of all films: of fewer they would be others
        measured = [film.source in (SIIM, IEEE8023) or not film.frontal for film in every]
        films = [film for film, wanted in zip(every, measured, strict=True) if wanted]
        fold = film_folds(every, FOLDS)[measured]
        own = np.isin(fold, self.parts)
        self.others = {
            part: [f for f, out in zip(films, fold, strict=True) if out != part] for part in self.parts
        }
        self.films = [film for film, wanted in zip(films, own, strict=True) if wanted]
        self.out = fold[own]
        shape = (len(self.films), len(self.card.outputs[0].classes))
        self.answers: dict[Precision, Array] = {p: np.zeros(shape) for p in PRECISIONS}

    def _prepared(self, film: Film) -> FloatArray:
        return prepare(self.card.input, read_picture(film.path))

    @property
    def parts(self) -> Sequence[int]:
        """The folds whose networks are measured."""
        return self.model.folds

    def network(self, part: int) -> nn.Module:
        """TRAIN without the fold."""
        return self.model.trained(part)

    def calibration(self, part: int) -> FloatArray:
        """Films of the other folds."""
        draw = np.random.default_rng(part)
        chosen = draw.choice(len(self.others[part]), CALIBRATION, replace=False)
        return np.stack([self._prepared(self.others[part][place]) for place in chosen])

    def read(self, part: int, bench: Bench) -> None:
        """All films of the fold."""
        for place in np.flatnonzero(self.out == part):
            for precision, found in bench.predict(self._prepared(self.films[place])[None]).items():
                self.answers[precision][place] = found[0]

    def figures(self) -> list[Cases]:
        """AUC of COVID and of REJECTION, and frontal films rejected at the card's operating point."""
        labels = np.array([film.label for film in self.films])
        siim = np.array([film.source == SIIM for film in self.films]) & (labels != UNSURE)
        frontal, everything = labels != REJECTION, np.ones(len(labels), bool)
        limit = rate_at_least(_threshold(self.card, "REJECTION"), 0)
        rows = (
            ("AUC typical COVID-19 against no pneumonia, siim", auc, siim, COVID),
            ("AUC REJECTION against frontal", auc, everything, REJECTION),
            ("frontal films rejected", limit, frontal, REJECTION),
        )
        return [
            Cases(
                name=name,
                statistic=statistic,
                labels=(labels[chosen] == positive).astype(np.int64),
                patients=[film.patient for film, own in zip(self.films, chosen, strict=True) if own],
                scores={p: found[chosen, positive] for p, found in self.answers.items()},
                measured_on="films as they are, patients left out",
            )
            for name, statistic, chosen, positive in rows
        ]


@dataclass
class ProjectionStudy:
    """Projections of CT volumes, each read by the network that left out its patient."""

    model: ProjectionModel
    card: Card
    parts: Sequence[int] = range(ct.FOLDS)

    def __post_init__(self) -> None:
        table = self.model.table(self.model.volumes())
        self.training = table.at(table.name != ct.DICOM_CHEST)
        self.table = table.at(table.measured & ((table.kind == "slab") | (self.model.task == "reject")))
        count = len(self.table.label)
        self.answers: dict[Precision, Array] = {p: np.zeros(count) for p in PRECISIONS}

    @staticmethod
    def _prepared(image: npt.NDArray[np.uint8]) -> FloatArray:
        return np.ascontiguousarray(to_input(normalised(image)).numpy())

    def network(self, part: int) -> nn.Module:
        """TRAIN without the fold."""
        return self.model.network(part)

    def calibration(self, part: int) -> FloatArray:
        """Projections of the other folds."""
        draw = np.random.default_rng(part)
        others = np.flatnonzero(folds_of(self.training) != part)
        return self._prepared(self.training.image[np.sort(draw.choice(others, CALIBRATION, replace=False))])

    def read(self, part: int, bench: Bench) -> None:
        """All measured projections of the fold; of the CT classifiers those of slabs."""
        for place in np.flatnonzero(folds_of(self.table) == part):
            for precision, found in bench.predict(self._prepared(self.table.image[place][None])).items():
                self.answers[precision][place] = found[0, 1]

    def figures(self) -> list[Cases]:
        """AUC, and for the rejector whole chests falsely rejected at the card's operating point."""
        reject = self.model.task == "reject"
        rows: list[tuple[str, Statistic, npt.NDArray[np.bool_]]] = [
            ("AUC accept against reject" if reject else "slab AUC", auc, self.table.label >= 0)
        ]
        if reject:
            limit = rate_at_least(_threshold(self.card, "reject"), 0)
            rows.append(("whole chests falsely rejected", limit, self.table.label == 0))
        return [
            Cases(
                name=name,
                statistic=statistic,
                labels=self.table.label[chosen],
                patients=self.table.name[chosen].tolist(),
                scores={p: found[chosen] for p, found in self.answers.items()},
                measured_on="projections, patients left out",
            )
            for name, statistic, chosen in rows
        ]


@dataclass
class SegmentStudy:
    """Whole volumes of one fold's patients, segmented as the plugin does it."""

    model: SegmentModel
    card: Card

    def __post_init__(self) -> None:
        self.dice: dict[str, dict[str, dict[Precision, float]]] = {"findings": {}, "lung": {}}

    @property
    def parts(self) -> Sequence[int]:
        """One fold, the middle one: to read whole volumes in every precision takes long."""
        folds = self.model.folds
        return (folds[len(folds) // 2],)

    def network(self, part: int) -> nn.Module:
        """TRAIN without the fold."""
        return self.model.trained(part)

    def calibration(self, part: int) -> FloatArray:
        """As many slices of each volume of the other folds, at least CALIBRATION in all."""
        draw = np.random.default_rng(part)
        names = [name for name in ct.chest_names() if ct.fold_of(name) != part]
        count = -(-CALIBRATION // len(names))
        chosen = []
        for name in names:
            slices = load_set(name, self.model.size, LOW, HIGH).image
            chosen.append(slices[draw.choice(len(slices), count, replace=False)])
        spec = self.card.input
        pictures = np.concatenate(chosen)[draw.permutation(count * len(names))]
        return np.stack([preprocess.normalise(p / np.float32(255), spec.mean, spec.std) for p in pictures])

    def read(self, part: int, bench: Bench) -> None:
        """All chest volumes of the fold."""
        for name in ct.held_out(part):
            self._read_volume(ct.load_volume(name), bench)

    def _read_volume(self, volume: ct.Volume, bench: Bench) -> None:
        """All precisions read each batch in turn; then the answers of each are put together."""
        answers: dict[Precision, list[FloatArray]] = {p: [] for p in PRECISIONS}

        def first(inputs: FloatArray) -> FloatArray:
            found = bench.predict(inputs)
            for precision, probabilities in found.items():
                answers[precision].append(probabilities)
            return found["float32"]

        measurable = volume.millilitres(volume.lesion) >= SMALLEST_FINDINGS_ML
        for precision in PRECISIONS:
            model = bench.models[precision]
            lung, findings = segment(
                volume.hu,
                prepare=model.prepare,
                predict=first if precision == "float32" else _replay(answers[precision]),
                batch=model.batch,
                lung=_channel(model, "lung"),
                findings=_channel(model, "finding"),
                spacing=volume.spacing,
            )
            self.dice["lung"].setdefault(volume.name, {})[precision] = dice(lung, volume.lung)
            if measurable:
                found_dice = dice(findings, volume.lesion)
                self.dice["findings"].setdefault(volume.name, {})[precision] = found_dice
            _log.info("%s, %s: lung Dice %.4f", volume.name, precision, dice(lung, volume.lung))

    def figures(self) -> list[Cases]:
        """Dice of findings and of lungs, means over the volumes."""
        return [
            Cases(
                name=f"{what} Dice, mean over volumes",
                statistic=mean,
                labels=np.zeros(len(volumes), dtype=np.int64),
                patients=list(volumes),
                scores={p: np.array([found[p] for found in volumes.values()]) for p in PRECISIONS},
                measured_on="whole volumes of patients left out",
            )
            for what, volumes in self.dice.items()
        ]


def _replay(answers: list[FloatArray]) -> Callable[[FloatArray], FloatArray]:
    """A network's answers once more, in their order."""
    kept = iter(answers)
    return lambda _inputs: next(kept)


def mean(_labels: Labels, scores: Array) -> float:
    """The mean over the cases."""
    return float(scores.mean())


def _channel(model: LoadedModel, role: Literal["lung", "finding"]) -> tuple[int, float]:
    """The channel and the operating point of the class of a role. Raises ValueError where there is none."""
    place = model.class_index(role)
    if place is None:
        raise ValueError(f"{model.card.name} has no class of the role {role}")
    return place, model.classes[place].threshold


def has_study(model: Model) -> bool:
    """Whether :func:`study_of` knows this kind of model."""
    return isinstance(model, XrayModel | ProjectionModel | SegmentModel)


def study_of(model: Model) -> Study:
    """The study of a model that has a card. Raises TypeError for a kind of model that has none."""
    card = read_card(ONNX_MODELS / model.name)
    match model:
        case XrayModel():
            return XrayStudy(model, card)
        case ProjectionModel():
            return ProjectionStudy(model, card)
        case SegmentModel():
            return SegmentStudy(model, card)
    raise TypeError(f"{model.name}: nothing is known of its precision")

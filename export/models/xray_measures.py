"""Figures of the X-ray networks, source by source, from films that they were not trained on."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from export.data.cxr import COVID, IEEE8023, NIH, NON_COVID, REJECTION, SIIM, UNSURE, Film
from export.data.cxr_variants import SPOILED
from export.figures import Statistic, auc, calibration_error, figure, rate_at_least, rate_below
from export.models.xray_boxes import box_figure
from export.models.xray_samples import FILM, Sample
from plugin.models.cards import Figure

Array = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]
#: The rejection threshold lets this share of the films through that choose it, and a film is never
#: rejected below the least probability.
FRONTAL_ACCEPTED = 0.995
LEAST_REJECTION = 0.25
LEFT_OUT = "patients left out"
OTHER_HOSPITAL = "a source in no training"


@dataclass(frozen=True)
class Answered:
    """Samples with the probabilities that networks gave that did not learn from their patients.

    ``covid`` and ``rejection`` (n,) as the plugin sees them.
    """

    samples: Sequence[Sample]
    covid: Array
    rejection: Array

    @property
    def films(self) -> list[Film]:
        """The film of each sample."""
        return [sample.film for sample in self.samples]

    @property
    def choosing(self) -> Mask:
        """Samples of the patients that choose thresholds; the others are measured at them."""
        return np.array([chooses(film) for film in self.films])

    @property
    def as_they_are(self) -> Mask:
        """Which samples are films without any change."""
        return np.array([sample.kind == FILM for sample in self.samples])

    def where(self, source: str, *labels: int, finding: str = "") -> Mask:
        """Films as they are of a source, of the labels, whose finding has these words."""
        return self.as_they_are & np.array(
            [f.source == source and f.label in labels and finding in f.finding.lower() for f in self.films]
        )


def chooses(film: Film) -> bool:
    """Whether the film's patient is of the half that chooses thresholds; the other half is measured."""
    return zlib.crc32(film.patient.encode()) % 2 == 0


def operating_point(labels: npt.NDArray[np.int64], scores: Array) -> float:
    """The threshold with the largest sum of sensitivity and specificity (Youden's index)."""
    candidates = np.unique(scores)
    gains = [(scores[labels == 1] >= t).mean() + (scores[labels == 0] < t).mean() for t in candidates]
    return round(float(candidates[int(np.argmax(gains))]), 4)


def rejection_threshold(frontal: Array) -> float:
    """The threshold, of four digits, above the rejection probability of FRONTAL_ACCEPTED of films."""
    reached = float(np.quantile(frontal, FRONTAL_ACCEPTED))
    return min(max((int(reached * 1e4) + 1) / 1e4, LEAST_REJECTION), 1.0)


def thresholds(answered: Answered) -> dict[str, float]:
    """Operating points by class, from the siim films of the patients that choose."""
    half = answered.choosing
    positive, negative = answered.where(SIIM, COVID) & half, answered.where(SIIM, NON_COVID) & half
    both = positive | negative
    return {
        "COVID": operating_point(positive[both].astype(np.int64), answered.covid[both]),
        "NON-COVID": 0.5,
        "REJECTION": refused_from(answered),
    }


def refused_from(answered: Answered) -> float:
    """The rejection's operating point, from the siim films of the patients that choose."""
    chosen = answered.where(SIIM, COVID, NON_COVID, UNSURE) & answered.choosing
    return rejection_threshold(answered.rejection[chosen])


class Figures:
    """Makes a card's figures from what was answered."""

    def __init__(self, answered: Answered, command: str) -> None:
        self.answered, self.command = answered, command
        self._patients = np.array([film.patient for film in answered.films])

    def of(
        self,
        name: str,
        statistic: Statistic,
        chosen: Mask,
        scores: Array,
        *,
        on: str,
        labels: Mask,
        remark: str = "",
    ) -> Figure:
        """The statistic of the ``chosen`` samples; ``scores`` and ``labels`` are those of all samples."""
        return figure(
            name,
            statistic,
            labels[chosen].astype(np.int64),
            scores[chosen],
            self._patients[chosen].tolist(),
            measured_on=on,
            command=self.command,
            remark=remark,
        )

    def area(self, name: str, positive: Mask, negative: Mask, on: str, remark: str = "") -> Figure:
        """AUC of the COVID probability."""
        chosen, scores = positive | negative, self.answered.covid
        return self.of(name, auc, chosen, scores, on=on, labels=positive, remark=remark)

    def called(
        self, name: str, chosen: Mask, threshold: float, on: str, *, below: bool = False, remark: str = ""
    ) -> Figure:
        """The share whose COVID probability reaches the threshold, or does not."""
        rate = rate_below(threshold, 1) if below else rate_at_least(threshold, 1)
        return self.of(name, rate, chosen, self.answered.covid, on=on, labels=chosen, remark=remark)

    def refused(self, name: str, chosen: Mask, threshold: float, on: str, remark: str = "") -> Figure:
        """The share whose rejection probability reaches the threshold."""
        rate = rate_at_least(threshold, 1)
        return self.of(name, rate, chosen, self.answered.rejection, on=on, labels=chosen, remark=remark)


def class_figures(answered: Answered, limits: dict[str, float], command: str) -> list[Figure]:
    """Opacities, source by source: AUC, and what is called at the shipped threshold."""
    make, where, limit = Figures(answered, command), answered.where, limits["COVID"]
    measured = ~answered.choosing
    covid, clear, unsure = where(SIIM, COVID), where(SIIM, NON_COVID), where(SIIM, UNSURE)
    siim, half = f"siim-covid19, {LEFT_OUT}", f"siim-covid19, {LEFT_OUT} that chose no threshold"
    ieee, nih = f"ieee8023, {OTHER_HOSPITAL} of the class", f"NIH, {OTHER_HOSPITAL} of the class"
    child = f"kermany (children), {OTHER_HOSPITAL}"
    found = [
        make.area("AUC typical COVID-19 against no pneumonia, siim", covid, clear, siim),
        make.called("sensitivity for typical COVID-19, siim", covid & measured, limit, half),
        make.called("specificity, no pneumonia, siim", clear & measured, limit, half, below=True),
        make.area("AUC indeterminate or atypical against no pneumonia, siim", unsure, clear, siim),
        make.area("AUC typical against indeterminate or atypical, siim", covid, unsure, siim),
        make.called("indeterminate or atypical called, siim", unsure & measured, limit, half),
        make.area(
            "AUC pneumonia against no finding, NIH",
            where(NIH, NON_COVID, finding="pneumonia"),
            where(NIH, NON_COVID, finding="no finding"),
            nih,
            "labels mined from reports",
        ),
        make.area(
            "AUC pneumonia against normal, kermany",
            where("kermany", NON_COVID, finding="pneumonia"),
            where("kermany", NON_COVID, finding="no finding"),
            child,
        ),
        make.area(
            "AUC COVID-19 against other pneumonias, ieee8023",
            where(IEEE8023, COVID),
            where(IEEE8023, NON_COVID),
            ieee,
            "0.5 = cannot tell which pneumonia it is",
        ),
    ]
    for name, chosen, below in (
        ("sensitivity for COVID-19, ieee8023", where(IEEE8023, COVID), False),
        ("other pneumonias called, ieee8023", where(IEEE8023, NON_COVID), False),
        ("sensitivity for COVID-19, covid-cxnet", where("covid-cxnet", COVID), False),
        ("sensitivity for COVID-19, hannover", where("hannover", COVID), False),
        ("specificity, no finding, rsna", where("rsna", NON_COVID), True),
        ("specificity, no finding, NIH", where(NIH, NON_COVID, finding="no finding"), True),
        ("pneumonia called, kermany (children)", where("kermany", NON_COVID, finding="pneumonia"), False),
        (
            "no finding not called, kermany (children)",
            where("kermany", NON_COVID, finding="no finding"),
            True,
        ),
    ):
        on = f"{name.rsplit(', ', 1)[1]}, {OTHER_HOSPITAL} of the class"
        found.append(make.called(name, chosen, limit, on, below=below))
    return found


def calibration_figures(answered: Answered, command: str) -> list[Figure]:
    """Expected calibration error of the class on siim (both classes weighing alike is what it was set to)."""
    half = ~answered.choosing
    chosen = (answered.where(SIIM, COVID) | answered.where(SIIM, NON_COVID)) & half
    share = answered.covid / np.maximum(1 - answered.rejection, 1e-9)
    labels = np.array([film.label == COVID for film in answered.films])[chosen].astype(np.int64)
    return [
        figure(
            "expected calibration error, siim",
            calibration_error,
            labels,
            np.stack([1 - share, share], axis=1)[chosen],
            np.array([film.patient for film in answered.films])[chosen].tolist(),
            measured_on=f"siim-covid19, {LEFT_OUT} that did not calibrate",
            command=command,
            remark="typical COVID-19 against no pneumonia, calibrated for equal numbers of both",
        )
    ]


def rejection_figures(answered: Answered, known: Array, limit: float, command: str) -> list[Figure]:
    """What is refused from ``limit`` on: pictures to reject, spoiled films, frontal films of each source.

    ``known`` (n,): the refusal by rejections that know other patients of the source.
    """
    make = Figures(answered, command)
    others = Figures(Answered(answered.samples, known, known), command)
    kinds = np.array([sample.kind for sample in answered.samples])
    refuse = np.array([film.label == REJECTION for film in answered.films]) & answered.as_they_are
    found = [make.refused("REJECTION rejected", refuse, limit, f"cxr, {LEFT_OUT}")]
    for source in dict.fromkeys(film.source for film in answered.films if film.frontal):
        own = answered.where(source, COVID, NON_COVID, UNSURE)
        name, on = f"frontal films rejected, {source}", f"{source}, {OTHER_HOSPITAL} of the rejection"
        found.append(make.refused(name, own, limit, on))
        found.append(others.refused(f"{name}, other patients known", own, limit, f"{source}, {LEFT_OUT}"))
    on = f"frontal films spoiled on purpose, {OTHER_HOSPITAL} of the rejection"
    found += [make.refused(f"rejected of: {kind}", kinds == kind, limit, on) for kind in SPOILED]
    spoiled = np.isin(kinds, list(SPOILED))
    return [*found, make.refused("rejected of all spoiled", spoiled, limit, on)]


def place_figures(
    films: Sequence[Film],
    evidence: npt.NDArray[np.float32],
    masks: npt.NDArray[np.uint8],
    command: str,
) -> list[Figure]:
    """Where: the attention (n, h, w) of films with boxes against their masks (n, h, w), 255 inside.

    The pointing game (Zhang et al. 2018): does the greatest evidence lie in a box?
    """
    boxed = np.array([bool(film.boxes) for film in films])
    chosen = [film for film, own in zip(films, boxed, strict=True) if own]
    shown, inside = np.maximum(evidence[boxed], 0).reshape(len(chosen), -1), masks[boxed] / 255.0
    inside = inside.reshape(len(chosen), -1)
    top = evidence[boxed].reshape(len(chosen), -1).argmax(axis=1)
    pointed = (inside[np.arange(len(chosen)), top] > 0.5).astype(np.float64)
    total = shown.sum(axis=1)
    share = np.divide((shown * inside).sum(axis=1), total, out=np.zeros(len(chosen)), where=total > 0)
    both, boxes = ((shown > 0) & (inside > 0.5)).sum(axis=1), (inside > 0.5).sum(axis=1)
    dice = 2 * both / np.maximum((shown > 0).sum(axis=1) + boxes, 1)
    typical = np.array([film.label == COVID for film in chosen])
    rows: list[tuple[str, Array, Mask]] = [
        ("pointing game", pointed, np.ones(len(chosen), bool)),
        ("pointing game, typical COVID-19", pointed, typical),
        ("share of the attention inside the boxes", share, np.ones(len(chosen), bool)),
        ("share of the picture that the boxes take", inside.mean(axis=1), np.ones(len(chosen), bool)),
        ("Dice of the attention and the boxes", dice, np.ones(len(chosen), bool)),
    ]
    boxes = box_figure(films, evidence, measured_on=f"films of siim-covid19, {LEFT_OUT}", command=command)
    return [
        *(
            figure(
                f"{name}, siim",
                lambda _labels, scores: float(scores.mean()),
                member[member].astype(np.int64),
                values[member],
                [film.patient for film, own in zip(chosen, member, strict=True) if own],
                measured_on=f"films of siim-covid19 with boxes, {LEFT_OUT}",
                command=command,
            )
            for name, values, member in rows
        ),
        boxes,
    ]

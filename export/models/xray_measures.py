"""Figures of the X-ray networks, from logits on pictures that they were not trained on."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy.special import softmax

from export.data.cxr import COVID, REJECTION, Film, folds
from export.data.cxr_variants import SPOILED
from export.figures import (
    Statistic,
    auc,
    calibration_error,
    figure,
    fit_temperature,
    rate_at_least,
    rate_below,
)
from export.measured import Measured
from export.models.xray_samples import FILM, Sample, weights
from plugin.models.cards import Figure

Array = npt.NDArray[np.float64]
Chosen = npt.NDArray[np.bool_]
#: The rejection threshold lets this share of real frontal films through, in the figures' data,
#: and a film is never rejected below the least probability.
FRONTAL_ACCEPTED = 0.985
LEAST_REJECTION = 0.25


def fold_of(samples: list[Sample], count: int) -> npt.NDArray[np.int64]:
    """The fold in which each sample is left out, by the patient of its film."""
    films = list(dict.fromkeys(sample.film for sample in samples))
    by_film: dict[Film, int] = dict(zip(films, folds(films, count).tolist(), strict=True))
    return np.array([by_film[sample.film] for sample in samples], dtype=np.int64)


class Table:
    """Samples with their probabilities; makes figures of chosen ones."""

    def __init__(self, samples: list[Sample], probabilities: Array, command: str) -> None:
        self.probabilities, self.command = probabilities, command
        self.labels = np.array([sample.label for sample in samples], dtype=np.int64)
        self.kinds = np.array([sample.kind for sample in samples])
        self.patients = np.array([sample.film.patient for sample in samples])
        self.ieee8023 = np.array([sample.film.ieee8023 for sample in samples])
        self.films: Chosen = self.kinds == FILM
        self.frontal: Chosen = self.films & (self.labels != REJECTION)
        self.covid, self.rejection = probabilities[:, COVID], probabilities[:, REJECTION]

    def one(
        self,
        name: str,
        statistic: Statistic,
        chosen: Chosen,
        *,
        positive: int,
        measured_on: str,
        remark: str = "",
    ) -> Figure:
        """A figure of the ``chosen`` for the class ``positive`` against all others."""
        return figure(
            name,
            statistic,
            (self.labels[chosen] == positive).astype(np.int64),
            self.probabilities[chosen, positive],
            self.patients[chosen].tolist(),
            measured_on=measured_on,
            command=self.command,
            remark=remark,
        )


def operating_point(labels: npt.NDArray[np.int64], scores: Array, weight: Array) -> float:
    """The threshold with the largest weighted sum of sensitivity and specificity (Youden's index)."""
    candidates = np.unique(scores)
    positive, negative = labels == 1, labels == 0
    gains = [
        np.average(scores[positive] >= threshold, weights=weight[positive])
        + np.average(scores[negative] < threshold, weights=weight[negative])
        for threshold in candidates
    ]
    return round(float(candidates[int(np.argmax(gains))]), 4)


def rejection_threshold(frontal: Array) -> float:
    """The threshold, of four digits, above the rejection probability of FRONTAL_ACCEPTED of films."""
    reached = float(np.quantile(frontal, FRONTAL_ACCEPTED))
    return min(max((int(reached * 1e4) + 1) / 1e4, LEAST_REJECTION), 1.0)


def _covid_figures(table: Table, threshold: float) -> list[Figure]:
    found = []
    for group, chosen, words, remark in (
        ("ieee8023", table.frontal & table.ieee8023, "frontal films of ieee8023", ""),
        ("pooled", table.frontal, "frontal films of ieee8023 and NIH", "classes differ in source"),
    ):
        covid = table.labels == COVID
        for name, statistic, members in (
            ("AUC COVID against NON-COVID", auc, chosen),
            ("sensitivity for COVID", rate_at_least(threshold, 1), chosen & covid),
            ("specificity for COVID", rate_below(threshold, 0), chosen & ~covid),
        ):
            found.append(
                table.one(
                    f"{name}, {group}",
                    statistic,
                    members,
                    positive=COVID,
                    measured_on=f"{words}, patients left out",
                    remark=remark,
                )
            )
    return found


def _rejection_figures(table: Table, threshold: float) -> list[Figure]:
    rejected, words = rate_at_least(threshold, 1), "films as they are, patients left out"
    rows: list[tuple[str, Statistic, Chosen, str]] = [
        ("AUC REJECTION against frontal", auc, table.films, words),
        ("REJECTION rejected", rejected, table.films & ~table.frontal, words),
        ("frontal films rejected", rate_at_least(threshold, 0), table.frontal, words),
    ]
    spoiled = "frontal films spoiled on purpose, patients left out"
    rows += [(f"rejected of: {kind}", rejected, table.kinds == kind, spoiled) for kind in SPOILED]
    return [
        table.one(name, statistic, chosen, positive=REJECTION, measured_on=on)
        for name, statistic, chosen, on in rows
    ]


def measure(samples: list[Sample], logits: Array, command: str) -> Measured:
    """Everything that the card says, from out-of-fold ``logits`` (samples, classes)."""
    films = np.array([sample.kind == FILM for sample in samples])
    labels = np.array([sample.label for sample in samples], dtype=np.int64)
    temperature = fit_temperature(logits[films], labels[films])
    table = Table(samples, softmax(logits / temperature, axis=1), command)
    balance = weights(samples)
    frontal = table.frontal
    covid = operating_point(
        (labels[frontal] == COVID).astype(np.int64), table.covid[frontal], balance[frontal]
    )
    reject = rejection_threshold(table.rejection[frontal])
    calibration = figure(
        "expected calibration error",
        calibration_error,
        labels[films],
        table.probabilities[films],
        table.patients[films].tolist(),
        measured_on="films as they are, patients left out",
        command=command,
        remark=f"three classes, ten bins, temperature {temperature} fitted on the same films",
    )
    figures = [*_covid_figures(table, covid), *_rejection_figures(table, reject), calibration]
    return Measured(
        figures=tuple(figures),
        temperature=temperature,
        thresholds={"COVID": covid, "NON-COVID": 0.5, "REJECTION": reject},
    )

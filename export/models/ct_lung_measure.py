"""Figures of the networks that read projections over the lungs, from blocks of patients left out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from export.data import ct
from export.figures import Array, Statistic, auc, calibration_error, figure, fit_temperature
from export.measured import Measured
from export.models.ct_lung_table import Table
from export.models.ct_lung_train import Answers, weights
from plugin.analysis.attention import located_shades, log_odds
from plugin.models.cards import Figure

Mask = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.float32]
#: From this share of a ray's lung on a place of the map counts as lesion.
LESION_SHARE = 0.1
#: A place whose lung is shallower than this share of the scale's depth is hardly lung.
_LUNG = 1e-3
_NEW = "whole volumes over lungs of a segmenter new to them,"


class Rows(Protocol):
    """What figures are told by: the class of each case, its volume, and the fold that left that out."""

    @property
    def label(self) -> npt.NDArray[np.int64]:
        """1 with findings, 0 without."""

    @property
    def name(self) -> npt.NDArray[np.str_]:
        """The volume's."""

    @property
    def fold(self) -> npt.NDArray[np.int64]:
        """Whose networks never saw it."""


@dataclass(frozen=True)
class LeftOut:
    """Measured rows with the answers of networks that never saw their patients.

    ``depth`` and ``lesion`` (n, h, w): the lung's depth at each place of the map and the share of it that is
    lesion, both in [0, 1].
    """

    table: Table
    answers: Answers
    depth: Floats
    lesion: Floats

    @property
    def covid(self) -> Mask:
        """Rows of COVID-19 patients."""
        return np.isin(self.table.name, ct.covid_names())


def operating_point(labels: npt.NDArray[np.int64], scores: Array, counts: Array) -> float:
    """The score with the largest sum of sensitivity and specificity, rows counted by ``counts``.

    Half-way to the next lower score, so that it does not hang on one row.
    """
    candidates = np.unique(scores)
    positive, negative = labels == 1, labels == 0
    gains = [
        counts[positive & (scores >= t)].sum() / counts[positive].sum()
        + counts[negative & (scores < t)].sum() / counts[negative].sum()
        for t in candidates
    ]
    best = int(np.argmax(gains))
    return float((candidates[best] + candidates[max(best - 1, 0)]) / 2)


def thresholds_left_out(table: Rows, scores: Array, counts: Array) -> Array:
    """For each row the operating point that the rows of the other folds choose."""
    chosen = np.empty(len(scores))
    for fold in np.unique(table.fold):
        own = table.fold == fold
        chosen[own] = operating_point(table.label[~own], scores[~own], counts[~own])
    return chosen


def called(label: int) -> Statistic:
    """The share of the cases of ``label`` that are rightly called; scores are above 0 where called."""

    def share(labels: npt.NDArray[np.int64], scores: Array) -> float:
        own = (scores[labels == label] >= 0) == bool(label)
        return float(own.mean()) if own.size else float("nan")

    return share


def called_figures(table: Rows, above: Array, chosen: Mask, *, on: str, command: str) -> list[Figure]:
    """Sensitivity and specificity on the ``chosen`` rows.

    ``above``: how far each score is above the threshold that other patients chose.
    """
    figures = []
    for words, label in (("with findings called", 1), ("without findings not called", 0)):
        own = chosen & (table.label == label)
        figures.append(
            figure(
                f"{on} {words}",
                called(label),
                table.label[own],
                above[own],
                list(table.name[own]),
                measured_on=f"{int(own.sum())} {on} of patients left out that chose no threshold",
                command=command,
            )
        )
    return figures


def measure(left_out: LeftOut, unseen: Array, checks: Sequence[Figure], command: str) -> Measured:
    """Whole volumes first, then slabs, the map, and calibration.

    ``unseen``: the logits of the whole volumes, in their order, over lungs by segmenters that never saw the
    patients.
    """
    table, logit = left_out.table, left_out.answers.logit
    rows = table.measured
    counts = np.zeros(len(logit))
    counts[rows] = weights(table.at(rows))
    own = table.at(rows)
    temperature = _temperature(own.label, logit[rows], counts[rows])
    scores = 1 / (1 + np.exp(-logit / temperature))
    limits = np.full(len(logit), np.nan)
    limits[rows] = thresholds_left_out(own, scores[rows], counts[rows])
    threshold = round(operating_point(own.label, scores[rows], counts[rows]), 3)
    whole, slab = rows & (table.kind == "whole"), rows & (table.kind == "slab")
    probabilities = np.stack([1 - scores, scores], axis=1)
    figures = [
        *called_figures(table, scores - limits, whole, on="whole volumes", command=command),
        *unseen_figures(table.at(whole), 1 / (1 + np.exp(-unseen / temperature)), limits[whole], command),
        *auc_figures(left_out, whole, slab, scores, command),
        *map_figures(left_out, whole, scores, threshold, command),
        figure(
            "expected calibration error of slabs",
            calibration_error,
            table.label[slab],
            probabilities[slab],
            list(table.name[slab]),
            measured_on=f"{int(slab.sum())} slabs of patients left out",
            command=command,
            remark="temperature fitted on the same patients, all blocks weighed by coverage",
        ),
    ]
    return Measured(
        figures=tuple(figures),
        shortcut_checks=(*healed_figures(left_out, command), *checks),
        temperature=temperature,
        thresholds={"FINDINGS": threshold},
    )


def unseen_figures(wholes: Table, scores: Array, limits: Array, command: str) -> list[Figure]:
    """Whole volumes over lungs by segmenters that never saw the patients, at the same thresholds."""
    everything = np.ones(len(scores), dtype=np.bool_)
    listed = "; ".join(f"{n} {p:.2f}" for n, p in zip(wholes.name, scores, strict=True))
    figures = called_figures(wholes, scores - limits, everything, on=_NEW, command=command)
    return [found.model_copy(update={"remark": f"probability of FINDINGS: {listed}"}) for found in figures]


def _temperature(labels: npt.NDArray[np.int64], logit: Array, counts: Array) -> float:
    return fit_temperature(np.stack([-logit / 2, logit / 2], axis=1), labels, counts)


def auc_figures(left_out: LeftOut, whole: Mask, slab: Mask, scores: Array, command: str) -> list[Figure]:
    """Whole volumes, slabs, and slabs within COVID-19 patients, among whom the source tells nothing."""
    table, covid = left_out.table, left_out.covid
    source = np.array([ct.source_of(name) for name in table.name])
    listed = "; ".join(f"{n} {p:.2f}" for n, p in zip(table.name[whole], scores[whole], strict=True))
    rows = [
        ("whole-volume AUC", whole, "probability of FINDINGS: " + listed),
        ("slab AUC", slab, ""),
        ("slab AUC within COVID-19 patients", slab & covid, ""),
        ("slab AUC, coronacases", slab & (source == "coronacases"), ""),
        ("slab AUC, radiopaedia", slab & (source == "radiopaedia"), ""),
    ]
    return [area(table, scores, chosen, title=t, command=command, remark=r) for t, chosen, r in rows]


def area(table: Rows, scores: Array, chosen: Mask, *, title: str, command: str, remark: str = "") -> Figure:
    """The AUC of the ``chosen`` rows."""
    labels, names = table.label[chosen], table.name[chosen]
    positive = int(labels.sum())
    return figure(
        title,
        auc,
        labels,
        scores[chosen],
        list(names),
        measured_on=f"{positive} with and {len(labels) - positive} without findings, from {len(set(names))} "
        "patients left out",
        command=command,
        remark=remark,
    )


def healed_figures(left_out: LeftOut, command: str) -> list[Figure]:
    """The same COVID-19 volumes with their findings filled by healthy lung: nothing but findings differs."""
    table, covid = left_out.table, left_out.covid
    pair = covid & np.isin(table.kind, ("whole", "healed whole"))
    clean = table.measured & (table.kind == "slab") & (table.label == 0)
    scores = left_out.answers.logit
    told = figure(
        "AUC of telling COVID-19 patients by slabs without findings",
        auc,
        covid[clean].astype(np.int64),
        scores[clean],
        list(table.name[clean]),
        measured_on=f"{int(clean.sum())} slabs without findings, patients left out",
        command=command,
        remark="0.5 where the score tells nothing of the source",
    )
    name = "AUC of whole COVID-19 volumes against themselves with the findings digitally healed"
    remark = "blocks like the healed were seen in training"
    return [area(table, scores, pair, title=name, command=command, remark=remark), told]


def map_figures(
    left_out: LeftOut, whole: Mask, scores: Array, threshold: float, command: str
) -> list[Figure]:
    """Where the map lies on whole volumes with findings: inside the lungs, and on rays that meet lesion."""
    table = left_out.table
    rows = np.flatnonzero(whole & (table.label == 1))
    values: dict[str, list[float]] = {"lungs": [], "lesion": [], "chance": [], "peak": []}
    for row in rows:
        margin = log_odds(float(scores[row])) - log_odds(threshold)
        shades = np.maximum(located_shades(left_out.answers.places[row], margin=margin), 0)
        lung = left_out.depth[row] > _LUNG
        lesion = lung & (left_out.lesion[row] >= LESION_SHARE)
        total = float(shades.sum())
        values["lungs"].append(float(shades[lung].sum()) / total if total else 1.0)
        values["lesion"].append(float(shades[lesion].sum()) / total if total else 0.0)
        values["chance"].append(float(lesion.sum() / lung.sum()))
        places = np.where(lung, left_out.answers.places[row], -np.inf)
        values["peak"].append(float(lesion.ravel()[places.argmax()]))
    share = f"rays of which at least {100 * LESION_SHARE:.0f} % of the lung is lesion"
    names = {
        "lungs": "share of the map inside the lungs, whole volumes with findings",
        "peak": f"peak of the map on {share}",
        "lesion": f"share of the map on {share}",
        "chance": f"share of the lungs' picture that has {share}",
    }
    return [
        figure(
            names[key],
            lambda _labels, found: float(found.mean()),
            np.ones(len(rows), dtype=np.int64),
            np.array(values[key]),
            list(table.name[rows]),
            measured_on=f"{len(rows)} whole volumes with findings, patients left out",
            command=command,
            remark="what lies outside is then cut away" if key == "lungs" else "",
        )
        for key in ("lungs", "peak", "lesion", "chance")
    ]

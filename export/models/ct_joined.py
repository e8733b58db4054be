"""The joined statement of a CT: a logistic regression on what the parts say of patients they never saw.

The classifiers' TRAIN networks answer for the patients that they left out. So does, for the share of lung
marked, a segmenter of the shipped one's architecture that was trained for minutes without them.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize
from scipy.special import expit, log_expit, logit

from export.data import ct
from export.figures import Array, auc, calibration_error, figure
from export.measured import Measured
from export.models import ct_joined_share, ct_joined_text, ct_lung_train
from export.models.ct_lung_measure import called_figures, operating_point, thresholds_left_out
from export.models.ct_lung_table import Axis, Table, features, table
from export.models.ct_lungs import MODELS as CLASSIFIERS
from export.paths import ONNX_MODELS
from plugin.models.cards import read_card
from plugin.models.joined import FILE, Joined

SEGMENTER = "ct-segment-compact"
#: The share of lung counts between these. Of eight choices of both, on the same patients, these did best.
LEAST_PERCENT, MOST_PERCENT = 0.2, 2.0
#: How strongly weights are drawn to 0.
_RIDGE = 0.01
_AXES: tuple[Axis, Axis] = ("axial", "sagittal")
#: What the file says as examples: two probabilities and a percentage.
_EXAMPLES = ((0.9, 0.8, 12.0), (0.2, 0.3, 0.1), (0.5, 0.5, 1.0))


@dataclass(frozen=True)
class Rows:
    """Measured blocks with what the parts say of them, patients left out.

    ``said`` (n, 3): the log odds of both classifiers, the log of the percentage of lung marked.
    """

    table: Table
    said: Array


@dataclass(frozen=True)
class Fit:
    """A logistic regression: ``intercept`` and three ``weights``, none below 0."""

    intercept: float
    weights: tuple[float, float, float]

    def scores(self, said: Array) -> Array:
        """The joined probability of each row."""
        return np.asarray(expit(self.intercept + said @ np.array(self.weights)))


def fit(said: Array, labels: npt.NDArray[np.int64], counts: Array) -> Fit:
    """The likeliest regression with weights of at least 0, lightly drawn to 0; rows count by ``counts``."""
    sign = 2 * labels - 1

    def loss(found: Array) -> float:
        odds = found[0] + said @ found[1:]
        entropy = -(counts * log_expit(sign * odds)).sum() / counts.sum()
        return float(entropy + _RIDGE * np.square(found[1:]).sum())

    start = np.array([0.0, 0.3, 0.3, 0.3])
    best = minimize(loss, start, method="L-BFGS-B", bounds=[(None, None), *[(0, None)] * 3]).x
    intercept, axial, sagittal, share = (round(float(value), 4) for value in best)
    return Fit(intercept, (axial, sagittal, share))


def left_out(rows: Rows, counts: Array) -> Array:
    """Each row's joined probability by the regression on the rows of the other folds."""
    scores = np.empty(len(counts))
    for fold in np.unique(rows.table.fold):
        own = rows.table.fold == fold
        scores[own] = fit(rows.said[~own], rows.table.label[~own], counts[~own]).scores(rows.said[own])
    return scores


def measure(rows: Rows, command: str) -> tuple[Measured, Fit]:
    """Whole volumes and slabs, with regression and threshold from other patients; then fitted on all."""
    own, counts = rows.table, ct_lung_train.weights(rows.table)
    scores = left_out(rows, counts)
    above = scores - thresholds_left_out(own, scores, counts)
    whole, slab = own.kind == "whole", own.kind == "slab"
    covid = np.isin(own.name, ct.covid_names())
    listed = "; ".join(f"{n} {p:.2f}" for n, p in zip(own.name[whole], scores[whole], strict=True))
    figures = [
        *called_figures(own, above, whole, on="whole volumes", command=command),
        *called_figures(own, above, (own.kind == "most") | whole, on="nearly whole volumes", command=command),
    ]
    for title, chosen, remark in (
        ("whole-volume AUC", whole, "joined probability: " + listed),
        ("slab AUC", slab, ""),
        ("slab AUC within COVID-19 patients", slab & covid, ""),
    ):
        figures.append(
            figure(
                title,
                auc,
                own.label[chosen],
                scores[chosen],
                list(own.name[chosen]),
                measured_on=f"{int(chosen.sum())} of patients left out",
                command=command,
                remark=remark,
            )
        )
    most = (own.kind == "most") | whole
    figures.append(
        figure(
            "expected calibration error",
            calibration_error,
            own.label[most],
            np.stack([1 - scores[most], scores[most]], axis=1),
            list(own.name[most]),
            measured_on=f"{int(most.sum())} nearly whole volumes of patients left out",
            command=command,
        )
    )
    final = fit(rows.said, own.label, counts)
    threshold = round(operating_point(own.label, final.scores(rows.said), counts), 3)
    return Measured(figures=tuple(figures), thresholds={"FINDINGS": threshold}), final


@cache
def rows() -> Rows:
    """All measured blocks with what the parts say of them."""
    own = table("axial")
    said = []
    for axis, model in zip(_AXES, CLASSIFIERS, strict=True):
        answers = model.out_of_fold(own, features(axis, ct_lung_train.start()))
        said.append(answers.logit / read_card(ONNX_MODELS / model.name).logits.temperature)
    kept = own.measured
    percent = ct_joined_share.percent(own.at(kept))
    share = np.log(np.clip(percent, LEAST_PERCENT, MOST_PERCENT))
    return Rows(own.at(kept), np.stack([*(odds[kept] for odds in said), share], axis=1))


@dataclass(frozen=True)
class JoinedModel:
    """Fits and measures the joined statement; its parts have to be trained, evaluated and exported before."""

    name: str = "ct-joined"

    def train(self) -> None:
        """The segmenters that stand in for the shipped one, each without a fold."""
        ct_joined_share.train()

    def evaluate(self) -> Measured:
        """Figures by patients left out."""
        return measure(rows(), f"./run export evaluate {self.name}")[0]

    def onnx(self, measured: Measured) -> Path:
        """Write ``joined.json``: the regression on all rows, with the measured figures."""
        final = measure(rows(), "")[1]
        cards = [read_card(ONNX_MODELS / name) for name in (*(m.name for m in CLASSIFIERS), SEGMENTER)]
        parts = [
            {"model": card.name, "sha256": card.sha256, "weight": weight}
            for card, weight in zip(cards, final.weights, strict=True)
        ]
        classes = [c.model_dump(include={"name", "meaning", "role", "code"}) for c in cards[0].logits.classes]
        card = Joined.model_validate(
            {
                "name": self.name,
                "version": "1.0.0",
                "manufacturer": "orthanc-chest-ai",
                "intercept": final.intercept,
                **dict(zip(("axial", "sagittal", "segmentation"), parts, strict=True)),
                "least_percent": LEAST_PERCENT,
                "most_percent": MOST_PERCENT,
                "classes": classes,
                "threshold": measured.thresholds["FINDINGS"],
                "figures": measured.figures,
                "examples": [_example(final, *said) for said in _EXAMPLES],
                **ct_joined_text.WORDS,
            }
        )
        folder = ONNX_MODELS / self.name
        folder.mkdir(exist_ok=True)
        text = json.dumps(card.model_dump(mode="json"), indent=2, ensure_ascii=False)
        (folder / FILE).write_text(text + "\n", encoding="utf-8")
        return folder / FILE


def _example(final: Fit, axial: float, sagittal: float, percent: float) -> dict[str, float]:
    share = np.log(np.clip(percent, LEAST_PERCENT, MOST_PERCENT))
    said = np.array([[logit(axial), logit(sagittal), share]])
    probability = round(float(final.scores(said)[0]), 6)
    return {"axial": axial, "sagittal": sagittal, "percent": percent, "probability": probability}


MODELS = (JoinedModel(),)

"""Measures of a classifier, with 95 % intervals by bootstrap over patients, and calibration."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax
from scipy.stats import rankdata

from plugin.models.cards import Figure

Array = npt.NDArray[np.float64]
Labels = npt.NDArray[np.int64]
#: A measure of (labels, scores); NaN where it is undefined.
Statistic = Callable[[Labels, Array], float]


def auc(labels: Labels, scores: Array) -> float:
    """Area under the ROC curve of binary labels; NaN where only one class is present."""
    positive = labels == 1
    pairs = int(positive.sum()) * int((~positive).sum())
    if pairs == 0:
        return float("nan")
    # By ranks (Mann and Whitney), ties by half: a bootstrap asks a thousand times, and scikit-learn's checks
    # of its input would cost twenty times as much.
    above = float(rankdata(scores)[positive].sum()) - positive.sum() * (positive.sum() + 1) / 2
    return float(above / pairs)


def rate_at_least(threshold: float, label: int) -> Statistic:
    """The share of the cases of ``label`` whose score reaches ``threshold``.

    With label 1 this is the sensitivity, with label 0 the false positive rate.
    """

    def rate(labels: Labels, scores: Array) -> float:
        chosen = scores[labels == label]
        return float((chosen >= threshold).mean()) if chosen.size else float("nan")

    return rate


def rate_below(threshold: float, label: int) -> Statistic:
    """The share of the cases of ``label`` below ``threshold`` (label 0: specificity)."""
    at_least = rate_at_least(threshold, label)
    return lambda labels, scores: 1.0 - at_least(labels, scores)


def calibration_error(labels: Labels, probabilities: Array, bins: int = 10) -> float:
    """Expected calibration error of the called class (Guo et al. 2017).

    ``labels`` (n,) are class indices and ``probabilities`` (n, classes) sum to 1.
    """
    confidence = probabilities.max(axis=1)
    right = probabilities.argmax(axis=1) == labels
    place = np.minimum((confidence * bins).astype(np.int64), bins - 1)
    gaps = [
        abs(float(confidence[place == b].mean()) - float(right[place == b].mean()))
        * float((place == b).mean())
        for b in np.unique(place)
    ]
    return float(sum(gaps))


def fit_temperature(logits: Array, labels: Labels, weights: Array | None = None) -> float:
    """The temperature by which to divide ``logits`` (n, classes) for the least cross entropy.

    Rounded to the four decimals that a card carries.

    Binary logits go in as two columns (0, logit). ``weights`` (n,) weigh the cases.
    """
    rows = np.arange(labels.size)

    def cross_entropy(log_temperature: float) -> float:
        losses = -log_softmax(logits / np.exp(log_temperature), axis=1)[rows, labels]
        return float(np.average(losses, weights=weights))

    return round(float(np.exp(minimize_scalar(cross_entropy, bounds=(-3, 3), method="bounded").x)), 4)


def bootstrap(
    statistic: Statistic,
    labels: Labels,
    scores: Array,
    patients: Sequence[str],
    *,
    repeats: int = 1000,
    seed: int = 0,
) -> tuple[float, float] | None:
    """The 95 % interval of a statistic when whole patients are drawn anew, with replacement.

    Draws in which the statistic is undefined are left out; None where fewer than half are left.
    """
    names, member = np.unique(np.asarray(patients), return_inverse=True)
    cases = [np.flatnonzero(member == i) for i in range(names.size)]
    draw = np.random.default_rng(seed)
    values = np.empty(repeats)
    for repeat in range(repeats):
        chosen = np.concatenate([cases[i] for i in draw.integers(names.size, size=names.size)])
        values[repeat] = statistic(labels[chosen], scores[chosen])
    defined = values[np.isfinite(values)]
    if defined.size < repeats / 2:
        return None
    low, high = np.percentile(defined, [2.5, 97.5])
    return round(float(low), 4), round(float(high), 4)


def figure(
    name: str,
    statistic: Statistic,
    labels: Labels,
    scores: Array,
    patients: Sequence[str],
    *,
    measured_on: str,
    command: str,
    remark: str = "",
) -> Figure:
    """A card's figure: the statistic, its interval by patient, and the number of cases.

    ``scores`` may have any shape whose first axis is the cases. The value is None where undefined.
    """
    value = statistic(labels, scores)
    defined = bool(np.isfinite(value))
    return Figure(
        name=name,
        value=round(value, 4) if defined else None,
        interval=bootstrap(statistic, labels, scores, patients) if defined else None,
        n=int(labels.size),
        measured_on=measured_on,
        command=command,
        remark=remark,
    )

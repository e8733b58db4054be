"""How far the marked share of lung lies from the drawn one: a 95 % prediction interval, and whether it holds.

Errors are measured in logarithms above a floor, so that they grow with the amount and do not vanish with it;
the interval is that of one more patient like those measured (Student's t).
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
from scipy import stats

from export.figures import Array, Labels, figure
from plugin.domain.volume_errors import VolumeErrors
from plugin.models.cards import Figure

#: Of each patient's lungs, the percentage that is marked and that which an expert drew.
Shares = Mapping[str, tuple[float, float]]

#: Percent of lung. The likelihood of the errors is the same within half a unit from 3 to 20.
FLOOR_PERCENT = 5.0
#: From fewer patients nothing is told.
LEAST_PATIENTS = 10


def volume_errors(shares: Shares) -> VolumeErrors | None:
    """The errors for a card; None where these are fewer than LEAST_PATIENTS."""
    if len(shares) < LEAST_PATIENTS:
        return None
    low, high = np.exp(_interval(_errors(shares)))
    marked = [percent for percent, _ in shares.values()]
    return VolumeErrors(
        floor_percent=FLOOR_PERCENT,
        low=round(min(float(low), 1.0), 4),
        high=round(max(float(high), 1.0), 4),
        least_percent=round(min(marked), 1),
        most_percent=round(max(marked), 1),
        patients=len(shares),
    )


def errors_figure(shares: Shares, command: str) -> Figure:
    """The share of patients whose drawn percentage lies in the interval that the others give."""
    errors = _errors(shares)
    inside = []
    for place, error in enumerate(errors):
        low, high = _interval(np.delete(errors, place))
        inside.append(float(low <= error <= high))
    listed = "; ".join(f"{name} {marked:.2f} {drawn:.2f}" for name, (marked, drawn) in shares.items())
    return figure(
        "drawn share inside the 95 % interval of the other patients",
        _mean,
        np.zeros(len(shares), dtype=np.int64),
        np.array(inside),
        list(shares),
        measured_on=f"{len(shares)} held-out COVID-19 volumes, each in turn left out of the interval",
        command=command,
        remark=f"% of lung marked and drawn: {listed}",
    )


def _errors(shares: Shares) -> Array:
    """The logarithm of drawn over marked, both above the floor, of each patient."""
    marked, drawn = np.array(list(shares.values())).T + FLOOR_PERCENT
    return np.asarray(np.log(drawn / marked))


def _interval(errors: Array) -> tuple[float, float]:
    """Where the error of another patient lies with 95 %."""
    n, mean = len(errors), float(errors.mean())
    reach = float(stats.t.ppf(0.975, n - 1)) * float(errors.std(ddof=1)) * math.sqrt(1 + 1 / n)
    return mean - reach, mean + reach


def _mean(_labels: Labels, scores: Array) -> float:
    return float(scores.mean())

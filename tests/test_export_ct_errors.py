"""The interval from measured errors, on errors that were drawn so that it is known."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("sklearn", reason="scikit-learn is only needed for measuring")

from export.models.ct_segment_errors import FLOOR_PERCENT, LEAST_PATIENTS, errors_figure, volume_errors

SPREAD, BIAS = 0.3, 0.1


def patients(count: int, seed: int = 1) -> dict[str, tuple[float, float]]:
    """Marked and drawn percentages whose errors are normal, with a known mean and spread."""
    draw = np.random.default_rng(seed)
    marked = draw.uniform(5, 40, count)
    drawn = (marked + FLOOR_PERCENT) * np.exp(draw.normal(BIAS, SPREAD, count)) - FLOOR_PERCENT
    return {f"patient-{n}": (float(m), float(d)) for n, (m, d) in enumerate(zip(marked, drawn, strict=True))}


def test_of_many_patients_the_interval_is_that_of_the_errors() -> None:
    errors = volume_errors(patients(4000))
    assert errors is not None
    assert np.log(errors.low) == pytest.approx(BIAS - 1.96 * SPREAD, abs=0.03)
    assert np.log(errors.high) == pytest.approx(BIAS + 1.96 * SPREAD, abs=0.03)
    assert (errors.least_percent, errors.most_percent) == (5.0, 40.0)


def test_of_few_patients_it_holds_for_the_next_one() -> None:
    """One more patient lies in the interval in 95 of 100 cases, as few as those before are."""
    held = []
    for seed in range(400):
        *known, (marked, drawn) = patients(LEAST_PATIENTS + 1, seed).values()
        errors = volume_errors({str(n): shares for n, shares in enumerate(known)})
        assert errors is not None
        factor = (drawn + FLOOR_PERCENT) / (marked + FLOOR_PERCENT)
        held.append(errors.low <= factor <= errors.high)
    assert np.mean(held) == pytest.approx(0.95, abs=0.03)


def test_it_is_told_whether_it_holds_for_each_patient_by_the_others() -> None:
    shares = patients(12) | {"outlier": (4.6, 90.0)}
    told = errors_figure(shares, "a command")
    assert (told.value, told.n) == (pytest.approx(12 / 13, abs=1e-4), 13)
    assert "outlier 4.60 90.00" in told.remark


def test_of_too_few_patients_nothing_is_told() -> None:
    assert volume_errors(patients(LEAST_PATIENTS - 1)) is None
    assert volume_errors(patients(LEAST_PATIENTS)) is not None

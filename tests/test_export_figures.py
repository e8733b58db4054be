"""Measures: known values, intervals by patient, calibration."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("sklearn", reason="the export side needs scikit-learn")

from sklearn.metrics import roc_auc_score

from export import figures


def test_rates_at_a_threshold() -> None:
    labels, scores = np.array([1, 1, 1, 0, 0]), np.array([0.9, 0.5, 0.1, 0.6, 0.2])
    assert figures.rate_at_least(0.5, 1)(labels, scores) == pytest.approx(2 / 3)
    assert figures.rate_below(0.5, 0)(labels, scores) == pytest.approx(1 / 2)


def test_auc_of_one_class_is_undefined() -> None:
    assert np.isnan(figures.auc(np.ones(3, dtype=np.int64), np.arange(3.0)))


def test_auc_is_that_of_scikit_learn() -> None:
    draw = np.random.default_rng(3)
    for count in (5, 60, 900):
        labels = np.arange(count) % 2
        scores = np.round(draw.normal(labels, 1.5), 1)  # with ties
        assert figures.auc(labels, scores) == pytest.approx(roc_auc_score(labels, scores), abs=1e-12)


def test_calibration_error_of_known_cases() -> None:
    probabilities = np.array([[0.75, 0.25]] * 4)
    assert figures.calibration_error(np.array([0, 0, 0, 1]), probabilities) == pytest.approx(0.0)
    assert figures.calibration_error(np.array([1, 1, 1, 1]), probabilities) == pytest.approx(0.75)


def test_temperature_is_found_again() -> None:
    draw = np.random.default_rng(0)
    logits = draw.normal(0, 1, (20_000, 2))
    share = 1 / (1 + np.exp(logits[:, 0] - logits[:, 1]))
    labels = (draw.random(20_000) < share).astype(np.int64)
    assert figures.fit_temperature(3 * logits, labels) == pytest.approx(3.0, rel=0.1)


def test_interval_is_wider_where_cases_share_patients() -> None:
    draw = np.random.default_rng(1)
    labels = np.repeat(draw.integers(0, 2, 60), 10)
    scores = labels + np.repeat(draw.normal(0, 1.5, 60), 10)
    alone = [str(i) for i in range(600)]
    together = [str(i // 10) for i in range(600)]
    wide = figures.bootstrap(figures.auc, labels, scores, together, repeats=200)
    narrow = figures.bootstrap(figures.auc, labels, scores, alone, repeats=200)
    assert wide is not None
    assert narrow is not None
    assert wide[1] - wide[0] > 2 * (narrow[1] - narrow[0])


def test_undefined_figure_says_so() -> None:
    found = figures.figure(
        "AUC",
        figures.auc,
        np.ones(4, dtype=np.int64),
        np.arange(4.0),
        list("abcd"),
        measured_on="nothing",
        command="none",
    )
    assert found.value is None
    assert found.interval is None
    assert found.n == 4

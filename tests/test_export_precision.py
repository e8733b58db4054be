"""Precisions are compared on the same inputs, each loaded as the plugin does it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

pytest.importorskip("torch", reason="the export side needs PyTorch")
pytest.importorskip("onnx", reason="the export side needs onnx")
pytest.importorskip("sklearn", reason="scikit-learn is only needed for measuring")

from torch import nn

from export.studies.precision import Bench, Cases, measure
from export.studies.precision_report import PRECISIONS, Precision
from plugin.models.cards import Card
from plugin.models.session import FloatArray
from tests.test_export_quantise import SHAPE, pictures, small_card, small_network

LABELS = np.array([0, 1] * 20, dtype=np.int64)


def separation(labels: np.ndarray, scores: np.ndarray) -> float:
    """How much higher the scores of the label 1 are."""
    return float(scores[labels == 1].mean() - scores[labels == 0].mean())


def test_a_difference_is_paired() -> None:
    """A shift that every case shares changes nothing: the interval is a point, however few the cases."""
    scores = np.random.default_rng(1).random(40) + 0.3 * LABELS
    answers: dict[Precision, np.ndarray] = {p: scores + place for place, p in enumerate(PRECISIONS)}
    patients = [str(number) for number in range(40)]
    found = Cases("separation", separation, LABELS, patients, answers, "made up").compared()
    assert found.n == 40
    assert [value.interval for value in found.values] == [None, (0.0, 0.0), (0.0, 0.0), (0.0, 0.0)]
    assert found.values[0].value == pytest.approx(separation(LABELS, scores), abs=1e-5)


def test_a_loss_shows() -> None:
    scores = np.random.default_rng(1).random(40) + LABELS
    answers: dict[Precision, np.ndarray] = dict.fromkeys(PRECISIONS, scores)
    answers["int8"] = np.random.default_rng(2).random(40)
    patients = [str(number) for number in range(40)]
    whole, _, poor, _ = (
        Cases("separation", separation, LABELS, patients, answers, "made up").compared().values
    )
    assert poor.value < whole.value
    assert poor.interval is not None
    assert poor.interval[1] < 0


class _Study:
    """One network, random pictures."""

    def __init__(self) -> None:
        self.network_of_part = small_network()
        self.parts: Sequence[int] = (0,)
        self.answers: dict[Precision, list[float]] = {p: [] for p in PRECISIONS}
        self.card: Card = small_card()

    def network(self, part: int) -> nn.Module:
        assert part in self.parts
        return self.network_of_part

    def calibration(self, part: int) -> FloatArray:
        return pictures(16, 100 + part)

    def read(self, part: int, bench: Bench) -> None:
        for seed in range(20):
            for precision, found in bench.predict(pictures(SHAPE[0], 1000 + 2 * seed + part)).items():
                self.answers[precision].extend(found[:, 1])

    def figures(self) -> list[Cases]:
        labels = (np.array(self.answers["float32"]) > np.median(self.answers["float32"])).astype(np.int64)
        scores = {p: np.array(found, dtype=np.float64) for p, found in self.answers.items()}
        return [Cases("separation", separation, labels, [str(n) for n in range(40)], scores, "made up")]


def test_a_network_is_read_in_every_precision() -> None:
    report = measure(_Study())
    assert report.inputs == 40
    assert report.calibrated_on == 16
    whole, half, eight, seven = report.costs
    assert whole.largest_change == 0
    assert 0 < half.mean_change < eight.mean_change
    assert eight.largest_change < 0.1
    assert half.size < whole.size
    assert all(cost.seconds > 0 for cost in report.costs)
    assert seven.mean_change > 0
    values = [value.value for value in report.figures[0].values]
    assert values[0] > 0
    assert values == pytest.approx([values[0]] * len(PRECISIONS), rel=0.2)

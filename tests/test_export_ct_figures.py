"""The figures of the CT networks, from answers made up so that the figures are known."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("torch", reason="PyTorch is only needed for training and export")
pytest.importorskip("sklearn", reason="scikit-learn is only needed for measuring")
pytest.importorskip("nibabel", reason="nibabel is only needed for training")

from export.data.ct_spoiled import SPOILED
from export.measured import Measured
from export.models import ct_classify, ct_reject
from export.models.ct_finetune import Pictures
from export.models.ct_projection import OutOfFold
from export.models.ct_segment_measure import (
    Result,
    findings_figures,
    lung_figures,
    proper_sides,
    volume_figures,
)
from plugin.analysis.lungs import LEFT, RIGHT


def table(rows: list[tuple[str, str, int]]) -> Pictures:
    """Pictures of (volume, kind, label)."""
    names, kinds, labels = zip(*rows, strict=True)
    count = len(rows)
    return Pictures(
        image=np.zeros((count, 1, 8, 8), dtype=np.uint8),
        label=np.array(labels, dtype=np.int64),
        name=np.array(names),
        kind=np.array(kinds),
        measured=np.ones(count, dtype=np.bool_),
    )


def value(measured: Measured, name: str) -> float | None:
    return next(f.value for f in measured.figures if f.name == name)


def test_rejections_are_counted_by_kind() -> None:
    chests = [f"chest-{n}" for n in range(10)]
    rows = [(c, "as stored", 0) for c in chests] + [(c, "whole", 0) for c in chests]
    rows += [(c, kind, 1) for c in chests for kind in SPOILED]
    logit = np.array([-3.0 if label == 0 else 3.0 for _, _, label in rows])
    logit[0] = 3.0
    logit[[r[1] == "one lung" and r[0] in chests[:4] for r in rows]] = -3.0
    measured = ct_reject.measure(OutOfFold(table(rows), logit), "a command")
    assert value(measured, "whole chests falsely rejected, as stored") == pytest.approx(0.1)
    assert value(measured, "whole chests falsely rejected, with varied coverage") == 0.05
    assert value(measured, "rejected of: one lung") == pytest.approx(0.6)
    assert value(measured, "rejected of: upside down") == 1.0
    assert measured.thresholds["accept"] + measured.thresholds["reject"] == pytest.approx(1)


def test_slabs_and_whole_volumes_are_measured_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    covid = [f"{s}_{n}" for s in ("coronacases", "radiopaedia") for n in range(6)]
    others = [f"other_{n}" for n in range(4)]
    monkeypatch.setattr(ct_classify.ct, "covid_names", lambda: covid)
    rows = [(c, "slab", label) for c in covid for label in (0, 1)]
    rows += [(c, "most", label) for c in covid for label in (0, 1)]
    rows += [(o, "slab", 0) for o in others] + [(o, "whole", 0) for o in others]
    rows += [(c, "whole", 1) for c in covid]
    right = np.array([2.0 if label else -2.0 for _, _, label in rows])
    logit = np.where([r[1] == "whole" for r in rows], -right, right)
    measured = ct_classify.measure(OutOfFold(table(rows), logit), "a command")
    assert value(measured, "slab AUC") == 1.0
    assert value(measured, "whole-volume AUC (confounded by source)") == 0.0
    assert measured.temperature < 1


def result(name: str, findings: float, truth: float) -> Result:
    return Result(
        name=name,
        source=name.split("-", maxsplit=1)[0],
        covid=truth > 0,
        expert_lungs=name.endswith("x"),
        lung_dice=0.9,
        findings_dice=0.5 if truth >= 1 else None,
        lung_ml=4000,
        true_lung_ml=4000,
        findings_ml=findings,
        true_findings_ml=truth,
        sides=1.0,
        side_ml=(2200.0, 1800.0),
    )


def test_volumes_with_hardly_any_findings_have_no_dice_but_an_error() -> None:
    results = [result("a-1", 140, 100), result("a-2", 120, 100), result("b-3", 40.3, 0.3)]
    results.append(result("c-x", 8, 0))
    dice = findings_figures(results, "a command")
    assert [(f.name, f.n) for f in dice] == [
        ("findings Dice, mean over volumes", 2),
        ("findings Dice, mean over volumes, a", 2),
    ]
    errors = {f.name: f for f in volume_figures(results, "a command")}
    assert errors["findings volume error, mL"].value == pytest.approx(100 / 3, abs=1e-3)
    share = errors["findings volume error, percentage points of lung"]
    assert share.value == pytest.approx(100 / 3 / 40, abs=1e-3)
    assert errors["findings in % of lung where none are expected"].value == pytest.approx(0.2)
    assert [f.n for f in lung_figures(results, "a command")] == [3, 1]


def test_swapped_or_merged_lungs_have_no_proper_sides() -> None:
    lung = np.zeros((2, 4, 100), dtype=np.bool_)
    lung[..., 5:40] = lung[..., 60:95] = True
    lungs = np.where(np.arange(100) < 50, RIGHT, LEFT).astype(np.uint8) * lung

    def sides(labels: np.ndarray) -> float:
        return proper_sides(labels.astype(np.uint8), lung, midline=49.5, column_mm=3.0)

    assert sides(lungs) == 1.0
    assert sides(np.where(lungs == RIGHT, LEFT, np.where(lungs == LEFT, RIGHT, 0))) == 0.0
    assert sides(np.where(lungs > 0, RIGHT, 0)) == 0.0
    assert sides(np.where(lungs == RIGHT, RIGHT, 0)) == 0.0

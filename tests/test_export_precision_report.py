"""The README's table of precisions is that of the file that ``./run export precision`` wrote."""

from __future__ import annotations

from pathlib import Path

import pytest

from export.paths import ONNX_MODELS
from export.studies.precision_report import (
    PRECISIONS,
    Compared,
    Cost,
    Report,
    Value,
    keep_report,
    read_reports,
    table,
)
from plugin.models.cards import read_card

SHIPPED = sorted(card.parent.name for card in ONNX_MODELS.glob("*/card.json"))


def _report(model: str, seconds: float = 0.02) -> Report:
    costs = [
        Cost(
            precision=p, size=4_000_000, seconds=seconds / (place + 1), mean_change=0.001, largest_change=0.1
        )
        for place, p in enumerate(PRECISIONS)
    ]
    values = [
        Value(precision=p, value=0.9, interval=None if p == "float32" else (-0.01, 0.0)) for p in PRECISIONS
    ]
    figure = Compared(name="AUC", n=12, measured_on="films", values=tuple(values))
    return Report(
        model=model,
        host="a machine",
        networks=3,
        inputs=12,
        calibrated_on=64,
        costs=tuple(costs),
        figures=(figure,),
    )


def test_the_document_shows_what_was_measured() -> None:
    text = (ONNX_MODELS / "figures.md").read_text(encoding="utf-8")
    shown = text.split("<!-- precision -->\n")[1].split("<!-- /precision -->")[0]
    assert shown == table(read_reports())


def test_every_shipped_model_that_has_a_study_was_measured_in_every_precision() -> None:
    pytest.importorskip("torch", reason="the export side needs PyTorch")
    pytest.importorskip("nibabel", reason="nibabel is only needed for training")
    from export.models import models
    from export.studies.precision_cases import has_study

    known = models()
    reports = {report.model: report for report in read_reports().reports}
    assert sorted(reports) == [name for name in SHIPPED if has_study(known[name])]
    for report in reports.values():
        assert tuple(cost.precision for cost in report.costs) == PRECISIONS
        assert report.costs[0].largest_change == 0
        assert report.figures
        for figure in report.figures:
            assert tuple(value.precision for value in figure.values) == PRECISIONS


def test_float32_is_what_the_card_says_where_it_has_the_same_figure() -> None:
    """The networks, cases and preparation are those that the card's figures were measured with."""
    compared = 0
    for report in read_reports().reports:
        said = {figure.name: figure for figure in read_card(ONNX_MODELS / report.model).figures}
        for figure in report.figures:
            card = said.get(figure.name)
            if card is not None and card.n == figure.n:
                assert card.value is not None
                assert abs(figure.values[0].value - card.value) < 0.005
                compared += 1
    assert compared > len(read_reports().reports) // 2  # others are measured on fewer cases than the card's


def test_a_new_report_takes_the_place_of_the_last(tmp_path: Path) -> None:
    path = tmp_path / "precision.json"
    keep_report(_report("b"), path)
    keep_report(_report("a"), path)
    keep_report(_report("b", seconds=0.5), path)
    reports = read_reports(path).reports
    assert [report.model for report in reports] == ["a", "b"]
    assert reports[1].costs[0].seconds == 0.5


def test_the_table_has_gains_and_intervals_of_differences(tmp_path: Path) -> None:
    path = tmp_path / "precision.json"
    keep_report(_report("a"), path)
    shown = table(read_reports(path))
    assert "| a | int8 | 4.0 | 6.7 | 3.00 | 0.0010 | 0.100 |" in shown
    assert "| a | AUC | 12 | 0.9000 | 0.9000 (-0.0100 to +0.0000) |" in shown
    assert "calibrated on 64 training pictures each; a machine" in shown

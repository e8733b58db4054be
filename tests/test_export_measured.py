"""The cards' figures are those that ``evaluate`` wrote, and the files are what the cards say."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from export.measured import Measured, read_measured, table
from export.paths import ONNX_MODELS, REPOSITORY
from plugin.models.cards import read_card

SHIPPED = sorted(card.parent for card in ONNX_MODELS.glob("*/card.json"))


@pytest.mark.parametrize("folder", SHIPPED, ids=lambda folder: folder.name)
def test_card_carries_what_was_measured(folder: Path) -> None:
    card, measured = read_card(folder), read_measured(folder.name)
    assert card.name == folder.name
    assert card.figures == measured.figures
    assert card.shortcut_checks == measured.shortcut_checks
    assert card.figures, "a model without any figure"
    logits = card.output("logits")
    assert logits is not None
    assert logits.temperature == measured.temperature
    thresholds = {c.name: c.threshold for c in logits.classes if c.name in measured.thresholds}
    assert thresholds == measured.thresholds


@pytest.mark.parametrize("folder", SHIPPED, ids=lambda folder: folder.name)
def test_file_is_the_cards_and_small_enough(folder: Path) -> None:
    card = read_card(folder)
    content = (folder / card.file).read_bytes()
    assert hashlib.sha256(content).hexdigest() == card.sha256
    assert len(content) < 95_000_000


def test_missing_figures_name_the_command() -> None:
    with pytest.raises(FileNotFoundError, match="evaluate no-such-model"):
        read_measured("no-such-model")


def test_measured_survives_its_file() -> None:
    measured = Measured(figures=(), temperature=1.5, thresholds={"COVID": 0.4})
    assert Measured.model_validate_json(measured.model_dump_json()) == measured


def test_table_has_a_row_for_each_figure() -> None:
    cards = [read_card(folder) for folder in SHIPPED]
    rows = sum(len(card.figures) + len(card.shortcut_checks) for card in cards)
    assert table(cards).count("\n") == rows + 2
    first = [card.figures[0].name for card in cards]
    assert [line.split(" | ")[1] for line in table(cards, most=1).splitlines()[2:]] == first


@pytest.mark.parametrize("place", ["README.md", "onnx_models/figures.md"])
def test_tables_in_the_documents_are_those_of_the_cards(place: str, tmp_path: Path) -> None:
    pytest.importorskip("torch", reason="the export side needs PyTorch")
    from export.__main__ import write_tables

    written = (REPOSITORY / place).read_text(encoding="utf-8")
    copy = tmp_path / "README.md"
    copy.write_text(written.replace("| whole volumes with findings called |", "| called |"), encoding="utf-8")
    assert copy.read_text(encoding="utf-8") != written
    write_tables((copy,))
    assert copy.read_text(encoding="utf-8") == written


@pytest.mark.parametrize(
    ("figure", "scale", "sentence"),
    [
        (
            "pointing game, siim",
            100,
            "box on {:.0f} % of the films with opacities (95 % interval {:.0f} to {:.0f})",
        ),
        (
            "Dice of the attention and the boxes, siim",
            1,
            "with the boxes by a Dice of {:.2f} ({:.2f} to {:.2f};",
        ),
        (
            "pneumonia called, kermany (children)",
            1,
            "calls one in five ({:.2f}, 95 % interval {:.2f} to {:.2f};",
        ),
    ],
)
def test_what_the_limits_say_of_x_rays_is_on_the_card(figure: str, scale: float, sentence: str) -> None:
    told = next(f for f in read_card(ONNX_MODELS / "xray-covid-lite0").figures if f.name == figure)
    assert told.value is not None
    assert told.interval is not None
    text = " ".join((REPOSITORY / "docs" / "limits.md").read_text(encoding="utf-8").split())
    assert sentence.format(*(scale * value for value in (told.value, *told.interval))) in text

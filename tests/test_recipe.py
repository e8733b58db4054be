"""What shapes a result belongs to its recipe, and nothing else does."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest

from plugin.domain.assessment import Assessment, Decision
from plugin.domain.codes import Code
from plugin.domain.kinds import Modality
from plugin.models.cards import Card, read_card
from plugin.models.lineup import Lineup
from plugin.models.network import Model
from plugin.queue import recipe
from plugin.results.summary import Earlier
from plugin.settings import ROOT, SECTION, Settings, read_settings

RUNNING = {
    "administrators",
    "allowed_hosts",
    "archive",
    "attempts",
    "backlog_days",
    "broken_ledger",
    "celery",
    "enabled",
    "engine",
    "explorer_button",
    "labels",
    "lease_seconds",
    "ledger",
    "max_instance_mb",
    "niceness",
    "orthanc",
    "poll_seconds",
    "urgent",
    "provider",
    "retry_seconds",
    "reviews",
    "series_metadata",
    "source_deleted",
    "superseded",
    "threads",
    "trusted_network",
}
"""Settings of how the plugin runs: with another value it makes the same results."""

IN_THE_CARDS = {"models", "models_folder", "thresholds"}
"""Settings that choose the models and their operating points, which the models' cards then say."""

CARD = read_card(ROOT / "onnx_models" / "xray-covid-lite0")


def _recipe(card: Card = CARD, modality: Modality = Modality.XRAY, **section: Any) -> str:
    lineup = Lineup(xray=(Model(card=card, session=None),))
    return recipe.recipe(lineup, read_settings({SECTION: section}), modality)


def test_every_setting_is_known_to_shape_a_result_or_not() -> None:
    named = set(recipe.SHAPING) | RUNNING | IN_THE_CARDS
    assert set(Settings.model_fields) <= named, "say in SHAPING or here what a new setting is"


@pytest.mark.parametrize(
    "section",
    [
        {"Language": "pt"},
        {"Results": {"Pdf": False}},
        {"SeriesNumbers": {"Sr": 1}},
        {"SeriesDescription": "Thorax"},
        {"Institution": "Elsewhere"},
        {"Xray": {"MinPixels": 300}},
    ],
)
def test_a_setting_that_shapes_results_changes_the_recipe(section: dict[str, Any]) -> None:
    assert _recipe(**section) != _recipe()


@pytest.mark.parametrize("section", [{"Threads": 3}, {"Superseded": "keep"}, {"PollSeconds": 9}])
def test_a_setting_of_how_it_runs_does_not(section: dict[str, Any]) -> None:
    assert _recipe(**section) == _recipe()


def test_a_setting_for_ct_does_not_change_an_x_ray() -> None:
    labelmap = {"SegmentationType": "LABELMAP"}
    assert _recipe(**labelmap) == _recipe()
    assert _recipe(modality=Modality.CT, **labelmap) != _recipe(modality=Modality.CT)


def test_the_whole_card_belongs_to_it() -> None:
    output = CARD.output("logits")
    assert output is not None

    def with_class(**change: object) -> Card:
        first = output.classes[0].model_copy(update=change)
        changed = output.model_copy(update={"classes": (first, *output.classes[1:])})
        others = tuple(o for o in CARD.outputs if o is not output)
        return CARD.model_copy(update={"outputs": (changed, *others)})

    recipes = {
        _recipe(card)
        for card in (
            CARD,
            with_class(threshold=0.123),
            with_class(meaning="another meaning"),
            with_class(code=Code(value="1", scheme="99LOCAL", meaning="A code")),
            CARD.model_copy(update={"title": "Another title"}),
            CARD.model_copy(update={"limits": "Other limits"}),
            CARD.model_copy(update={"sha256": "0" * 64}),
        )
    }
    assert len(recipes) == 7


def test_the_version_belongs_to_it(monkeypatch: pytest.MonkeyPatch) -> None:
    before = _recipe()
    monkeypatch.setattr(recipe, "__version__", "99.0.0")
    assert _recipe() != before


def test_the_patients_history_makes_another_reading() -> None:
    january = Earlier(day=date(2024, 1, 5), percent=12.5)
    assert recipe.reading("c", "r", ()) == recipe.reading("c", "r", ())
    assert recipe.reading("c", "r", (january,)) != recipe.reading("c", "r", ())
    assert recipe.reading("c", "other", ()) != recipe.reading("c", "r", ())


def test_a_physicians_word_makes_another_reading() -> None:
    accepted = Assessment(
        decision=Decision.ACCEPT, by="Silva^Mary", verified=True, at=1.7e9, report="a" * 44, assessed="b" * 44
    )
    rejected = accepted.model_copy(update={"decision": Decision.REJECT})
    without, one, other = (recipe.reading("c", "r", (), said) for said in (None, accepted, rejected))
    assert len({without, one, other}) == 3
    assert recipe.reading("c", "r", (), accepted.model_copy()) == one

"""The ChestAI section: defaults for everything, clear words for what is wrong."""

from __future__ import annotations

from pathlib import Path

import pytest

from plugin.settings import MODELS_FOLDER, SettingsError, describe, read_settings, table

SETTINGS = Path(__file__).resolve().parent.parent / "docs" / "settings.md"


def test_every_key_has_a_default() -> None:
    settings = read_settings({})
    assert settings.enabled
    assert settings.inference_threads >= 1
    assert settings.models_folder.name == "onnx_models"


def test_keys_are_in_orthancs_style() -> None:
    settings = read_settings({"ChestAI": {"Threads": 3, "Models": {"CtReject": ""}}})
    assert settings.inference_threads == 3
    assert settings.models.ct_reject == ""


@pytest.mark.parametrize(
    ("section", "words"),
    [
        ({"Thread": 2}, "ChestAI.Thread"),
        ({"threads": 2}, "ChestAI.threads"),
        ({"Threads": -1}, "ChestAI.Threads"),
        ({"Provider": "tpu"}, "ChestAI.Provider"),
        ({"Models": {"Brain": "x"}}, "ChestAI.Models.Brain"),
        ({"SeriesMetadata": 3}, "ChestAI.SeriesMetadata"),
        (
            {"Thresholds": {"ct-class-ax-compact": {"COVID": 60}}},
            "ChestAI.Thresholds.ct-class-ax-compact.COVID",
        ),
        ({"Thresholds": {"ct-class-ax-compact": {"COVID": -0.1}}}, "greater than or equal to 0"),
        ({"MaxInstanceMb": 4096}, "ChestAI.MaxInstanceMb"),
    ],
)
def test_a_wrong_setting_is_named(section: dict[str, object], words: str) -> None:
    with pytest.raises(SettingsError, match=words.replace(".", r"\.")):
        read_settings({"ChestAI": section})


def test_the_environments_spelling_of_the_section_is_read_too() -> None:
    """Orthanc Team's image turns ORTHANC__CHEST_AI__THREADS=3 into {"ChestAi": {"Threads": 3}}."""
    assert read_settings({"ChestAi": {"Threads": 3}}).threads == 3
    with pytest.raises(SettingsError, match=r"ChestAi\.Treads"):
        read_settings({"ChestAi": {"Treads": 3}})
    with pytest.raises(SettingsError, match="both ChestAI and ChestAi"):
        read_settings({"ChestAI": {}, "ChestAi": {"Threads": 3}})


def test_an_empty_models_folder_means_the_default() -> None:
    assert read_settings({"ChestAI": {"ModelsFolder": ""}}).models_folder == MODELS_FOLDER
    assert read_settings({"ChestAI": {"ModelsFolder": "/srv/models"}}).models_folder == Path("/srv/models")


@pytest.mark.parametrize(("before", "now"), [(True, "all"), (False, "none")])
def test_what_rejection_notes_took_before_is_still_understood(before: bool, now: str) -> None:
    assert read_settings({"ChestAI": {"Results": {"RejectionSr": before}}}).results.rejection_sr == now


def test_every_setting_says_what_it_does() -> None:
    assert [key for key, _, text in describe() if not text] == []


def test_the_page_of_settings_is_todays() -> None:
    assert table() in SETTINGS.read_text(encoding="utf-8")

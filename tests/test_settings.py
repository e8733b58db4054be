"""The ChestAI section: defaults for everything, clear words for what is wrong."""

from __future__ import annotations

from pathlib import Path

import pytest

from plugin.settings import SettingsError, describe, read_settings, table

README = Path(__file__).resolve().parent.parent / "README.md"


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
    ],
)
def test_a_wrong_setting_is_named(section: dict[str, object], words: str) -> None:
    with pytest.raises(SettingsError, match=words.replace(".", r"\.")):
        read_settings({"ChestAI": section})


def test_every_setting_says_what_it_does() -> None:
    assert [key for key, _, text in describe() if not text] == []


def test_the_readme_has_todays_settings() -> None:
    assert table() in README.read_text(encoding="utf-8")

"""Orthanc's configuration as a worker reads it."""

from __future__ import annotations

from pathlib import Path

import pytest

from plugin.remote.configuration import read_configuration
from plugin.settings import SettingsError, read_settings


def test_comments_and_variables_are_taken_as_orthanc_takes_them(tmp_path: Path) -> None:
    file = tmp_path / "orthanc.json"
    file.write_text(
        '{ // the name\n "Name": "a // no comment", /* two\n lines */\n'
        ' "A": "${GIVEN}", "B": "${MISSING:-http://x:1}", "C": "${MISSING}", "D": "quote \\" // kept" }'
    )
    read = read_configuration(file, {"GIVEN": "secret"})
    assert read == {
        "Name": "a // no comment",
        "A": "secret",
        "B": "http://x:1",
        "C": "",
        "D": 'quote " // kept',
    }


def test_a_folder_is_read_as_one(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text('{"ChestAI": {"Language": "pt"}}')
    (tmp_path / "b.json").write_text('{"StableAge": 5}')
    assert read_configuration(tmp_path) == {"ChestAI": {"Language": "pt"}, "StableAge": 5}


@pytest.mark.parametrize("text", ["[1]", "{", '{"A": 1,}'])
def test_what_is_no_configuration_is_said(tmp_path: Path, text: str) -> None:
    file = tmp_path / "orthanc.json"
    file.write_text(text)
    with pytest.raises(SettingsError, match=r"orthanc\.json is no configuration"):
        read_configuration(file)


def test_nothing_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"no \*\.json"):
        read_configuration(tmp_path)
    with pytest.raises(SettingsError, match="No such file"):
        read_configuration(tmp_path / "orthanc.json")


def test_workers_need_a_ledger_that_they_reach() -> None:
    with pytest.raises(SettingsError, match="needs a Ledger that workers reach"):
        read_settings({"ChestAI": {"Engine": "celery"}})
    with pytest.raises(SettingsError, match="Engine"):
        read_settings({"ChestAI": {"Engine": "nomad"}})
    chosen = read_settings({"ChestAI": {"Engine": "celery", "Ledger": "postgresql+psycopg://u@h/d"}})
    assert chosen.engine == "celery"

"""Orthanc's own configuration, as a worker reads it: the same file or folder, so that both read alike."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from plugin.settings import SettingsError

_STRING_OR_COMMENT = re.compile(r'"(?:\\.|[^"\\])*"|//[^\n]*|/\*.*?\*/', re.DOTALL)
_VARIABLE = re.compile(r"\$\{(\w+)(?::-([^}]*))?\}")


def read_configuration(path: Path, environment: Mapping[str, str] = os.environ) -> dict[str, Any]:
    """A file, or every ``*.json`` of a folder; comments and ``${VARIABLE:-default}`` as Orthanc takes them.

    Raises SettingsError for what cannot be read.
    """
    files = sorted(path.glob("*.json")) if path.is_dir() else [path]
    if not files:
        raise SettingsError(f"there is no *.json in {path}")
    merged: dict[str, Any] = {}
    for file in files:
        try:
            text = _VARIABLE.sub(lambda found: _value(found, environment), file.read_text())
            merged |= json.loads(_STRING_OR_COMMENT.sub(_without_comment, text))
        except (OSError, ValueError, TypeError) as error:
            raise SettingsError(f"{file} is no configuration: {error}") from error
    return merged


def _without_comment(found: re.Match[str]) -> str:
    return found[0] if found[0].startswith('"') else " "


def _value(found: re.Match[str], environment: Mapping[str, str]) -> str:
    return environment.get(found[1], found[2] or "")

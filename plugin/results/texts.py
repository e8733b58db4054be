"""The words of the reports in the site's language, from the file of texts beside this module."""

from __future__ import annotations

import re
import tomllib
from datetime import date, datetime
from functools import cache
from pathlib import Path
from typing import Any

LANGUAGES = ("en", "pt")

_NUMBER = re.compile(r"-?\d+\.\d+")
_FILE = Path(__file__).with_name("texts.toml")


@cache
def all_texts() -> dict[str, dict[str, str]]:
    """Every text: dotted key to language to words."""
    return dict(_flattened(tomllib.loads(_FILE.read_text(encoding="utf-8"))))


def _flattened(table: dict[str, Any], prefix: str = "") -> list[tuple[str, dict[str, str]]]:
    if all(isinstance(value, str) for value in table.values()):
        return [(prefix, table)]
    return [
        entry
        for key, value in table.items()
        for entry in _flattened(value, f"{prefix}.{key}" if prefix else key)
    ]


class Texts:
    """The texts in one language. Calling it with a key gives the words with their places filled."""

    def __init__(self, language: str) -> None:
        """``language`` is one of :data:`LANGUAGES`; raises ValueError for another."""
        if language not in LANGUAGES:
            raise ValueError(f"language {language!r} is not one of {', '.join(LANGUAGES)}")
        self.language = language

    def __call__(self, key: str, **places: object) -> str:
        """The words of ``key``. Raises KeyError for an unknown key or a place that is not given."""
        return all_texts()[key][self.language].format(**places)

    def optional(self, key: str, default: str) -> str:
        """The words of ``key`` where the file has them in this language, else ``default``."""
        return all_texts().get(key, {}).get(self.language, default)

    def number(self, value: float, digits: int = 0) -> str:
        """A number with that many decimals, with the language's decimal sign."""
        text = f"{value:.{digits}f}"
        if float(text) == 0:
            text = text.lstrip("-")
        return text.replace(".", ",") if self.language == "pt" else text

    def localised(self, value: str) -> str:
        """A value with the language's decimal sign, where it is a number."""
        return value.replace(".", ",") if self.language == "pt" and _NUMBER.fullmatch(value) else value

    def percent(self, value: float, digits: int = 0) -> str:
        """A percentage (0 to 100) with its sign. A small one is never shown as 0 %, a large one as 100 %."""
        least = 10.0**-digits
        if 0 < value < least:
            return f"< {self.number(least, digits)} %"
        if 100 - least < value < 100:
            return f"> {self.number(100 - least, digits)} %"
        return f"{self.number(value, digits)} %"

    def score(self, value: float) -> str:
        """A score from 0 to 100 as a whole number; a small one is never shown as 0, nor a high one as 100."""
        return self.percent(value).removesuffix(" %")

    def signed(self, value: float, digits: int = 0) -> str:
        """A number with its sign, 0 without one. The fonts of the pages have no other minus than the dash."""
        text = self.number(abs(value), digits)
        if float(text.replace(",", ".")) == 0:
            return text
        return f"+{text}" if value > 0 else f"\N{EN DASH}{text}"

    def volume(self, millilitres: float) -> str:
        """A volume in mL as a whole number, below 10 mL with a decimal; a small one is never shown as 0."""
        if 0 < millilitres < 0.1:
            return f"< {self.number(0.1, 1)}"
        return self.number(millilitres, 1 if 0 < millilitres < 10 else 0)

    def date(self, day: date) -> str:
        """A date as ISO 8601 writes it, which reads the same in every country."""
        return day.isoformat()

    def minute(self, moment: datetime) -> str:
        """A date with hours and minutes, likewise."""
        return moment.strftime("%Y-%m-%d %H:%M")

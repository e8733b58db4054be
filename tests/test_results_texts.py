"""Every text in every language, with the same places."""

from __future__ import annotations

import ast
import string

import pytest
from fontTools.ttLib import TTFont

from plugin.domain.kinds import RemarkCode
from plugin.results.texts import LANGUAGES, Texts, all_texts
from tests.conftest import ROOT


def places(text: str) -> set[str]:
    return {name for _, name, _, _ in string.Formatter().parse(text) if name}


FROM_CODE = ("remark.", "meaning.")
"""Texts whose English is in the code or in a model's card."""


@pytest.mark.parametrize("code", RemarkCode)
def test_every_remark_has_words_in_the_other_languages(code: RemarkCode) -> None:
    assert set(all_texts().get(f"remark.{code}", {})) == set(LANGUAGES) - {"en"}


@pytest.mark.parametrize("key", sorted(k for k in all_texts() if k.startswith(FROM_CODE)))
def test_what_comes_from_the_code_is_there_in_the_other_languages(key: str) -> None:
    assert set(all_texts()[key]) == set(LANGUAGES) - {"en"}


@pytest.mark.parametrize("key", sorted(k for k in all_texts() if not k.startswith(FROM_CODE)))
def test_every_language_has_the_text_and_its_places(key: str) -> None:
    texts = all_texts()[key]
    assert set(texts) == set(LANGUAGES)
    assert all(texts[language].strip() for language in LANGUAGES)
    assert len({frozenset(places(texts[language])) for language in LANGUAGES}) == 1


def test_numbers_have_the_languages_decimal_sign() -> None:
    assert Texts("en").percent(12.34, 1) == "12.3 %"
    assert Texts("pt").percent(12.34, 1) == "12,3 %"


@pytest.mark.parametrize(
    ("value", "words"), [(0.0, "0 %"), (0.2, "< 1 %"), (99.7, "> 99 %"), (100.0, "100 %"), (53.0, "53 %")]
)
def test_a_small_share_is_not_none(value: float, words: str) -> None:
    assert Texts("en").percent(value) == words


def test_an_unknown_language_is_refused() -> None:
    with pytest.raises(ValueError, match="language 'xx'"):
        Texts("xx")


@pytest.mark.parametrize("language", LANGUAGES)
def test_what_goes_into_a_short_attribute_fits(language: str) -> None:
    """Long String (LO) holds 64 characters."""
    assert len(Texts(language)("seg.description")) <= 64
    segments = [key for key in all_texts() if key.startswith("segment.")]
    assert max(len(Texts(language)(key)) for key in segments) <= 64


def test_signs_and_small_volumes() -> None:
    assert [Texts("en").signed(value, 1) for value in (-3.24, 0.04, 2.0)] == ["–3.2", "0.0", "+2.0"]
    assert [Texts("pt").volume(value) for value in (0.0, 0.05, 4.26, 380.2)] == ["0", "< 0,1", "4,3", "380"]


def test_the_fonts_have_every_letter_of_the_texts() -> None:
    """Where the system has no other fonts, a letter that these lack is shown as a replacement."""
    fonts = sorted((ROOT / "plugin" / "results" / "fonts").glob("*.ttf"))
    said = {letter for texts in all_texts().values() for words in texts.values() for letter in words}
    said |= set(Texts("en").signed(-1.5, 1) + Texts("pt").percent(0.01, 1) + "…•·²")
    for font in fonts:
        letters = TTFont(font).getBestCmap()
        assert {letter for letter in said if ord(letter) not in letters and not letter.isspace()} == set()


def said_values() -> dict[RemarkCode, list[set[str]]]:
    """The values that each remark of the code is given, by its code; those of loops over codes aside."""
    found: dict[RemarkCode, list[set[str]]] = {}
    for path in (ROOT / "plugin").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if not isinstance(node, ast.Call) or not node.args:
                continue
            name, code = getattr(node.func, "id", ""), node.args[0]
            if name in {"reject", "warn", "say"} and isinstance(code, ast.Attribute):
                given = {keyword.arg for keyword in node.keywords if keyword.arg}
                whole = any(keyword.arg is None for keyword in node.keywords)
                found.setdefault(RemarkCode[code.attr], []).append(given | ({"**"} if whole else set()))
    return found


SAID = said_values()


def test_most_remarks_are_found_in_the_code() -> None:
    assert len(SAID) > 45


@pytest.mark.parametrize("code", sorted(SAID))
def test_every_remark_gives_the_values_that_its_words_have_places_for(code: RemarkCode) -> None:
    for language in set(LANGUAGES) - {"en"}:
        wanted = places(all_texts()[f"remark.{code}"][language])
        for given in SAID[code]:
            assert "**" in given or wanted <= given

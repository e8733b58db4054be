"""The files of the page: which are served, with which headers, and what is in them."""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path

import pytest

from plugin.results.texts import LANGUAGES
from plugin.web import pages
from plugin.web.pages import send_page, words_in
from tests.test_web_routes import Output

FOLDER = Path(pages.__file__).with_name("page")
SCRIPTS = sorted(FOLDER.glob("*.js"))


def got(path: str, method: str = "GET") -> Output | None:
    output = Output()
    return output if send_page(output, method, path) else None


def test_the_page_and_every_file_of_it_are_served() -> None:
    page = got("")
    assert page is not None
    assert page.status == 200
    assert page.headers["Content-Type"].startswith("text/html")
    for file in FOLDER.iterdir():
        answer = got(f"page/{file.name}")
        assert answer is not None
        assert answer.body == file.read_bytes()


def test_nothing_else_is_served() -> None:
    for path in (
        "page/",
        "page/../routes.py",
        "page/words.toml",
        "routes.py",
        "page/words-xx.json",
        "index.html",
    ):
        assert got(path) is None, path
    assert got("", "POST") is None


def test_no_other_host_and_no_code_in_the_page() -> None:
    page = got("")
    assert page is not None
    policy = page.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert "http" not in policy
    assert page.headers["X-Content-Type-Options"] == "nosniff"
    html = page.body.decode()
    assert not re.search(r"\son\w+=|<style|javascript:|<script(?![^>]*src=)", html)


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.name)
def test_data_become_text_and_never_markup(script: Path) -> None:
    text = script.read_text()
    sinks = r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function|srcdoc"
    assert not re.search(sinks, text)
    assert not re.search(r"https?://", text.replace("http://www.w3.org/2000/svg", "a name, not an address"))


def test_every_text_is_there_in_every_language() -> None:
    table = tomllib.loads((FOLDER.parent / "words.toml").read_text())
    for section, texts in table.items():
        for key, said in texts.items():
            assert set(said) == set(LANGUAGES), f"{section}.{key}"
            places = {tuple(sorted(re.findall(r"\{\w+\}", words))) for words in said.values()}
            assert len(places) == 1, f"{section}.{key}"


def test_every_text_that_the_page_asks_for_is_there() -> None:
    """Those that it names whole; those that it puts together, such as stages, are named by the sections."""
    asked = {key for script in SCRIPTS for key in re.findall(r'\bt\("([\w.]+)"', script.read_text())}
    assert len(asked) > 40
    assert asked - set(words_in("en")) == set()


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_words_of_a_language(language: str) -> None:
    answer = got(f"page/words-{language}.json")
    assert answer is not None
    words = json.loads(answer.body)
    assert words["page.worklist"]
    assert words["disclaimer"]
    assert ("remark.body_part" in words) == (language == "pt")

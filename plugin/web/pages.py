"""The page ``/ai/``: files beside this module, and its words. Standard library only.

It must be shown, and say what is wrong, also where nothing else of the plugin can be imported.
"""

from __future__ import annotations

import json
import re
import tomllib
from functools import cache
from pathlib import Path
from typing import Any

from plugin.results.texts import LANGUAGES, all_texts
from plugin.web.answers import send

_FOLDER = Path(__file__).with_name("page")
_WORDS = Path(__file__).with_name("words.toml")

_KINDS = {
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".svg": "image/svg+xml",
}
HEADERS = {
    # Nothing from another host, no code inside the page, no text that could become code.
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self';"
    " connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'self';"
    " require-trusted-types-for 'script'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cache-Control": "no-cache",
}


def send_page(output: Any, method: str, path: str) -> bool:
    """Answer a GET for a part of the page; False where the path is none. ``path``: after ``/ai/``."""
    found = _find(path) if method == "GET" else None
    if found is None:
        return False
    for name, value in HEADERS.items():
        output.SetHttpHeader(name, value)
    content, kind = found
    send(output, 200, content, kind)
    return True


def _find(path: str) -> tuple[bytes, str] | None:
    """The content and the media type of a part of the page."""
    words = re.fullmatch(r"page/words-(\w+)\.json", path)
    if words and words[1] in LANGUAGES:
        text = json.dumps(words_in(words[1]), ensure_ascii=False)
        return text.encode(), "application/json"
    if path == "ai/page/slash.js":  # Orthanc does not tell /ai/ from /ai, where this would be page/slash.js
        return b"", _KINDS[".js"]
    if path and not path.startswith("page/"):
        return None
    name = "index.html" if path == "" else path.removeprefix("page/")
    file = next((file for file in _FOLDER.iterdir() if file.name == name), None)
    if file is None or file.suffix not in _KINDS:
        return None
    return file.read_bytes(), _KINDS[file.suffix]


@cache
def words_in(language: str) -> dict[str, str]:
    """Every text of the page by its key, with what the reports say of remarks under ``remark.``."""
    own = tomllib.loads(_WORDS.read_text(encoding="utf-8"))
    said = {
        f"{section}.{key}": texts[language] for section, table in own.items() for key, texts in table.items()
    }
    remarks = {key: texts[language] for key, texts in all_texts().items() if language in texts}
    return {key: text for key, text in remarks.items() if key.startswith(("remark.", "disclaimer"))} | said

"""A running Orthanc, asked over its REST API."""

from __future__ import annotations

import base64
import json
import urllib.request
from typing import Any
from urllib.parse import unquote, urlsplit

ANSWER_SECONDS = 120


class Orthanc:
    """An Orthanc at a URL; ``http://user:password@host:8042`` where it asks for a password.

    Every request raises urllib.error.HTTPError where Orthanc refuses it, and OSError (URLError among
    others) where nothing answers.
    """

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self.url = parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl().rstrip("/")
        self._headers: dict[str, str] = {}
        if parts.username is not None:
            user = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
            self._headers["Authorization"] = f"Basic {base64.b64encode(user.encode()).decode()}"

    def get(self, path: str) -> Any:
        """The JSON answer to ``GET path``."""
        return json.loads(self.read(path))

    def read(self, path: str) -> bytes:
        """The raw answer to ``GET path``."""
        return self._request("GET", path)

    def post(self, path: str, body: bytes) -> Any:
        """The JSON answer to ``POST path``."""
        return json.loads(self._request("POST", path, body))

    def delete(self, path: str) -> None:
        """``DELETE path``."""
        self._request("DELETE", path)

    def _request(self, method: str, path: str, body: bytes | None = None) -> bytes:
        request = urllib.request.Request(  # noqa: S310 - the URL of an Orthanc that the caller names
            self.url + path, data=body, headers=self._headers, method=method
        )
        with urllib.request.urlopen(request, timeout=ANSWER_SECONDS) as answer:  # noqa: S310
            return bytes(answer.read())

"""``GET /ai/session``: who asks, as far as Orthanc has checked it, and the language of the reports."""

from __future__ import annotations

from typing import Any

from plugin.service import Service
from plugin.web.http import HttpRequest


def session(service: Service, _request: HttpRequest) -> dict[str, Any]:
    """The answer to ``GET /ai/session``."""
    return {"language": service.settings.language}

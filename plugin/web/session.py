"""``GET /ai/session``: who asks, as far as that was checked, what this one may do, and the language."""

from __future__ import annotations

from typing import Any

from plugin.service import Service
from plugin.web.http import HttpError, HttpRequest
from plugin.web.reviews import observer_of


def session(service: Service, request: HttpRequest) -> dict[str, Any]:
    """The answer to ``GET /ai/session``. ``may_review``: whether a word of this one would be taken;
    ``named``: the name that it would be under, None where it has to be given."""
    try:
        observer = observer_of(service, request.user, "?")
    except HttpError as error:
        review: dict[str, Any] = {"may_review": False, "named": None, "reason": str(error)}
    else:
        review = {"may_review": True, "named": observer.name if request.user else None, "reason": None}
    return {"user": request.user, "language": service.settings.language, **review}

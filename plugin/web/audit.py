"""``GET /ai/audit``: who asked for what, for those who may know."""

from __future__ import annotations

from typing import Any

from plugin.service import Service
from plugin.web.http import HttpError, HttpRequest, count, number

_MOST = 1000


def audit(service: Service, request: HttpRequest) -> list[dict[str, Any]]:
    """The answer to ``GET /ai/audit``: the latest first; ``before``: the number to go on from."""
    administrators = service.settings.administrators
    if administrators and request.user not in administrators:
        raise HttpError(403, "only the users of the setting Administrators may read this")
    limit = count(request.arguments, "limit", 100, _MOST)
    before = int(number(request.arguments, "before", 0)) or None
    return [] if service.ledger is None else service.ledger.actions(before, limit)

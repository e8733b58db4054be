"""The routes of the models: the cards in use, and requests for another version of one."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from plugin.domain.errors import Refused
from plugin.service import Service
from plugin.web.http import HttpError, HttpRequest

if TYPE_CHECKING:
    from plugin.updates.updater import Updater


def models(service: Service, _request: HttpRequest) -> list[dict[str, Any]]:
    """``GET /ai/models``: the cards of the models in use, and what is known of newer versions."""
    return service.cards()


def install(
    service: Service, request: HttpRequest, name: str, version: str | None = None
) -> list[dict[str, Any]]:
    """``POST /ai/models/{name}/install[/{version}]``: use another version from the next series on."""
    return _updated(service, request, name, lambda updates: updates.install(name, version))


def back(service: Service, request: HttpRequest, name: str) -> list[dict[str, Any]]:
    """``POST /ai/models/{name}/back``: use the version before again."""
    return _updated(service, request, name, lambda updates: updates.back(name))


def _updated(
    service: Service, request: HttpRequest, name: str, change: Callable[[Updater], str]
) -> list[dict[str, Any]]:
    if service.updates is None:
        raise HttpError(409, "the setting Models.Channel names no channel")
    if all(model.card.name != name for model in service.lineup.models):
        raise HttpError(404, f"no model {name} is in use")
    try:
        change(service.updates)
    except Refused as error:
        raise HttpError(409, str(error)) from error
    return models(service, request)

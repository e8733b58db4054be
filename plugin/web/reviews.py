"""``POST /ai/series/{id}/review``: a physician's word, from whoever may give one."""

from __future__ import annotations

import json
import logging
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from plugin.domain.assessment import Decision
from plugin.domain.errors import NoRoom, NotHeld
from plugin.queue.assessing import NotAssessable
from plugin.results.sr.assessment import Observer
from plugin.service import Service
from plugin.web.http import HttpError, HttpRequest
from plugin.web.series import series

log = logging.getLogger(__name__)

_MOST_TEXT = 2000

_Line = Annotated[str, StringConstraints(strip_whitespace=True, max_length=64)]


class _Posted(BaseModel):
    """What is posted. ``assessed``: the report that was looked at, by Orthanc's id; ``name``: who says it,
    where Orthanc does not know."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    decision: Annotated[Decision, Field(strict=False)]
    assessed: Annotated[str, StringConstraints(pattern=r"^[0-9a-f-]{44}$")]
    corrected: Annotated[str, StringConstraints(max_length=64)] | None = None
    text: Annotated[str, StringConstraints(strip_whitespace=True, max_length=_MOST_TEXT)] = ""
    name: _Line = ""


def review(service: Service, request: HttpRequest, name: str) -> Any:
    """The answer to ``POST /ai/series/{id}/review``: the series with the new word."""
    posted = _posted(request)
    observer = observer_of(service, request.user, posted.name)
    if service.assessing is None:
        raise HttpError(503, str(service.status()["reason"]))
    try:
        service.assessing.take(
            name,
            assessed=posted.assessed,
            decision=posted.decision,
            corrected=posted.corrected,
            text=_printable(posted.text),
            observer=observer,
        )
    except NotHeld as error:
        raise HttpError(404, str(error)) from error
    except NotAssessable as error:
        raise HttpError(409, str(error)) from error
    except NoRoom as error:
        raise HttpError(507, str(error)) from error
    log.info("series %s: reviewed (%s)", name, posted.decision)
    return series(service, request, name)


def observer_of(service: Service, user: str | None, given: str) -> Observer:
    """Who reviews. ``given``: the name that somebody gives himself, where nobody has checked who it is.

    Raises HttpError where this one may not.
    """
    reviews = service.settings.reviews
    known = reviews.reviewers.get(user or "")
    if reviews.reviewers and known is None:
        who = f"the user {user}" if user else "somebody whom Orthanc does not know"
        raise HttpError(403, f"{who} is not among the reviewers (ChestAI.Reviews.Reviewers)")
    name = (known.name if known else "") or user or _printable(given)
    if not name:
        raise HttpError(400, "name must say who reviews: Orthanc asks nobody for a password")
    organization = (known.organization if known else "") or reviews.organization
    return Observer(
        name=name,
        organization=organization or service.settings.institution,
        verified=user is not None,
    )


def _posted(request: HttpRequest) -> _Posted:
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/json":
        raise HttpError(415, "the body must be application/json")
    try:
        posted = _Posted.model_validate(json.loads(request.body))
    except ValidationError as error:
        wrong = (f"{'.'.join(map(str, item['loc'])) or 'body'}: {item['msg']}" for item in error.errors())
        raise HttpError(400, "; ".join(wrong)) from error
    except ValueError as error:  # also what is no UTF-8
        raise HttpError(400, "the body is no JSON") from error
    if posted.decision is Decision.MODIFY and not (posted.corrected or posted.text):
        raise HttpError(400, "to modify takes a corrected class or a text")
    if posted.decision is Decision.ACCEPT and posted.corrected:
        raise HttpError(400, "what is accepted has no corrected class")
    return posted


def _printable(text: str) -> str:
    """The text without control characters, line breaks apart."""
    return "".join(c for c in text.replace("\r\n", "\n") if c.isprintable() or c == "\n")

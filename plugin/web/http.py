"""A request, an error, and the arguments of a request: what every route is made of."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TypeVar

_Choice = TypeVar("_Choice", bound=StrEnum)


@dataclass(frozen=True, kw_only=True)
class HttpRequest:
    """A request: method, path after ``/ai/``, arguments of a GET, headers (lower case), the body.

    ``user``: who asks; None where nobody has checked that.
    """

    method: str
    path: str
    arguments: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    user: str | None = None


class HttpError(Exception):
    """An answer other than 200, with its reason."""

    def __init__(self, status: int, reason: str) -> None:
        """``status``: the HTTP status."""
        super().__init__(reason)
        self.status = status


def number(arguments: Mapping[str, str], name: str, default: float) -> float:
    """A number among the arguments. Raises HttpError where it is none."""
    try:
        value = float(arguments.get(name) or default)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise HttpError(400, f"{name} must be a number")
    return value


def count(arguments: Mapping[str, str], name: str, default: int, most: int) -> int:
    """A whole number between 1 and ``most`` among the arguments. Raises HttpError where it is none."""
    value = int(number(arguments, name, default))
    if not 1 <= value <= most:
        raise HttpError(400, f"{name} must be between 1 and {most}")
    return value


def one_of(arguments: Mapping[str, str], name: str, kind: type[_Choice]) -> _Choice | None:
    """A member of an enumeration among the arguments, None where it is not given. Raises HttpError."""
    if not arguments.get(name):
        return None
    try:
        return kind(arguments[name])
    except ValueError:
        known = ", ".join(member.value for member in kind)
        raise HttpError(400, f"{name} must be one of {known}") from None

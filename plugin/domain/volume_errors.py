"""How far a segmenter's volumes lie from experts' outlines, and what that says of a single reading."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from pydantic import BaseModel, ConfigDict, Field, model_validator


@dataclass(frozen=True, kw_only=True)
class Drawn:
    """How much experts outline where a network marks as much as it does: 95 % prediction intervals.

    ``percent`` of both lungs, 0 to 100, in whole numbers; ``findings_ml`` to two significant digits; both
    rounded outwards, as no more is known. ``patients``: on how many the errors were measured.
    """

    percent: tuple[float, float]
    findings_ml: tuple[float, float]
    patients: int


class VolumeErrors(BaseModel):
    """The errors measured in patients whom a network had not seen, as a 95 % prediction interval.

    Where a share of p percent of both lungs is marked, experts outline between
    ``(p + floor_percent) * low - floor_percent`` and ``(p + floor_percent) * high - floor_percent``: errors
    grow with the amount, and do not vanish with it. ``least_percent`` to ``most_percent``: the readings that
    were measured; nothing is known of others.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    floor_percent: float = Field(gt=0)
    low: float = Field(gt=0, le=1)
    high: float = Field(ge=1)
    least_percent: float = Field(ge=0)
    most_percent: float = Field(le=100)
    patients: int = Field(ge=3)

    @model_validator(mode="after")
    def _has_a_range_of_readings(self) -> VolumeErrors:
        if self.least_percent >= self.most_percent:
            raise ValueError("least_percent is not below most_percent")
        return self

    def drawn(self, *, findings_ml: float, lungs_ml: float) -> Drawn | None:
        """The interval for a reading; None outside the readings that were measured, and without lungs."""
        if lungs_ml <= 0:
            return None
        percent = 100 * findings_ml / lungs_ml
        if not self.least_percent <= percent <= self.most_percent:
            return None
        reached = percent + self.floor_percent
        low = max(0.0, reached * self.low - self.floor_percent)
        high = min(100.0, reached * self.high - self.floor_percent)
        return Drawn(
            percent=(float(math.floor(low)), float(math.ceil(high))),
            findings_ml=(
                _two_digits(low * lungs_ml / 100, math.floor),
                _two_digits(high * lungs_ml / 100, math.ceil),
            ),
            patients=self.patients,
        )


def _two_digits(value: float, towards: Callable[[float], int]) -> float:
    """A number of 0 or more with two significant digits, at least in whole numbers."""
    unit = 10.0 ** max(0, math.floor(math.log10(value)) - 1) if value >= 1 else 1.0
    return towards(value / unit) * unit

"""Coded concepts, and what a class of a network is for."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

Role = Literal["finding", "reject", "lung", "other"]
"""``finding``: what a classifier or segmenter looks for; ``reject`` ends the reading; ``lung``: the lungs."""


class Code(BaseModel):
    """A coded concept: DICOM PS3.3 Section 8.8 (value, scheme designator, meaning)."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    value: str = Field(max_length=16)
    scheme: str = Field(max_length=16)
    meaning: str = Field(max_length=64)

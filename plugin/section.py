"""The base of every part of the settings."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict
from pydantic.alias_generators import to_pascal


class Section(BaseModel):
    """Keys in Orthanc's PascalCase, unknown keys refused, values never change."""

    model_config = ConfigDict(alias_generator=to_pascal, populate_by_name=False, extra="forbid", frozen=True)

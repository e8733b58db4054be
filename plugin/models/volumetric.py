"""What a card says of a network that reads volumes instead of slices."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, Field, model_validator

Positive = Annotated[float, Field(gt=0)]

_AXES = {"S": 0, "I": 0, "P": 1, "A": 1, "L": 2, "R": 2}
"""The axes of the canonical volume: slices, rows, columns."""


class Volumetric(BaseModel, extra="forbid", frozen=True):
    """How a volume comes to a network that reads patches of it.

    ``orientation``: to where the patch's axes run, as nibabel writes it: S(uperior) or I(nferior),
    P(osterior) or A(nterior), L(eft) or R(ight); MONAI's networks mostly have ``RAS``.
    ``spacing``: mm between voxels along the patch's axes. ``overlap``: by what share of their sides
    neighbouring patches overlap at least. ``crop``: what is read, with ``margin`` mm around it: the ``lungs``
    that a slice-wise network found, or the ``body``.
    """

    orientation: str = Field(default="SPL", pattern=r"^[SIPALR]{3}$")
    spacing: tuple[Positive, Positive, Positive]
    overlap: float = Field(default=0.5, ge=0, le=0.9)
    crop: Literal["lungs", "body"] = "lungs"
    margin: float = Field(default=10.0, ge=0)

    @model_validator(mode="after")
    def _one_axis_each(self) -> Volumetric:
        if {_AXES[letter] for letter in self.orientation} != {0, 1, 2}:
            raise ValueError("orientation needs one of S and I, one of P and A, one of L and R")
        return self

    @property
    def axes(self) -> tuple[int, int, int]:
        """For each axis of the patch, that of the canonical volume (slices, rows, columns)."""
        first, second, third = (_AXES[letter] for letter in self.orientation)
        return first, second, third

    @property
    def reversed(self) -> tuple[bool, bool, bool]:
        """Which axes of the patch run against the canonical volume's (to the head, posterior, left)."""
        first, second, third = (letter not in "SPL" for letter in self.orientation)
        return first, second, third

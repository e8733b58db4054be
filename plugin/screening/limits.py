"""The limits of the header rules: every one is a setting of the site."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_pascal


class Limits(BaseModel):
    """Base of both: PascalCase keys as in Orthanc's configuration, unknown keys refused, frozen."""

    model_config = ConfigDict(alias_generator=to_pascal, populate_by_name=True, extra="forbid", frozen=True)


class XrayLimits(Limits):
    """Limits of the X-ray rules."""

    modalities: tuple[str, ...] = Field(
        default=("CR", "DX"), description="modalities that are read as X-rays"
    )
    min_pixels: int = Field(default=512, ge=1, description="least rows and columns of a radiograph, pixels")
    max_pixels: int = Field(
        default=6144, ge=1, description="greatest rows and columns of a radiograph, pixels"
    )
    min_aspect: float = Field(default=0.5, gt=0, description="least rows / columns of a radiograph")
    max_aspect: float = Field(default=2.0, gt=0, description="greatest rows / columns of a radiograph")
    min_age_years: float = Field(default=18, ge=0, description="a known age below this, in years, is noted")
    young_age: Literal["warn", "reject"] = Field(
        default="warn", description="what an age below the limit does"
    )


class CtLimits(Limits):
    """Limits of the CT rules."""

    min_pixels: int = Field(default=256, ge=1, description="least rows and columns of a slice, pixels")
    min_slices: int = Field(default=20, ge=2, description="least number of slices")
    max_slices: int = Field(default=2000, ge=2, description="greatest number of slices")
    max_voxels: int = Field(
        default=2000 * 512**2,
        ge=1,
        description="greatest number of voxels in all slices; each takes about 13 bytes of memory",
    )
    min_extent_mm: float = Field(default=180, gt=0, description="least length along the body, mm")
    max_extent_mm: float = Field(
        default=700, gt=0, description="a greater length along the body, mm, is noted"
    )
    min_axis_cosine: float = Field(
        default=0.99, gt=0, le=1, description="least cosine between the slices' normal and the body axis"
    )
    max_shift_mm: float = Field(
        default=0.5, ge=0, description="greatest shift of the slices against each other in their plane, mm"
    )
    even_spacing_mm: float = Field(
        default=0.01, ge=0, description="spread of the slice distances that counts as even, mm"
    )
    max_spacing_spread: float = Field(
        default=0.10, ge=0, description="greatest spread of the slice distances, as a share of the median"
    )
    missing_slice_gap: float = Field(
        default=1.5, gt=1, description="distance, in medians, from which on a slice counts as missing"
    )
    thick_slices_mm: float = Field(default=2.5, gt=0, description="a greater slice thickness, mm, is noted")
    very_thick_slices_mm: float = Field(
        default=5, gt=0, description="a greater slice thickness, mm, is noted as a strong limitation"
    )
    max_slice_thickness_mm: float = Field(
        default=10, gt=0, description="greatest slice thickness and slice distance, mm"
    )
    min_hu_range: float = Field(
        default=100, ge=0, description="least span of the Hounsfield units in the slices, HU"
    )

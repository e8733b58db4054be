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
    min_pixels: int = Field(
        default=512, ge=1, description="smallest number of rows and of columns of an X-ray, in pixels"
    )
    max_pixels: int = Field(
        default=6144, ge=1, description="largest number of rows and of columns of an X-ray, in pixels"
    )
    min_aspect: float = Field(default=0.5, gt=0, description="smallest ratio of rows to columns of an X-ray")
    max_aspect: float = Field(default=2.0, gt=0, description="largest ratio of rows to columns of an X-ray")
    min_age_years: float = Field(
        default=18, ge=0, description="a patient younger than this, in years, counts as young"
    )
    young_age: Literal["warn", "reject"] = Field(
        default="warn", description="whether the X-ray of a young patient is read with a remark or rejected"
    )


class CtLimits(Limits):
    """Limits of the CT rules."""

    min_pixels: int = Field(
        default=256, ge=1, description="smallest number of rows and of columns of a slice, in pixels"
    )
    min_slices: int = Field(default=20, ge=2, description="smallest number of slices")
    max_slices: int = Field(default=2000, ge=2, description="largest number of slices")
    max_voxels: int = Field(
        default=2000 * 512**2,
        ge=1,
        description="largest number of voxels in a series; each takes about 13 bytes of memory",
    )
    min_extent_mm: float = Field(default=180, gt=0, description="smallest length along the body, in mm")
    max_extent_mm: float = Field(
        default=700, gt=0, description="a greater length along the body, in mm, gets a remark"
    )
    min_axis_cosine: float = Field(
        default=0.99,
        gt=0,
        le=1,
        description="smallest cosine of the angle between the slices' normal and the body axis",
    )
    max_shift_mm: float = Field(
        default=0.5,
        ge=0,
        description="largest shift of the slices against each other within their plane, in mm",
    )
    even_spacing_mm: float = Field(
        default=0.01, ge=0, description="slice distances that differ by less than this, in mm, count as even"
    )
    max_spacing_spread: float = Field(
        default=0.10,
        ge=0,
        description="largest difference between slice distances, as a share of their median",
    )
    missing_slice_gap: float = Field(
        default=1.5, gt=1, description="a gap of this many median distances counts as a missing slice"
    )
    thick_slices_mm: float = Field(default=2.5, gt=0, description="thicker slices, in mm, get a remark")
    very_thick_slices_mm: float = Field(
        default=5,
        gt=0,
        description="thicker slices, in mm, get a remark that they limit the reading strongly",
    )
    max_slice_thickness_mm: float = Field(
        default=10, gt=0, description="largest slice thickness and slice distance, in mm"
    )
    min_hu_range: float = Field(
        default=100, ge=0, description="smallest range of Hounsfield units in a series"
    )

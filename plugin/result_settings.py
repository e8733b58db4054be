"""The settings of the results: which are stored, their series numbers, labels, and physicians' words."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, field_validator

from plugin.section import Section


class ResultChoice(Section):
    """Which results are stored in the PACS."""

    sr: bool = Field(default=True, description="Structured Report")
    pdf: bool = Field(default=True, description="report as Encapsulated PDF")
    seg: bool = Field(default=True, description="Segmentation of a CT: left lung, right lung, findings")
    attention: bool = Field(default=True, description="attention map of an X-ray as Secondary Capture")
    key_images: bool = Field(
        default=False,
        description="key images, as a Key Object Selection: the slices with the largest opacities, or an"
        " X-ray on which they are suspected",
    )
    rejection_sr: Literal["content", "all", "none"] = Field(
        default="content",
        description="which rejected series get a short note as a Structured Report: `content`, those rejected"
        " for what the images show; `all`; or `none`",
    )

    @field_validator("rejection_sr", mode="before")
    @classmethod
    def _as_it_was_written(cls, value: Any) -> Any:
        """Version 0.1.0 took true and false."""
        return {True: "all", False: "none"}[value] if isinstance(value, bool) else value


class SeriesNumbers(Section):
    """Series numbers of the results, so that viewers list them after the images."""

    sr: int = Field(default=9901, ge=1, description="Structured Report")
    pdf: int = Field(default=9902, ge=1, description="PDF")
    seg: int = Field(default=9903, ge=1, description="Segmentation")
    attention: int = Field(default=9904, ge=1, description="attention map")
    key_images: int = Field(default=9905, ge=1, description="key images")


Label = Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{0,64}$")]


class Labels(Section):
    """Labels that Orthanc, from 1.12.0 on, gives to series and studies; an empty one is not given."""

    findings: Label = Field(default="ai-findings", description="label of what a reader should look at")
    no_findings: Label = Field(
        default="ai-no-findings", description="label of what was read without findings"
    )
    rejected: Label = Field(default="ai-rejected", description="label of what was not read")
    failed: Label = Field(default="ai-failed", description="label of what could not be read")
    reviewed: Label = Field(default="ai-reviewed", description="label of what a physician has reviewed")


class Reviewer(Section):
    """A user of Orthanc who may review."""

    name: str = Field(default="", max_length=64)
    organization: str = Field(default="", max_length=64)


class Reviews(Section):
    """Physicians' words on readings: who may give one, and how it is kept."""

    reviewers: dict[str, Reviewer] = Field(
        default={},
        description="users of Orthanc who may review, with the name in their documents:"
        ' `{"mary": {"Name": "Silva^Mary", "Organization": "Hospital"}}`; empty: every user may',
    )
    organization: str = Field(
        default="", max_length=64, description="organization of reviewers who have none; empty: `Institution`"
    )
    user_header: str = Field(
        default="",
        pattern=r"^[A-Za-z0-9-]*$",
        description="HTTP header in which a proxy names the user, overwriting what a client sends in it",
    )
    series_number: int = Field(default=9906, ge=1, description="series number of their documents")

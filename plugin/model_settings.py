"""The settings of the models: which read what, and where newer versions of them come from."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from plugin.section import Section


class ModelChoice(Section):
    """Which models read what: names of folders, or ``auto`` for the best by its card; empty for none."""

    xray: tuple[str, ...] = Field(
        default=("auto",),
        description="X-ray classifiers; the first also decides what is rejected; `[]` reads no X-ray",
    )
    ct_reject: str = Field(default="auto", description="network that accepts or rejects a CT series")
    ct_axial: tuple[str, ...] = Field(default=("auto",), description="CT classifiers of the axial projection")
    ct_sagittal: tuple[str, ...] = Field(
        default=("auto",), description="CT classifiers of the sagittal projection"
    )
    ct_volume: tuple[str, ...] = Field(
        default=(), description="CT classifiers of the volume that the leading segmenter has segmented"
    )
    ct_segmentation: tuple[str, ...] = Field(
        default=("auto",),
        description="CT segmenters, slice-wise or volumetric; the first leads: its masks become the"
        " Segmentation, the others' measurements are told beside it",
    )

    channel: str = Field(
        default="",
        description="folder or https address of the site's own from which newer versions of the models come;"
        " empty: none. See [docs/updates.md](updates.md)",
    )
    channel_key: str = Field(
        default="", description="the publisher's public key, a PEM file; a channel needs it"
    )
    channel_folder: str = Field(
        default="",
        description="where versions from the channel are kept; Orthanc's user must be able to write there;"
        " a channel needs it",
    )
    channel_authorities: str = Field(
        default="", description="certificates that https to the channel trusts; empty: the system's"
    )
    channel_hours: float = Field(
        default=24, gt=0, description="how often the channel is looked into, in hours"
    )
    channel_install: Literal["ask", "auto"] = Field(
        default="ask",
        description="what happens with a version that was a shadow long enough: it is offered, or installed",
    )
    shadow_series: int = Field(
        default=20, ge=0, le=1000, description="so many series a newer version reads as a shadow first"
    )

    @property
    def authorities(self) -> Path | None:
        """The certificates that https to the channel trusts; None for the system's."""
        return Path(self.channel_authorities) if self.channel_authorities else None

    @model_validator(mode="after")
    def _a_channel_has_a_key_and_a_folder(self) -> ModelChoice:
        if not self.channel:
            return self
        if not self.channel_key or not self.channel_folder:
            raise ValueError("a Channel needs ChannelKey and ChannelFolder")
        if "://" in self.channel and not self.channel.startswith("https://"):
            raise ValueError("Channel must be a folder or an address that begins with https://")
        return self

    @model_validator(mode="after")
    def _a_segmented_volume_has_a_segmenter(self) -> ModelChoice:
        if any(self.ct_volume) and not any(self.ct_segmentation):
            raise ValueError("CtVolume reads what a segmenter marks, and CtSegmentation is empty")
        return self

    @field_validator("ct_segmentation", mode="before")
    @classmethod
    def _one_or_several(cls, value: Any) -> Any:
        """A single name, as version 0.2.0 took it, or several."""
        return ((value,) if value else ()) if isinstance(value, str) else value

"""The plugin's section ``ChestAI`` of Orthanc's configuration, typed and checked.

Run as ``python -m plugin.settings`` it prints the table of settings in ``docs/settings.md``.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, Field, ValidationError, field_validator, model_validator

from plugin.domain.kinds import Modality
from plugin.engine_settings import CelerySettings, OrthancAccess
from plugin.model_settings import ModelChoice
from plugin.result_settings import Labels, ResultChoice, Reviews, SeriesNumbers
from plugin.screening.limits import CtLimits, XrayLimits
from plugin.section import Section
from plugin.urgent_settings import UrgentRule

SECTION = "ChestAI"
SECTION_BY_ENVIRONMENT = "ChestAi"
"""How Orthanc Team's image spells the section that it makes of the variables ``ORTHANC__CHEST_AI__...``."""

ROOT = Path(__file__).resolve().parent.parent
MODELS_FOLDER = ROOT / "onnx_models"

Probability = Annotated[float, Field(ge=0, le=1)]


class SettingsError(Exception):
    """A wrong setting, with its key and what is wrong in one line."""


class Settings(Section):
    """All settings. Every key has a default."""

    enabled: bool = Field(default=True, description="`false` switches the plugin off")
    models_folder: Path = Field(
        default=MODELS_FOLDER,
        description="folder of the models; empty means `onnx_models` beside `plugin`",
    )
    models: ModelChoice = Field(default=ModelChoice(), description="which models read what")
    thresholds: dict[str, dict[str, Probability]] = Field(
        default={},
        description='operating points to use instead of those on the cards: `{"model": {"CLASS": 0.6}}`',
    )
    provider: Literal["auto", "cpu", "cuda"] = Field(
        default="auto",
        description="where networks run; `auto` uses CUDA if there is an NVIDIA driver; with `cuda` the"
        " status complains when a network has to run on the CPU",
    )
    threads: int = Field(
        default=0, ge=0, le=256, description="threads for inference; 0 leaves one core to Orthanc"
    )
    niceness: int = Field(
        default=10,
        ge=0,
        le=19,
        description="nice value of the reading threads, so that Orthanc's own threads come first",
    )
    ledger: str = Field(
        default="",
        description="SQLAlchemy URL of the ledger; empty means an SQLite file beside Orthanc's index",
    )
    broken_ledger: Literal["stop", "renew"] = Field(
        default="stop",
        description="what to do when the ledger is damaged or was written by a newer version: `stop` disables"
        " the plugin, `renew` renames the ledger and rebuilds it from what Orthanc holds",
    )
    engine: Literal["embedded", "celery"] = Field(
        default="embedded",
        description="who reads: `embedded` is a thread of Orthanc, `celery` are workers on other machines"
        " (docs/scaling.md)",
    )
    archive: str = Field(
        default="",
        max_length=64,
        description="name of the archive, the same for all Orthancs that share one index and one ledger;"
        " empty means that one Orthanc has both alone",
    )
    lease_seconds: float = Field(
        default=60,
        ge=1,
        description="a series whose reader has not been heard of for so long is given to another",
    )
    celery: CelerySettings = Field(
        default=CelerySettings(), description="the broker and the limits of the engine `celery`"
    )
    orthanc: OrthancAccess = Field(
        default=OrthancAccess(), description="how the workers of the engine `celery` reach Orthanc"
    )
    backlog_days: float = Field(
        default=7,
        ge=0,
        description="at its first start the plugin also reads series that arrived within this many days",
    )
    poll_seconds: float = Field(
        default=5,
        ge=0.2,
        le=300,
        description="seconds between two looks at Orthanc's list of changes, in case an event was lost",
    )
    attempts: int = Field(
        default=3, ge=1, le=20, description="how many times a series is tried before it counts as failed"
    )
    retry_seconds: float = Field(
        default=20, ge=0, description="seconds before the second attempt; doubled before each further one"
    )
    urgent: tuple[UrgentRule, ...] = Field(
        default=(),
        description="which series are read before all others: keywords of DICOM attributes with the values to"
        ' look for, `*` for anything: `[{"StudyDescription": ["*STAT*"]}, {"StationName": ["ER1", "ER2"]}]`;'
        " one rule has to fit, with all its attributes",
    )
    xray: XrayLimits = Field(default=XrayLimits(), description="limits of the rules for X-rays")
    ct: CtLimits = Field(default=CtLimits(), description="limits of the rules for CTs")
    results: ResultChoice = Field(default=ResultChoice(), description="which results are stored")
    segmentation_type: Literal["BINARY", "BINARY_DEFLATED", "LABELMAP"] = Field(
        default="BINARY",
        description="kind of Segmentation; BINARY_DEFLATED and LABELMAP are smaller, but fewer programs"
        " read them",
    )
    report_type: Literal["COMPREHENSIVE", "COMPREHENSIVE_3D"] = Field(
        default="COMPREHENSIVE",
        description="kind of Structured Report; IHE AI Results asks for COMPREHENSIVE_3D, but more programs"
        " read COMPREHENSIVE",
    )
    superseded: Literal["delete", "keep"] = Field(
        default="delete", description="what happens to the former results when a series is read again"
    )
    source_deleted: Literal["delete", "keep"] = Field(
        default="delete", description="what happens to the results when their series is deleted from Orthanc"
    )
    series_description: str = Field(
        default="AI chest",
        min_length=1,
        max_length=24,
        description="first words of the results' series descriptions",
    )
    series_numbers: SeriesNumbers = Field(
        default=SeriesNumbers(), description="series numbers of the results"
    )
    language: Literal["en", "pt"] = Field(default="en", description="language of the reports")
    max_instance_mb: int = Field(
        default=1024,
        ge=1,
        lt=4096,  # Orthanc hands a file over with its length in 32 bits
        description="a series with a larger DICOM file fails; the file is not read into memory",
    )
    institution: str = Field(
        default="", max_length=64, description="institution that runs the plugin, as the results name it"
    )
    series_metadata: int = Field(
        default=4207,
        ge=1024,
        le=65533,
        description="number of the series metadata in which Orthanc keeps the outcome; the next two keep what"
        " people made of it",
    )
    labels: Labels = Field(
        default=Labels(), description="labels in Orthanc, from 1.12.0 on; an empty one is not given"
    )
    reviews: Reviews = Field(default=Reviews(), description="who may review, and how that is kept")
    administrators: tuple[str, ...] = Field(
        default=(),
        description="users of Orthanc who may read `GET /ai/audit`; empty: whoever gets into Orthanc",
    )
    explorer_button: bool = Field(
        default=True, description="a button in Orthanc Explorer that opens a study or a series on the page"
    )
    allowed_hosts: tuple[str, ...] = Field(
        default=(),
        description='names under which browsers reach Orthanc, such as a proxy\'s: `["pacs.example.org"]`; '
        "addresses and names without a dot need not be listed",
    )
    trusted_network: bool = Field(
        default=False,
        description="allow remote access without Orthanc's users, because a proxy asks for passwords",
    )

    @property
    def switched_off(self) -> dict[Modality, str]:
        """The modalities that the settings have no model read, and which settings say so."""
        choice = self.models
        off: dict[Modality, str] = {}
        if not any(choice.xray):
            off[Modality.XRAY] = "Models.Xray is empty"
        if not any((*choice.ct_axial, *choice.ct_sagittal, *choice.ct_segmentation)):
            off[Modality.CT] = "Models.CtAxial, Models.CtSagittal and Models.CtSegmentation are empty"
        return off

    @model_validator(mode="after")
    def _many_share_a_server(self) -> Self:
        if self.engine == "celery" and not self.ledger.startswith("postgresql"):
            raise ValueError('Engine "celery" needs a Ledger that workers reach: postgresql+psycopg://...')
        if self.engine == "celery" and self.models.channel:
            raise ValueError(
                'Models.Channel is for Engine "embedded": install new versions in every ModelsFolder'
            )
        return self

    @field_validator("models_folder", mode="before")
    @classmethod
    def _empty_means_the_default(cls, value: Any) -> Any:
        return MODELS_FOLDER if value == "" else value

    @property
    def inference_threads(self) -> int:
        """Threads for inference, resolved: at least one, by default one core is left to Orthanc."""
        return self.threads or max(1, len(os.sched_getaffinity(0)) - 1)


def read_settings(configuration: Mapping[str, Any]) -> Settings:
    """The settings in Orthanc's whole configuration. Raises SettingsError with every wrong key."""
    spelt = [name for name in (SECTION, SECTION_BY_ENVIRONMENT) if name in configuration]
    if len(spelt) > 1:
        raise SettingsError(f"Orthanc's configuration has both {' and '.join(spelt)}: keep one of them")
    name = spelt[0] if spelt else SECTION
    try:
        return Settings.model_validate(configuration.get(name, {}))
    except ValidationError as error:
        wrong = (
            f"{name}{''.join(f'.{part}' for part in item['loc'])}: {item['msg']}" for item in error.errors()
        )
        raise SettingsError("; ".join(wrong)) from error


def describe(section: type[BaseModel] = Settings, prefix: str = "") -> Iterator[tuple[str, str, str]]:
    """Every setting as (key, default as JSON, what it does), sections unfolded with dotted keys."""
    for field in section.model_fields.values():
        key = f"{prefix}{field.alias}"
        if isinstance(field.default, BaseModel):
            yield from describe(type(field.default), f"{key}.")
            continue
        yield key, json.dumps(field.default, default=lambda _: ""), field.description or ""


def table() -> str:
    """The table of settings in ``docs/settings.md``."""
    rows = [f"| `{key}` | `{default}` | {text} |" for key, default, text in describe()]
    return "\n".join(["| Key | Default | What it does |", "|---|---|---|", *rows])


if __name__ == "__main__":
    print(table())

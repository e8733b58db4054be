"""An intake over a fake Orthanc, as the settings have it."""

from __future__ import annotations

from plugin.queue.filing import Filing
from plugin.queue.intake import Intake
from plugin.queue.ledger import Ledger
from plugin.settings import Settings
from tests.fake_pacs import FakeOrthanc


def intake_of(
    fake: FakeOrthanc,
    ledger: Ledger,
    settings: Settings,
    *,
    stable_age: float = 0,
    backlog_days: float = 10_000,
) -> Intake:
    """Everything that this Orthanc holds is looked at, and is due at once, where nothing else is said."""
    return Intake(
        fake.pacs,
        ledger,
        Filing(fake.pacs, settings),
        stable_age=stable_age,
        backlog_days=backlog_days,
        xray_modalities=settings.xray.modalities,
        switched_off=settings.switched_off,
        urgent=settings.urgent,
    )

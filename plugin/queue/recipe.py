"""What shapes a result besides the images: the plugin's version, the models with their cards, the settings.

Two readings of one content by one recipe are the same reading. Another recipe makes other results, under
other UIDs, which take the place of the earlier ones.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from typing import Any

from plugin import __version__
from plugin.domain.assessment import Assessment
from plugin.domain.kinds import Modality
from plugin.models.lineup import Lineup
from plugin.results.summary import Earlier
from plugin.settings import Settings

SHAPING: dict[str, frozenset[Modality]] = {
    "xray": frozenset({Modality.XRAY}),
    "ct": frozenset({Modality.CT}),
    "results": frozenset(Modality),
    "segmentation_type": frozenset({Modality.CT}),
    "report_type": frozenset(Modality),
    "series_description": frozenset(Modality),
    "series_numbers": frozenset(Modality),
    "language": frozenset(Modality),
    "institution": frozenset(Modality),
}
"""The settings that shape results, and of which modality. Operating points are in the models' cards."""


def recipe(lineup: Lineup, settings: Settings, modality: Modality) -> str:
    """The fingerprint of all that shapes the results of a modality."""
    models = lineup.of(modality)
    joiner = lineup.ct_joiner if modality == Modality.CT else None
    return _fingerprint(
        {
            "version": __version__,
            "settings": {
                name: json.loads(settings.model_dump_json(include={name}))
                for name, modalities in SHAPING.items()
                if modality in modalities
            },
            # In their order: the first X-ray network also rejects.
            "models": [model.card.model_dump(mode="json", exclude={"self_test"}) for model in models],
            "joined": None if joiner is None else joiner.algorithm.sha256,
        }
    )


def reading(
    content: str, recipe_: str, history: Sequence[Earlier], assessment: Assessment | None = None
) -> str:
    """The fingerprint of one reading: this content, by this recipe, beside what was measured earlier.

    ``assessment``: a physician's word on an earlier result, which the PDF tells.
    """
    course = [
        (
            earlier.day.isoformat(),
            *(earlier.percent, earlier.right_percent, earlier.left_percent),
            earlier.report.sop_instance_uid if earlier.report else None,
        )
        for earlier in history
    ]
    said = [] if assessment is None else [assessment.model_dump(mode="json")]
    return _fingerprint([content, recipe_, course, *said])


def _fingerprint(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()

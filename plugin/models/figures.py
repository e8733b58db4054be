"""The figures of a card that a report shows: how often the network is right, how far its volumes are off.

Cards name their figures in words. Those below are looked for; a retrained network brings its own values
under the same names.
"""

from __future__ import annotations

from collections.abc import Sequence

from plugin.domain.findings import FigureKind, Measured
from plugin.models.cards import Figure

_NAMES: dict[FigureKind, tuple[str, ...]] = {
    FigureKind.SENSITIVITY: ("sensitivity", "whole volumes with findings called"),
    FigureKind.SPECIFICITY: ("specificity", "whole volumes without findings not called"),
    FigureKind.FALSELY_REJECTED: ("whole chests falsely rejected, with varied", "frontal films rejected"),
    FigureKind.VOLUME_BIAS_ML: ("findings volume error, mL",),
    FigureKind.VOLUME_BIAS_POINTS: ("findings volume error, percentage points of lung",),
    FigureKind.OVERLAP: ("findings Dice, mean over volumes",),
    FigureKind.POINTED: ("pointing game",),
    FigureKind.BOXES: ("Dice of the attention and the boxes",),
    FigureKind.FALSE_SHARE: ("findings in % of lung where none are expected",),
}
"""How the name of a figure of each kind begins. The first in the card counts: cards put first what was
measured within one collection, where nothing but the disease tells the classes apart."""


def measured(figures: Sequence[Figure]) -> tuple[Measured, ...]:
    """The figures that a report shows, one of each kind at most."""
    found = []
    for kind, names in _NAMES.items():
        figure = next((f for f in figures if f.name.startswith(names) and f.value is not None), None)
        if figure is not None and figure.value is not None:
            found.append(Measured(kind=kind, value=figure.value, interval=figure.interval, n=figure.n))
    return tuple(found)

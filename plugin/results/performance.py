"""How good a network was where it was measured, in words."""

from __future__ import annotations

from plugin.domain.findings import Algorithm, FigureKind, Measured
from plugin.results.texts import Texts


def performance(algorithm: Algorithm, texts: Texts) -> str:
    """The measured figures of a network with their intervals, or that it has none at its operating point."""
    if not algorithm.measured:
        return texts("measured.nothing")
    return "; ".join(_words(figure, texts) for figure in algorithm.measured)


def _words(figure: Measured, texts: Texts) -> str:
    value = _shown(figure, figure.value, texts)
    # An interval without a width says only that the measurement had no error, not that none is possible.
    if figure.interval is None or figure.interval[0] == figure.interval[1]:
        interval = texts("measured.without_interval", n=figure.n)
    else:
        low, high = (_shown(figure, bound, texts) for bound in figure.interval)
        interval = texts("measured.interval", low=low, high=high, n=figure.n)
    return texts(f"measured.{figure.kind}", value=value, interval=interval)


def _shown(figure: Measured, value: float, texts: Texts) -> str:
    match figure.kind:
        case FigureKind.SENSITIVITY | FigureKind.SPECIFICITY | FigureKind.POINTED:
            return texts.percent(100 * value)
        case FigureKind.FALSELY_REJECTED:
            return texts.percent(100 * value, 1)
        case FigureKind.FALSE_SHARE:
            return texts.percent(value, 1)
        case FigureKind.OVERLAP | FigureKind.BOXES:
            return texts.number(value, 2)
        case FigureKind.VOLUME_BIAS_ML:
            return texts.signed(value)
        case FigureKind.VOLUME_BIAS_POINTS:
            return texts.signed(value, 1)

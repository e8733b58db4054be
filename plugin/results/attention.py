"""The words that explain the colours over a picture."""

from __future__ import annotations

import numpy as np

from plugin.analysis.attention import AttentionMap
from plugin.results.texts import Texts

_TOLD = 0.01
"""Evidence outside the body is mentioned from this share on."""


def caption(texts: Texts, *maps: AttentionMap, called: bool = True) -> str:
    """What the colours mean, what is not shown, and that they do not locate disease unless that was measured.

    ``maps``: what is shown, with one that locates disease or none; ``called``: whether the network calls
    its finding.
    """
    located = any(seen.located for seen in maps)
    outside = max(seen.outside for seen in maps)
    words = [texts(f"attention.{kind(located=located, called=called)}")]
    if outside >= _TOLD:
        words.append(texts("attention.outside", share=texts.percent(100 * outside)))
    if any(bool(np.isnan(seen.shades).any()) for seen in maps):
        words.append(texts("attention.unseen"))
    if not located:
        words.append(texts("attention.no_location"))
    return " ".join(words)


def kind(*, located: bool, called: bool) -> str:
    """The name of the words for a map: ``scale`` where it does not locate disease; else ``located``, or
    ``below`` where the finding is not called."""
    if not located:
        return "scale"
    return "located" if called else "below"

"""How to read a map of what speaks for a finding, in words."""

from __future__ import annotations

from plugin.results.texts import Texts

_TOLD = 0.01
"""From this share of the evidence on it is told how much lay outside the body."""


def caption(texts: Texts, *, outside: float, located: bool, unseen: bool) -> str:
    """The map's scale, what is not shown of it, and that it is no location unless it was measured to be one.

    ``outside``: the share (0 to 1) of the evidence that lay outside the body; ``unseen``: whether the
    network saw only part of the picture.
    """
    words = [texts("attention.located" if located else "attention.scale")]
    if outside >= _TOLD:
        words.append(texts("attention.outside", share=texts.percent(100 * outside)))
    if unseen:
        words.append(texts("attention.unseen"))
    if not located:
        words.append(texts("attention.no_location"))
    return " ".join(words)

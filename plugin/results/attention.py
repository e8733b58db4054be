"""The words that explain the colours over a picture."""

from __future__ import annotations

from plugin.results.texts import Texts

_TOLD = 0.01
"""Evidence outside the body is mentioned from this share on."""


def caption(texts: Texts, *, outside: float, located: bool, unseen: bool) -> str:
    """What the colours mean, what is not shown, and that they do not locate disease unless that was measured.

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

"""The words that explain the colours over a picture."""

from __future__ import annotations

from plugin.results.texts import Texts

_TOLD = 0.01
"""Evidence outside the body is mentioned from this share on."""


def caption(texts: Texts, *, outside: float, located: bool, unseen: bool, called: bool = True) -> str:
    """What the colours mean, what is not shown, and that they do not locate disease unless that was measured.

    ``outside``: the share (0 to 1) of the evidence that lay outside the body; ``located``: whether the map
    was measured to locate disease; ``unseen``: whether the network saw only part of the picture; ``called``:
    whether it calls its finding.
    """
    words = [texts(f"attention.{kind(located=located, called=called)}")]
    if outside >= _TOLD:
        words.append(texts("attention.outside", share=texts.percent(100 * outside)))
    if unseen:
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

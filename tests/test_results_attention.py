"""How the colours over a picture are explained."""

from __future__ import annotations

import numpy as np

from plugin.analysis.attention import AttentionMap
from plugin.results.attention import caption
from plugin.results.texts import Texts

EN = Texts("en")


def seen(*, outside: float = 0.0, located: bool = False, unseen: bool = False) -> AttentionMap:
    shades = np.full((4, 4), 0.5, np.float32)
    shades[0] = np.nan if unseen else 0.5
    return AttentionMap(shades=shades, outside=outside, located=located)


def said(*, outside: float = 0.0, located: bool = False, unseen: bool = False) -> str:
    return caption(EN, seen(outside=outside, located=located, unseen=unseen))


def test_the_scale_is_told() -> None:
    assert "The colours mean the same in every patient" in said()
    assert "reaches the operating point" in said()


def test_it_is_no_location_unless_that_was_measured() -> None:
    assert "Colours do not locate disease." in said()
    assert "do not locate" not in said(located=True)


def test_what_is_left_out_is_told() -> None:
    assert "38 % of the evidence lay outside the body" in said(outside=0.38)
    assert "lay outside" not in said(outside=0.004)
    assert ("darkened" in said(unseen=True), "darkened" in said()) == (True, False)


def test_what_is_not_called_is_not_seen() -> None:
    """A map that locates disease, over a picture on which the finding is not called."""
    words = caption(EN, seen(located=True), called=False)
    assert "stays below the operating point" in words
    assert "sees opacities" not in words
    assert "sees opacities" in said(located=True)

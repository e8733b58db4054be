"""The site's rule for what is urgent: which series go ahead of all others, by what their DICOM tags say."""

from __future__ import annotations

import difflib
from typing import Annotated

from pydantic import AfterValidator, Field, StringConstraints
from pydicom.datadict import dictionary_keyword, dictionary_VR, keyword_dict, tag_for_keyword

_NO_TEXT = {"SQ", "OB", "OD", "OF", "OL", "OV", "OW", "UN", "OB or OW", "US or OW", "AT"}
"""Value representations that have nothing to compare with a word (DICOM PS3.5 Section 6.2)."""

Pattern = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=64)]
"""A value, in capitals or not; ``*`` stands for anything, ``?`` for one character, ``[AB]`` for A or B."""


def _known(rule: dict[str, tuple[Pattern, ...]]) -> dict[str, tuple[Pattern, ...]]:
    for keyword in rule:
        tag = tag_for_keyword(keyword)
        if tag is None:
            near = difflib.get_close_matches(keyword, keyword_dict, n=1)
            meant = f"; is {near[0]} meant?" if near else ""
            raise ValueError(f"{keyword[:64]} is no keyword of a DICOM attribute{meant}")
        if dictionary_VR(tag) in _NO_TEXT:
            raise ValueError(f"{dictionary_keyword(tag)} has no value that a word could be compared with")
    return rule


UrgentRule = Annotated[
    dict[str, Annotated[tuple[Pattern, ...], Field(min_length=1)]],
    Field(min_length=1),
    AfterValidator(_known),
]
"""Attributes by their keywords, each with values of which one has to be found."""

"""The standard's tables for dicom-validator, made from those that highdicom carries.

dicom-validator reads PS3.3 and PS3.6 from the internet. highdicom's wheel holds the attributes of every
module with their types (PS3.3, all editions' additions up to its release), and pydicom the dictionary,
so that the same checks run without a network: what is required is there and has a value, nothing is in a
place where no module has it, and every value fits its value representation.

What the tables lack are conditions and enumerated values, which dciodvfy checks: type 1C and 2C count as
optional, and so do the macros of which an object takes one or the other, as the tables list them all as
required (one for each value type of an SR's content items, one for each functional group).
"""

from __future__ import annotations

import json
from functools import cache
from importlib.resources import files
from typing import Any

from dicom_validator.validator.dicom_info import DicomInfo
from pydicom.datadict import DicomDictionary, tag_for_keyword
from pydicom.tag import Tag

CONTENT = "(0040,A730)"
FUNCTIONAL_GROUPS = ("(5200,9229)", "(5200,9230)")


def _table(name: str) -> Any:
    return json.loads((files("highdicom") / "_standard" / f"{name}.json").read_text(encoding="utf-8"))


def _tag(keyword: str) -> str | None:
    number = tag_for_keyword(keyword)
    if number is None:
        return None
    tag = Tag(number)
    return f"({tag.group:04X},{tag.element:04X})"


def _module(attributes: list[dict[str, Any]]) -> dict[str, Any]:
    """One module as dicom-validator wants it: tag to name, type and, for a sequence, its items."""
    module: dict[str, Any] = {}
    for attribute in sorted(attributes, key=lambda a: len(a["path"])):
        place, tag = module, _tag(attribute["keyword"])
        for keyword in attribute["path"]:
            place = place.setdefault(_tag(keyword), {"name": keyword, "type": "3"}).setdefault("items", {})
        if tag is not None:
            place[tag] = place.get(tag, {}) | {"name": attribute["keyword"], "type": attribute["type"]}
    if CONTENT in module:
        _any_of(module)
        content = module[CONTENT]
        _any_of(content["items"])
        # The content tree of a report: every item has what the first level's items have.
        content["items"][CONTENT] = content
    for groups in FUNCTIONAL_GROUPS:
        _any_of(module.get(groups, {}).get("items", {}))
    return module


def _any_of(attributes: dict[str, Any]) -> None:
    """Make every attribute of one level optional: which of them there are depends on what is said."""
    for attribute in attributes.values():
        attribute["type"] = "3"


@cache
def dicom_info() -> DicomInfo:
    """The tables as dicom-validator keeps them."""
    dictionary = {
        f"({tag >> 16:04X},{tag & 0xFFFF:04X})": {"name": entry[2], "vr": entry[0], "vm": entry[1]}
        for tag, entry in DicomDictionary.items()
    }
    modules = {key: _module(attributes) for key, attributes in _table("module_attribute_map").items()}
    by_iod = _table("iod_module_map")
    iods = {
        uid: {
            "title": iod,
            "modules": {m["key"]: {"ref": m["key"], "use": m["usage"]} for m in by_iod[iod]},
            "group_macros": {},
        }
        for uid, iod in _table("sop_class_iod_map").items()
        if iod in by_iod
    }
    return DicomInfo(dictionary, iods, modules)

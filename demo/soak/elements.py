"""A DICOM file cut into its elements as bytes, so that what is written back may break every rule."""

from __future__ import annotations

import io
from dataclasses import dataclass, replace

import pydicom
from pydicom.dataelem import DataElement, RawDataElement
from pydicom.tag import BaseTag, Tag

_LONG = frozenset({"OB", "OD", "OF", "OL", "OV", "OW", "SQ", "SV", "UC", "UN", "UR", "UT", "UV"})
"""Value representations whose length has four bytes after two reserved ones (PS3.5 Section 7.1.2)."""


@dataclass(frozen=True, kw_only=True)
class Element:
    """One element of the top level. ``head``: the bytes of tag, representation and length."""

    tag: BaseTag
    head: bytes
    value: bytes

    def with_length(self, length: int) -> Element:
        """The same value under another length, in as many bytes as the length has."""
        size = 4 if len(self.head) == 12 else 2
        return replace(self, head=self.head[:-size] + (length % (1 << 8 * size)).to_bytes(size, "little"))

    def with_value(self, value: bytes) -> Element:
        """Another value under its right length."""
        return replace(self, value=value).with_length(len(value))


@dataclass(frozen=True, kw_only=True)
class Parts:
    """A file: preamble and meta information as they are, and the elements after them."""

    head: bytes
    elements: tuple[Element, ...]

    def joined(self) -> bytes:
        """The file again."""
        return self.head + b"".join(element.head + element.value for element in self.elements)


def split(file: bytes) -> Parts:
    """Cut an explicit little endian file that is not deflated.

    Raises what pydicom raises where it cannot be read, ValueError where it is of another syntax.
    """
    dataset = pydicom.dcmread(io.BytesIO(file))
    syntax = dataset.file_meta.TransferSyntaxUID
    if syntax.is_implicit_VR or not syntax.is_little_endian or syntax.is_deflated:
        raise ValueError(f"{syntax.name} is not cut")
    starts: list[tuple[int, BaseTag, int]] = []
    for tag in tuple(dataset.keys()):
        element = dataset.get_item(tag)
        size = 12 if element.VR in _LONG else 8
        starts.append((_value_start(element) - size, Tag(tag), size))
    starts.sort()
    ends = [start for start, _, _ in starts[1:]] + [len(file)]
    elements = tuple(
        Element(tag=tag, head=file[start : start + size], value=file[start + size : end])
        for (start, tag, size), end in zip(starts, ends, strict=True)
    )
    return Parts(head=file[: starts[0][0]] if starts else file, elements=elements)


def _value_start(element: DataElement | RawDataElement) -> int:
    start = element.value_tell if isinstance(element, RawDataElement) else element.file_tell
    return int(start or 0)

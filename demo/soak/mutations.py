"""Hostile DICOM: seeded damage to files that were right."""

from __future__ import annotations

import io
import random
import zlib
from collections.abc import Callable

import pydicom
from pydicom.tag import Tag
from pydicom.uid import DeflatedExplicitVRLittleEndian

from demo.soak.elements import Element, Parts, split

BOMB_MIB = 256
"""The most that a deflated file of the corpus unpacks to."""

_LENGTHS = (0, 1, 0x7FFF, 0xFFFE, 0xFFFF, 0x7FFFFFFF, 0xFFFFFFFE, 0xFFFFFFFF)
_WORDS = (
    *(b"", b"0", b"-1", b"nan", b"inf", b"1e308", b"-1e308", b"1e-300", b"3e-5", b"5,586", b"99999999999"),
    *(b"\\", b"1\\2\\3\\4\\5\\6\\7", b"\0\0", b"\xff\xfe\xfd\xfc", b"A" * 64, b"'; DROP TABLE series; --"),
    *(b"1.2.3.", b"1" * 80, b"20240231", b"999Y", b"CT\\MR", b"\x1b$B\x1b(B"),
)
_BINARY = (0, 1, 2, 3, 7, 8, 15, 17, 255, 1024, 16384, 32767, 32768, 65535)
_GEOMETRY = (
    *("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "SliceThickness", "Rows", "Columns"),
    *("BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation", "SamplesPerPixel", "NumberOfFrames"),
    *("RescaleSlope", "RescaleIntercept", "PhotometricInterpretation", "FrameOfReferenceUID", "Modality"),
    *("SOPClassUID", "PatientID", "StudyDate", "SpecificCharacterSet", "WindowCenter", "WindowWidth"),
)
"""What the reading rests on: damaged as often as everything else together."""

_PIXEL_DATA = Tag("PixelData")
_MARKERS = (b"\xff\x4f\xff\x51", b"\xff\xd8", b"\0\0\0\x0cjP  ")

Change = Callable[[bytes, random.Random], bytes]


def mutate(file: bytes, rng: random.Random) -> tuple[bytes, str]:
    """The file with one to three kinds of damage, and their names."""
    names = []
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        name = rng.choice(list(CHANGES))
        try:
            file = CHANGES[name](file, rng)
        except (ValueError, LookupError, AttributeError, EOFError, pydicom.errors.InvalidDicomError):
            continue  # too broken by now for that change, or of a syntax that is not cut
        names.append(name)
    return file, "+".join(names) or "nothing"


def _flip(file: bytes, rng: random.Random) -> bytes:
    """A few bytes anywhere, or among the first four thousand, where the header is."""
    changed = bytearray(file)
    end = rng.choice((len(changed), min(len(changed), 4096)))
    for _ in range(rng.choice((1, 4, 32))):
        changed[rng.randrange(132, max(133, end))] = rng.randrange(256)
    return bytes(changed)


def _cut_off(file: bytes, rng: random.Random) -> bytes:
    return file[: rng.randrange(200, len(file))]


def _lengthened(file: bytes, rng: random.Random) -> bytes:
    return file + rng.randbytes(rng.choice((1, 2, 100, 5000)))


def _lie(file: bytes, rng: random.Random) -> bytes:
    """An element whose length is not that of its value."""

    def change(element: Element) -> list[Element]:
        near = len(element.value) + rng.choice((-2, -1, 1, 2, 100))
        return [element.with_length(rng.choice((*_LENGTHS, near, near)))]

    return _one_element(file, rng, change)


def _remove(file: bytes, rng: random.Random) -> bytes:
    return _one_element(file, rng, lambda _: [])


def _empty(file: bytes, rng: random.Random) -> bytes:
    return _one_element(file, rng, lambda element: [element.with_value(b"")])


def _double(file: bytes, rng: random.Random) -> bytes:
    """An element twice, the second time with another value."""
    return _one_element(file, rng, lambda element: [element, element.with_value(_odd_value(element, rng))])


def _overwrite(file: bytes, rng: random.Random) -> bytes:
    """A value of the wrong kind, of a wrong size, or that no body and no device has."""
    return _one_element(file, rng, lambda element: [element.with_value(_odd_value(element, rng))])


def _swap(file: bytes, rng: random.Random) -> bytes:
    """Two elements in each other's places: tags no longer ascend."""
    parts = split(file)
    elements = list(parts.elements)
    first, second = rng.sample(range(len(elements)), 2)
    elements[first], elements[second] = elements[second], elements[first]
    return Parts(head=parts.head, elements=tuple(elements)).joined()


def _codestream(file: bytes, rng: random.Random) -> bytes:
    """The head of the compressed (or plain) pixel data edited: sizes, components, second starts, boxes."""
    parts = split(file)
    pixels = next(element for element in parts.elements if element.tag == _PIXEL_DATA)
    value = bytearray(pixels.value)
    starts = [at for marker in _MARKERS if (at := value.find(marker)) >= 0]
    start = min(starts, default=0)
    for _ in range(rng.choice((1, 2, 6))):
        at = rng.randrange(start, min(len(value) - 4, start + 120))
        size = rng.choice((1, 2, 4))
        worst = rng.choice((0, (1 << 8 * size) - 1, 0x4000, rng.randrange(1 << 8 * size)))
        value[at : at + size] = (worst % (1 << 8 * size)).to_bytes(size, "big")
    if rng.random() < 0.2:
        marker = rng.choice(_MARKERS)
        value[start : start + len(marker)] = marker
    changed = Element(tag=pixels.tag, head=pixels.head, value=bytes(value))
    elements = tuple(changed if element is pixels else element for element in parts.elements)
    return Parts(head=parts.head, elements=elements).joined()


def _bomb(file: bytes, rng: random.Random) -> bytes:
    """A deflated file, small as it is and large when it is unpacked (PS3.5 Section A.5)."""
    dataset = pydicom.dcmread(io.BytesIO(file), stop_before_pixels=True)
    dataset.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    rows = rng.choice((64, 2048, 16384, 65535))
    dataset.Rows = dataset.Columns = rows
    dataset.add_new(_PIXEL_DATA, "OW", b"")
    plain = io.BytesIO()
    dataset.save_as(plain, enforce_file_format=True)
    head, body = _unpacked(plain.getvalue())
    size = rng.randrange(1 << 20, BOMB_MIB << 20) & ~1
    body = body[:-4] + size.to_bytes(4, "little") + bytes(size)
    squeezer = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    deflated = squeezer.compress(body) + squeezer.flush()
    return head + deflated + b"\0" * (len(deflated) % 2)


def _unpacked(file: bytes) -> tuple[bytes, bytes]:
    """Preamble and meta information of a deflated file, and its elements unpacked."""
    length = int.from_bytes(file[140:144], "little")  # (0002,0000), the first element of the meta information
    end = 144 + length
    return file[:end], zlib.decompress(file[end:], wbits=-zlib.MAX_WBITS)


def _one_element(file: bytes, rng: random.Random, change: Callable[[Element], list[Element]]) -> bytes:
    parts = split(file)
    chosen = _choose(parts, rng)
    elements = [
        part for element in parts.elements for part in (change(element) if element is chosen else [element])
    ]
    return Parts(head=parts.head, elements=tuple(elements)).joined()


def _choose(parts: Parts, rng: random.Random) -> Element:
    tags = {Tag(keyword) for keyword in _GEOMETRY}
    filled = [element for element in parts.elements if element.value]
    important = [element for element in filled if element.tag in tags]
    return rng.choice(important if important and rng.random() < 0.5 else filled)


def _odd_value(element: Element, rng: random.Random) -> bytes:
    if element.head[4:6] in (b"US", b"SS", b"UL", b"SL") and rng.random() < 0.8:
        size = 2 if element.head[5:6] == b"S" else 4
        return rng.choice(_BINARY).to_bytes(size, "little")
    value = rng.choice(_WORDS)
    return value + b" " * (len(value) % 2)


CHANGES: dict[str, Change] = {
    "bytes flipped": _flip,
    "cut off": _cut_off,
    "lengthened": _lengthened,
    "length lied": _lie,
    "element removed": _remove,
    "element emptied": _empty,
    "element twice": _double,
    "value overwritten": _overwrite,
    "elements swapped": _swap,
    "codestream edited": _codestream,
    "deflate bomb": _bomb,
}
"""Every kind of damage by its name."""

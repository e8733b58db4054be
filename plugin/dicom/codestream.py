"""The header of a compressed frame, checked before a decoder relies on it.

Decoders take size, components and precision from the compressed data, whatever the header says. What
cannot be one grey image of the declared size is refused here, at the very bytes at which the decoder
looks. (What still costs more than it should ends at the helper's limits.)
"""

from __future__ import annotations

import math
from collections.abc import Iterator

from plugin.domain.errors import InconsistentPixels

_SOC_SIZ = b"\xff\x4f\xff\x51"
_JP2_SIGNATURE = b"\0\0\0\x0cjP  \r\n\x87\n"
_SOI = b"\xff\xd8"
_MAX_TILES = 4096
_STANDALONE_MARKERS = frozenset({0x01, *range(0xD0, 0xD9)})
_FRAME_MARKERS = frozenset({*range(0xC0, 0xD0), 0xF7}) - {0xC4, 0xC8, 0xCC}
_START_OF_SCAN = 0xDA


def checked(frame: bytes, shape: tuple[int, int], bits: int) -> bytes:
    """The codestream of one frame that the header declares as (rows, columns) of ``bits`` allocated.

    A JPEG 2000 codestream is taken out of its JP2 file, where a device wrote one (PS3.5 Annex A.4.4
    allows none), so that no box adds anything. Frames of other codings come back as they are.
    Raises InconsistentPixels where the frame is not one component of that size.
    """
    if frame.startswith(_JP2_SIGNATURE):
        frame = _codestream_of_jp2(frame)
    if frame.startswith(_SOC_SIZ):
        _check_jpeg_2000(frame, shape, bits)
    elif frame.startswith(_SOI):
        _check_jpeg(frame, shape, bits)
    return frame


def _codestream_of_jp2(frame: bytes) -> bytes:
    """The contiguous codestream box of a JP2 file (ITU-T T.800 Annex I)."""
    at = 0
    while at + 8 <= len(frame):
        length, kind, head = int.from_bytes(frame[at : at + 4], "big"), frame[at + 4 : at + 8], 8
        if length == 1:
            length, head = int.from_bytes(frame[at + 8 : at + 16], "big"), 16
        end = at + length if length else len(frame)
        if kind == b"jp2c" and frame.startswith(_SOC_SIZ, at + head):
            return frame[at + head : end]
        if length and length < head:
            break
        at = end
    raise InconsistentPixels("the compressed pixel data is a JP2 file without an image")


def _check_jpeg_2000(frame: bytes, shape: tuple[int, int], bits: int) -> None:
    """The SIZ marker segment, which comes first (ITU-T T.800 A.5.1)."""
    if len(frame) < 45:
        raise InconsistentPixels("the compressed pixel data breaks off in its header")
    across, down, left, top, tile_width, tile_height, tiles_left, tiles_top = (
        int.from_bytes(frame[i : i + 4], "big") for i in range(8, 40, 4)
    )
    components = int.from_bytes(frame[40:42], "big")
    precision, step_across, step_down = (frame[42] & 0x7F) + 1, frame[43], frame[44]
    _compare((down - top, across - left), shape, components, precision, bits)
    if (step_across, step_down) != (1, 1):
        raise InconsistentPixels(f"the compressed pixel data is subsampled by {step_down} x {step_across}")
    tiles = math.ceil((across - tiles_left) / max(1, tile_width)) * math.ceil(
        (down - tiles_top) / max(1, tile_height)
    )
    if tiles > _MAX_TILES:
        raise InconsistentPixels(f"the compressed pixel data has {tiles} tiles: limit {_MAX_TILES}")


def _check_jpeg(frame: bytes, shape: tuple[int, int], bits: int) -> None:
    """The frame headers of JPEG and JPEG-LS before the first scan (T.81 B.2.2, T.87 C.2.2): just one."""
    found = list(_frame_headers(frame))
    if len(found) > 1:
        raise InconsistentPixels(f"the compressed pixel data has {len(found)} frame headers: one is needed")
    for precision, rows, columns, components in found:
        _compare((rows, columns), shape, components, precision, bits)


def _frame_headers(frame: bytes) -> Iterator[tuple[int, int, int, int]]:
    """Precision, rows, columns and components of each frame header."""
    at = 2
    while at + 4 <= len(frame) and frame[at] == 0xFF:
        marker = frame[at + 1]
        if marker == _START_OF_SCAN:
            return
        if marker in _FRAME_MARKERS and at + 10 <= len(frame):
            rows, columns = (int.from_bytes(frame[at + i : at + i + 2], "big") for i in (5, 7))
            yield frame[at + 4], rows, columns, frame[at + 9]
        standalone = marker in _STANDALONE_MARKERS or marker == 0xFF
        length = 0 if standalone else int.from_bytes(frame[at + 2 : at + 4], "big")
        at += (1 if marker == 0xFF else 2) + length


def _compare(
    found: tuple[int, int], shape: tuple[int, int], components: int, precision: int, bits: int
) -> None:
    if found != shape:
        raise InconsistentPixels(f"the compressed pixel data is {found}, the header declares {shape}")
    if components != 1:
        raise InconsistentPixels(f"the compressed pixel data has {components} components: one is needed")
    if precision > bits:
        raise InconsistentPixels(
            f"the compressed pixel data has {precision} bits a pixel, the header allocates {bits}"
        )

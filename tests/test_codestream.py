"""What a compressed frame says of itself, checked at the bytes at which the decoder looks."""

from __future__ import annotations

import io
import struct

import numpy as np
import pytest
from PIL import Image
from pydicom import dcmread
from pydicom.encaps import get_frame
from pydicom.uid import JPEG2000Lossless, JPEGLSLossless, RLELossless

from plugin.dicom.codestream import checked
from plugin.domain.errors import InconsistentPixels
from tests.conftest import DATA
from tests.dicom_factory import xray_dataset

RAMP = np.arange(60 * 44, dtype=np.uint16).reshape(60, 44)


def frame_of(syntax: str) -> bytes:
    dataset = xray_dataset(RAMP)
    dataset.compress(syntax)
    return get_frame(dataset.PixelData, 0, number_of_frames=1)


def with_bytes(frame: bytes, at: int, new: bytes) -> bytes:
    return frame[:at] + new + frame[at + len(new) :]


@pytest.mark.parametrize("syntax", [JPEG2000Lossless, JPEGLSLossless, RLELossless])
def test_what_the_header_declares_passes_as_it_is(syntax: str) -> None:
    frame = frame_of(syntax)
    assert checked(frame, (60, 44), 16) is frame


@pytest.mark.parametrize("syntax", [JPEG2000Lossless, JPEGLSLossless])
def test_another_size_is_refused(syntax: str) -> None:
    with pytest.raises(InconsistentPixels, match=r"is \(60, 44\), the header declares \(44, 60\)"):
        checked(frame_of(syntax), (44, 60), 16)


@pytest.mark.parametrize(
    ("at", "new", "reason"),
    [
        (40, struct.pack(">H", 16384), "16384 components"),
        (42, bytes([31]), "32 bits a pixel, the header allocates 16"),
        (43, bytes([2, 2]), "subsampled by 2 x 2"),
        (8, struct.pack(">II", 44 + 7, 60 + 9), r"is \(69, 51\)"),
    ],
)
def test_jpeg_2000_that_is_not_one_grey_image_is_refused(at: int, new: bytes, reason: str) -> None:
    frame = with_bytes(frame_of(JPEG2000Lossless), at, new)
    with pytest.raises(InconsistentPixels, match=reason):
        checked(frame, (60, 44), 16)


def test_tiles_without_number_are_refused() -> None:
    large = with_bytes(frame_of(JPEG2000Lossless), 8, struct.pack(">II", 4400, 6000))
    with pytest.raises(InconsistentPixels, match="26400000 tiles: limit 4096"):
        checked(with_bytes(large, 24, struct.pack(">II", 1, 1)), (6000, 4400), 16)


@pytest.mark.parametrize("components", [3, 255])
def test_jpeg_ls_of_several_components_is_refused(components: int) -> None:
    frame = frame_of(JPEGLSLossless)
    start = frame.index(b"\xff\xf7")
    with pytest.raises(InconsistentPixels, match=f"{components} components"):
        checked(with_bytes(frame, start + 9, bytes([components])), (60, 44), 16)


def test_a_second_frame_header_is_refused() -> None:
    frame = frame_of(JPEGLSLossless)
    start = frame.index(b"\xff\xf7")
    segment = frame[start : start + 13]
    doubled = frame[: start + 13] + segment + frame[start + 13 :]
    with pytest.raises(InconsistentPixels, match="2 frame headers"):
        checked(doubled, (60, 44), 16)


def jp2() -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(RAMP.astype(np.uint8)).save(buffer, "JPEG2000")
    return buffer.getvalue()


def test_the_codestream_is_taken_out_of_its_jp2_file() -> None:
    found = checked(jp2(), (60, 44), 8)
    assert found.startswith(b"\xff\x4f\xff\x51")
    assert jp2().endswith(found)


def test_a_decoy_in_a_box_before_the_codestream_is_not_what_is_checked() -> None:
    """A box holds a codestream of the declared size; the one that is decoded has another."""
    plain = jp2()
    ftyp = plain.index(b"ftyp") - 4
    decoy = checked(plain, (60, 44), 8)
    box = struct.pack(">I4s", 8 + len(decoy), b"free") + decoy
    large = with_bytes(decoy, 8, struct.pack(">II", 16000, 16000))
    frame = plain[:ftyp] + box + plain[ftyp:].replace(decoy, large)
    with pytest.raises(InconsistentPixels, match=r"is \(16000, 16000\)"):
        checked(frame, (60, 44), 8)


@pytest.mark.parametrize(
    "frame", [b"\0\0\0\x0cjP  \r\n\x87\n", b"\0\0\0\x0cjP  \r\n\x87\n\0\0\0\x04ftyp", b"\xff\x4f\xff\x51"]
)
def test_what_breaks_off_is_refused(frame: bytes) -> None:
    with pytest.raises(InconsistentPixels):
        checked(frame, (60, 44), 16)


@pytest.mark.parametrize("frame", [b"", b"\xff\xd8", b"\xff\xd8\xff", b"\xff" * 99])
def test_what_says_nothing_is_left_to_the_decoder(frame: bytes) -> None:
    assert checked(frame, (60, 44), 16) == frame


def test_every_real_grey_picture_passes() -> None:
    if not DATA.is_dir():
        pytest.skip(f"no folder of real images at {DATA} (set CHEST_AI_DATA)")
    passed = 0
    for path in sorted((DATA / "dicom" / "odd").glob("*/*.dcm")):
        dataset = dcmread(path)
        if "PixelData" not in dataset or not dataset.file_meta.TransferSyntaxUID.is_encapsulated:
            continue
        if dataset.SamplesPerPixel != 1 or int(dataset.get("NumberOfFrames") or 1) != 1:
            continue
        frame = get_frame(dataset.PixelData, 0, number_of_frames=1)
        checked(frame, (dataset.Rows, dataset.Columns), dataset.BitsAllocated)
        passed += 1
    assert passed >= 15

"""Codestream sizes, padding and Hounsfield units."""

from __future__ import annotations

import numpy as np
import pytest
from pydicom import dcmread
from pydicom.encaps import get_frame
from pydicom.uid import JPEG2000Lossless, JPEGLSLossless, RLELossless

from plugin.dicom import pixels
from tests.conftest import DATA
from tests.dicom_factory import xray_dataset

RAMP = np.arange(60 * 44, dtype=np.uint16).reshape(60, 44)


@pytest.mark.parametrize(
    ("syntax", "found"), [(JPEG2000Lossless, (60, 44)), (JPEGLSLossless, (60, 44)), (RLELossless, None)]
)
def test_codestreams_declare_their_size(syntax: str, found: tuple[int, int] | None) -> None:
    dataset = xray_dataset(RAMP)
    dataset.compress(syntax)
    assert pixels.codestream_shape(get_frame(dataset.PixelData, 0, number_of_frames=1)) == found


@pytest.mark.parametrize("frame", [b"", b"\xff\xd8", b"\xff\xd8\xff", b"\xff\x4f\xff\x51", b"\xff" * 99])
def test_cut_codestreams_declare_nothing(frame: bytes) -> None:
    assert pixels.codestream_shape(frame) is None


def test_every_real_compressed_picture_declares_its_header_s_size() -> None:
    if not DATA.is_dir():
        pytest.skip(f"no folder of real images at {DATA} (set CHEST_AI_DATA)")
    checked = 0
    for path in sorted((DATA / "dicom" / "odd").glob("*/*.dcm")):
        dataset = dcmread(path)
        if "PixelData" in dataset and dataset.file_meta.TransferSyntaxUID.is_encapsulated:
            frame = get_frame(dataset.PixelData, 0, number_of_frames=int(dataset.get("NumberOfFrames") or 1))
            assert pixels.codestream_shape(frame) in {None, (dataset.Rows, dataset.Columns)}, path.name
            checked += pixels.codestream_shape(frame) is not None
    assert checked >= 15


def test_hounsfield_clips_and_reports_the_range_outside_the_padding() -> None:
    stored = np.array([[0, 100, 65535], [7, 200, 300]], dtype=np.uint16)
    dataset = xray_dataset(stored, RescaleSlope=1, RescaleIntercept=-50, PixelPaddingValue=7)
    hu, least, greatest = pixels.hounsfield(dataset, stored)
    np.testing.assert_array_equal(hu, [[-50, 50, 32767], [-1024, 150, 250]])
    assert (least, greatest) == (-50, 32767)
    assert hu.dtype == np.int16


def test_hounsfield_of_padding_alone_has_no_range() -> None:
    stored = np.full((2, 2), 7, dtype=np.uint16)
    _, least, greatest = pixels.hounsfield(xray_dataset(stored, PixelPaddingValue=7), stored)
    assert (least, greatest) == (0, 0)


def test_int32_pixels_do_not_overflow() -> None:
    stored = np.array([[2_000_000_000, -2_000_000_000]], dtype=np.int32)
    dataset = xray_dataset(stored, RescaleSlope=10, RescaleIntercept=0)
    np.testing.assert_array_equal(pixels.hounsfield(dataset, stored)[0], [[32767, -32768]])

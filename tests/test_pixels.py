"""Padding and Hounsfield units."""

from __future__ import annotations

import numpy as np

from plugin.dicom import pixels
from tests.dicom_factory import xray_dataset


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

"""Radiographs as a viewer shows them."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from pydicom.dataset import Dataset

from plugin.dicom import imaging
from tests.dicom_factory import source, xray_dataset

Float = npt.NDArray[np.float32]


def ramp(dtype: Any = np.uint16, top: int = 4095) -> npt.NDArray[Any]:
    """600 x 512 pixels that rise evenly from left to right."""
    return np.tile(np.linspace(0, top, 512).astype(dtype), (600, 1))


def shown(pixels: npt.NDArray[Any], **attributes: Any) -> Float:
    series = source(xray_dataset(pixels, **attributes))
    (instance,) = imaging.read_instances(series)
    image = imaging.read_xray(series, instance)
    assert image.source is instance
    assert image.pixels.dtype == np.float32
    assert image.pixels.min() >= 0
    assert image.pixels.max() <= 1
    return image.pixels


def test_linear_window_follows_the_standards_formula() -> None:
    pixels = ramp()
    row = shown(pixels, WindowCenter=2048, WindowWidth=1025)[0]
    expected = np.clip((pixels[0] - 2047.5) / 1024 + 0.5, 0, 1)
    np.testing.assert_allclose(row, expected, atol=1e-5)


@pytest.mark.parametrize("keyword", ["RescaleSlope", "RescaleIntercept", "WindowCenter", "WindowWidth"])
def test_a_number_too_large_to_compute_with_counts_as_missing(keyword: str) -> None:
    attributes: dict[str, Any] = {"RescaleSlope": 2, "RescaleIntercept": 0, "WindowCenter": 4000}
    attributes |= {"WindowWidth": 3000, keyword: "9e299"}
    row = shown(ramp(), **attributes)[0]
    assert np.isfinite(row).all()
    assert row[-1] - row[0] > 0.5
    assert (np.diff(row) >= 0).all()


def test_linear_exact_and_sigmoid() -> None:
    pixels = ramp()
    exact = shown(pixels, WindowCenter=2000, WindowWidth=1000, VOILUTFunction="LINEAR_EXACT")[0]
    np.testing.assert_allclose(exact, np.clip((pixels[0] - 2000.0) / 1000 + 0.5, 0, 1), atol=1e-5)
    sigmoid = shown(pixels, WindowCenter=2000, WindowWidth=1000, VOILUTFunction="SIGMOID")[0]
    expected = 1 / (1 + np.exp(-4 * (pixels[0] - 2000.0) / 1000))
    np.testing.assert_allclose(sigmoid, expected, atol=1e-5)


def test_the_first_of_several_windows_is_taken() -> None:
    both = shown(ramp(), WindowCenter=[2000, 100], WindowWidth=[1000, 10])
    np.testing.assert_array_equal(both, shown(ramp(), WindowCenter=2000, WindowWidth=1000))


def test_the_window_is_in_rescaled_units() -> None:
    rescaled = shown(ramp(), RescaleSlope=2, RescaleIntercept=-100, WindowCenter=3900, WindowWidth=2001)
    plain = shown(ramp(), WindowCenter=2000.25, WindowWidth=1001)
    np.testing.assert_allclose(rescaled, plain, atol=2e-3)


@pytest.mark.parametrize(
    "inverse",
    [
        {"PhotometricInterpretation": "MONOCHROME1"},
        {"PhotometricInterpretation": "MONOCHROME1", "PresentationLUTShape": "INVERSE"},
        {"PresentationLUTShape": "INVERSE"},
    ],
)
def test_inverted_pictures_become_dense_is_bright(inverse: dict[str, str]) -> None:
    window = {"WindowCenter": 2000, "WindowWidth": 1000}
    np.testing.assert_allclose(shown(ramp(), **window, **inverse), 1 - shown(ramp(), **window), atol=1e-6)


def voi_lut(first: int, table: list[int], *, as_words: bool) -> Dataset:
    item = Dataset()
    item.add_new("LUTDescriptor", "US", [len(table), first, 12])
    if as_words:
        item.add_new("LUTData", "OW", np.asarray(table, np.uint16).tobytes())
    else:
        item.add_new("LUTData", "US", table)
    return item


@pytest.mark.parametrize("as_words", [False, True])
def test_voi_lut_goes_before_the_window(as_words: bool) -> None:
    table = [int(4000 * (n / 1000) ** 2) for n in range(1001)]
    lut = voi_lut(1000, table, as_words=as_words)
    row = shown(ramp(), VOILUTSequence=[lut], WindowCenter=10, WindowWidth=10)[0]
    expected = np.clip((ramp()[0] - 1000.0) / 1000, 0, 1) ** 2
    np.testing.assert_allclose(row, expected, atol=1e-3)


def test_modality_lut_comes_first() -> None:
    lut = voi_lut(0, [4095 - n for n in range(4096)], as_words=False)
    lut.ModalityLUTType = "US"
    falling = shown(ramp(), ModalityLUTSequence=[lut], WindowCenter=2048, WindowWidth=4096)[0]
    assert falling[0] > 0.99
    assert falling[-1] < 0.01


@pytest.mark.parametrize(
    "window",
    [
        {},
        {"WindowCenter": 60000, "WindowWidth": 10},
        {"WindowCenter": -5000, "WindowWidth": 100},
        {"WindowCenter": 2000, "WindowWidth": 0},
        {"WindowCenter": 2000},
        {"WindowCenter": 0, "WindowWidth": 10**9},
    ],
)
def test_without_a_window_of_use_the_percentiles_count(window: dict[str, float]) -> None:
    row = shown(ramp(), **window)[0]
    assert row[0] == 0
    assert row[-1] == 1
    np.testing.assert_allclose(row[256], 0.5, atol=0.01)


def test_padding_is_black_and_does_not_count() -> None:
    pixels = ramp()
    pixels[:100] = 65535
    for photometric in ("MONOCHROME1", "MONOCHROME2"):
        padded = shown(pixels, PixelPaddingValue=65535, PhotometricInterpretation=photometric)
        assert (padded[:100] == 0).all()
        assert abs(padded[300, 256] - 0.5) < 0.01
    ranged = shown(pixels, PixelPaddingValue=65535, PixelPaddingRangeLimit=60000)
    assert (ranged[:100] == 0).all()


def test_one_grey_and_all_padding_are_black() -> None:
    assert (shown(np.full((600, 600), 7, np.uint16)) == 0).all()
    assert (shown(np.full((600, 600), 7, np.uint16), PixelPaddingValue=7) == 0).all()


def test_signed_and_8_bit_pixels() -> None:
    signed = shown(ramp(np.int16) - 2000, WindowCenter=0, WindowWidth=1001)[0]
    np.testing.assert_allclose(signed, np.clip((ramp()[0] - 1999.5) / 1000 + 0.5, 0, 1), atol=1e-5)
    byte = shown(ramp(np.uint8, 255), WindowCenter=128, WindowWidth=256)[0]
    np.testing.assert_allclose(byte, ramp(np.uint8, 255)[0] / 255, atol=1e-5)

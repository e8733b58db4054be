"""The attention map: where it lies, what it is labelled."""

from __future__ import annotations

import io

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset
from results_factory import IDENTITY, LABEL, attention_for, xray, xray_findings

from plugin.analysis.attention import AttentionMap
from plugin.dicom.imaging import XrayImage
from plugin.results.capture import build_attention
from plugin.results.overlay import LONGEST_SIDE


def attention_map(image: XrayImage) -> Dataset:
    ds = build_attention(
        image=image,
        attention=attention_for(image),
        findings=xray_findings(),
        identity=IDENTITY,
        label=LABEL,
    )
    buffer = io.BytesIO()
    ds.save_as(buffer, enforce_file_format=True)
    buffer.seek(0)
    return pydicom.dcmread(buffer)


def test_the_attention_map_lies_on_the_picture() -> None:
    image = xray()
    pixels = attention_map(image).pixel_array[: image.pixels.shape[0]].astype(int)
    colour = np.ptp(pixels, axis=2)
    centre = [np.average(axis, weights=colour) for axis in np.indices(colour.shape)]
    assert centre == pytest.approx([350, 150], abs=15)
    grey = np.abs(pixels[500:, 300:, 0] - 255 * image.pixels[500:, 300:]) <= 1
    assert grey.mean() > 0.99
    assert pixels[40, 100, 0] == pytest.approx(255 * image.pixels[40, 100] / 2, abs=1)


@pytest.mark.parametrize(
    ("told", "cosines", "expected"),
    [
        (["L", "F"], None, ["L", "F"]),
        (["R", "F"], [1, 0, 0, 0, 0, -1], ["R", "F"]),
        (None, [1, 0, 0, 0, 0, -1], ["L", "F"]),
        (None, [-0.8, 0.6, 0, 0, 0, -1], ["RP", "F"]),
        (["UNKNOWN", "UNKNOWN"], None, None),
        (None, [0, 0, 0, 0, 0, 0], None),
        (None, None, None),
    ],
)
def test_it_is_oriented_as_its_source(
    told: list[str] | None, cosines: list[float] | None, expected: list[str] | None
) -> None:
    ds = attention_map(xray(PatientOrientation=told, ImageOrientationPatient=cosines))
    assert (list(ds.PatientOrientation) if ds.PatientOrientation else None) == expected


def test_the_attention_map_is_labelled_derived_and_limited_in_size() -> None:
    image = xray(shape=(3000, 2400))
    ds = attention_map(image)
    assert max(ds.Rows, ds.Columns) <= LONGEST_SIDE * 1.2
    assert ds.BurnedInAnnotation == "YES"
    assert list(ds.ImageType)[:2] == ["DERIVED", "SECONDARY"]
    assert ds.SourceImageSequence[0].ReferencedSOPInstanceUID == image.source.header.SOPInstanceUID
    strip = ds.pixel_array[round(LONGEST_SIDE) :]
    assert strip.max() > 200


def test_an_attention_map_of_another_shape_is_refused() -> None:
    with pytest.raises(ValueError, match="attention of shape"):
        build_attention(
            image=xray(),
            attention=AttentionMap(shades=np.zeros((3, 3), np.float32), outside=0.0),
            findings=xray_findings(),
            identity=IDENTITY,
            label=LABEL,
        )


@pytest.mark.parametrize(("orientation", "marked"), [(["L", "F"], True), (None, False)])
def test_the_sides_are_marked_where_they_are_known(orientation: list[str] | None, marked: bool) -> None:
    image = xray(PatientOrientation=orientation)
    pixels = attention_map(image).pixel_array
    for corner in (pixels[:15, :15], pixels[:15, image.pixels.shape[1] - 15 : image.pixels.shape[1]]):
        assert bool((corner == 30).all(axis=2).any()) == marked

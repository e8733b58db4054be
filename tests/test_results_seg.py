"""The Segmentation read back: voxel for voxel, and on the source in patient space."""

from __future__ import annotations

import io

import highdicom as hd
import numpy as np
import numpy.typing as npt
import pydicom
import pytest
from pydicom.dataset import Dataset
from pydicom.uid import DeflatedExplicitVRLittleEndian, ExplicitVRLittleEndian
from results_factory import (
    FRAME,
    IDENTITY,
    LABEL,
    ORIENTATIONS,
    Grid,
    ct_findings,
    grid,
    header,
    lungs_on,
    measurements,
    volume,
)

from plugin.results.seg.segmentation import build_seg

PARTS = ("lung-right", "lung-left", "findings")


def build(
    where: Grid, orientation: str = "supine", kind: str = "BINARY", **attributes: object
) -> Dataset | None:
    lungs, findings = lungs_on(where)
    return build_seg(
        volume=volume(where, orientation, **attributes),
        lungs=lungs,
        findings_mask=findings,
        findings=ct_findings(lungs=measurements()),
        identity=IDENTITY,
        label=LABEL,
        segmentation_type=kind,  # type: ignore[arg-type]
    )


def stored(ds: Dataset) -> Dataset:
    buffer = io.BytesIO()
    ds.save_as(buffer, enforce_file_format=True)
    buffer.seek(0)
    return pydicom.dcmread(buffer)


def test_deflated_it_is_the_same_and_small() -> None:
    plain, deflated = build(grid()), build(grid(), kind="BINARY_DEFLATED")
    assert plain is not None
    assert deflated is not None
    sizes = {}
    for ds in (plain, deflated):
        buffer = io.BytesIO()
        ds.save_as(buffer, enforce_file_format=True)
        sizes[ds.file_meta.TransferSyntaxUID] = len(buffer.getvalue())
    assert sizes[DeflatedExplicitVRLittleEndian] < 0.2 * sizes[ExplicitVRLittleEndian]
    read = stored(deflated)
    assert read.file_meta.TransferSyntaxUID == DeflatedExplicitVRLittleEndian
    read.file_meta = plain.file_meta
    assert read == stored(plain)


def in_patient_space(seg: Dataset, where: Grid) -> dict[int, npt.NDArray[np.bool_]]:
    """Each segment on the grid, put there by the frames' own positions and orientation alone."""
    shared = seg.SharedFunctionalGroupsSequence[0]
    cosines = [float(v) for v in shared.PlaneOrientationSequence[0].ImageOrientationPatient]
    along_row, along_column = np.array(cosines[:3]), np.array(cosines[3:])
    dr, dc = (float(v) for v in shared.PixelMeasuresSequence[0].PixelSpacing)
    frames = seg.pixel_array.reshape(-1, seg.Rows, seg.Columns)
    found: dict[int, npt.NDArray[np.bool_]] = {}
    for frame, groups in zip(frames, seg.PerFrameFunctionalGroupsSequence, strict=True):
        first = np.array([float(v) for v in groups.PlanePositionSequence[0].ImagePositionPatient])
        rows, columns = np.nonzero(frame)
        points = first + columns[:, None] * dc * along_row + rows[:, None] * dr * along_column
        indices = [
            np.abs(axis[:, None] - points[None, :, n]).argmin(axis=0)
            for n, axis in ((2, where.z), (1, where.y), (0, where.x))
        ]
        number = groups.SegmentIdentificationSequence[0].ReferencedSegmentNumber
        found.setdefault(number, np.zeros(where.shape, bool))[tuple(indices)] = True
    return found


@pytest.mark.parametrize("orientation", ORIENTATIONS)
@pytest.mark.parametrize("spacing", [(5.0, 6.0, 5.0), (0.6, 0.7, 0.7), (10.0, 4.0, 6.5)])
def test_it_lies_on_the_source_in_patient_space(
    orientation: str, spacing: tuple[float, float, float]
) -> None:
    where = grid(spacing=spacing)
    scale = min(spacing) / 5 if min(spacing) < 4 else 1.0
    lungs = np.zeros(where.shape, np.uint8)
    lungs[where.ball((-60 * scale, 0, 5 * scale), 45 * scale)] = 1
    lungs[where.ball((60 * scale, 10 * scale, 0), 40 * scale)] = 2
    findings = where.ball((-60 * scale, 30 * scale, 10 * scale), 18 * scale)
    seg = build_seg(
        volume=volume(where, orientation),
        lungs=lungs,
        findings_mask=findings,
        findings=ct_findings(),
        identity=IDENTITY,
        label=LABEL,
    )
    assert seg is not None
    found = in_patient_space(stored(seg), where)
    np.testing.assert_array_equal(found[1], lungs == 1)
    np.testing.assert_array_equal(found[2], lungs == 2)
    np.testing.assert_array_equal(found[3], findings & (lungs > 0))


def test_irregular_spacing_and_missing_ends() -> None:
    z = np.array([-40.0, -35.0, -30.0, -24.5, -19.0, -14.0, -9.0, -4.0, 1.0, 6.0, 11.0])
    regular = grid()
    where = Grid(z=z, y=regular.y, x=regular.x)
    lungs, findings = lungs_on(where)
    seg = build(where)
    assert seg is not None
    found = in_patient_space(stored(seg), where)
    np.testing.assert_array_equal(found[1], lungs == 1)
    np.testing.assert_array_equal(found[2], lungs == 2)
    np.testing.assert_array_equal(found[3], findings & (lungs > 0))


@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_highdicom_reads_every_source_frame_back(orientation: str) -> None:
    where = grid()
    source = volume(where, orientation)
    lungs, findings = lungs_on(where)
    seg = build(where, orientation)
    assert seg is not None
    reader = hd.seg.Segmentation.from_dataset(stored(seg))
    pixels = reader.get_pixels_by_source_instance(
        [instance.header.SOPInstanceUID for instance in source.sources], assert_missing_frames_are_empty=True
    )
    wanted = (lungs == 1, lungs == 2, findings & (lungs > 0))
    for number, mask in enumerate(wanted):
        np.testing.assert_array_equal(pixels[..., number].astype(bool), source.to_frame(mask))


def test_label_map_has_the_findings_apart_and_says_so() -> None:
    where = grid()
    lungs, findings = lungs_on(where)
    seg = build(where, "columns flipped", "LABELMAP")
    assert seg is not None
    read = stored(seg)
    reader = hd.seg.Segmentation.from_dataset(read)
    pixels = reader.get_pixels_by_source_instance(
        [instance.header.SOPInstanceUID for instance in volume(where, "columns flipped").sources],
        combine_segments=True,
        assert_missing_frames_are_empty=True,
    )
    wanted = np.where(findings & (lungs > 0), 3, lungs)
    np.testing.assert_array_equal(pixels, volume(where, "columns flipped").to_frame(wanted))
    assert reader.get_segment_description(1).SegmentLabel == LABEL.texts("segment.lung-right-clear")


def test_segments_say_what_and_whose_they_are() -> None:
    seg = build(grid())
    assert seg is not None
    for number, (description, what) in enumerate(zip(seg.SegmentSequence, PARTS, strict=True), start=1):
        assert description.SegmentNumber == number
        assert description.TrackingUID == IDENTITY.tracking_uid(what)
        assert description.SegmentAlgorithmType == "AUTOMATIC"
        algorithm = description.SegmentationAlgorithmIdentificationSequence[0]
        assert algorithm.AlgorithmName == "ct-segmentation"
        assert f"sha256={'ab' * 32}" in algorithm.AlgorithmParameters
        assert len(description.RecommendedDisplayCIELabValue) == 3
    right, left = (
        description.SegmentedPropertyTypeCodeSequence[0].SegmentedPropertyTypeModifierCodeSequence[0]
        for description in seg.SegmentSequence[:2]
    )
    assert (right.CodeMeaning, left.CodeMeaning) == ("Right", "Left")
    assert seg.FrameOfReferenceUID == FRAME
    referenced = seg.ReferencedSeriesSequence[0]
    assert referenced.SeriesInstanceUID == header().SeriesInstanceUID
    assert len(referenced.ReferencedInstanceSequence) == grid().shape[0]


def test_an_empty_segment_is_left_out_and_none_is_written_where_all_are() -> None:
    where = grid()
    lungs, _ = lungs_on(where)
    common = {
        "volume": volume(where),
        "findings": ct_findings(),
        "identity": IDENTITY,
        "label": LABEL,
        "findings_mask": np.zeros(where.shape, bool),
    }
    seg = build_seg(lungs=np.where(lungs == 2, lungs, 0).astype(np.uint8), **common)  # type: ignore[arg-type]
    assert seg is not None
    assert [d.TrackingUID for d in seg.SegmentSequence] == [IDENTITY.tracking_uid("lung-left")]
    assert build_seg(lungs=np.zeros(where.shape, np.uint8), **common) is None  # type: ignore[arg-type]


def test_a_source_without_frame_of_reference_gets_a_derived_one() -> None:
    where = grid(slices=6)
    source = volume(where)
    for instance in source.sources:
        del instance.header.FrameOfReferenceUID
    lungs = np.ones(where.shape, np.uint8)
    seg = build_seg(
        volume=source,
        lungs=lungs,
        findings_mask=lungs > 1,
        findings=ct_findings(),
        identity=IDENTITY,
        label=LABEL,
    )
    assert seg is not None
    assert seg.FrameOfReferenceUID == IDENTITY.tracking_uid("frame-of-reference")


def test_masks_of_another_shape_are_refused() -> None:
    where = grid()
    with pytest.raises(ValueError, match="masks of shape"):
        build_seg(
            volume=volume(where),
            lungs=np.zeros((2, 2, 2), np.uint8),
            findings_mask=np.zeros(where.shape, bool),
            findings=ct_findings(),
            identity=IDENTITY,
            label=LABEL,
        )


def test_twice_the_same_bytes() -> None:
    once, again = io.BytesIO(), io.BytesIO()
    for buffer in (once, again):
        seg = build(grid())
        assert seg is not None
        seg.save_as(buffer, enforce_file_format=True)
    assert once.getvalue() == again.getvalue()

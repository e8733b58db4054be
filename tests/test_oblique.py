"""A regular stack that leans in the patient: volumes and segments of a known solid are right."""

from __future__ import annotations

import numpy as np
import pytest
from highdicom.seg import Segmentation
from results_factory import IDENTITY, LABEL, ct_findings, measurements

from plugin.analysis.lungs import volume_ml
from plugin.dicom.imaging import read_ct, read_instances
from plugin.results.seg.segmentation import build_seg
from plugin.screening import gate
from tests.dicom_factory import Points, ct_series, source

RADIUS, CENTRE = 60.0, np.array([12.0, -9.0, 90.0])
SHAPE, SPACING, STEP, SLICES = (64, 72), (3.0, 2.5), 2.5, 76


def ball_hu(points: Points) -> np.ndarray:
    inside = ((points - CENTRE) ** 2).sum(axis=-1) <= RADIUS**2
    return np.where(inside, -800, 40).astype(np.int16)


@pytest.mark.parametrize("degrees", [1, 7])
@pytest.mark.parametrize("axis", ["row", "column"])
def test_a_solid_in_an_oblique_stack_keeps_its_volume_and_its_place(degrees: float, axis: str) -> None:
    lean = np.deg2rad(degrees)
    row, column = np.array([1.0, 0, 0]), np.array([0, 1.0, 0])
    turned = {"row": row, "column": column}[axis] * np.cos(lean) + np.array([0, 0, np.sin(lean)])
    row, column = (turned, column) if axis == "row" else (row, turned)
    normal = np.cross(row, column)
    series = []
    for k in range(SLICES):
        along = k * STEP * normal
        (dataset,) = ct_series(
            row=tuple(row),
            column=tuple(column),
            positions=[0.0],
            shape=SHAPE,
            spacing=SPACING,
            hu=lambda points, along=along: ball_hu(points + along),  # type: ignore[misc]
            StudyInstanceUID="1.2.3",
            SeriesInstanceUID="1.2.3.4",
            FrameOfReferenceUID="1.2.3.5",
        )
        corner = np.array(dataset.ImagePositionPatient, dtype=float) + along
        dataset.ImagePositionPatient = [f"{value:.5f}" for value in corner]
        dataset.ImageOrientationPatient = [f"{value:.7f}" for value in (*row, *column)]
        series.append(dataset)
    files = source(*series)
    instances = read_instances(files)
    verdict, chosen = gate.screen_ct(instances, gate.CtLimits(min_pixels=64))
    assert verdict.remarks == ()
    volume = read_ct(files, chosen)
    solid = volume.hu < -500
    measured = volume_ml(solid, thickness=volume.thickness, pixel_area=SPACING[0] * SPACING[1])
    assert measured == pytest.approx(4 / 3 * np.pi * RADIUS**3 / 1000, rel=0.01)
    seg = build_seg(
        volume=volume,
        lungs=solid.astype(np.uint8),
        findings_mask=np.zeros_like(solid),
        findings=ct_findings(lungs=measurements()),
        identity=IDENTITY,
        label=LABEL,
    )
    read = Segmentation.from_dataset(seg)
    uids = [dataset.SOPInstanceUID for dataset in series]
    frames = read.get_pixels_by_source_instance(
        uids, segment_numbers=[1], assert_missing_frames_are_empty=True
    )
    sources = np.stack([dataset.pixel_array.astype(int) - 1024 < -500 for dataset in series])
    np.testing.assert_array_equal(frames[..., 0].astype(bool), sources)
    # the segment's voxels in the patient's coordinates: their centre is the ball's
    geometry = read.get_volume(segment_numbers=[1])
    mask = np.squeeze(geometry.array).astype(bool)
    centre = geometry.map_indices_to_reference(np.argwhere(mask)).mean(axis=0)
    np.testing.assert_allclose(centre, CENTRE, atol=0.2)

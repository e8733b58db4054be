"""Corrected Segmentations: which are ours, and that their volumes are those of the voxels."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import highdicom as hd
import numpy as np
import numpy.typing as npt
import pytest
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes
from pydicom.uid import RLELossless
from results_factory import (
    IDENTITY,
    LABEL,
    Grid,
    ct_findings,
    grid,
    lungs_on,
    measurements,
    volume,
)

from plugin.dicom.imaging import CtVolume
from plugin.results.common import SeriesLabel, reference_header
from plugin.results.seg.edited import NotOurs, Unmeasurable, measure, read_masks
from plugin.results.seg.segmentation import SegmentationType, build_seg

WHERE = grid(slices=16)
VOXEL = 5 * 6 * 5 / 1000
"""In mL."""


def own(
    mask: npt.NDArray[np.bool_],
    kind: SegmentationType = "BINARY",
    orientation: str = "supine",
    label: SeriesLabel = LABEL,
) -> Dataset:
    """The plugin's own Segmentation of the synthetic lungs with these findings."""
    lungs, _ = lungs_on(WHERE)
    seg = build_seg(
        volume=volume(WHERE, orientation),
        lungs=lungs,
        findings_mask=mask,
        findings=replace(ct_findings(), lungs=measurements()),
        identity=IDENTITY,
        label=label,
        segmentation_type=kind,
    )
    assert seg is not None
    return seg


def exported(
    masks: Mapping[str, npt.NDArray[np.bool_]], kind: str = "BINARY", source: CtVolume | None = None
) -> Dataset:
    """What a viewer writes: its own codes and identifiers, our labels; planes without a mark left out."""
    source = source or volume(WHERE)
    description = [
        hd.seg.SegmentDescription(
            segment_number=number,
            segment_label=label,
            segmented_property_category=codes.SCT.Tissue,
            segmented_property_type=codes.SCT.Tissue,
            algorithm_type=hd.seg.SegmentAlgorithmTypeValues.MANUAL,
        )
        for number, label in enumerate(masks, start=1)
    ]
    pixels = np.stack(list(masks.values()), axis=-1).astype(np.uint8)
    if kind == "LABELMAP":
        numbers = np.arange(1, len(masks) + 1, dtype=np.uint8)
        pixels = (pixels * numbers).max(axis=-1)
    return hd.seg.Segmentation(
        source_images=[reference_header(instance.header) for instance in source.sources],
        pixel_array=pixels,
        segmentation_type=kind,
        segment_descriptions=description,
        series_instance_uid="1.2.3.5",
        series_number=99,
        sop_instance_uid="1.2.3.6",
        instance_number=1,
        manufacturer="OHIF",
        manufacturer_model_name="OHIF Viewer",
        software_versions="3.12",
        device_serial_number="1",
        transfer_syntax_uid=RLELossless if kind == "LABELMAP" else "1.2.840.10008.1.2.1",
    )


def expected(mask: npt.NDArray[np.bool_], where: Grid = WHERE) -> dict[str, tuple[float, float]]:
    """Lung and findings in it by side, in mL, counted directly."""
    lungs, _ = lungs_on(where)
    return {
        side: (float((lungs == number).sum() * VOXEL), float((mask & (lungs == number)).sum() * VOXEL))
        for side, number in (("right", 1), ("left", 2))
    }


def assert_measured(edited: Dataset, original: Dataset | None, mask: npt.NDArray[np.bool_]) -> None:
    found = measure(read_masks(edited), None if original is None else read_masks(original))
    for side, (lung, findings) in expected(mask).items():
        assert found[side]["volume_ml"] == pytest.approx(lung, abs=0.06)
        assert found[side]["findings_ml"] == pytest.approx(findings, abs=0.06)
        assert found[side]["percent"] == pytest.approx(100 * findings / lung, abs=0.01)
    assert found["both"]["findings_ml"] == pytest.approx(
        sum(findings for _, findings in expected(mask).values()), abs=0.1
    )


LUNGS, FOUND = lungs_on(WHERE)
CORRECTED = WHERE.ball((60, 10, 0), 20) | WHERE.ball((-60, 0, 5), 12)
RIGHT, LEFT = LUNGS == 1, LUNGS == 2


@pytest.mark.parametrize("orientation", ["supine", "prone", "columns flipped"])
def test_our_own_is_measured_as_it_was_made(orientation: str) -> None:
    assert_measured(own(FOUND, orientation=orientation), None, FOUND)


def test_all_three_segments_changed() -> None:
    edited = exported(
        {"Right lung": RIGHT, "Left lung": LEFT, "Opacities in the lungs": CORRECTED & (LUNGS > 0)}
    )
    assert_measured(edited, own(FOUND), CORRECTED)
    assert_measured(edited, None, CORRECTED)


@pytest.mark.parametrize("label", ["Opacities in the lungs", "opacidades pulmonares "])
def test_only_the_opacities_over_the_lungs_of_the_original(label: str) -> None:
    assert_measured(exported({label: CORRECTED}), own(FOUND), CORRECTED)


def test_a_label_map_as_ohif_writes_it() -> None:
    """Compressed by RLE; the lungs have holes where the opacities are."""
    masks = {"Right lung": RIGHT, "Left lung": LEFT, "Opacities in the lungs": CORRECTED & (LUNGS > 0)}
    assert_measured(exported(masks, "LABELMAP"), own(FOUND), CORRECTED)


def test_a_label_map_that_was_one_before() -> None:
    """Nobody has the findings in the lungs: they are filled up, each side with its own."""
    original = own(FOUND, "LABELMAP")
    assert_measured(original, None, FOUND)
    clear = LUNGS * ~CORRECTED
    masks = {
        "Right lung outside the opacities": clear == 1,
        "Left lung outside the opacities": clear == 2,
        "Opacities in the lungs": CORRECTED & (LUNGS > 0),
    }
    for kind in ("LABELMAP", "BINARY"):
        assert_measured(exported(masks, kind), original, CORRECTED)


def test_pixels_whose_size_is_not_said_are_as_large_as_those_of_the_original() -> None:
    """OHIF 3.12 leaves the Pixel Measures Sequence empty."""
    edited = exported({"Right lung": RIGHT, "Left lung": LEFT, "Opacities in the lungs": CORRECTED})
    edited.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence = [Dataset()]
    assert_measured(edited, own(FOUND), CORRECTED)
    with pytest.raises(Unmeasurable, match="how large its pixels are"):
        measure(read_masks(edited), None)


def test_frames_on_slices_that_are_not_their_own_are_not_measured() -> None:
    """OHIF 3.12 counts the slices of two layers as those of one: two frames of a segment come onto one."""
    edited = exported({"Opacities in the lungs": CORRECTED})
    first, second = edited.PerFrameFunctionalGroupsSequence[:2]
    second.PlanePositionSequence = first.PlanePositionSequence
    with pytest.raises(Unmeasurable, match="their places are not true"):
        read_masks(edited)


def test_what_is_taken_away_and_what_lies_outside_the_lungs_counts_for_nothing() -> None:
    outside = WHERE.ball((0, -80, 0), 15)
    one = np.zeros_like(CORRECTED)
    one[5, 20, 20] = True
    assert_measured(exported({"Opacities in the lungs": outside | one}), own(FOUND), one)


def test_a_segmentation_of_something_else_is_not_ours() -> None:
    with pytest.raises(NotOurs):
        read_masks(exported({"Tumour": CORRECTED}))


def test_what_cannot_be_measured_says_why() -> None:
    alone = read_masks(exported({"Opacities in the lungs": CORRECTED}))
    with pytest.raises(Unmeasurable, match="does not have both lungs"):
        measure(alone, None)
    with pytest.raises(Unmeasurable, match="does not have both lungs"):
        measure(alone, read_masks(own(FOUND, "LABELMAP")))  # its lungs lack what was taken from the findings
    fractional = exported({"Opacities in the lungs": CORRECTED})
    fractional.SegmentationType = "FRACTIONAL"
    with pytest.raises(Unmeasurable, match="FRACTIONAL"):
        read_masks(fractional)
    other = replace(read_masks(own(FOUND)), shape=(10, 10))
    with pytest.raises(Unmeasurable, match="another size"):
        measure(alone, other)

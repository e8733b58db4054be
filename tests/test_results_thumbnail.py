"""What the worklist draws of a CT: the right slice, the outlines where the marks are, few points."""

from __future__ import annotations

import json

import numpy as np
import pytest
from results_factory import ORIENTATIONS, grid, lungs_on, volume

from plugin.domain.outcome import KeptThumbnail
from plugin.results.pdf.material import CtMaterial
from plugin.results.thumbnail import thumbnail_of
from tests.test_analysis_outline import inside


def material(orientation: str) -> CtMaterial:
    where = grid()
    lungs, findings = lungs_on(where)
    return CtMaterial(volume=volume(where, orientation), lungs=lungs, findings=findings)


@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_the_slice_with_most_marks_is_outlined_as_it_is_stored(orientation: str) -> None:
    given = material(orientation)
    shown = thumbnail_of(given)
    fullest = int(given.inside.sum(axis=(1, 2)).argmax())
    assert shown.instance == f"i{fullest}"
    frame = given.volume.to_frame(given.inside[fullest]).astype(bool)
    assert (shown.rows, shown.columns) == frame.shape
    drawn = np.zeros(frame.shape, bool)
    for outline in shown.outlines:
        points = np.array(outline, float).reshape(-1, 2)
        drawn |= inside(np.concatenate([points, points[:1]]), frame.shape)
    assert 2 * np.count_nonzero(drawn & frame) / np.count_nonzero([drawn, frame]) > 0.9


def test_where_nothing_is_marked_the_slice_with_most_lung_is_shown() -> None:
    where = grid()
    lungs, findings = lungs_on(where)
    shown = thumbnail_of(CtMaterial(volume=volume(where), lungs=lungs, findings=np.zeros_like(findings)))
    assert shown.instance == f"i{int((lungs > 0).sum(axis=(1, 2)).argmax())}"
    assert shown.outlines == ()


def test_a_ragged_mask_takes_little_room() -> None:
    """A list of fifty such rows is sent every few seconds."""
    where = grid()
    lungs, _ = lungs_on(where)
    wide = np.repeat(np.repeat(lungs, 8, axis=1), 8, axis=2)
    noise = np.random.default_rng(1).random(wide.shape) > 0.7
    given = CtMaterial(volume=volume(where), lungs=wide, findings=noise & (wide > 0))
    shown = thumbnail_of(given)
    assert 0 < len(shown.outlines) <= 16
    assert len(json.dumps(shown.model_dump(mode="json"))) < 4000
    assert KeptThumbnail.model_validate(shown.model_dump(mode="json")) == shown

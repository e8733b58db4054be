"""Slice-wise segmentation: batches, sizes, and what makes lungs of raw masks."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

from plugin.analysis.preprocess import resize, window
from plugin.analysis.segmentation import close_plane, refine, segment

Mask = npt.NDArray[np.bool_]
SPACING = (5.0, 2.0, 2.0)


def disk(row: float, column: float, radius: float, size: int = 96) -> Mask:
    rows, columns = np.ogrid[:size, :size]
    return (rows - row) ** 2 + (columns - column) ** 2 <= radius**2


def stack(plane: Mask, slices: int = 11) -> Mask:
    return np.repeat(plane[None], slices, axis=0)


LUNGS = stack(disk(48, 24, 18) | disk(48, 72, 18))


def refined(lungs: Mask, findings: Mask) -> tuple[Mask, Mask]:
    masks = lungs.copy(), findings.copy()
    refine(*masks, spacing=SPACING)
    return masks


class AirAndGroundGlass:
    """Answers with what the HU say: air is lung, ground glass is lung and finding; at half the size."""

    def __init__(self, batch: int) -> None:
        self.batch, self.shapes = batch, set[tuple[int, ...]]()

    def prepare(self, slice_: npt.NDArray[np.int16]) -> npt.NDArray[np.float32]:
        return window(slice_, -1000, 0)[None]

    def predict(self, inputs: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        self.shapes.add(inputs.shape)
        answers = []
        for picture in inputs[:, 0]:
            lung = (picture < 0.7).astype(np.float32)
            finding = ((picture > 0.2) & (picture < 0.7)).astype(np.float32)
            answers.append([resize(c, picture.shape[0] // 2, picture.shape[1] // 2) for c in (finding, lung)])
        return np.asarray(answers, dtype=np.float32)


@pytest.mark.parametrize("batch", [1, 4, 11, 16])
def test_every_slice_is_read_in_batches_of_one_size(batch: int) -> None:
    hu = np.where(LUNGS, -900, 40).astype(np.int16)
    lesion = stack(disk(48, 72, 6))
    hu[lesion] = -500
    network, progress = AirAndGroundGlass(batch), list[float]()
    lungs, findings = segment(
        hu,
        prepare=network.prepare,
        predict=network.predict,
        batch=batch,
        lung=(1, 0.5),
        findings=(0, 0.5),
        spacing=SPACING,
        progress=progress.append,
    )
    assert network.shapes == {(batch, 1, 96, 96)}
    assert progress == sorted(progress)
    assert progress[-1] == 1
    for found, truth in ((lungs, LUNGS), (findings, lesion)):
        assert found.dtype == np.bool_
        assert 2 * (found & truth).sum() / (found.sum() + truth.sum()) > 0.9


def test_thresholds_count() -> None:
    flat = np.zeros((3, 96, 96), dtype=np.int16)

    def predict(inputs: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        answer = np.zeros((len(inputs), 2, 96, 96), dtype=np.float32)
        answer[:, :, 20:70, 20:70] = 0.6
        return answer

    options = {"prepare": lambda s: s[None].astype(np.float32), "predict": predict, "batch": 2}
    lungs, findings = segment(flat, **options, lung=(0, 0.6), findings=(1, 0.61), spacing=SPACING)
    assert lungs.sum() == 3 * 50 * 50
    assert not findings.any()


def test_progress_may_stop_it() -> None:
    def stop(_: float) -> None:
        raise InterruptedError

    network = AirAndGroundGlass(2)
    with pytest.raises(InterruptedError):
        segment(
            np.zeros((9, 96, 96), dtype=np.int16),
            prepare=network.prepare,
            predict=network.predict,
            batch=2,
            lung=(0, 0.5),
            findings=(1, 0.5),
            spacing=SPACING,
            progress=stop,
        )


def test_holes_are_filled_and_crumbs_dropped() -> None:
    raw = LUNGS & ~stack(disk(48, 24, 5))
    crumb = np.zeros_like(raw)
    crumb[2:5, 4:10, 44:50] = True
    lungs, _ = refined(raw | crumb, np.zeros_like(raw))
    np.testing.assert_array_equal(lungs, LUNGS)


def test_a_lung_cut_by_a_consolidation_keeps_both_parts() -> None:
    raw = LUNGS.copy()
    raw[5, :, :48] = False
    lungs, _ = refined(raw, np.zeros_like(raw))
    np.testing.assert_array_equal(lungs, raw)


def test_findings_belong_to_the_lungs_also_in_a_notch_of_their_outline() -> None:
    notch = np.zeros((96, 96), dtype=np.bool_)
    notch[46:50, 80:] = True
    raw = LUNGS & ~stack(notch)
    outside = stack(disk(8, 8, 4))
    findings = (stack(notch) & LUNGS) | outside
    lungs, inside = refined(raw, findings)
    assert not (inside & outside).any()
    assert (inside <= lungs).all()
    assert inside.sum() > 0.8 * (stack(notch) & LUNGS).sum()


def test_a_consolidation_at_the_pleura_that_lies_mostly_in_the_lung_is_kept_whole() -> None:
    columns = np.arange(96)
    raw = LUNGS & (columns < 86)
    consolidation = LUNGS & (columns >= 80)
    chest_wall = stack(disk(48, 94, 2))
    lungs, inside = refined(raw, consolidation | chest_wall)
    np.testing.assert_array_equal(inside, consolidation)
    np.testing.assert_array_equal(lungs, LUNGS)


def test_without_lungs_there_are_no_findings() -> None:
    nothing = np.zeros_like(LUNGS)
    lungs, findings = refined(nothing, LUNGS)
    assert not lungs.any()
    assert not findings.any()


def test_closing_fills_what_a_disk_does_not_enter() -> None:
    plane = disk(48, 48, 30)
    plane[40:44, 60:] = False
    closed = close_plane(plane, (1.0, 1.0), 3.0)
    assert closed[40:44, 60:70].all()
    assert (plane <= closed).all()
    assert closed.sum() < plane.sum() + 4 * 30
    at_the_edge = np.zeros((20, 20), dtype=np.bool_)
    at_the_edge[:, :10] = True
    np.testing.assert_array_equal(close_plane(at_the_edge, (1.0, 1.0), 3.0), at_the_edge)

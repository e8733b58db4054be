"""Cells: lungs and findings told apart."""

from __future__ import annotations

import numpy as np
import pytest
from results_factory import grid, lungs_on

from plugin.results.seg import masks


def test_findings_count_only_where_there_is_lung() -> None:
    lungs = np.array([0, 0, 1, 1, 2, 2], np.uint8)
    findings = np.array([False, True, False, True, False, True])
    assert masks.cells(lungs, findings).tolist() == [0, 0, 1, 3, 2, 4]


@pytest.mark.parametrize(
    ("what", "expected"),
    [
        ("lung-right", lambda lungs, _: lungs == 1),
        ("lung-left", lambda lungs, _: lungs == 2),
        ("findings", lambda lungs, findings: findings & (lungs > 0)),
        ("lungs", lambda lungs, _: lungs > 0),
    ],
)
def test_every_part_is_selected_and_counted(what: str, expected: object) -> None:
    lungs, findings = lungs_on(grid())
    wanted = expected(lungs, findings)  # type: ignore[operator]
    cells = masks.WHOLE[what]
    np.testing.assert_array_equal(masks.select(masks.cells(lungs, findings), cells), wanted)
    counts = masks.counts(lungs, findings)
    np.testing.assert_array_equal(counts[:, list(cells)].sum(axis=1), wanted.sum(axis=(1, 2)))
    assert (counts.sum(axis=1) == lungs[0].size).all()

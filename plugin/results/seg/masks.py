"""What is segmented, told apart voxel by voxel, one slice at a time.

A thousand slices fit in memory as two masks, not as one mask for each thing that is shown.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

import numpy as np
import numpy.typing as npt

Cells = npt.NDArray[np.uint8]

RIGHT, LEFT, RIGHT_FINDINGS, LEFT_FINDINGS = 1, 2, 3, 4
"""The cells; 0 is neither lung. The lung mask has only the first two, findings included."""

WHOLE: Mapping[str, tuple[int, ...]] = MappingProxyType(
    {
        "lung-right": (RIGHT, RIGHT_FINDINGS),
        "lung-left": (LEFT, LEFT_FINDINGS),
        "findings": (RIGHT_FINDINGS, LEFT_FINDINGS),
        "lungs": (RIGHT, LEFT, RIGHT_FINDINGS, LEFT_FINDINGS),
    }
)
"""What is measured, by the names that tracking UIDs are derived from, and the cells it is made of."""


def cells(lungs: npt.NDArray[np.uint8], findings: npt.NDArray[np.bool_]) -> Cells:
    """The cells of a slice (or of any array): findings count where there is lung."""
    inside = findings & (lungs > 0)
    return np.asarray(lungs + 2 * inside.view(np.uint8), np.uint8)


def counts(lungs: npt.NDArray[np.uint8], findings: npt.NDArray[np.bool_]) -> npt.NDArray[np.int64]:
    """Voxels of each cell in each slice of a volume: int64 (slices, 5)."""
    result = np.zeros((len(lungs), 5), np.int64)
    for row, lung, finding in zip(result, lungs, findings, strict=True):
        values = cells(lung, finding)
        row[1:] = [np.count_nonzero(values == cell) for cell in range(1, 5)]
        row[0] = values.size - row.sum()
    return result


def select(values: Cells, wanted: tuple[int, ...]) -> npt.NDArray[np.bool_]:
    """Where the cells are any of those wanted."""
    mask: npt.NDArray[np.bool_] = values == wanted[0]
    for cell in wanted[1:]:
        mask |= values == cell
    return mask

"""How much each case counts, so that neither a class nor a patient with many cases decides."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt


def balanced(
    name: npt.NDArray[np.str_], label: npt.NDArray[np.int64], coverage: npt.NDArray[np.float64]
) -> npt.NDArray[np.float64]:
    """How much each case (n,) counts: both classes alike, within a class every volume (``name``) alike, and
    within a volume a case the more the more of the lungs it holds (``coverage``). They sum to 1."""
    keys: npt.NDArray[Any] = np.char.add(name, label.astype(str))
    _, group = np.unique(keys, return_inverse=True)
    share = coverage / np.bincount(group, weights=coverage)[group]
    for value in (0, 1):
        own = label == value
        share[own] /= max(share[own].sum(), 1e-9)
    return np.asarray(share / share.sum())

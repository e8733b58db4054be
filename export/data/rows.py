"""Tables of cases: arrays of equal length, a row for each case."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Self

import numpy as np
import numpy.typing as npt

from export.data import ct


class Rows:
    """A dataclass of arrays (n, ...) may begin with it, to be cut and put together row by row."""

    def at(self, chosen: npt.NDArray[np.bool_]) -> Self:
        """The rows where ``chosen`` is true."""
        return type(self)(**{key: value[chosen] for key, value in vars(self).items()})

    @classmethod
    def joined(cls, parts: Sequence[Self]) -> Self:
        """Several tables as one."""
        keys = vars(parts[0])
        return cls(**{key: np.concatenate([vars(part)[key] for part in parts]) for key in keys})


def folds_of(names: npt.NDArray[np.str_]) -> npt.NDArray[np.int64]:
    """For each row's volume the fold whose networks never see the patient; FOLDS for the DICOM chest, which
    none sees."""
    folds = {name: ct.FOLDS if name == ct.DICOM_CHEST else ct.fold_of(name) for name in set(names.tolist())}
    return np.array([folds[name] for name in names], dtype=np.int64)

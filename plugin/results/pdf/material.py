"""What the pictures of a CT are made of."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import numpy.typing as npt

from plugin.analysis.lesions import Lesion
from plugin.dicom import headers
from plugin.dicom.imaging import CtVolume
from plugin.results.opacities import largest_opacities
from plugin.results.pdf.attention import ProjectionAttention


@dataclass(frozen=True, kw_only=True)
class CtMaterial:
    """The volume and its masks, all canonical.

    ``lungs``: uint8 (slices, rows, columns), 0 none, 1 right, 2 left; ``findings``: bool, same shape.
    """

    volume: CtVolume
    lungs: npt.NDArray[np.uint8]
    findings: npt.NDArray[np.bool_]
    attention: tuple[ProjectionAttention, ...] = field(default=())

    @cached_property
    def inside(self) -> npt.NDArray[np.bool_]:
        """The findings inside the lungs."""
        return self.findings & (self.lungs > 0)

    @cached_property
    def opacities(self) -> tuple[list[Lesion], int]:
        """The largest opacities and how many there are in all, looked for once."""
        return largest_opacities(self.volume, self.inside)

    def number(self, index: int) -> int:
        """The instance number of a slice, or its place in the series where it has none."""
        known = headers.number(self.volume.sources[index].header, "InstanceNumber") or 0
        return int(known) if 0 < known < 2**31 else index + 1

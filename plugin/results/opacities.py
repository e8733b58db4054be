"""The largest opacities of a CT, which PDF and Structured Report tell one by one."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from plugin.analysis.lesions import Lesion, lesions
from plugin.dicom.imaging import CtVolume

MOST = 10
"""So many are told at most."""


def largest_opacities(volume: CtVolume, inside: npt.NDArray[np.bool_]) -> tuple[list[Lesion], int]:
    """The largest of the opacities ``inside`` the lungs, in mL, and how many there are in all."""
    voxel = volume.thickness * volume.spacing[1] * volume.spacing[2] / 1000
    return lesions(inside, voxel=voxel, most=MOST)

"""What a classifier of a segmented volume reads: the lesions of both lungs, and their mask, in one patch.

The patch has a fixed shape. It holds the lungs' box in its middle, in millimetres: what is small stays small.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from plugin.analysis.grid import bounding_box
from plugin.analysis.preprocess import window
from plugin.analysis.resampling import Lattice, Positions, grown

FloatArray = npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_]
Shape = tuple[int, int, int]
Triple = tuple[float, float, float]
Rectangle = tuple[int, int, int, int]

_LEAST = 1 / 510
"""A smaller share of a point is no lesion: it would be 0 as a byte."""


@dataclass(frozen=True, kw_only=True)
class Frame:
    """Where a patch of ``shape`` (slices, rows, columns) lies in a volume: the points of ``lattice`` are its
    middle, ``before`` of it come first along each axis. What is left around them holds nothing."""

    lattice: Lattice
    shape: Shape
    before: Shape

    @classmethod
    def around(
        cls,
        lungs: npt.NDArray[np.uint8] | Mask,
        *,
        source: Sequence[Positions],
        shape: Shape,
        spacing: Triple,
        margin: float,
    ) -> Frame | None:
        """The frame of the lungs' box with ``margin`` mm around it; None where there are no lungs.

        ``source``: where the voxels lie in mm, along each axis. ``spacing``: mm between points; wider along
        an axis along which the box would not fit into the patch.
        """
        box = bounding_box(lungs > 0)
        if box is None:
            return None
        box = grown(box, source=source, margin=margin)
        steps = [
            max(step, float(places[part.stop - 1] - places[part.start]) / max(1, side - 1))
            for places, part, step, side in zip(source, box, spacing, shape, strict=True)
        ]
        lattice = Lattice.over(box, source=source, spacing=(steps[0], steps[1], steps[2]))
        down, back, across = ((side - length) // 2 for side, length in zip(shape, lattice.shape, strict=True))
        return cls(lattice=lattice, shape=shape, before=(down, back, across))

    @property
    def steps(self) -> Triple:
        """Millimetres between the points of the patch; 1 along an axis that has but one."""
        down, back, across = (
            float(points[1] - points[0]) if len(points) > 1 else 1.0 for points in self.lattice.target
        )
        return down, back, across

    def resample(self, volume: npt.NDArray[np.int16] | Mask) -> FloatArray:
        """A volume at the points of the patch, float32 of ``shape``; 0 around the lattice."""
        patch = np.zeros(self.shape, dtype=np.float32)
        patch[self._middle] = self.lattice.resample(volume)
        return patch

    def plane(self, across: int) -> tuple[tuple[slice, slice], Rectangle]:
        """What of a patch that is looked at along the axis ``across`` lies in the volume, and where there.

        The part of the patch's picture, and (top, left, bottom, right) in the volume's, both in the order of
        the volume's other two axes.
        """
        kept = [axis for axis in range(3) if axis != across]
        first, second = (self._middle[axis] for axis in kept)
        top, left = (self.lattice.box[axis].start for axis in kept)
        bottom, right = (self.lattice.box[axis].stop for axis in kept)
        return (first, second), (int(top), int(left), int(bottom), int(right))

    @property
    def _middle(self) -> tuple[slice, slice, slice]:
        first, second, third = (
            slice(begin, begin + length)
            for begin, length in zip(self.before, self.lattice.shape, strict=True)
        )
        return first, second, third


def lesion_channels(
    frame: Frame,
    hu: npt.NDArray[np.int16],
    findings: Mask,
    *,
    low: float,
    high: float,
    context: float,
) -> FloatArray:
    """The channels of a patch, float32 (2, *shape) in [0, 1]: the image about the lesions, and their mask.

    ``hu`` and ``findings`` (slices, rows, columns) are the volume's. See :func:`masked`.
    """
    image = window(frame.resample(hu), low, high)
    return masked(image, frame.resample(findings), steps=frame.steps, context=context)


def masked(image: FloatArray, share: FloatArray, *, steps: Triple, context: float) -> FloatArray:
    """The image where it is lesion or lies within ``context`` mm of one, 0 elsewhere; and the mask itself.

    ``image`` in [0, 1] and ``share``, how much of each point is lesion (0 to 1), on one grid with ``steps``
    mm between its points.
    """
    lesion = share > _LEAST
    if not lesion.any():
        return np.zeros((2, *image.shape), dtype=np.float32)
    near = ndimage.distance_transform_edt(~lesion, sampling=steps) <= context
    return np.stack([image * near, share]).astype(np.float32)

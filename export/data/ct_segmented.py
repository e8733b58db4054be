"""Chest volumes on the grid of the network that reads the segmented volume: image, lungs, lesions, and what a
segmenter marks that never saw the patient; cached volume by volume."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from export.data import ct
from export.data.ct_marked import Marked
from export.paths import runs_folder
from plugin.analysis.preprocess import window
from plugin.analysis.resampling import positions_of
from plugin.analysis.segmented_volume import Frame, Shape, Triple

Bytes = npt.NDArray[np.uint8]
Float = npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_]

#: The window of Jin et al. 2020 for lesions and their class.
LOW, HIGH = -1024.0, 350.0
SHAPE: Shape = (64, 80, 112)
#: Half as fine as the published (2.5, 1, 1) along the body, a third in plane: 320 x 240 x 336 mm.
SPACING: Triple = (5.0, 3.0, 3.0)
MARGIN = 10.0
#: So far around a lesion the network sees the image: a point of the grid along the body, two in plane.
CONTEXT = 6.0
_FULL = 255


@dataclass(frozen=True)
class Coarse:
    """A chest on the network's grid, bytes of ``SHAPE``: ``image`` in the window, and the shares of each
    point that are ``lungs``, ``lesion`` (by experts) and ``marked`` (by a segmenter that never saw the
    patient).

    ``steps``: mm between points.
    """

    name: str
    image: Bytes
    lungs: Bytes
    lesion: Bytes
    marked: Bytes
    steps: Triple

    @property
    def voxel_ml(self) -> float:
        """What a point stands for, in mL."""
        return float(np.prod(self.steps)) / 1000


def files() -> Path:
    """Where the volumes on the grid are kept: one file each."""
    return runs_folder("ct-segmented")


def volumes() -> list[str]:
    """All chests, the one kept as DICOM, in no training, last."""
    return [*ct.chest_names(), ct.DICOM_CHEST]


def keep(volume: ct.Volume, marked: Marked) -> Coarse:
    """Put a volume and what a segmenter marked in it on the grid, and keep it.

    The box is that of the segmenter's lungs, as in the plugin. Raises ValueError where it found none.
    """
    frame = frame_of(volume, marked.lungs)
    made = Coarse(
        name=volume.name,
        image=_bytes(window(frame.resample(volume.hu), LOW, HIGH)),
        lungs=_bytes(frame.resample(marked.lungs)),
        lesion=_bytes(frame.resample(volume.lesion & marked.lungs)),
        marked=_bytes(frame.resample(marked.opacities & marked.lungs)),
        steps=frame.steps,
    )
    # Nothing beyond the lungs is ever read: the file is a third as large.
    image = np.where(_near(made), made.image, 0).astype(np.uint8)
    np.savez_compressed(files() / f"{volume.name}.npz", **vars(replace(made, image=image)))
    return read(volume.name)


def read(name: str) -> Coarse:
    """A volume that was kept. Raises FileNotFoundError where it was not."""
    with np.load(files() / f"{name}.npz") as kept:
        layers = {key: kept[key] for key in ("image", "lungs", "lesion", "marked")}
        down, back, across = (float(step) for step in kept["steps"])
    return Coarse(name=name, steps=(down, back, across), **layers)


def frame_of(volume: ct.Volume, lungs: Mask) -> Frame:
    """The frame of the network's patch in a training volume. Raises ValueError without lungs."""
    down, back, across = volume.spacing
    slices, rows, columns = volume.hu.shape
    source = positions_of(
        (slices, rows, columns),
        slices=np.arange(slices, dtype=np.float64) * np.float64(down),
        pixel_spacing=(back, across),
    )
    frame = Frame.around(lungs, source=source, shape=SHAPE, spacing=SPACING, margin=MARGIN)
    if frame is None:
        raise ValueError(f"{volume.name} has no lungs")
    return frame


def shares(layers: Sequence[Bytes]) -> list[Float]:
    """Bytes as what they stand for, 0 to 1."""
    return [layer.astype(np.float32) / np.float32(_FULL) for layer in layers]


def _near(volume: Coarse) -> Mask:
    distance = ndimage.distance_transform_edt(volume.lungs == 0, sampling=volume.steps)
    return np.asarray(distance <= 2 * CONTEXT)


def _bytes(values: Float) -> Bytes:
    return np.rint(np.clip(values, 0, 1) * _FULL).astype(np.uint8)

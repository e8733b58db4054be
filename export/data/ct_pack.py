"""The chest volumes on a volumetric network's grid, small enough to carry to a machine without the data.

A picture of all slices side by side for the image, the findings and the lungs of each volume, and the list of
the COVID-19 volumes. Intensities keep 7 bits (11 HU; the COVID-19 volumes are off by up to 60), findings and
lungs 4: their shares at the rim.
"""

from __future__ import annotations

import math
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from export.data.ct_patches import Bytes, Stored
from export.paths import data_folder

#: The levels that are left of 255.
_LEVELS = {"image": 127, "lesion": 15, "lung": 15}
_COVID = Path("ct_covid") / "volumes.csv"


def pack(volumes: Sequence[Stored], folder: Path) -> None:
    """Write volumes into a folder, which then serves as the folder of data as far as training needs one."""
    (folder / _COVID).parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(data_folder() / _COVID, folder / _COVID)
    for volume in volumes:
        for layer, levels in _LEVELS.items():
            values: Bytes = getattr(volume, layer)
            fewer = np.rint(values.astype(np.float32) * levels / 255).astype(np.uint8)
            depth = len(values)
            picture = Image.fromarray(_side_by_side(fewer))
            picture.save(folder / f"{volume.name}.{layer}.{depth}.png", compress_level=9)


def unpack(folder: Path, keep: Callable[[str, dict[str, Bytes]], None]) -> None:
    """Give each volume of a folder that :func:`pack` wrote to ``keep``: its name and its layers."""
    for path in sorted(folder.glob("*.image.*.png")):
        name, _, depth, _ = path.name.rsplit(".", 3)
        layers = {}
        for layer, levels in _LEVELS.items():
            picture = np.asarray(Image.open(folder / f"{name}.{layer}.{depth}.png"), dtype=np.float32)
            layers[layer] = np.rint(_stacked(picture, int(depth)) * 255 / levels).astype(np.uint8)
        keep(name, layers)


def _side_by_side(values: Bytes) -> Bytes:
    """Slices (depth, rows, columns) as a picture of about as many down as across."""
    side = math.ceil(math.sqrt(len(values)))
    filled = np.concatenate([values, np.zeros((side**2 - len(values), *values.shape[1:]), dtype=np.uint8)])
    tiles = filled.reshape(side, side, *values.shape[1:]).transpose(0, 2, 1, 3)
    return np.ascontiguousarray(tiles.reshape(side * values.shape[1], side * values.shape[2]))


def _stacked(picture: np.ndarray, depth: int) -> np.ndarray:
    """The way back."""
    side = math.ceil(math.sqrt(depth))
    rows, columns = picture.shape[0] // side, picture.shape[1] // side
    return picture.reshape(side, rows, side, columns).transpose(0, 2, 1, 3).reshape(-1, rows, columns)[:depth]

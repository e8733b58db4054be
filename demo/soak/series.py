"""Series to send: the phantom's X-ray and CT made small and varied by a seed.

The same base studies, seed and number give the same series, bytes and UIDs included.
"""

from __future__ import annotations

import copy
import random
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pydicom
from pydicom.dataset import Dataset
from pydicom.uid import UID, generate_uid

from demo.client import SETTLED
from demo.soak.audit import Sent
from demo.soak.recipes import RECIPES, Images

EVERY = 4
"""A CT gets every fourth of the phantom's 136 slices, 10 mm apart: each takes its time to read."""

SMALLER = 2
"""Rows and columns are divided by this."""


@dataclass(frozen=True, kw_only=True)
class Series:
    """A series as files. ``expected``: the states that it may end in, none where it is not to be read."""

    name: str
    uid: str
    files: tuple[Path, ...]
    expected: Collection[str]

    def sent(self, acknowledged: Collection[Path]) -> Sent:
        """What an audit has to find of it, where these files were acknowledged.

        A series of which only a part was acknowledged may end in any state.
        """
        uids = [_sop_instance_uid(file) for file in self.files if file in acknowledged]
        whole = len(uids) == len(self.files)
        expected = self.expected if whole or not self.expected else SETTLED
        return Sent(uid=self.uid, name=self.name, acknowledged=uids, expected=expected)


class Factory:
    """Makes series number 0, 1, 2, … from one X-ray and one CT, as files in a folder."""

    def __init__(self, *, xray: Path, ct: Sequence[Path], folder: Path, seed: int) -> None:
        """``xray`` and ``ct``: the files of the base studies; the series go to ``folder``."""
        slices = [pydicom.dcmread(file) for file in ct]
        slices.sort(key=lambda slice_: float(slice_.ImagePositionPatient[2]))
        self._bases = {
            "xray": [_smaller(pydicom.dcmread(xray))],
            "ct": [_smaller(slice_) for slice_ in slices[::EVERY]],
        }
        self._folder = folder
        self._seed = seed

    def make(self, number: int, recipe: str | None = None) -> Series:
        """Series ``number`` by the recipe of that name, by default one that the seed chooses."""
        rng = random.Random(f"{self._seed} {number}")
        shares = [known.share for known in RECIPES.values()]
        name = recipe or rng.choices(list(RECIPES), shares)[0]
        images = copy.deepcopy(self._bases[RECIPES[name].base])
        uid = self._identify(images, number)
        made = RECIPES[name].change(images, rng)
        noise = np.random.default_rng((self._seed, number))
        folder = self._folder / f"{number:04d}-{name.replace(' ', '-')}"
        folder.mkdir(parents=True, exist_ok=True)
        files = [folder / f"{index:04d}.dcm" for index in range(len(made.images))]
        for image, file in zip(made.images, files, strict=True):
            _write(image, noise, made.syntax, file)
        return Series(name=folder.name, uid=uid, files=tuple(files), expected=made.expected)

    def _identify(self, images: Images, number: int) -> str:
        """Give a patient, a study and a series of their own. Returns the Series Instance UID."""

        def uid(*what: Any) -> UID:
            return generate_uid(entropy_srcs=["soak", str(self._seed), str(number), *map(str, what)])

        for index, image in enumerate(images):
            image.PatientID, image.PatientName = f"SOAK-{self._seed}-{number}", "SYNTHETIC^Soak"
            image.StudyInstanceUID, image.SeriesInstanceUID = uid("study"), uid("series")
            image.SOPInstanceUID = uid("image", index)
            if "FrameOfReferenceUID" in image:
                image.FrameOfReferenceUID = uid("frame")
        return str(uid("series"))


def _smaller(image: Dataset) -> Dataset:
    """The image with ``SMALLER`` × ``SMALLER`` pixels made one by their mean."""
    pixels = image.pixel_array
    rows, columns = (size // SMALLER for size in pixels.shape)
    blocks = pixels[: rows * SMALLER, : columns * SMALLER].reshape(rows, SMALLER, columns, SMALLER)
    _set_pixels(image, blocks.mean(axis=(1, 3)).astype(pixels.dtype))
    for keyword in ("PixelSpacing", "ImagerPixelSpacing"):
        if keyword in image:
            image[keyword].value = [float(value) * SMALLER for value in image[keyword].value]
    return image


def _write(image: Dataset, noise: np.random.Generator, syntax: UID | None, path: Path) -> None:
    """Write the image in a transfer syntax, every pixel changed by at most one grey value."""
    pixels = image.pixel_array
    varied = pixels.astype(np.int32) + noise.integers(-1, 2, pixels.shape)
    _set_pixels(image, np.clip(varied, 0, (1 << int(image.BitsStored)) - 1).astype(pixels.dtype))
    image.file_meta.MediaStorageSOPClassUID = image.SOPClassUID
    image.file_meta.MediaStorageSOPInstanceUID = image.SOPInstanceUID
    if syntax is not None and syntax.is_compressed:
        image.compress(syntax, generate_instance_uid=False)
    elif syntax is not None:
        image.file_meta.TransferSyntaxUID = syntax
    image.save_as(path, enforce_file_format=True)


def _set_pixels(image: Dataset, pixels: npt.NDArray[Any]) -> None:
    image.Rows, image.Columns = pixels.shape
    image.PixelData = np.ascontiguousarray(pixels).tobytes()


def _sop_instance_uid(file: Path) -> str:
    return str(pydicom.dcmread(file, specific_tags=["SOPInstanceUID"]).SOPInstanceUID)

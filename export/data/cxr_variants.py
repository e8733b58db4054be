"""Variants of a film: everyday differences between sites, and pictures that must be rejected."""

from __future__ import annotations

import io
from collections.abc import Callable

import numpy as np
import numpy.typing as npt
from monai.transforms import (
    Compose,
    RandAdjustContrast,
    RandAffine,
    RandCoarseDropout,
    RandFlip,
    RandGaussianNoise,
    RandGaussianSmooth,
)
from PIL import Image, ImageFilter

from export.data.cxr import Picture

Random = np.random.Generator


def everyday(seed: int) -> Callable[[Picture], Picture]:
    """Random changes that leave a film what it is.

    Position, rotation, zoom and aspect within what is seen in practice, mirroring, display gamma,
    sharpness, noise, and small patches blanked out, which hide burnt-in text and markers. Resolution,
    JPEG compression and black frames vary too, for these tell the collections apart.
    """
    draw = np.random.default_rng(seed)
    changes = Compose(
        [
            RandFlip(prob=0.5, spatial_axis=1),
            RandAffine(
                prob=0.9,
                rotate_range=0.14,
                shear_range=(0.05, 0.05),
                translate_range=(20, 20),
                scale_range=((-0.15, 0.12), (-0.15, 0.12)),
                padding_mode="zeros",
            ),
            RandAdjustContrast(prob=0.7, gamma=(0.6, 1.7)),
            RandGaussianSmooth(prob=0.2, sigma_x=(0.3, 1.5), sigma_y=(0.3, 1.5)),
            RandGaussianNoise(prob=0.3, std=0.02),
            RandCoarseDropout(
                holes=1, max_holes=4, spatial_size=10, max_spatial_size=60, fill_value=0.5, prob=0.5
            ),
        ]
    )
    changes.set_random_state(seed)

    def change(picture: Picture) -> Picture:
        changed = np.asarray(changes(picture[None].astype(np.float32) / 255))[0]
        return _copied(_framed((changed.clip(0, 1) * 255).astype(np.uint8), draw), draw)

    return change


def _framed(picture: Picture, random: Random) -> Picture:
    """One film in five gets a black frame, up to an eighth of its size at each side."""
    if random.random() > 0.2:
        return picture
    rows, columns = picture.shape
    edges = random.integers(0, max(rows, columns) // 8, 4)
    return np.pad(picture, ((edges[0], edges[1]), (edges[2], edges[3])))


def _copied(picture: Picture, random: Random) -> Picture:
    """As after a change of resolution and a compression as JPEG, for half of the films each."""
    image = Image.fromarray(picture)
    if random.random() < 0.5:
        share = random.uniform(0.4, 0.9)
        small = image.resize((round(image.width * share), round(image.height * share)))
        image = small.resize(image.size, Image.Resampling.BILINEAR)
    if random.random() < 0.5:
        file = io.BytesIO()
        image.save(file, "JPEG", quality=int(random.integers(25, 95)))
        image = Image.open(file)
    return np.asarray(image)


def _part(picture: Picture, random: Random) -> Picture:
    """Cropped lungs: a half or less of the film, from one of its sides or corners."""
    rows, columns = picture.shape
    height, width = random.choice([(1.0, 0.45), (0.45, 1.0), (0.5, 0.5), (0.35, 0.7)])
    high, wide = int(rows * height), int(columns * width)
    top = random.choice([0, rows - high])
    left = random.choice([0, columns - wide])
    return picture[top : top + high, left : left + wide]


def _blurred(picture: Picture, random: Random) -> Picture:
    """Motion or loss of focus that hides vessels and ribs."""
    radius = random.uniform(0.025, 0.05) * max(picture.shape)
    return np.asarray(Image.fromarray(picture).filter(ImageFilter.GaussianBlur(radius)))


def _wrong_exposure(picture: Picture, random: Random) -> Picture:
    """Burnt out or black: most of the grey values are lost at one end."""
    kept = np.percentile(picture, random.uniform(8, 22))
    if random.random() < 0.5:
        return (np.clip(picture / max(kept, 1.0), 0, 1) * 255).astype(np.uint8)
    floor = np.percentile(picture, random.uniform(78, 92))
    return (np.clip((picture - floor) / max(255 - floor, 1.0), 0, 1) * 255).astype(np.uint8)


def _noise(picture: Picture, random: Random) -> Picture:
    """Hardly more than noise."""
    grain = random.normal(0, 60, picture.shape)
    return np.clip(picture * 0.15 + 100 + grain, 0, 255).astype(np.uint8)


def _turned(quarters: int) -> Callable[[Picture, Random], Picture]:
    return lambda picture, _random: np.ascontiguousarray(np.rot90(picture, quarters))


#: Pictures to reject that are made from a frontal film, by what is wrong with them.
SPOILED: dict[str, Callable[[Picture, Random], Picture]] = {
    "cropped lungs": _part,
    "blur": _blurred,
    "wrong exposure": _wrong_exposure,
    "noise": _noise,
    "rotated by 90": _turned(1),
    "rotated by 270": _turned(3),
    "upside down": lambda picture, _random: np.ascontiguousarray(picture[::-1]),
    "rotated by 180": _turned(2),
    "inverted": lambda picture, _random: 255 - picture,
    "inverted and upside down": lambda picture, _random: 255 - picture[::-1],
}


def with_lungs_only(picture: Picture, mask: npt.NDArray[np.bool_]) -> Picture:
    """Everything but the lungs set to black."""
    return np.where(mask, picture, 0).astype(np.uint8)


def without_lungs(picture: Picture, mask: npt.NDArray[np.bool_]) -> Picture:
    """The lungs set to black."""
    return np.where(mask, 0, picture).astype(np.uint8)

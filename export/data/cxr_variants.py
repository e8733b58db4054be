"""Variants of a film: everyday differences between sites, and pictures that must be rejected."""

from __future__ import annotations

import io
from collections.abc import Callable

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageFilter

from export.data.cxr import Picture

Random = np.random.Generator


def everyday(picture: Picture, mask: Picture, seed: int, size: int) -> tuple[Picture, Picture]:
    """A film and its mask after random changes that leave the film what it is, both (size, size).

    Position, rotation, zoom, shear and aspect within what is seen in practice, mirroring, display gamma and
    contrast, sharpness, noise, patches as of markers and devices, resolution, JPEG compression and black
    frames, for these tell the collections apart. The mask follows the geometry.
    """
    draw = np.random.default_rng(seed)
    affine, shift = _position(draw)
    image = Image.fromarray(picture)
    if draw.random() < 0.3:
        image = _coarser(image, draw.uniform(0.45, 0.9))
    if max(image.size) > size * 1.2:
        image = image.resize((size, size), Image.Resampling.BILINEAR)
    changed = _sharpness(_moved(image, affine, shift, size), draw)
    moved = np.asarray(_moved(Image.fromarray(mask), affine, shift, size))
    values = _patched(_greys(np.asarray(changed), draw), draw)
    return _framed(_compressed(values, draw), moved, draw)


def _position(draw: Random) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Where a point of the new picture lies in the old: matrix (2, 2) and shift (2,) about the middle."""
    turn = np.deg2rad(draw.uniform(-9, 9))
    zoom, aspect = np.exp(draw.uniform(-0.15, 0.13)), np.exp(draw.uniform(-0.09, 0.09))
    across, down = draw.uniform(-0.05, 0.05, 2)
    shift = draw.uniform(-0.08, 0.08, 2)
    affine = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    affine = affine @ np.array([[1, across], [down, 1]]) @ np.diag([aspect / zoom, 1 / aspect / zoom])
    if draw.random() < 0.5:
        affine = affine @ np.diag([-1, 1])
    return affine, shift


def _moved(
    image: Image.Image, affine: npt.NDArray[np.float64], shift: npt.NDArray[np.float64], size: int
) -> Image.Image:
    """The image sampled as :func:`_position` says, (size, size), black outside."""
    width, height = image.size
    middle = np.array([0.5, 0.5])
    offset = middle - affine @ (middle + shift)
    scale = affine * np.array([[width], [height]]) / size
    matrix = (*scale[0], offset[0] * width, *scale[1], offset[1] * height)
    return image.transform((size, size), Image.Transform.AFFINE, matrix, Image.Resampling.BILINEAR)


def _coarser(image: Image.Image, share: float) -> Image.Image:
    """As after a change of resolution."""
    small = (int(image.width * share), int(image.height * share))
    return image.resize(small, Image.Resampling.BILINEAR)


def _sharpness(image: Image.Image, draw: Random) -> Image.Image:
    if draw.random() < 0.25:
        image = image.filter(ImageFilter.GaussianBlur(draw.uniform(0.3, 1.2)))
    if draw.random() < 0.2:
        image = image.filter(ImageFilter.UnsharpMask(2, int(draw.uniform(30, 150)), 0))
    return image


def _greys(picture: Picture, draw: Random) -> Picture:
    """Gamma, contrast and brightness, noise."""
    values = picture.astype(np.float32) / 255
    if draw.random() < 0.7:
        values = values ** np.exp(draw.uniform(-0.55, 0.55))
    if draw.random() < 0.5:
        contrast = draw.uniform(0.7, 1.25)
        values = np.clip((values - 0.5) * contrast + 0.5 + draw.uniform(-0.1, 0.1), 0, 1)
    if draw.random() < 0.3:
        values = np.clip(values + draw.normal(0, draw.uniform(0.005, 0.03), values.shape), 0, 1)
    return (values * 255).astype(np.uint8)


def _patched(picture: Picture, draw: Random) -> Picture:
    """Up to three patches of one grey, most of them near the sides, as of markers and devices."""
    size = len(picture)
    for _ in range(int(draw.integers(0, 4))):
        rows, columns = draw.integers(6, 40, 2)
        top, left = draw.integers(0, size, 2)
        if draw.random() < 0.6:
            left = int(draw.choice([draw.integers(0, 40), draw.integers(size - 40, size)]))
        picture[top : top + rows, left : left + columns] = draw.choice([0, 255, int(draw.integers(0, 255))])
    return picture


def _compressed(picture: Picture, draw: Random) -> Picture:
    if draw.random() < 0.3:
        file = io.BytesIO()
        Image.fromarray(picture).save(file, "JPEG", quality=int(draw.integers(25, 95)))
        picture = np.asarray(Image.open(file))
    return picture


def _framed(picture: Picture, mask: Picture, draw: Random) -> tuple[Picture, Picture]:
    """One film in seven gets a black frame, up to a tenth of its size at each side."""
    if draw.random() < 0.15:
        size = len(picture)
        top, bottom, left, right = draw.integers(0, size // 10, 4)
        seen = np.zeros(picture.shape, bool)
        seen[top : size - bottom, left : size - right] = True
        picture, mask = picture * seen, mask * seen
    return picture, mask


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

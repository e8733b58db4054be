"""Pictures for the reports: windows, contours, heat and overviews, as arrays ready for encoding.

All pictures of a CT are in radiological convention: the patient's right is on the picture's left, the
head or the front is up. Volumes are canonical: axis 0 towards the head, 1 towards posterior, 2 towards
the patient's left.
"""

from __future__ import annotations

import io
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image
from scipy import ndimage

Grey = npt.NDArray[np.uint8]
Rgb = npt.NDArray[np.uint8]
Mask = npt.NDArray[np.bool_]

LUNG_WINDOW = (-600.0, 1500.0)
"""Centre and width in HU."""

RIGHT_COLOUR, LEFT_COLOUR, FINDINGS_COLOUR = (79, 148, 205), (102, 187, 106), (255, 112, 67)

_HEAT = np.array([[0, 0, 4], [87, 16, 110], [188, 55, 84], [249, 142, 9], [252, 255, 164]], np.float32)
"""Five stops from dark to bright, perceptually even (after the colour map "inferno", CC0)."""
_LEAST_HOLE_MM2 = 25.0
_HATCH = 6
"""Pixels from one stripe of a hatched area to the next."""

_FIRST_HEAT = np.float32(0.35)
"""Where overlays begin: the darker colours would look like shadows on the picture."""


@dataclass(frozen=True, kw_only=True)
class Box:
    """A rectangle of a slice, in pixels: rows [top, bottom), columns [left, right)."""

    top: int
    bottom: int
    left: int
    right: int


def lung_window(hu: npt.NDArray[np.int16]) -> Grey:
    """HU to grey, 0 to 255, through the lung window."""
    centre, width = LUNG_WINDOW
    scaled = (hu.astype(np.float32) - (centre - width / 2)) * (255 / width)
    return np.asarray(np.clip(scaled, 0, 255), np.uint8)


def heat(values: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Values in [0, 1] as colours: the same shape with three more values, 0 to 255."""
    place = np.clip(values, 0, 1) * (len(_HEAT) - 1)
    lower = np.minimum(place.astype(int), len(_HEAT) - 2)
    share = (place - lower)[..., None]
    return np.asarray(_HEAT[lower] * (1 - share) + _HEAT[lower + 1] * share, np.float32)


def heat_over(grey: npt.NDArray[np.float32], attention: npt.NDArray[np.float32]) -> Rgb:
    """A grey picture in [0, 1] with attention in [0, 1] over it; NaN (not seen) stays grey, darkened.

    The stronger the attention, the less of the grey is left: at most 65 % of it is covered, and where
    there is no attention nothing is.
    """
    seen = np.isfinite(attention)
    strength = np.clip(np.where(seen, attention, 0), 0, 1).astype(np.float32)
    alpha = (0.65 * strength)[..., None]
    base = np.where(seen, grey, 0.5 * grey)[..., None] * 255
    colours = heat(_FIRST_HEAT + (1 - _FIRST_HEAT) * strength)
    return np.asarray(np.clip(base * (1 - alpha) + colours * alpha, 0, 255), np.uint8)


def lungs_box(lungs: npt.NDArray[np.uint8], pixel: tuple[float, float], margin: float) -> Box:
    """The rectangle that holds both lungs in every slice with a margin in mm; all where none is."""
    rows, columns = lungs.shape[1:]
    footprint = np.any(lungs, axis=0)
    if not footprint.any():
        return Box(top=0, bottom=rows, left=0, right=columns)
    filled_rows = np.flatnonzero(footprint.any(axis=1))
    filled_columns = np.flatnonzero(footprint.any(axis=0))
    dy, dx = round(margin / pixel[0]), round(margin / pixel[1])
    return Box(
        top=max(0, int(filled_rows[0]) - dy),
        bottom=min(rows, int(filled_rows[-1]) + dy + 1),
        left=max(0, int(filled_columns[0]) - dx),
        right=min(columns, int(filled_columns[-1]) + dx + 1),
    )


def telling_slices(lungs: npt.NDArray[np.uint8], findings: Mask, count: int) -> list[int]:
    """The slices that show most, in order from head to feet.

    Those with the largest area of findings, spread so that neighbours are not shown twice; at least
    three where the lungs have them. Without findings, three slices spread over the lungs, without lungs
    over the volume.
    """
    filled = np.flatnonzero(np.any(lungs, axis=(1, 2)))
    if filled.size == 0:
        filled = np.arange(lungs.shape[0])
    area = findings.sum(axis=(1, 2), dtype=np.int64)
    apart = max(1, len(filled) // (3 * count))
    chosen: list[int] = []
    for index in np.argsort(-area, kind="stable"):
        if area[index] == 0 or len(chosen) == count:
            break
        if all(abs(int(index) - other) >= apart for other in chosen):
            chosen.append(int(index))
    spread = np.quantile(filled, [0.5, 0.25, 0.75], method="nearest")
    for index in (int(i) for i in spread):
        if len(chosen) >= min(3, filled.size):
            break
        if index not in chosen:
            chosen.append(index)
    return sorted(chosen, reverse=True)


def slice_picture(
    hu: npt.NDArray[np.int16],
    lungs: npt.NDArray[np.uint8],
    findings: Mask,
    *,
    pixel: tuple[float, float],
    width: int,
) -> Rgb:
    """One (cropped) slice in the lung window with the contours of both lungs and the findings.

    ``pixel``: mm between rows and between columns. The picture is ``width`` pixels wide and as high as
    the slice is in mm.
    """
    height = max(1, round(width * hu.shape[0] * pixel[0] / (hu.shape[1] * pixel[1])))
    grey = _resized(lung_window(hu), width, height)
    picture = np.repeat(grey[..., None], 3, axis=2)
    for mask, colour, thickness in (
        (lungs == 1, RIGHT_COLOUR, 2),
        (lungs == 2, LEFT_COLOUR, 2),
        (findings, FINDINGS_COLOUR, 3),
    ):
        large = _resized((mask * np.uint8(255)), width, height) >= 128
        picture[large & ~ndimage.binary_erosion(large, iterations=thickness)] = colour
    return picture


def coronal_overview(
    lungs: npt.NDArray[np.uint8],
    findings: Mask,
    *,
    spacing: tuple[float, float, float],
    height: int,
) -> Rgb:
    """The lungs seen from the front, head up, with the depth of findings along every line of sight.

    Depth is shown from none (the grey of the lung) to the deepest place of this patient (brightest).
    Gaps inside the lungs' outline, where no lung was marked along the whole line of sight, are hatched.
    ``spacing``: (between slices, rows, columns) in mm. The picture is ``height`` pixels high.
    """
    silhouette, holes = overview_outline(lungs, spacing)
    depth = findings.sum(axis=1, dtype=np.int32)[::-1].astype(np.float32)
    tall, wide = lungs.shape[0] * spacing[0], lungs.shape[2] * spacing[2]
    width = max(1, round(height * wide / tall))
    inside = _resized(silhouette[::-1] * np.uint8(255), width, height) >= 128
    gaps = _resized(holes[::-1] * np.uint8(255), width, height) >= 128
    deepest = float(depth.max())
    share = _resized((depth * (255 / deepest if deepest else 0)).astype(np.uint8), width, height)
    picture = np.full((height, width, 3), 16, np.uint8)
    picture[inside] = 72
    shown = inside & (share > 4)
    strength = share[shown].astype(np.float32) / 255
    picture[shown] = heat(np.asarray(_FIRST_HEAT + (1 - _FIRST_HEAT) * strength, np.float32)).astype(np.uint8)
    picture[inside & ~ndimage.binary_erosion(inside, iterations=1)] = 150
    stripes = np.add.outer(np.arange(height), np.arange(width)) % _HATCH < _HATCH / 2
    picture[gaps & ~inside] = np.where(stripes, 150, 60)[gaps & ~inside, None]
    return picture


def overview_outline(lungs: npt.NDArray[np.uint8], spacing: tuple[float, float, float]) -> tuple[Mask, Mask]:
    """The lungs seen from the front, and the holes in them of 25 mm2 or more: bool (slices, columns) each.

    Smaller holes are taken for lung.
    """
    silhouette = np.any(lungs, axis=1)
    filled = ndimage.binary_fill_holes(silhouette)
    labels, _ = ndimage.label(filled & ~silhouette)
    large = np.bincount(labels.ravel()) * spacing[0] * spacing[2] >= _LEAST_HOLE_MM2
    large[0] = False
    holes = large[labels]
    return np.asarray(filled & ~holes), np.asarray(holes)


def jpeg(picture: Rgb | Grey, quality: int = 90) -> bytes:
    """A picture as JPEG with full colour resolution, so that thin contours keep their colour."""
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, "JPEG", quality=quality, subsampling=0)
    return buffer.getvalue()


def resized_float(values: npt.NDArray[np.float32], width: int, height: int) -> npt.NDArray[np.float32]:
    """A float picture at another size (bilinear, with antialiasing)."""
    image = Image.fromarray(np.asarray(values, np.float32))
    return np.asarray(image.resize((width, height), Image.Resampling.BILINEAR), np.float32)


def _resized(picture: Grey, width: int, height: int) -> Grey:
    image = Image.fromarray(picture)
    return np.asarray(image.resize((width, height), Image.Resampling.BILINEAR), np.uint8)

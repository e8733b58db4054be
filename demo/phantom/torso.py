"""The shapes of the trunk: body, chest cavity, diaphragm, heart, lungs, the organs below.

Each is a distance field over broadcastable x, y, z in mm (LPS, origin in the middle of the chest a little
below the carina): approximate distance to the surface in mm, negative inside. An adult of average size.
"""

from __future__ import annotations

import numpy as np
from scipy.interpolate import PchipInterpolator

from demo.phantom.canvas import Array

_LEVELS = (-220, -190, -130, -75, -20, 30, 70, 95, 112, 121, 127, 132)
_cage_width = PchipInterpolator(_LEVELS, (124, 130, 134, 131, 124, 115, 102, 90, 76, 63, 50, 24))
_cage_depth = PchipInterpolator(_LEVELS, (86, 90, 95, 97, 94, 87, 75, 60, 43, 33, 24, 12))
_cage_centre = PchipInterpolator(_LEVELS, (-6, -6, -6, -5, -1, 6, 14, 21, 28, 31, 33, 33))

# The back is nearly straight; the front rises from the neck to the lower end of the sternum.
_BODY = (-260, -190, -75, 0, 50, 80, 105, 130, 150, 175, 230)
_body_width = PchipInterpolator(_BODY, (160, 162, 166, 168, 172, 172, 156, 116, 80, 66, 62))
_body_width_arms_up = PchipInterpolator(_BODY, (160, 164, 170, 174, 178, 182, 182, 176, 170, 160, 150))
_body_front = PchipInterpolator(_BODY, (-120, -123, -126, -118, -100, -82, -64, -48, -44, -42, -44))
_body_back = PchipInterpolator(_BODY, (120, 124, 128, 130, 130, 128, 122, 108, 96, 88, 86))

APEX, BASE = 132.0, -165.0
"""Heights between which there is lung, in mm."""


def cage(x: Array, y: Array, z: Array | float) -> Array:
    """The chest cavity inside the ribs; below the diaphragm, the upper abdomen."""
    return superellipse(x, y - centre(z), cage_width(z), cage_depth(z), 2.3)


def cage_width(z: Array | float) -> Array:
    """Half the inner width of the chest at height ``z``, in mm."""
    return np.asarray(_cage_width(np.clip(z, -220, APEX)), np.float32)


def cage_depth(z: Array | float) -> Array:
    """Half the inner depth of the chest at height ``z``, in mm."""
    return np.asarray(_cage_depth(np.clip(z, -220, APEX)), np.float32)


def centre(z: Array | float) -> Array:
    """Where the middle of the chest lies from front to back at height ``z``, in mm."""
    return np.asarray(_cage_centre(np.clip(z, -220, APEX)), np.float32)


def body(x: Array, y: Array, z: float, *, arms_down: bool) -> Array:
    """Trunk, shoulders and neck; raised shoulders stand beside the neck."""
    level = np.clip(z, -260, 230)
    front, back = float(_body_front(level)), float(_body_back(level))
    width = _body_width(level) if arms_down else _body_width_arms_up(level)
    trunk = superellipse(x, y - (front + back) / 2, float(width), (back - front) / 2, 2.5)
    shoulder = ellipsoid(np.abs(x), y, z, middle=(146, 34, 76), radii=(58, 68, 66))
    return smooth_union(trunk, shoulder, over=30)


def spine_place(z: Array | float) -> Array:
    """Where the middle of the vertebral bodies lies from front to back, in mm: the thoracic kyphosis."""
    return np.asarray(66 - 0.0011 * (np.asarray(z) + 20.0) ** 2, np.float32)


def spine_shift(z: Array | float) -> Array:
    """How far the spine leaves the middle, in mm to the left: nobody's is straight."""
    return np.asarray(3.5 * np.sin((np.asarray(z) + 30.0) / 75), np.float32)


def diaphragm(x: Array, y: Array) -> Array:
    """Height of the diaphragm over each place, in mm; the right dome is the higher one."""
    back = np.clip(y / 90, 0, 1.2) ** 1.5

    def dome(middle: float, top: float) -> Array:
        away = ((x - middle) / 74) ** 2 + ((y + 12) / np.where(y < -12, 150, 98)) ** 2
        return np.asarray(top - 52 * away * np.sqrt(np.sqrt(away)) - 34 * back, np.float32)

    return np.maximum(np.maximum(dome(-62, -76), dome(64, -88)), np.maximum(dome(6, -84), BASE))


def heart(x: Array, y: Array, z: Array | float) -> Array:
    """Heart with the roots of the great vessels, in its sac."""
    left = ellipsoid(x + 0.25 * (y + 38), y, z, middle=(34, -38, -46), radii=(54, 48, 46), lean=0.35)
    right = ellipsoid(x, y, z, middle=(-10, -32, -32), radii=(36, 38, 46))
    base = ellipsoid(x, y, z, middle=(6, -20, 8), radii=(34, 32, 36))
    return smooth_union(smooth_union(left, right), base)


def lungs(x: Array, y: Array, z: Array | float) -> Array:
    """Both lungs: the chest cavity without its middle, under round tops, above the diaphragm.

    Heart, great vessels and spine, which press into them, are not taken out.
    """
    height = np.asarray(z, np.float32)
    middle = 3 + 13 * np.exp(-(((y - centre(z) - 4) / 42) ** 2))
    low = np.clip((10 - height) / 60, 0, 1)  # fat around the heart reaches the front
    middle = middle + 26 * low * np.clip((-50 - y) / 40, 0, 1)
    slab = np.asarray(middle - np.abs(x), np.float32)
    above = (diaphragm(x, y) - height) * 0.75
    back = y - centre(z)
    top = ellipsoid(np.abs(x), back, np.maximum(height, 62), middle=(46, 0, 62), radii=(62, 84, 68))
    inside = np.maximum(cage(x, y, z), np.maximum(slab, above))
    return np.asarray(np.maximum(inside, np.where(height > 62, top, -99)), np.float32)


def beside_spine(x: Array, y: Array, z: Array | float) -> Array:
    """Muscle, fat and pleura around the spine, between the lungs."""
    return superellipse(x - spine_shift(z), y - spine_place(z) - 18, 30.0, 38.0, 1.8)


def stomach(x: Array, y: Array, z: float) -> Array:
    """Stomach, under the left dome."""
    return ellipsoid(x, y, z, middle=(58, -14, -134), radii=(42, 44, 36))


def spleen(x: Array, y: Array, z: float) -> Array:
    """Spleen, behind the stomach."""
    return ellipsoid(x, y, z, middle=(92, 42, -138), radii=(28, 40, 40))


def liver(x: Array, y: Array, z: float) -> Array:
    """Liver: the right of the upper abdomen, less and less of it downwards."""
    return np.asarray(0.7 * (x - 20 + 0.3 * (y + 10) - 0.7 * (z + 120)), np.float32)


def superellipse(x: Array, y: Array, width: Array | float, depth: Array | float, power: float) -> Array:
    """Distance to the curve (x / width)^power + (y / depth)^power = 1, exact to first order."""
    across, down = np.abs(x) / width, np.abs(y) / depth
    value = across**power + down**power - 1
    slope = (power / width * across ** (power - 1)) ** 2 + (power / depth * down ** (power - 1)) ** 2
    return np.asarray(value / np.sqrt(np.maximum(slope, 1e-6)), np.float32)


def ellipsoid(
    x: Array,
    y: Array,
    z: Array | float,
    *,
    middle: tuple[float, float, float],
    radii: tuple[float, float, float],
    lean: float = 0.0,
) -> Array:
    """Distance to an ellipsoid; ``lean``: mm that it sinks for every mm to the left."""
    across, down = (x - middle[0]) / radii[0], (y - middle[1]) / radii[1]
    up = (z - middle[2] + lean * (x - middle[0])) / radii[2]
    away = np.sqrt(across * across + down * down + up * up)
    return np.asarray((away - 1) * min(radii), np.float32)


def smooth_union(one: Array, other: Array, over: float = 10.0) -> Array:
    """The union of two shapes, the crease between them filled over ``over`` mm."""
    near = np.clip(0.5 + 0.5 * (other - one) / over, 0, 1)
    return np.asarray(other * (1 - near) + one * near - over * near * (1 - near), np.float32)

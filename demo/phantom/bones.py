"""The skeleton of the chest, each bone a dense shell around spongy bone."""

from __future__ import annotations

import numpy as np

from demo.phantom import torso
from demo.phantom.canvas import Array, Slice, Tubes

CORTEX, MARROW, CARTILAGE, DISC, CORD = 900.0, 180.0, 120.0, 75.0, 25.0
VERTEBRA = 24.0
"""Height of a vertebra with its disc, in mm."""
FIRST_RIB = 116.0
"""Height at which the first rib leaves the spine, in mm."""

# From the first rib to the twelfth: how far it falls on its way to the front, in mm; the angle from the
# spine at which it ends; the angle from which it is cartilage (pi is the front of the sternum).
_FALL = (26, 44, 58, 70, 79, 86, 90, 90, 86, 78, 62, 44)
_END = (2.9, 3.0, 3.0, 3.0, 3.0, 3.0, 2.9, 2.7, 2.5, 2.3, 1.75, 1.3)
_CARTILAGE = (2.65, 2.62, 2.58, 2.54, 2.50, 2.45, 2.40, 2.32, 2.25, 2.15, 1.72, 1.28)

_CLAVICLE = Tubes.along(
    [(20, -50, 94), (50, -60, 100), (85, -50, 108), (120, -28, 116), (150, -6, 119)], 8, 5.5, 5.5, 5.5, 7
)
_SHOULDER = Tubes.along([(150, -6, 119), (163, 20, 116), (140, 74, 96), (92, 106, 74)], 7, 6, 5, 3.5)
_LATERAL_BORDER = Tubes.along([(146, 42, 80), (136, 70, 40), (116, 98, -28)], 7, 5, 4)
_ARM_DOWN = Tubes.along([(168, 36, 86), (186, 36, 40), (204, 34, -60), (214, 32, -220)], 14, 12, 11, 11)
_ARM_UP = Tubes.along([(168, 36, 92), (176, 20, 140), (182, 0, 240)], 14, 12, 11)
_HEAD_OF_HUMERUS = Tubes.along([(166, 36, 88), (168, 36, 90)], 22)
# Corners of the shoulder blade: by the spine above, its tip below, the socket.
_BLADE = np.array([[84, 103, 92], [114, 101, -30], [146, 46, 84]], np.float32)


def paint_bones(piece: Slice, arms_down: bool) -> None:
    """Paint the skeleton; the arms hang down (a standing patient) or reach up (in the scanner)."""
    _paint_ribs(piece)
    _paint_sternum(piece)
    _paint_spine(piece)
    _paint_blades(piece)
    shoulder = _SHOULDER + _LATERAL_BORDER + _CLAVICLE
    arm = (_ARM_DOWN if arms_down else _ARM_UP) + _HEAD_OF_HUMERUS
    for tubes in (shoulder, shoulder.mirrored(), arm, arm.mirrored()):
        piece.paint_tubes(tubes, CORTEX)
        piece.paint_tubes(tubes, MARROW, margin=-2.0)


def _paint_ribs(piece: Slice) -> None:
    z = piece.z
    if not -200 < z < torso.APEX - 4:
        return
    away = torso.cage(piece.columns, piece.rows, z)
    rows, columns = np.nonzero((away > -3) & (away < 12))
    steep = (torso.cage_width(z + 2) - torso.cage_width(z - 2)) / 4
    radial = (away[rows, columns] - 4.5) / np.sqrt(1 + steep**2)
    across = np.abs(piece.x[columns]) / torso.cage_width(z)
    angle = np.arctan2(across, (piece.y[rows] - torso.centre(z)) / torso.cage_depth(z))
    hu = piece.hu[rows, columns]
    for fall, end, soft, top in zip(_FALL, _END, _CARTILAGE, rib_heights(), strict=True):
        up = z - (top - fall * _course(angle))
        thick = np.hypot(radial / 4.2, up / 7.0)
        inside = np.clip((1 - thick) * 4.2 / piece.pixel + 0.5, 0, 1)
        inside *= np.clip((end - angle) / 0.03, 0, 1) * (angle > 0.17)
        shell = np.clip((thick - 0.66) / 0.1, 0, 1)
        bone = np.clip((soft - angle) / 0.06, 0, 1)
        value = bone * (MARROW + shell * (CORTEX - MARROW)) + (1 - bone) * CARTILAGE
        hu += inside * (value - hu)
    piece.hu[rows, columns] = hu


def rib_heights() -> Array:
    """The heights at which the ribs leave the spine, from the first to the twelfth, in mm."""
    return np.asarray(FIRST_RIB - VERTEBRA * np.arange(12), np.float32)


def _course(angle: Array) -> Array:
    """How far a rib has fallen, 0 to 1, at an angle from the spine; the cartilage climbs again."""
    bent = np.minimum(angle, 2.5)
    return np.asarray((1 - np.cos(bent * np.pi / 2.5)) / 2 - 0.35 * np.maximum(angle - 2.5, 0), np.float32)


def _paint_sternum(piece: Slice) -> None:
    if not -75 < piece.z < 98:
        return
    width = np.interp(piece.z, [-75, -60, 20, 60, 75, 92, 98], [6, 15, 17, 16, 27, 30, 22])
    front = float(torso.centre(piece.z) - torso.cage_depth(piece.z)) - 7
    piece = piece.part((-40, 40), (front - 15, front + 15))
    away = torso.superellipse(piece.columns, piece.rows - front, float(width), 6.5, 2.6)
    piece.paint(away, CORTEX * 0.7)
    piece.paint(away + 1.5, MARROW * 0.6)


def _paint_spine(piece: Slice) -> None:
    middle = float(torso.spine_place(piece.z))
    piece = piece.part((-60, 60), (middle - 30, middle + 80))
    x, y, z = piece.columns - torso.spine_shift(piece.z), piece.rows, piece.z
    within = (FIRST_RIB - z + VERTEBRA / 2) % VERTEBRA  # 0 at the upper end plate of a vertebra
    disc = within > VERTEBRA - 5
    waist = 1.8 * np.sin(np.pi * min(within / (VERTEBRA - 5), 1.0))
    width = float(15.5 - waist + np.interp(z, [-200, 120], [4, -2]))
    body = torso.superellipse(x, y - middle, width, width * 0.84, 2.4)
    if disc:
        piece.paint(body, DISC)
    else:
        end_plate = min(within, abs(VERTEBRA - 5 - within)) < 1.2
        piece.paint(body, CORTEX * 0.5)
        piece.paint(body + 1.0, CORTEX * 0.35 if end_plate else MARROW * 0.8)
    canal = torso.superellipse(x, y - middle - width * 0.84 - 9, 10.0, 8.5, 2.0)
    _paint_process(piece, canal - 4.5 * _swell(within, 11, 8))  # the arch: pedicles, laminae
    across = np.abs(x) - 20
    transverse = torso.superellipse(across, y - middle - 27 - 0.25 * across, 15.0, 6.0, 2.2)
    _paint_process(piece, transverse + 6 * (1 - _swell(within, 7, 6)))
    spinous = torso.superellipse(x, y - middle - 38 - 0.4 * within, 2.6, 12.0, 2.2)
    piece.paint(spinous + 3 * (1 - _swell(within, 13, 9)), MARROW)
    piece.paint(canal, CORD)


def _paint_process(piece: Slice, away: Array) -> None:
    piece.paint(away, CORTEX * 0.45)
    piece.paint(away + 1.2, MARROW)


def _swell(place: float, middle: float, reach: float) -> float:
    """1 in the middle of a rounded process, 0 where it ends."""
    return float(np.sqrt(max(0.0, 1 - ((place - middle) / reach) ** 2)))


def _paint_blades(piece: Slice) -> None:
    """Each shoulder blade is a thin plate: in a slice, a line from one edge of its triangle to another."""
    z = piece.z
    cuts = []
    for start, stop in ((0, 1), (1, 2), (2, 0)):
        low, high = _BLADE[start], _BLADE[stop]
        if (low[2] - z) * (high[2] - z) < 0:
            cuts.append(low + (high - low) * (z - low[2]) / (high[2] - low[2]))
    if len(cuts) == 2:
        bow = (cuts[0] + cuts[1]) / 2 + np.array([3, 6, 0], np.float32)  # it follows the ribs
        plate = Tubes.along([tuple(cuts[0]), tuple(bow), tuple(cuts[1])], 2.0, 1.7, 2.4)
        for tubes in (plate, plate.mirrored()):
            piece.paint_tubes(tubes, CORTEX * 0.75)

"""A whole chest: which tissue lies where, and what has fallen ill in it."""

from __future__ import annotations

import numpy as np

from demo.phantom import torso
from demo.phantom.bones import paint_bones
from demo.phantom.canvas import AIR, Array, Noise, Slice, Tubes
from demo.phantom.tree import grow

FAT, MUSCLE, BLOOD, SKIN, LIVER, SPLEEN, WALL = -100.0, 52.0, 42.0, 20.0, 58.0, 50.0, 20.0

_AORTA = Tubes.along(
    [(8, -20, 4), (-8, -26, 30), (-6, -22, 50), (6, -4, 64), (18, 18, 64), (24, 38, 50), (25, 44, 30)], 15, 13
) + Tubes.along([(25, 44, 30), (24, 44, -40), (14, 44, -110), (6, 36, -240)], 12.5, 11)
_PULMONARY = (
    Tubes.along([(20, -26, 2), (24, -14, 24), (28, 0, 36)], 14, 13)
    + Tubes.along([(26, -6, 28), (0, 2, 22), (-32, 6, 18), (-50, 10, 8)], 11, 11, 8, 6)
    + Tubes.along([(28, 0, 36), (40, 12, 36), (50, 22, 22), (52, 26, 2)], 11, 9, 7, 6)
    + Tubes.along([(-14, 12, -4), (-44, 10, -14)], 7, 5)
    + Tubes.along([(16, 12, -2), (46, 14, -10)], 7, 5)
)
_CAVA = Tubes.along([(-24, -14, -2), (-25, -12, 40), (-22, -16, 82)], 9, 9, 8) + Tubes.along(
    [(-22, -2, -70), (-24, 6, -110), (-24, 16, -240)], 12
)
_NECK = (
    Tubes.along([(-6, -14, 62), (-22, -8, 90), (-40, -2, 112), (-80, -10, 114)], 7, 6, 5, 4.5)
    + Tubes.along([(22, 6, 66), (26, 8, 92), (46, 6, 114), (84, -8, 114)], 6, 5, 5, 4.5)
    + Tubes.along([(-24, -8, 92), (-24, 4, 150), (-24, 6, 230)], 5)
    + Tubes.along([(14, 2, 66), (24, 2, 120), (26, 6, 230)], 5)
    + Tubes.along([(-22, -16, 82), (6, -28, 84), (34, -22, 100)], 7)
)
_OESOPHAGUS = Tubes.along([(2, 34, 240), (4, 38, 100), (6, 38, 0), (14, 24, -90), (34, 4, -112)], 7)
_TRACHEA = Tubes.along([(0, 8, 240), (0, 14, 130), (0, 24, 30), (-1, 26, 24)], 8.5)
_BRONCHI = (
    Tubes.along(
        [(-1, 26, 28), (-18, 24, 12), (-36, 22, -4), (-46, 26, -34), (-56, 36, -70)], 7.5, 6.5, 5, 3.5, 2
    )
    + Tubes.along([(-30, 22, 2), (-50, 20, 22), (-60, 24, 50)], 4.5, 3.2, 2)
    + Tubes.along([(-42, 22, -18), (-62, 2, -36)], 3.5, 2)
    + Tubes.along([(1, 26, 28), (20, 26, 10), (44, 26, -8), (52, 34, -40), (62, 42, -76)], 7, 6.5, 5, 3.2, 2)
    + Tubes.along([(40, 25, -4), (54, 14, 12), (60, 6, 40)], 4.2, 3, 2)
)
_ARM_DOWN = Tubes.along([(172, 36, 80), (196, 34, -20), (214, 32, -220)], 56, 50, 46)
_ARM_UP = Tubes.along([(160, 36, 84), (172, 22, 140), (182, 0, 240)], 54, 48, 44)


class Anatomy:
    """One synthetic patient; the same seed is the same patient.

    ``upright``: standing, arms down, gas under the left dome (for the X-ray); else supine with the arms
    up (in the scanner). Opacities of a viral pneumonia lie at the outer rim of both lower lobes.
    """

    def __init__(self, seed: int, *, upright: bool) -> None:
        rng = np.random.default_rng(seed)
        self._upright = upright
        self._coarse, self._fine = Noise(rng, 12.0), Noise(rng, 5.0)
        roots = ((-40.0, 12.0, 4.0), (46.0, 18.0, 8.0), (-30.0, 14.0, -12.0), (34.0, 16.0, -10.0))
        self._vessels = Tubes(np.concatenate([grow(rng, root, 1900).pieces for root in roots]))
        self._opacities = _opacities(rng)

    def paint(self, z: float, x: Array, y: Array) -> Array:
        """The axial slice at height ``z``: Hounsfield units, shape (rows, columns)."""
        piece = Slice.empty(z, x, y)
        coarse, fine = self._coarse.on(piece), self._fine.on(piece)
        self._paint_soft_tissue(piece, coarse, fine)
        cage = torso.cage(piece.columns, piece.rows, z)
        if z < torso.APEX:
            piece.paint(cage, FAT + 70 + 20 * coarse)
            self._paint_abdomen(piece, cage, coarse, fine)
            self._paint_lungs(piece, coarse, fine)
            self._paint_heart(piece)
        self._paint_vessels(piece)
        paint_bones(piece, arms_down=self._upright)
        return piece.hu

    def _paint_soft_tissue(self, piece: Slice, coarse: Array, fine: Array) -> None:
        away = torso.body(piece.columns, piece.rows, piece.z, arms_down=self._upright) + 0.6 * coarse
        piece.paint(away, SKIN)
        piece.paint(away + 2, FAT + 6 * fine)
        front = np.clip(-piece.rows / 60, 0, 1)
        layer = away + 14 + 6 * front + 2.5 * coarse
        fat = np.clip(1.4 - 3 * np.abs(coarse - 0.3), 0, 1) + np.clip(0.8 * fine - 0.5, 0, 0.8)
        piece.paint(layer, MUSCLE + 6 * fine - 130 * fat)  # between the muscles
        arm = _ARM_DOWN if self._upright else _ARM_UP
        for tubes in (arm, arm.mirrored()):
            piece.paint_tubes(tubes, FAT)
            piece.paint_tubes(tubes, MUSCLE, margin=-9)

    def _paint_abdomen(self, piece: Slice, cage: Array, coarse: Array, fine: Array) -> None:
        x, y, z = piece.columns, piece.rows, piece.z
        if z > -60:
            return
        below = np.maximum(cage, z - torso.diaphragm(x, y))
        piece.paint(below, MUSCLE)
        within = below + 3
        piece.paint(within, FAT + 140 * np.clip(1.4 * coarse, 0, 1) + 5 * fine)  # bowel in fat
        piece.paint(np.maximum(within, 12 * (1.3 - coarse)), AIR + 150)  # gas in it
        piece.paint(np.maximum(within, torso.liver(x, y, z)), LIVER + 4 * fine)
        piece.paint(np.maximum(within, torso.spleen(x, y, z)), SPLEEN + 3 * fine)
        stomach = np.maximum(within, torso.stomach(x, y, z))
        piece.paint(stomach, WALL + 15)
        level = -z - 110 if self._upright else y + 46.0  # gas collects where it is highest
        piece.paint(np.maximum(stomach + 4, level), AIR)

    def _paint_lungs(self, piece: Slice, coarse: Array, fine: Array) -> None:
        x, y, z = piece.columns, piece.rows, piece.z
        if z < torso.BASE:
            return
        away = torso.lungs(x, y, z) + 1.2 * coarse
        weight = (0 if self._upright else 22) * y / 80  # a lying lung is denser behind
        tissue = -866 + weight + 26 * coarse + 30 * fine
        outside = piece.hu.copy()
        piece.hu[:] = tissue
        ill = self._illness(piece, away, coarse, fine)
        piece.hu += ill * (np.minimum(-560 + 420 * ill, -60) + 35 * fine - piece.hu)
        fissure = np.abs(z + 8 + 0.95 * (y - 12) + 3 * coarse) * 0.7
        piece.blend(0.3 * piece.cover(fissure - 0.5), -300.0)
        piece.paint_tubes(self._vessels, BLOOD)
        inside = piece.cover(away)
        piece.hu[:] = outside + inside * (piece.hu - outside)

    def _illness(self, piece: Slice, away: Array, coarse: Array, fine: Array) -> Array:
        """How much of the air is replaced, 0 to 1: patches of ground glass with denser cores."""
        total = np.zeros_like(piece.hu)
        for x, y, z, radius, strength in self._opacities:
            height = ((piece.z - z) / radius) ** 2
            if height < 3:
                across = ((piece.columns - x) / radius) ** 2 + ((piece.rows - y) / radius) ** 2
                total += strength * np.exp(-1.6 * (across + height) ** 1.5)
        rim = np.clip(1.25 + away / 45, 0.2, 1)  # thins out towards the middle
        return np.clip(total * rim * (0.9 + 0.22 * coarse + 0.14 * fine), 0, 0.97)

    def _paint_heart(self, piece: Slice) -> None:
        whole, piece = piece, piece.part((-70, 110), (-100, 40))
        heart = torso.heart(piece.columns, piece.rows, piece.z)
        above = (torso.diaphragm(piece.columns, piece.rows) - piece.z) * 0.75 - 12
        heart = np.maximum(heart, above)
        piece.paint(heart, FAT + 20)
        piece.paint(heart + 4, MUSCLE - 6)
        piece.paint(heart + 14, BLOOD)
        piece = whole.part((-45, 45), (20, 150))
        piece.paint(torso.beside_spine(piece.columns, piece.rows, piece.z), MUSCLE - 30)

    def _paint_vessels(self, piece: Slice) -> None:
        great = _AORTA + _PULMONARY + _CAVA + _NECK
        if piece.z > -70:
            piece.paint_tubes(great + _OESOPHAGUS, FAT + 50, margin=2.5)
        piece.paint_tubes(_TRACHEA, WALL, margin=2.0)
        piece.paint_tubes(_BRONCHI, WALL, margin=1.3)
        piece.paint_tubes(_OESOPHAGUS, WALL)
        piece.paint_tubes(great, BLOOD)
        piece.paint_tubes(_TRACHEA + _BRONCHI, AIR + 10)


def _opacities(rng: np.random.Generator) -> list[tuple[float, float, float, float, float]]:
    """Patches (x, y, z, radius in mm, strength) at the outer rim of the lower lobes, more on the right."""
    patches = []
    for side, count in ((-1, 9), (1, 7)):
        for _ in range(count):
            z = rng.uniform(-105, -10)
            angle = rng.uniform(0.35, 1.5)  # from behind towards the side
            reach = rng.uniform(0.80, 0.97)
            x = side * reach * float(torso.cage_width(z)) * np.sin(angle) ** 0.87
            y = float(torso.centre(z)) + reach * float(torso.cage_depth(z)) * np.cos(angle) ** 0.87
            patches.append((float(x), float(y), z, rng.uniform(16, 34), rng.uniform(0.5, 1.1)))
    return patches

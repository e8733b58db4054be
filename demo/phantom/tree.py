"""Trees of vessels that fill a lung, grown from its root to points all over it."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from demo.phantom import torso
from demo.phantom.canvas import Tubes

LEAF_RADIUS = 0.6
"""Radius of the last branches in mm."""

EXPONENT = 2.6


def grow(rng: np.random.Generator, root: tuple[float, float, float], leaves: int) -> Tubes:
    """A tree from ``root`` (mm) through the lung on the root's side.

    Each point, from the root outwards, joins the node that makes the shortest way to it with a short
    way to the root; radii follow Murray's law (a power of a branch's radius is the sum of the same of
    its twigs).
    """
    targets = _points_in_lung(rng, np.sign(root[0]), leaves)
    start = np.asarray(root, np.float32)
    targets = targets[np.argsort(np.linalg.norm(targets - start, axis=1))]
    nodes = np.concatenate([start[None], targets])
    parents = np.zeros(len(nodes), np.int64)
    way = np.zeros(len(nodes), np.float32)
    for index in range(1, len(nodes)):
        step = np.linalg.norm(nodes[:index] - nodes[index], axis=1)
        cost = step + 0.35 * way[:index]
        parents[index] = int(np.argmin(cost))
        way[index] = way[parents[index]] + step[parents[index]]
    flow = np.full(len(nodes), LEAF_RADIUS**EXPONENT)
    for index in range(len(nodes) - 1, 0, -1):
        if parents[index]:
            flow[parents[index]] += flow[index]
    radius = (flow ** (1 / EXPONENT)).astype(np.float32)[1:]
    return Tubes(np.column_stack([nodes[parents[1:]], nodes[1:], radius, radius * 0.92]))


def _points_in_lung(rng: np.random.Generator, side: float, count: int) -> npt.NDArray[np.float32]:
    box_low, box_high = np.array([8, -95, torso.BASE]), np.array([135, 95, torso.APEX])
    points = (box_low + (box_high - box_low) * rng.random((count * 6, 3))).astype(np.float32)
    points[:, 0] *= side
    inside = torso.lungs(points[:, 0], points[:, 1], points[:, 2]) < -3
    return np.asarray(points[inside][:count])

"""Where the body is in a picture, told from the air around it."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy import ndimage

FloatArray = npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_]

AIR_HU = -900.0
"""In a mean projection a ray of less met hardly anything but air; through the lungs it has more."""

_DARKEST = 0.04
"""On a film, as a share of its range of greys: what is darker and reaches the border is air or a shutter."""

_LEAST_SHARE = 0.4
"""A body fills this share of a film; where less is left, the darkness at the border was not only air."""


def body_of_projection(hu: FloatArray) -> Mask:
    """The body in a mean projection of a CT in HU (rows, columns): bool, same shape.

    The largest part that is no air, its holes filled. All of the picture where it holds no body.
    """
    return _largest_filled(hu > AIR_HU)


def body_of_film(picture: FloatArray) -> Mask:
    """The body on an X-ray (rows, columns) in which dense is bright: bool, same shape.

    All but the darkness that reaches the border, and without what lies apart from the body such as
    markers. Lungs are dark too, but the body encloses them. All of the picture where that leaves too
    little: the lungs reach the border then, or there is no air around the body.
    """
    low, high = np.percentile(picture, [0.5, 99.5])
    if high <= low:
        return np.ones(picture.shape, dtype=bool)
    dark, _ = ndimage.label(picture < low + _DARKEST * (high - low))
    border = np.concatenate([dark[0], dark[-1], dark[:, 0], dark[:, -1]])
    outside = np.isin(dark, np.unique(border[border > 0]))
    body = _largest_filled(~outside)
    return body if body.mean() >= _LEAST_SHARE else np.ones(picture.shape, dtype=bool)


def _largest_filled(mask: Mask) -> Mask:
    labels, count = ndimage.label(mask)
    if count == 0:
        return np.ones(mask.shape, dtype=bool)
    sizes = np.bincount(labels.ravel())
    sizes[0] = 0
    return np.asarray(ndimage.binary_fill_holes(labels == sizes.argmax()), dtype=bool)

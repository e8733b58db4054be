"""The body told from the air around it, on films and on projections."""

from __future__ import annotations

import numpy as np
import pytest

from plugin.analysis.body import body_of_film, body_of_projection


def ellipse(shape: tuple[int, int], height: float, width: float, across: float = 0.5) -> np.ndarray:
    y, x = np.indices(shape)
    return ((y / shape[0] - 0.5) / height) ** 2 + ((x / shape[1] - across) / width) ** 2 < 1


def test_a_projection_is_body_where_rays_meet_more_than_air() -> None:
    inside = ellipse((120, 160), 0.35, 0.4)
    hu = np.where(inside, -300.0, -1000.0).astype(np.float32)
    hu[ellipse((120, 160), 0.1, 0.1)] = -990  # air inside the body
    hu[118, 10:150] = -600  # the table
    np.testing.assert_array_equal(body_of_projection(hu), inside)


def test_lungs_on_a_film_are_body_though_they_are_as_dark_as_air() -> None:
    film = np.full((200, 160), 0.0, np.float32)
    inside = ellipse((200, 160), 0.6, 0.44)
    film[inside] = 0.7
    for across in (0.3, 0.7):
        film[ellipse((200, 160), 0.3, 0.12, across)] = 0.0
    film[:10, :10] = 1.0  # a marker in the air
    body = body_of_film(film)
    np.testing.assert_array_equal(body, inside)


@pytest.mark.parametrize("value", [0.0, 0.6])
def test_a_film_without_contrast_is_all_body(value: float) -> None:
    assert body_of_film(np.full((50, 60), value, np.float32)).all()


def test_lungs_that_reach_the_border_are_not_taken_for_air() -> None:
    """A film cropped into the lungs: what would be left is no body."""
    film = np.zeros((100, 100), np.float32)
    film[:, 45:55] = 1.0
    assert body_of_film(film).all()


def test_a_volume_without_a_body_is_all_body() -> None:
    assert body_of_projection(np.full((20, 20), -1000, np.float32)).all()

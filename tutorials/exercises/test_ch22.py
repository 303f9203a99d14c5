"""Checks of the exercises of chapter 22."""

import ch22
import numpy as np
import pytest

pytestmark = pytest.mark.ch22


def test_kernel_of_shifts() -> None:
    assert np.allclose(ch22.kernel_of_shifts(0.5, 2), [0.25, 0.5, 0.25])
    assert np.allclose(ch22.kernel_of_shifts(0.25, 1), [0.75, 0.25])
    assert ch22.kernel_of_shifts(0.3, 5).sum() == pytest.approx(1)
    assert ch22.kernel_of_shifts(0.3, 5) @ np.arange(6) == pytest.approx(1.5)  # the mean shift is 5 times 0.3


def test_half_turned() -> None:
    images = np.arange(40.0).reshape(10, 1, 2, 2)
    turned, labels = ch22.half_turned(images, np.arange(10))
    assert labels.tolist() == [0, 1, 9, 8, 6]
    assert turned.shape == (5, 1, 2, 2)
    assert turned[2, 0].tolist() == [[27, 26], [25, 24]]
    assert images[6, 0, 0, 0] == 24  # what was given is left as it was


def test_random_crop() -> None:
    images = np.zeros((400, 2, 5, 6))
    images[:, :, 2, 2] = 1
    cropped = ch22.random_crop(images, 1, np.random.default_rng(0))
    assert cropped.shape == images.shape
    assert np.array_equal(cropped[:, 0], cropped[:, 1])  # all channels of an image are cut alike
    places = [(int(y), int(x)) for _, y, x in np.argwhere(cropped[:, 0])]
    assert set(places) == {(y, x) for y in (1, 2, 3) for x in (1, 2, 3)}
    assert min(places.count(place) for place in set(places)) > 20

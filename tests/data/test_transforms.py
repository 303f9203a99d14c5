from __future__ import annotations

import numpy as np
import pytest

import tinygrad_cnn as tg
from tinygrad_cnn.data import RandomAffine

IMAGE = np.random.default_rng(0).random((1, 2, 5, 7), np.float32)


class Fixed:
    """Stands for a generator: gives the numbers it was made with, whatever range is asked for."""

    def __init__(self, *draws: float) -> None:
        self.draws = iter(draws)

    def uniform(self, low: float, high: float, count: int) -> np.ndarray:
        draw = next(self.draws)
        assert low <= draw <= high
        return np.full(count, draw)


def change(image: np.ndarray, angle: float, scale: float, down: float, across: float) -> np.ndarray:
    transform = RandomAffine(180, (1.0, 1.0), (0.1, 10.0))
    random = Fixed(angle, scale, down / image.shape[2], across / image.shape[3])
    return transform(tg.Tensor(image), random).numpy()  # type: ignore[arg-type]


def test_no_change_is_exact():
    unchanged = RandomAffine(0)(tg.Tensor(IMAGE), np.random.default_rng(0))
    np.testing.assert_array_equal(unchanged.numpy(), IMAGE)


def test_shift_by_whole_pixels():
    expected = np.zeros_like(IMAGE)
    expected[:, :, 2:, :-1] = IMAGE[:, :, :-2, 1:]
    np.testing.assert_allclose(change(IMAGE, 0, 1, 2, -1), expected, atol=1e-5)


def test_shift_by_half_a_pixel_is_the_mean_of_neighbours():
    padded = np.pad(IMAGE, ((0, 0), (0, 0), (0, 0), (1, 0)))
    expected = (padded[..., 1:] + padded[..., :-1]) / 2
    np.testing.assert_allclose(change(IMAGE, 0, 1, 0, 0.5), expected, atol=1e-5)


@pytest.mark.parametrize("quarters", [1, 2, -1])
def test_quarter_turns_are_clockwise(quarters):
    square = IMAGE[..., :5]
    np.testing.assert_allclose(change(square, 90 * quarters, 1, 0, 0), np.rot90(square, -quarters, (2, 3)), atol=1e-5)


def test_scale_enlarges():
    dot = np.zeros((1, 1, 9, 9), np.float32)
    dot[0, 0, 4, 6] = 1
    large = change(dot, 0, 2, 0, 0)[0, 0]
    assert np.unravel_index(large.argmax(), large.shape) == (4, 8)
    constant = np.ones((1, 1, 8, 8), np.float32)
    assert change(constant, 0, 0.5, 0, 0).sum() == pytest.approx(16)


def test_each_image_is_changed_by_itself_and_draws_repeat():
    batch = tg.Tensor(np.repeat(IMAGE, 4, axis=0))
    transform = RandomAffine(20, (0.1, 0.1), (0.8, 1.2))
    first = transform(batch, np.random.default_rng(5)).numpy()
    np.testing.assert_array_equal(transform(batch, np.random.default_rng(5)).numpy(), first)
    assert len({image.tobytes() for image in first}) == 4
    assert first.dtype == np.float32
    assert transform(tg.Tensor(np.zeros((0, 1, 4, 4))), np.random.default_rng(5)).shape == (0, 1, 4, 4)


def test_wrong_arguments():
    for settings in ({"degrees": -1}, {"degrees": 0, "translate": (-0.1, 0)}, {"degrees": 0, "scale": (1.2, 0.8)}):
        with pytest.raises(tg.ArgumentError, match="out of range"):
            RandomAffine(**settings)
    with pytest.raises(tg.ShapeError, match=r"\(N, C, H, W\)"):
        RandomAffine(0)(tg.Tensor([1.0]), np.random.default_rng(0))

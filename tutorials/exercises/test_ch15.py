"""Checks for the exercises of chapter 15."""

import ch15
import numpy as np
import pytest

import tinygrad_cnn.nn.functional as F

pytestmark = pytest.mark.ch15


def draw(*shape: int) -> np.ndarray:
    """The same random numbers every time."""
    return np.random.default_rng(15).standard_normal(shape)


@pytest.mark.parametrize(
    ("kernel", "height", "width"), [((2, 2), 3, 4), ((3, 3), 5, 5), ((1, 3), 4, 6), ((3, 2), 6, 4)]
)
def test_doubly_blocked(kernel: tuple[int, int], height: int, width: int) -> None:
    """The product with the matrix is the convolution."""
    weights, image = draw(*kernel), draw(height, width)
    matrix = ch15.doubly_blocked(weights, height, width)
    expected = F.correlate2d(image, weights).numpy()
    assert matrix.shape == (expected.size, image.size)
    np.testing.assert_allclose(matrix @ image.ravel(), expected.ravel(), atol=1e-12)


@pytest.mark.parametrize(("shape", "k"), [((1, 5, 5), 3), ((3, 6, 4), 2), ((2, 4, 7), 4), ((2, 3, 3), 1)])
def test_col2im(shape: tuple[int, int, int], k: int) -> None:
    """It is the adjoint of taking windows."""
    places = (shape[1] - k + 1) * (shape[2] - k + 1)
    columns = draw(shape[0] * k * k, places)
    expected = F.fold(columns[None], shape[1:], k).numpy()[0]
    np.testing.assert_allclose(ch15.col2im(columns, shape, k), expected, atol=1e-12)


@pytest.mark.parametrize(("kernel", "n"), [([1.0, 2.0, 3.0], 5), ([1.0, -1.0], 4), ([1.0, 1.0, 1.0], 3)])
def test_circulant(kernel: list[float], n: int) -> None:
    """The product with the matrix is the convolution of the signal with its own beginning put behind it."""
    signal = draw(n)
    matrix = ch15.circulant(np.array(kernel), n)
    ring = np.concatenate([signal, signal[: len(kernel) - 1]])
    assert matrix.shape == (n, n)
    np.testing.assert_allclose(matrix @ signal, F.correlate1d(ring, np.array(kernel)).numpy(), atol=1e-12)

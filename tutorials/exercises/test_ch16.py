"""Checks for the exercises of chapter 16."""

import ch16
import numpy as np
import pytest

import tinygrad_cnn.nn.functional as F

pytestmark = pytest.mark.ch16


@pytest.mark.parametrize(("n", "k", "s"), [(4, 3, 2), (1, 5, 3), (6, 2, 3), (7, 4, 2), (5, 7, 1)])
def test_paintings(n: int, k: int, s: int) -> None:
    """They are what ones become when they are painted with ones."""
    painted = F.conv_transpose1d(np.ones((1, 1, n)), np.ones((1, 1, k)), stride=s).numpy().ravel()
    np.testing.assert_array_equal(ch16.paintings(n, k, s), painted)


@pytest.mark.parametrize("s", [1, 2, 3, 4, 5])
def test_linear_kernel(s: int) -> None:
    """Away from the ends, painting with it is linear interpolation."""
    signal = np.random.default_rng(16).standard_normal((1, 1, 8))
    kernel = np.asarray(ch16.linear_kernel(s), dtype=np.float64)
    assert kernel.shape == (2 * s - s % 2,)
    ours = F.conv_transpose1d(signal, kernel[None, None], stride=s, padding=s // 2).numpy()
    theirs = F.interpolate(signal, scale_factor=s, mode="linear").numpy()
    np.testing.assert_allclose(ours[..., s:-s], theirs[..., s:-s], atol=1e-12)

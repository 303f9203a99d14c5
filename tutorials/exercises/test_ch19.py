"""Checks for the exercises of chapter 19."""

import ch19
import numpy as np
import pytest

import tinygrad_cnn as tg

pytestmark = pytest.mark.ch19


@pytest.mark.parametrize("shape", [(9,), (6, 8), (5, 7, 6), (4, 5, 3, 6)])
def test_separable(shape: tuple[int, ...]) -> None:
    """It is the correlation with the product of the kernels."""
    random = np.random.default_rng(19)
    x, line = random.standard_normal(shape), random.standard_normal(3)
    cube = line
    for _ in shape[1:]:
        cube = cube[..., None] * line
    windows = np.lib.stride_tricks.sliding_window_view(x, cube.shape)
    np.testing.assert_allclose(ch19.separable(x, line), np.tensordot(windows, cube, axes=x.ndim), atol=1e-12)


@pytest.mark.parametrize(("length", "k", "dilation"), [(8, 3, 1), (9, 2, 3), (4, 3, 4), (5, 1, 1)])
def test_causal(length: int, k: int, dilation: int) -> None:
    """Every output is the sum over what came before, and its gradient is zero in what comes after."""
    random = np.random.default_rng(19)
    signal, weights = random.standard_normal(length), random.standard_normal(k)
    x = tg.Tensor(signal, requires_grad=True)
    y = ch19.causal(x, tg.Tensor(weights), dilation)
    past = [[t - (k - 1 - j) * dilation for j in range(k)] for t in range(length)]
    expected = [sum(weights[j] * signal[i] for j, i in enumerate(row) if i >= 0) for row in past]
    np.testing.assert_allclose(y.numpy(), expected, atol=1e-12)
    for t in range(length):
        assert not tg.grad(y[t], x).numpy()[t + 1 :].any()

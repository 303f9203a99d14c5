"""Checks for the exercises of chapter 17."""

import ch17
import numpy as np
import pytest

import tinygrad_cnn as tg
import tinygrad_cnn.nn.functional as F

pytestmark = pytest.mark.ch17


@pytest.mark.parametrize(("rows", "columns", "k"), [(1, 1, 2), (4, 3, 2), (2, 2, 3), (3, 5, 1)])
@pytest.mark.parametrize("ties", [False, True])
def test_max_pool_gradient(rows: int, columns: int, k: int, ties: bool) -> None:
    """It is what the package gives, for numbers that differ and for numbers with many equals."""
    random = np.random.default_rng(17)
    image = random.standard_normal((rows * k, columns * k))
    if ties:
        image = np.round(image)
    grad = random.standard_normal((rows, columns))
    x = tg.Tensor(image[None, None], requires_grad=True)
    (F.max_pool2d(x, k) * grad[None, None]).sum().backward()
    assert x.grad is not None
    np.testing.assert_allclose(ch17.max_pool_gradient(image, grad, k), x.grad.numpy()[0, 0])


@pytest.mark.parametrize("k", [1, 2, 3])
def test_stochastic_mean(k: int) -> None:
    """It is the sum of each value times its probability."""
    image = np.random.default_rng(17).random((2 * k, 3 * k))
    image[:k, :k] = 0
    found = ch17.stochastic_mean(image, k)
    assert found.shape == (2, 3)
    assert found[0, 0] == 0
    window = image[k:, k : 2 * k].ravel()
    np.testing.assert_allclose(found[1, 1], sum(value * value / window.sum() for value in window))

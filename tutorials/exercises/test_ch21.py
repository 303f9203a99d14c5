"""Checks of the exercises of chapter 21."""

import ch21
import numpy as np
import pytest

import tinygrad_cnn as tg
import tinygrad_cnn.nn.functional as F

pytestmark = pytest.mark.ch21


@pytest.mark.parametrize("eps", [1e-5, 0.5])
def test_layer_norm_gradient(eps: float) -> None:
    random = np.random.default_rng(0)
    x, grad = random.standard_normal((2, 6, 5))
    leaf = tg.Tensor(x, requires_grad=True)
    expected = tg.grad(F.layer_norm(leaf, 5, eps=eps), leaf, grad).numpy()
    assert np.allclose(ch21.layer_norm_gradient(grad, x, eps), expected, atol=1e-12)


def test_folded() -> None:
    random = np.random.default_rng(0)
    x, weight = random.standard_normal((7, 3)), random.standard_normal((4, 3))
    bias, gamma, beta, mean = random.standard_normal((4, 4))
    var = random.uniform(0.1, 2.0, 4)
    expected = (x @ weight.T + bias - mean) / np.sqrt(var + 1e-3) * gamma + beta
    one_weight, one_bias = ch21.folded(weight, bias, gamma, beta, mean, var, 1e-3)
    assert np.allclose(x @ one_weight.T + one_bias, expected)


@pytest.mark.parametrize("p", [0.1, 0.5, 0.9])
def test_dropout_variance(p: float) -> None:
    draws = np.where(np.random.default_rng(0).random(200_000) < p, 0, 2.0 / (1 - p))
    assert ch21.dropout_variance(2.0, p) == pytest.approx(draws.var(), rel=0.02)

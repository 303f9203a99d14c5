"""Clipping of gradients, and parameters as one vector."""

from __future__ import annotations

import math

import numpy as np
import pytest

import tinygrad_cnn as tg
from tinygrad_cnn import nn
from tinygrad_cnn.errors import ArgumentError, GraphError, ShapeError

GRADIENTS = [np.array([[3.0, -4.0]]), np.array([12.0]), None]


def leaves(dtype: str = "float64") -> list[tg.Tensor]:
    made = []
    for gradient in GRADIENTS:
        leaf = tg.Tensor(np.zeros((1, 2) if gradient is None else gradient.shape), dtype=dtype, requires_grad=True)
        leaf.grad = None if gradient is None else tg.Tensor(gradient, dtype=dtype)
        made.append(leaf)
    return made


@pytest.mark.parametrize(("kind", "norm"), [(2.0, 13.0), (1.0, 19.0), (math.inf, 12.0), (3.0, 1819 ** (1 / 3))])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_all_gradients_shrink_by_one_factor(kind, norm, dtype):
    parameters = leaves(dtype)
    found = nn.utils.clip_grad_norm_(parameters, 1.0, kind)
    np.testing.assert_allclose(found.item(), norm, rtol=1e-6)
    for leaf, gradient in zip(parameters, GRADIENTS, strict=True):
        if gradient is None:
            assert leaf.grad is None
        else:
            assert leaf.grad.dtype == dtype
            np.testing.assert_allclose(leaf.grad.numpy(), gradient / norm, rtol=2e-6)


def test_small_gradients_stay():
    parameters = leaves()
    nn.utils.clip_grad_norm_(parameters, 100.0)
    np.testing.assert_array_equal(parameters[0].grad.numpy(), GRADIENTS[0])


def test_values_are_cut_off():
    parameters = leaves()
    nn.utils.clip_grad_value_(parameters, 3.5)
    np.testing.assert_array_equal(parameters[0].grad.numpy(), [[3.0, -3.5]])
    np.testing.assert_array_equal(parameters[1].grad.numpy(), [3.5])


def test_a_vector_of_all_parameters():
    model = nn.Linear(2, 3)
    vector = nn.utils.parameters_to_vector(model.parameters())
    assert vector.shape == (9,)
    nn.utils.vector_to_parameters(tg.Tensor(np.arange(9, dtype="float32")), model.parameters())
    np.testing.assert_array_equal(model.weight.numpy(), [[0, 1], [2, 3], [4, 5]])
    np.testing.assert_array_equal(model.bias.numpy(), [6, 7, 8])


def test_errors():
    x = tg.Tensor([1.0], requires_grad=True)
    with pytest.raises(GraphError, match="no parameter has a gradient"):
        nn.utils.clip_grad_norm_([x], 1.0)
    x.grad = tg.Tensor([math.nan])
    with pytest.raises(ArgumentError, match="the norm of the gradients is not finite"):
        nn.utils.clip_grad_norm_([x], 1.0, error_if_nonfinite=True)
    with pytest.raises(ArgumentError, match="the limit is negative"):
        nn.utils.clip_grad_value_([x], -1.0)
    with pytest.raises(ShapeError, match="the vector does not fit"):
        nn.utils.vector_to_parameters(tg.Tensor([1.0, 2.0]), [x])

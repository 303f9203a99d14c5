"""Activations that are made of other operations: their definition, both gradients, and far from 0."""

from __future__ import annotations

import math

import numpy as np
import pytest

import tinygrad_cnn as tg
from tinygrad_cnn import nn
from tinygrad_cnn.errors import ArgumentError, ShapeError
from tinygrad_cnn.nn import functional as F


def sigmoid(x):
    return 1 / (1 + math.exp(-x))


def softplus(x):
    return math.log(1 + math.exp(x))


FORMULAS = {
    "elu": (lambda: nn.ELU(1.5), lambda x: x if x > 0 else 1.5 * (math.exp(x) - 1)),
    "celu": (lambda: nn.CELU(1.5), lambda x: x if x > 0 else 1.5 * (math.exp(x / 1.5) - 1)),
    "selu": (
        nn.SELU,
        lambda x: 1.0507009873554805 * (x if x > 0 else 1.6732632423543772 * (math.exp(x) - 1)),
    ),
    "silu": (nn.SiLU, lambda x: x * sigmoid(x)),
    "mish": (nn.Mish, lambda x: x * math.tanh(softplus(x))),
    "hardtanh": (lambda: nn.Hardtanh(-0.5, 1.5), lambda x: min(max(x, -0.5), 1.5)),
    "relu6": (nn.ReLU6, lambda x: min(max(x, 0), 6)),
    "hardsigmoid": (nn.Hardsigmoid, lambda x: min(max(x + 3, 0), 6) / 6),
    "hardswish": (nn.Hardswish, lambda x: x * min(max(x + 3, 0), 6) / 6),
    "softsign": (nn.Softsign, lambda x: x / (1 + abs(x))),
    "tanhshrink": (nn.Tanhshrink, lambda x: x - math.tanh(x)),
    "logsigmoid": (nn.LogSigmoid, lambda x: math.log(sigmoid(x))),
    "prelu": (lambda: nn.PReLU(init=0.3), lambda x: x if x > 0 else 0.3 * x),
}
POINTS = np.array([-7.3, -2.9, -1.1, -0.4, 0.2, 0.7, 2.6, 4.9, 8.1])
each_formula = pytest.mark.parametrize("name", FORMULAS)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@each_formula
def test_the_definition(name, dtype):
    make, formula = FORMULAS[name]
    found = make().to(dtype)(tg.Tensor(POINTS, dtype=dtype))
    assert found.dtype == dtype
    expected = np.array([formula(x) for x in POINTS.tolist()])
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-12 if dtype == "float64" else 3e-6, atol=1e-7)


@each_formula
def test_gradients_of_both_orders(name):
    layer = FORMULAS[name][0]().to("float64")
    tg.testing.check_grad(layer, [POINTS], order=2)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@each_formula
def test_far_from_0_nothing_becomes_infinite(name, dtype):
    x = tg.Tensor([-1e4, -200.0, 0.0, 200.0, 1e4], dtype=dtype, requires_grad=True)
    layer = FORMULAS[name][0]().to(dtype)
    y = layer(x)
    (first,) = tg.grad(y.sum(), [x])
    (second,) = tg.grad((first * first).sum(), [x])
    for each in (y, first, second):
        assert np.isfinite(each.numpy()).all()


@each_formula
def test_symbols_and_empty_tensors(name):
    layer = FORMULAS[name][0]().to("float32")
    assert layer(tg.symbol((2, 1, 3))).shape == (2, 1, 3)
    assert layer(tg.Tensor(np.empty((0, 4), "float32"))).shape == (0, 4)


def test_expm1_keeps_its_digits_near_0():
    np.testing.assert_allclose(tg.ops.expm1(tg.Tensor([1e-12], dtype="float64")).numpy(), [1e-12], rtol=1e-9)
    np.testing.assert_allclose(nn.ELU()(tg.Tensor([-1e-7])).numpy(), [-1e-7], rtol=1e-6)


def test_a_slope_for_each_channel():
    layer = nn.PReLU(2)
    layer.weight.assign(tg.Tensor([0.5, 2.0]))
    y = layer(tg.Tensor(np.full((1, 2, 1, 2), -1.0, "float32")))
    np.testing.assert_array_equal(y.numpy()[0, :, 0, 0], [-0.5, -2.0])
    y.sum().backward()
    np.testing.assert_array_equal(layer.weight.grad.numpy(), [-2.0, -2.0])  # tied over all places of the channel


def test_glu_softmin_and_log_softmax():
    x = np.random.default_rng(0).standard_normal((2, 6, 3))
    found = nn.GLU(1)(tg.Tensor(x)).numpy()
    np.testing.assert_allclose(found, x[:, :3] / (1 + np.exp(-x[:, 3:])), rtol=1e-12)
    share = np.exp(-x) / np.exp(-x).sum(1, keepdims=True)
    np.testing.assert_allclose(nn.Softmin(1)(tg.Tensor(x)).numpy(), share, rtol=1e-12)
    np.testing.assert_allclose(nn.LogSoftmax(1)(tg.Tensor(-x)).numpy(), np.log(share), rtol=1e-12)
    tg.testing.check_grad(lambda x: F.glu(x, 1), [x], order=2, directions=1)
    assert nn.GLU(0)(tg.Tensor(np.empty((0, 2), "float32"))).shape == (0, 2)


MISTAKES = [
    (lambda: nn.GLU()(tg.Tensor([1.0, 2.0, 3.0])), ShapeError, "axis -1 has no two halves"),
    (lambda: nn.PReLU(3)(tg.Tensor([[1.0, 2.0]])), ShapeError, "(3,) weights for 2 channels"),
    (lambda: nn.PReLU(0), ArgumentError, "parameters are counted from 1"),
    (lambda: F.hardtanh(tg.Tensor([1.0]), 2.0, 1.0), ArgumentError, "the ends are not in order"),
    (lambda: F.celu(tg.Tensor([1.0]), 0.0), ArgumentError, "alpha divides"),
]


@pytest.mark.parametrize(("call", "kind", "words"), MISTAKES, ids=[words for *_, words in MISTAKES])
def test_errors(call, kind, words):
    with pytest.raises(kind) as caught:
        call()
    assert words in str(caught.value)
    assert "expected" in str(caught.value) or "fix" in str(caught.value) or "got" in str(caught.value)

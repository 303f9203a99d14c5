"""Reductions: axes, ties, nothing to reduce, extremes."""

from __future__ import annotations

import math

import numpy as np
import pytest

import tinygrad_cnn as tg
from tinygrad_cnn import ops
from tinygrad_cnn.errors import ArgumentError, DTypeError, ShapeError

X = np.random.default_rng(0).permutation(24).reshape(2, 3, 4) / 7.0


def leaf(data, dtype="float64"):
    return tg.Tensor(data, dtype=dtype, requires_grad=True)


NUMPYS = {
    "sum": np.sum, "mean": np.mean, "amax": np.max, "amin": np.min,
    "logsumexp": lambda x, **more: np.log(np.sum(np.exp(x), **more)),
    "var": lambda x, **more: np.var(x, ddof=1, **more), "std": lambda x, **more: np.std(x, ddof=1, **more),
}  # fmt: skip


@pytest.mark.parametrize("name", NUMPYS)
@pytest.mark.parametrize("keepdim", [False, True])
@pytest.mark.parametrize("dim", [None, 0, -1, (0, 2), [-1, 0], (2, 1, 0)], ids=str)
def test_axes_are_numpys(name, dim, keepdim):
    axis = tuple(dim) if isinstance(dim, list) else dim
    found = getattr(ops, name)(tg.Tensor(X), dim, keepdim=keepdim)
    np.testing.assert_allclose(found.numpy(), NUMPYS[name](X, axis=axis, keepdims=keepdim), rtol=1e-13)
    assert found.shape == np.sum(X, axis=axis, keepdims=keepdim).shape


@pytest.mark.parametrize("name", [*NUMPYS, "argmax", "argmin", "max", "min"])
def test_an_axis_that_is_not_there_is_an_error(name):
    for dim in (3, -4):
        with pytest.raises(ArgumentError, match=f"no axis {dim}"):
            getattr(ops, name)(tg.Tensor(X), dim)


def test_an_axis_named_twice_is_an_error():
    with pytest.raises(ArgumentError, match="twice"):
        ops.sum(tg.Tensor(X), (1, -2))


# Types


def test_integers_and_booleans_add_up_in_int64():
    for data in (np.array([200, 100], np.uint8), np.array([True, True])):
        total = ops.sum(tg.Tensor(data))
        assert (total.dtype, total.item()) == (np.dtype("int64"), int(data.sum(dtype=int)))


def test_a_mean_of_integers_is_an_error():
    for function in (ops.mean, ops.var, ops.logsumexp):
        with pytest.raises(DTypeError, match="int64"):
            function(tg.Tensor([1, 2]))


@pytest.mark.parametrize("name", [*NUMPYS, "softmax", "log_softmax"])
def test_float32_stays_float32(name):
    x = leaf(X, "float32")
    y = getattr(ops, name)(x)
    assert y.dtype == y.array.dtype == np.float32
    assert tg.grad(y.sum(), x).dtype == np.float32


# Ties


@pytest.mark.parametrize(("function", "peak"), [(ops.amax, 3.0), (ops.amin, -3.0)])
def test_equals_share_the_gradient(function, peak):
    x = leaf([[peak, 0.0, peak], [0.5, 0.0, -0.5]])
    assert tg.grad(function(x), x).tolist() == [[0.5, 0.0, 0.5], [0.0, 0.0, 0.0]]
    by_row = tg.grad(function(x, 1).sum(), x).numpy()
    np.testing.assert_array_equal(by_row[0], [0.5, 0.0, 0.5])
    assert by_row[1].sum() == 1.0


@pytest.mark.parametrize(("function", "sign"), [(ops.max, 1.0), (ops.min, -1.0)])
def test_along_an_axis_the_gradient_goes_to_the_index(function, sign):
    x = leaf(sign * np.array([[1.0, 5.0, 5.0], [7.0, 0.0, 7.0]]))
    values, indices = function(x, 1)
    assert (values.tolist(), indices.tolist()) == ([5.0 * sign, 7.0 * sign], [1, 0])
    assert tg.grad(values.sum(), x).tolist() == [[0.0, 1.0, 0.0], [1.0, 0.0, 0.0]]
    assert not indices.requires_grad


def test_without_an_axis_max_shares_the_gradient():
    x = leaf([2.0, 1.0, 2.0])
    assert tg.grad(ops.max(x), x).tolist() == [0.5, 0.0, 0.5]


@pytest.mark.parametrize("keepdim", [False, True])
@pytest.mark.parametrize("dim", [0, 1, -1])
def test_max_and_min_along_an_axis(dim, keepdim):
    for function, values, places in [(ops.max, np.max, np.argmax), (ops.min, np.min, np.argmin)]:
        found = function(tg.Tensor(X), dim, keepdim)
        np.testing.assert_array_equal(found.values.numpy(), values(X, axis=dim, keepdims=keepdim))
        np.testing.assert_array_equal(found.indices.numpy(), places(X, axis=dim, keepdims=keepdim))


def test_argmax_takes_the_first_of_equals():
    x = tg.Tensor([[1.0, 3.0, 3.0], [3.0, 0.0, 0.0]])
    assert ops.argmax(x, 1).tolist() == [1, 0]
    assert ops.argmax(x, 0).tolist() == [1, 0, 0]
    assert ops.argmax(x).item() == 1
    assert ops.argmin(x).item() == 4
    assert ops.argmax(x, keepdim=True).shape == (1, 1)
    assert ops.argmax(x, -1, keepdim=True).shape == (2, 1)
    assert ops.argmax(tg.Tensor(4.0)).item() == 0


# Nothing to reduce


@pytest.mark.parametrize("function", [ops.amax, ops.amin, ops.logsumexp, ops.argmax, ops.argmin, ops.max, ops.min])
def test_the_largest_of_nothing_is_an_error(function):
    for arguments in ((), (0,)):
        with pytest.raises(ShapeError):
            function(tg.Tensor(np.ones((0, 3))), *arguments)
    assert ops.amax(tg.Tensor(np.ones((0, 3))), 1).shape == (0,)


def test_sum_and_mean_of_nothing():
    empty = leaf(np.ones((0, 3)))
    assert ops.sum(empty).item() == 0.0
    assert ops.sum(empty, 0).tolist() == [0.0, 0.0, 0.0]
    assert math.isnan(ops.mean(empty).item())
    assert tg.grad(ops.mean(empty), empty).shape == (0, 3)


# Variance


def test_the_correction_of_the_variance():
    x = tg.Tensor([1.0, 2.0, 6.0])
    assert ops.var(x, correction=0).item() == pytest.approx(14 / 3)
    assert ops.var(x).item() == pytest.approx(7.0)
    assert ops.var(x, correction=2).item() == pytest.approx(14.0)
    assert ops.std(x).item() == pytest.approx(math.sqrt(7))
    with pytest.raises(ArgumentError, match="3 - 3 = 0"):
        ops.var(x, correction=3)
    with pytest.raises(ArgumentError, match="1 - 1 = 0"):
        ops.var(tg.Tensor([[1.0], [2.0]]), 1)


@pytest.mark.parametrize("correction", [0, 1])
def test_the_gradient_of_the_variance(correction):
    tg.testing.check_grad(lambda x: ops.var(x, (0, 2), correction), [X], order=2, directions=1)
    tg.testing.check_grad(lambda x: ops.std(x, 1, correction, keepdim=True), [X], directions=1)


def test_the_variance_of_large_numbers_keeps_its_digits():
    assert ops.var(tg.Tensor([1e8, 1e8 + 1, 1e8 + 2], "float64")).item() == pytest.approx(1.0, rel=1e-12)


# Extremes


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_logsumexp_far_from_zero(dtype):
    rows = [[1000.0, 1000.0], [-1000.0, -1000.0], [1000.0, -1000.0], [-math.inf, 0.0], [-math.inf, -math.inf]]
    x = leaf(rows, dtype)
    y = ops.logsumexp(x, 1)
    two = math.log(2)
    np.testing.assert_allclose(y.numpy(), [1000 + two, -1000 + two, 1000.0, 0.0, -math.inf], rtol=1e-6)
    slopes = tg.grad(ops.logsumexp(x[:4], 1).sum(), x).numpy()[:4]
    np.testing.assert_allclose(slopes, [[0.5, 0.5], [0.5, 0.5], [1.0, 0.0], [0.0, 1.0]], rtol=1e-4)


def test_logsumexp_of_infinity():
    assert ops.logsumexp(tg.Tensor([math.inf, 0.0])).item() == math.inf


@pytest.mark.parametrize("dim", [0, 1, -1])
def test_softmax_adds_up_to_one_and_log_softmax_is_its_logarithm(dim):
    x = tg.Tensor(X[0] * 300)
    np.testing.assert_allclose(ops.softmax(x, dim).sum(dim).numpy(), 1.0, rtol=1e-12)
    shifted = X[0] * 300 - np.max(X[0] * 300, axis=dim, keepdims=True)
    expected = shifted - np.log(np.exp(shifted).sum(axis=dim, keepdims=True))
    np.testing.assert_allclose(ops.log_softmax(x, dim).numpy(), expected, rtol=1e-11, atol=1e-11)
    tg.testing.check_grad(lambda x: ops.softmax(x, dim), [X[0]], order=2, directions=1)
    tg.testing.check_grad(lambda x: ops.log_softmax(x, dim), [X[0]], order=2, directions=1)

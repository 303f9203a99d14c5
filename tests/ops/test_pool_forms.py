"""Norms of windows, averages weighted by distance, the largest of several channels."""

from __future__ import annotations

import math

import numpy as np
import pytest

import tinygrad_cnn as tg
from tests import oracles
from tinygrad_cnn import ops
from tinygrad_cnn.errors import ArgumentError, DTypeError, ShapeError
from tinygrad_cnn.testing import check_grad

random = np.random.default_rng(6)


def each_window(x, kernel, stride, padding, collect):
    """A number made of the pairs (cell, pixel) of each window, those on the padding left out."""
    ones = (1,) * len(kernel)
    pairs = tuple((each, each) for each in padding)
    y = np.zeros((*x.shape[:2], *oracles.count_places(x.shape[2:], kernel, stride, pairs, ones)))
    for n, c, *place in np.ndindex(*y.shape):
        found = oracles.cells(tuple(place), kernel, stride, pairs, ones)
        y[(n, c, *place)] = collect([(cell, x[(n, c, *at)]) for cell, at in found if oracles.inside(at, x.shape[2:])])
    return y


# Norms


def test_the_norm_of_a_window():
    image = tg.Tensor([[[[3.0, 4.0, 0.0, 0.0], [0.0, 0.0, 5.0, 12.0]]]])
    assert ops.lp_pool2d(image, 2, 2).tolist() == [[[[5, 13]]]]
    assert ops.lp_pool2d(image, 1, 2).tolist() == ops.sum_pool2d(image, 2).tolist() == [[[[7, 17]]]]


@pytest.mark.parametrize(
    ("size", "kernel", "stride"), [((7,), (3,), (2,)), ((5, 6), (2, 3), (1, 2)), ((3, 4, 3), (2, 2, 1), (1, 2, 1))]
)
@pytest.mark.parametrize("p", [2, 3, 1.5])
def test_lp_pool_is_the_loop(size, kernel, stride, p):
    x = random.uniform(0.2, 2.0, (2, 3, *size))
    pool = {1: ops.lp_pool1d, 2: ops.lp_pool2d, 3: ops.lp_pool3d}[len(size)]
    expected = each_window(x, kernel, stride, (0,) * len(size), lambda w: sum(v**p for _, v in w) ** (1 / p))
    np.testing.assert_allclose(pool(tg.Tensor(x), p, kernel, stride).numpy(), expected, rtol=1e-12)
    check_grad(lambda x: pool(x, p, kernel, stride), [x[:1, :1]], order=2)


def test_the_norm_of_nothing_has_no_slope():
    x = tg.Tensor([[[0.0, 0.0, 3.0, 4.0]]], requires_grad=True)
    ops.lp_pool1d(x, 2, 2).sum().backward()
    np.testing.assert_allclose(x.grad.numpy(), [[[0, 0, 0.6, 0.8]]], rtol=1e-6)


def test_a_large_p_comes_near_the_maximum():
    x = tg.Tensor(random.uniform(0.5, 2.0, (1, 1, 6, 6)))
    near, largest = ops.lp_pool2d(x, 200, 3), ops.max_pool2d(x, 3)
    np.testing.assert_allclose(near.numpy(), largest.numpy(), rtol=0.02)


# Distance


def test_the_weights_of_a_window():
    inverse = ops.distance_weights((3, 3))
    np.testing.assert_allclose(inverse[1, 1] / inverse[0, 1], 2)
    np.testing.assert_allclose(inverse[1, 1] / inverse[0, 0], 1 + math.sqrt(2))
    gaussian = ops.distance_weights((5,), "gaussian")
    np.testing.assert_allclose(gaussian[2] / gaussian[0], math.exp(2**2 / (2 * 1.25**2)))
    for weights in (inverse, gaussian, ops.distance_weights((2, 3, 4))):
        assert math.isclose(weights.sum(), 1)
        np.testing.assert_allclose(weights, np.flip(weights), rtol=1e-15)


@pytest.mark.parametrize("weights", ["inverse", "gaussian"])
@pytest.mark.parametrize(
    ("size", "kernel", "stride", "padding"),
    [
        ((7,), (3,), (2,), (1,)),
        ((5, 6), (3, 2), (1, 2), (1, 0)),
        ((4, 5), (3, 3), (3, 3), (0, 0)),
        ((3, 4, 3), (2, 3, 1), (1, 2, 1), (1, 1, 0)),
    ],
)
def test_weighted_pool_is_the_loop(size, kernel, stride, padding, weights):
    x = random.standard_normal((2, 3, *size))
    cells = ops.distance_weights(kernel, weights)

    def average(window):
        return sum(cells[cell] * v for cell, v in window) / sum(cells[cell] for cell, _ in window)

    pool = {1: ops.weighted_pool1d, 2: ops.weighted_pool2d, 3: ops.weighted_pool3d}[len(size)]
    expected = each_window(x, kernel, stride, padding, average)
    np.testing.assert_allclose(pool(tg.Tensor(x), kernel, stride, padding, weights).numpy(), expected, rtol=1e-12)
    check_grad(lambda x: pool(x, kernel, stride, padding, weights) ** 2, [x[:1, :1]], order=2)


def test_a_constant_image_stays_what_it_is_without_losing_size():
    ones = tg.Tensor(np.ones((1, 2, 5, 4), np.float32))
    y = ops.weighted_pool2d(ones, 3, 1, "same")
    assert y.dtype == np.float32
    np.testing.assert_allclose(y.numpy(), ones.numpy(), rtol=1e-6)


def test_all_corners_of_a_square_are_equally_far():
    x = tg.Tensor(random.standard_normal((2, 3, 4, 6)))
    np.testing.assert_allclose(ops.weighted_pool2d(x, 2).numpy(), ops.avg_pool2d(x, 2).numpy(), rtol=1e-12)


# Channels


def test_the_largest_of_neighbouring_channels():
    x = random.permutation(2 * 6 * 5).reshape(2, 6, 5) / 3.0
    y = ops.maxout(tg.Tensor(x), 3).numpy()
    for n, c, place in np.ndindex(*y.shape):
        assert y[n, c, place] == max(x[n, 3 * c + i, place] for i in range(3))
    check_grad(lambda x: ops.maxout(x, 3) ** 2, [x], order=2)
    np.testing.assert_array_equal(ops.maxout(tg.Tensor(x.transpose(0, 2, 1)), 3, dim=-1).numpy(), y.transpose(0, 2, 1))


def test_filters_for_two_directions_answer_as_one():
    edge = np.zeros((5, 5))
    edge[:, 2:] = 1.0
    filters = np.stack([np.array([[-1.0, 1.0], [-1.0, 1.0]]), np.array([[-1.0, -1.0], [1.0, 1.0]])])[:, None]
    answers = [
        ops.maxout(ops.conv2d(tg.Tensor(np.array(image)[None, None]), tg.Tensor(filters)), 2).numpy().max()
        for image in (edge, edge.T)
    ]
    assert answers == [2, 2]


def test_symbols_and_empty_batches():
    image, nothing = tg.symbol((8, 6, 5, 7)), tg.Tensor(np.zeros((0, 6, 5, 7)))
    for x, n in ((image, 8), (nothing, 0)):
        assert ops.lp_pool2d(x, 2, 2).shape == (n, 6, 2, 3)
        assert ops.weighted_pool2d(x, 3, 1, 1).shape == (n, 6, 5, 7)
        assert ops.sum_pool2d(x, 2).shape == (n, 6, 2, 3)
        assert ops.maxout(x, 2).shape == (n, 3, 5, 7)


def image(*shape, dtype="float32"):
    return tg.Tensor(np.zeros(shape, dtype))


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: ops.lp_pool2d(image(1, 1, 4, 4), 0, 2), ArgumentError, "lp_pool2d: there is no such norm"),
        (lambda: ops.lp_pool2d(image(1, 1, 4, 4), math.inf, 2), ArgumentError, "use max_pool2d"),
        (lambda: ops.lp_pool1d(image(1, 1, 4), 2, 5), ShapeError, "lp_pool1d: the kernel is larger"),
        (lambda: ops.sum_pool2d(image(1, 1, 4, 4), 5), ShapeError, "sum_pool2d: the kernel is larger"),
        (lambda: ops.sum_pool2d(image(1, 1, 4, 4, dtype="int64"), 2), DTypeError, "sum_pool2d: is not defined"),
        (lambda: ops.weighted_pool2d(image(1, 1, 4, 4), 5), ShapeError, "weighted_pool2d: the kernel is larger"),
        (lambda: ops.weighted_pool2d(image(1, 1, 4, 4), 3, weights="gauss"), ArgumentError, "weights='gauss'"),
        (lambda: ops.maxout(image(1, 5, 4, 4), 2), ShapeError, "5 channels cannot be divided into groups of 2"),
        (lambda: ops.maxout(image(1, 5), 0), ArgumentError, "a group needs a channel"),
    ],
)
def test_errors_name_what_is_wrong(call, error, words):
    with pytest.raises(error, match=words):
        call()

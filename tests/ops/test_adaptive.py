"""Pooling to a given size: bins, plain loops, places, the whole image, and errors that teach."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

import tinygrad_cnn as tg
from tinygrad_cnn import ops
from tinygrad_cnn.errors import ArgumentError, DTypeError, ShapeError
from tinygrad_cnn.testing import check_grad

from .oracles_resample import bin_of

random = np.random.default_rng(5)

AVERAGE = {1: ops.adaptive_avg_pool1d, 2: ops.adaptive_avg_pool2d, 3: ops.adaptive_avg_pool3d}
MAXIMUM = {1: ops.adaptive_max_pool1d, 2: ops.adaptive_max_pool2d, 3: ops.adaptive_max_pool3d}
SIZES = [((7,), (3,)), ((3,), (5,)), ((5, 7), (3, 2)), ((6, 4), (3, 2)), ((4, 5), (1, 1)), ((3, 4, 5), (2, 4, 3))]


def loops(x, target, choose):
    """One number of each bin."""
    y = np.zeros((*x.shape[:2], *target))
    for n, c, *place in np.ndindex(*y.shape):
        bins = [bin_of(*each) for each in zip(place, x.shape[2:], target, strict=True)]
        y[(n, c, *place)] = choose([x[(n, c, *pixel)] for pixel in itertools.product(*bins)])
    return y


def test_bins_share_a_pixel_where_the_image_cannot_be_divided():
    line = tg.Tensor([[[1.0, 2.0, 3.0, 4.0, 5.0]]])
    assert ops.adaptive_avg_pool1d(line, 2).tolist() == [[[2, 4]]]  # 1 2 3 and 3 4 5
    assert ops.adaptive_max_pool1d(line, 3).tolist() == [[[2, 4, 5]]]  # 1 2, 2 3 4 and 4 5


@pytest.mark.parametrize(("size", "target"), SIZES)
def test_pooling_is_the_loop(size, target):
    x = random.standard_normal((2, 3, *size))
    average, largest = AVERAGE[len(size)](tg.Tensor(x), target), MAXIMUM[len(size)](tg.Tensor(x), target)
    np.testing.assert_allclose(average.numpy(), loops(x, target, np.mean), rtol=1e-12)
    np.testing.assert_array_equal(largest.numpy(), loops(x, target, max))


@pytest.mark.parametrize(("size", "target"), SIZES)
def test_the_places_are_those_of_the_largest(size, target):
    x = random.standard_normal((2, 3, *size))
    largest, places = MAXIMUM[len(size)](tg.Tensor(x), target, return_indices=True)
    assert places.dtype == np.int64
    flat = np.take_along_axis(x.reshape(2, 3, -1), places.numpy().reshape(2, 3, -1), 2)
    np.testing.assert_array_equal(flat.reshape(largest.shape), largest.numpy())


@pytest.mark.parametrize(("size", "target"), SIZES)
def test_gradients_to_second_order(size, target):
    x = random.permutation(2 * math.prod(size)).reshape(1, 2, *size) / 3.0  # no two alike
    for pool in (AVERAGE[len(size)], MAXIMUM[len(size)]):
        check_grad(lambda x, pool=pool: pool(x, target) ** 2, [x], order=2)


def test_the_first_of_equals_gets_the_gradient():
    for target in (1, 2, 3):  # the whole line, bins alike, bins that share pixels
        x = tg.Tensor(np.ones((1, 1, 4)), requires_grad=True)
        _, places = ops.adaptive_max_pool1d(x, target, return_indices=True)
        ops.adaptive_max_pool1d(x, target).sum().backward()
        assert np.flatnonzero(x.grad.numpy()).tolist() == places.numpy().ravel().tolist()
        assert places.tolist() == {1: [[[0]]], 2: [[[0, 2]]], 3: [[[0, 1, 2]]]}[target]


def test_nan_wins():
    x = tg.Tensor([[[1.0, math.nan, 3.0, 4.0, 5.0]]])
    assert np.isnan(ops.adaptive_max_pool1d(x, 3).numpy()).tolist() == [[[True, True, False]]]


def test_none_keeps_an_axis_and_a_single_image_has_no_batch():
    x = random.standard_normal((3, 5, 4))
    for pool in (ops.adaptive_avg_pool2d, ops.adaptive_max_pool2d):
        y = pool(tg.Tensor(x), (2, None))
        assert y.shape == (3, 2, 4)
        np.testing.assert_array_equal(y.numpy(), pool(tg.Tensor(x[None]), (2, 4)).numpy()[0])


@pytest.mark.parametrize("axes", [1, 2, 3])
def test_the_whole_image(axes):
    x = random.standard_normal((2, 3, *(4, 3, 2)[:axes])).astype(np.float32)
    inside = tuple(range(2, 2 + axes))
    average, largest = getattr(ops, f"global_avg_pool{axes}d"), getattr(ops, f"global_max_pool{axes}d")
    np.testing.assert_allclose(average(tg.Tensor(x)).numpy(), x.mean(inside), rtol=1e-6)
    np.testing.assert_array_equal(largest(tg.Tensor(x)).numpy(), x.max(inside))
    for one, pool in ((average, AVERAGE[axes]), (largest, MAXIMUM[axes])):
        np.testing.assert_array_equal(one(tg.Tensor(x), keepdim=True).numpy(), pool(tg.Tensor(x), 1).numpy())
        np.testing.assert_array_equal(one(tg.Tensor(x[0])).numpy(), one(tg.Tensor(x)).numpy()[0])


def test_an_empty_batch():
    x = tg.Tensor(np.zeros((0, 3, 5, 4)))
    for pool in (ops.adaptive_avg_pool2d, ops.adaptive_max_pool2d):
        for size in (1, 2, 3):
            assert pool(x, size).shape == (0, 3, size, size)
    assert ops.global_avg_pool2d(x).shape == ops.global_max_pool2d(x).shape == (0, 3)


def test_symbols_have_the_new_size():
    image = tg.symbol((8, 3, 13, 9))
    assert ops.adaptive_avg_pool2d(image, 6).shape == (8, 3, 6, 6)
    assert [each.shape for each in ops.adaptive_max_pool2d(image, 6, return_indices=True)] == [(8, 3, 6, 6)] * 2


def image(*shape, dtype="float32"):
    return tg.Tensor(np.zeros(shape, dtype))


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: ops.adaptive_avg_pool2d(image(1, 1, 4, 4), 0), ArgumentError, "output_size needs whole numbers"),
        (lambda: ops.adaptive_max_pool2d(image(1, 1, 4, 4), (1, 2, 3)), ArgumentError, "3 numbers for 2 spatial axes"),
        (lambda: ops.adaptive_avg_pool2d(image(4, 4), 2), ShapeError, "adaptive_avg_pool2d: the input has 2 axes"),
        (lambda: ops.global_avg_pool2d(image(1, 1, 0, 4)), ShapeError, "global_avg_pool2d: there are no pixels"),
        (lambda: ops.global_max_pool1d(image(1, 1, 4, 4)), ShapeError, "global_max_pool1d: the input has 4 axes"),
        (lambda: ops.adaptive_avg_pool2d(image(1, 1, 4, 4, dtype="int64"), 2), DTypeError, "adaptive_avg_pool2d"),
    ],
)
def test_errors_name_what_is_wrong(call, error, words):
    with pytest.raises(error, match=words):
        call()

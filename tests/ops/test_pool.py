"""Pooling: worked numbers, plain loops, borders, ties, NaN, and errors that teach."""

from __future__ import annotations

import math

import numpy as np
import pytest

import tinygrad_cnn as tg
from tests import oracles
from tinygrad_cnn import ops
from tinygrad_cnn.errors import ArgumentError, DTypeError, PositionError, ShapeError
from tinygrad_cnn.testing import check_grad

random = np.random.default_rng(7)

MAX_POOL = {1: ops.max_pool1d, 2: ops.max_pool2d, 3: ops.max_pool3d}
AVG_POOL = {1: ops.avg_pool1d, 2: ops.avg_pool2d, 3: ops.avg_pool3d}

SETTINGS = [  # size, kernel, stride, padding, dilation
    ((7,), (3,), (2,), (1,), (1,)),
    ((8,), (2,), (3,), (0,), (3,)),
    ((4, 4), (2, 2), (2, 2), (0, 0), (1, 1)),
    ((5, 7), (3, 2), (1, 2), (1, 1), (1, 1)),
    ((6, 5), (3, 3), (2, 2), (1, 1), (2, 1)),
    ((1, 6), (1, 4), (1, 3), (0, 2), (1, 1)),
    ((3, 4, 5), (2, 3, 1), (2, 1, 2), (1, 1, 0), (1, 1, 1)),
]
NAMES = ("size", "kernel", "stride", "padding", "dilation")


def plane(rows, **more):
    return tg.Tensor([[rows]], dtype="float32", **more)


def both_sides(padding):
    return tuple((each, each) for each in padding)


# Worked numbers


@pytest.mark.parametrize(
    ("image", "result"),
    [
        ([[12, 20, 30, 0], [8, 12, 2, 0], [34, 70, 37, 4], [112, 100, 25, 12]], [[20, 30], [112, 37]]),
        ([[1, 1, 2, 4], [5, 6, 7, 8], [3, 2, 1, 0], [1, 2, 3, 4]], [[6, 8], [3, 4]]),
    ],
)
def test_max_pooling_two_by_two(image, result):
    assert ops.max_pool2d(plane(image), 2).tolist() == [[result]]


def test_average_and_sum_pooling():
    image = plane([[1, 1, 2, 4], [5, 6, 7, 8], [3, 2, 1, 0], [1, 2, 3, 4]])
    assert ops.avg_pool2d(image, 2).tolist() == [[[[3.25, 5.25], [2, 2]]]]
    assert ops.sum_pool2d(image, 2).tolist() == [[[[13, 21], [8, 8]]]]
    assert ops.avg_pool2d(image, 2, divisor_override=1).tolist() == [[[[13, 21], [8, 8]]]]


def test_sums_in_one_and_three_axes():
    x = random.standard_normal((2, 3, 5, 4, 6))
    average = ops.avg_pool3d(tg.Tensor(x), 2, 1).numpy()
    np.testing.assert_allclose(ops.sum_pool3d(tg.Tensor(x), 2, 1).numpy(), 8 * average, atol=1e-12)
    line = tg.Tensor([[[1.0, 2.0, 3.0, 4.0, 5.0]]])
    assert ops.sum_pool1d(line, 2, ceil_mode=True).tolist() == [[[3, 7, 5]]]
    assert ops.sum_pool1d(line, 3, 2, 1).tolist() == [[[3, 9, 9]]]


# Plain loops


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("ceil_mode", [False, True])
@pytest.mark.parametrize(NAMES, SETTINGS)
def test_max_pool_is_the_loop(size, kernel, stride, padding, dilation, ceil_mode, dtype):
    x = random.standard_normal((2, 3, *size)).astype(dtype)
    found = MAX_POOL[len(size)](tg.Tensor(x), kernel, stride, padding, dilation, ceil_mode)
    assert found.dtype == dtype
    expected = oracles.max_pool_nd(x, kernel, stride, both_sides(padding), dilation, ceil_mode)
    np.testing.assert_array_equal(found.numpy(), expected)


@pytest.mark.parametrize("settings", [(False, True), (False, False), (True, True), (True, False), (True, True, 3)])
@pytest.mark.parametrize(NAMES, SETTINGS)
def test_avg_pool_is_the_loop(size, kernel, stride, padding, dilation, settings):
    if len(settings) == 3 and len(size) == 1:
        settings = settings[:2]  # as in PyTorch, avg_pool1d has no divisor_override
    x = random.standard_normal((2, 3, *size))
    found = AVG_POOL[len(size)](tg.Tensor(x), kernel, stride, padding, *settings)
    expected = oracles.avg_pool_nd(x, kernel, stride, both_sides(padding), *settings)
    assert found.shape == expected.shape
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-12)


@pytest.mark.parametrize("ceil_mode", [False, True])
@pytest.mark.parametrize(NAMES, SETTINGS)
def test_gradients_to_second_order(size, kernel, stride, padding, dilation, ceil_mode):
    x = random.permutation(2 * math.prod(size)).reshape(1, 2, *size) / 3.0  # no two alike
    maximum, average = MAX_POOL[len(size)], AVG_POOL[len(size)]
    check_grad(lambda x: maximum(x, kernel, stride, padding, dilation, ceil_mode) ** 2, [x], order=2)
    check_grad(lambda x: average(x, kernel, stride, padding, ceil_mode, False), [x], order=2)


def test_float32_gives_float32_gradients():
    for pool in (ops.max_pool2d, ops.avg_pool2d):
        x = tg.Tensor(random.standard_normal((1, 1, 4, 4)).astype("float32"), requires_grad=True)
        pool(x, 3, 1, 1, ceil_mode=True).sum().backward()
        assert x.grad.dtype == np.float32


# Borders, ties, NaN


def test_an_image_of_minus_one_stays_minus_one_at_the_border():
    minus = plane([[-1.0] * 4] * 4)
    assert ops.max_pool2d(minus, 3, 1, 1).tolist() == minus.tolist()
    assert ops.max_pool2d(minus, 3, 2, "same").tolist() == [[[[-1, -1], [-1, -1]]]]


def test_the_first_of_equals_gets_the_gradient():
    x = plane([[1, 2, 0, 0], [2, 2, 0, 0]], requires_grad=True)
    ops.max_pool2d(x, 2).sum().backward()
    assert x.grad.tolist() == [[[[0, 1, 1, 0], [0, 0, 0, 0]]]]


def test_a_pixel_that_wins_twice_gets_both_gradients():
    x = tg.Tensor([[[0.0, 5.0, 1.0]]], requires_grad=True)
    ops.max_pool1d(x, 2, 1).backward(tg.Tensor([[[10.0, 100.0]]]))
    assert x.grad.tolist() == [[[0, 110, 0]]]


def test_nan_goes_through_and_gets_the_gradient():
    x = tg.Tensor([[[1.0, math.nan, 3.0, 4.0, 2.0, 0.0]]], requires_grad=True)
    y = ops.max_pool1d(x, 3)
    np.testing.assert_array_equal(y.numpy(), [[[math.nan, 4.0]]])
    y.backward(tg.Tensor([[[1.0, 1.0]]]))
    assert x.grad.tolist() == [[[0, 1, 0, 1, 0, 0]]]


def test_the_gradient_never_falls_on_the_padding():
    x = tg.Tensor(np.full((1, 1, 3), -math.inf), requires_grad=True)
    ops.max_pool1d(x, 3, 1, 1).backward(tg.Tensor(np.array([[[1.0, 10.0, 100.0]]])))
    assert x.grad.tolist() == [[[11, 100, 0]]]


def test_infinite_gradients_do_not_spoil_their_neighbours():
    x = tg.Tensor([[[1.0, 2.0]]], requires_grad=True)
    ops.max_pool1d(x, 2).backward(tg.Tensor([[[math.inf]]]))
    assert x.grad.tolist() == [[[0, math.inf]]]


@pytest.mark.parametrize("count_include_pad", [True, False])
def test_padding_in_an_average(count_include_pad):
    ones = plane([[1.0, 1.0], [1.0, 1.0]])
    corner = ops.avg_pool2d(ones, 2, 1, 1, count_include_pad=count_include_pad).numpy()[0, 0, 0, 0]
    assert corner == (0.25 if count_include_pad else 1.0)


def test_the_last_window_of_the_ceil_mode_starts_inside():
    line = tg.Tensor([[[1.0, 2.0, 3.0, 4.0, 5.0]]])
    assert ops.max_pool1d(line, 2, 2).tolist() == [[[2, 4]]]
    assert ops.max_pool1d(line, 2, 2, ceil_mode=True).tolist() == [[[2, 4, 5]]]
    assert ops.avg_pool1d(line, 2, 2, ceil_mode=True).tolist() == [[[1.5, 3.5, 5]]]
    assert ops.max_pool1d(line, 1, 3, ceil_mode=True).tolist() == [[[1, 4]]]  # a third would start behind the end


# Places, and back


UNPOOL = {1: ops.max_unpool1d, 2: ops.max_unpool2d, 3: ops.max_unpool3d}


@pytest.mark.parametrize("ceil_mode", [False, True])
@pytest.mark.parametrize(NAMES, SETTINGS)
def test_the_places_are_those_of_the_largest(size, kernel, stride, padding, dilation, ceil_mode):
    x = random.standard_normal((2, 3, *size))
    pool = MAX_POOL[len(size)]
    largest, places = pool(tg.Tensor(x), kernel, stride, padding, dilation, ceil_mode, return_indices=True)
    assert places.dtype == np.int64
    flat = np.take_along_axis(x.reshape(2, 3, -1), places.numpy().reshape(2, 3, -1), 2)
    np.testing.assert_array_equal(flat.reshape(largest.shape), largest.numpy())


def test_places_count_in_row_major_order_and_name_the_first_of_equals():
    image = plane([[1, 2, 0, 0], [2, 2, 0, math.nan]])
    _, places = ops.max_pool2d(image, 2, return_indices=True)
    assert places.tolist() == [[[[1, 7]]]]
    _, places = ops.max_pool2d(tg.Tensor(image.numpy()[0]), 2, return_indices=True)
    assert places.tolist() == [[[1, 7]]]


@pytest.mark.parametrize("axes", [1, 2, 3])
def test_unpooling_puts_each_number_where_it_was(axes):
    n = (7, 5, 3)[axes - 1]
    x = random.permutation(2 * n**axes).reshape(1, 2, *[n] * axes) / 3.0 + 1
    y, places = MAX_POOL[axes](tg.Tensor(x), 2, return_indices=True)
    back = UNPOOL[axes](y, places, 2, output_size=x.shape).numpy()
    assert np.count_nonzero(back) == y.numel()
    np.testing.assert_array_equal(back[back > 0], x[back > 0])
    np.testing.assert_array_equal(MAX_POOL[axes](tg.Tensor(back), 2).numpy(), y.numpy())
    assert UNPOOL[axes](y, np.minimum(places.numpy(), 5), 2).shape == (1, 2, *[n - 1] * axes)
    np.testing.assert_array_equal(
        UNPOOL[axes](tg.Tensor(y.numpy()[0]), tg.Tensor(places.numpy()[0]), 2, output_size=[n] * axes).numpy(), back[0]
    )
    check_grad(lambda y: UNPOOL[axes](y, places, 2, output_size=x.shape) ** 2, [y.numpy()], order=2)


def test_a_pixel_that_won_twice_comes_back_as_it_was():
    x = tg.Tensor([[[0.0, 5.0, 1.0, 0.0]]])
    y, places = ops.max_pool1d(x, 2, 1, return_indices=True)
    assert ops.max_unpool1d(y, places, 2, 1).tolist() == [[[0, 5, 1, 0]]]


def test_symbols_are_unpooled():
    x = tg.symbol((1, 1, 4, 4))
    y, places = ops.max_pool2d(x, 2, return_indices=True)
    back = ops.max_unpool2d(y, places, 2)
    numbers = np.arange(16.0, dtype=np.float32).reshape(1, 1, 4, 4)
    assert back.shape == x.shape
    assert np.flatnonzero(tg.evaluate(back, {x: numbers}).numpy()).tolist() == [5, 7, 13, 15]


# Batches


def test_an_empty_batch():
    for pool in (ops.max_pool2d, ops.avg_pool2d):
        x = tg.Tensor(np.zeros((0, 3, 4, 4)), requires_grad=True)
        y = pool(x, 2)
        y.sum().backward()
        assert y.shape == (0, 3, 2, 2)
        assert x.grad.shape == x.shape


def test_a_single_sample_has_no_batch_axis():
    x = random.standard_normal((3, 4, 4))
    for pool in (ops.max_pool2d, ops.avg_pool2d):
        np.testing.assert_array_equal(pool(tg.Tensor(x), 2).numpy(), pool(tg.Tensor(x[None]), 2).numpy()[0])


# Errors

unpool = ops.max_unpool2d


def image(*shape, dtype="float32"):
    return tg.Tensor(np.zeros(shape, dtype))


def test_padding_of_more_than_half_of_the_window():
    with pytest.raises(ArgumentError) as caught:
        ops.max_pool2d(image(1, 1, 8, 8), (4, 3), padding=2)
    message = str(caught.value)
    assert "max_pool2d: padding is more than half of the window on spatial axis 1" in message
    assert "padding <= kernel_size / 2, so that no window sees padding alone, but 2 > 3 / 2 = 1.5" in message


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: ops.max_pool2d(image(1, 1, 4, 1), 2), ShapeError, "max_pool2d: the kernel .* axis 1: 2 against 1"),
        (lambda: ops.avg_pool1d(image(1, 1, 4, 4), 2), ShapeError, "avg_pool1d: the input has 4 axes, not 3"),
        (lambda: ops.max_pool2d(image(1, 1, 4, 4, dtype="int64"), 2), DTypeError, "max_pool2d: is not defined"),
        (lambda: ops.avg_pool2d(image(1, 1, 4, 4, dtype="int64"), 2), DTypeError, "avg_pool2d: is not defined"),
        (lambda: ops.avg_pool2d(image(1, 1, 4, 4), 2, divisor_override=0), ArgumentError, "divided by 0"),
        (lambda: ops.max_pool2d(image(1, 1, 4, 4), 0), ArgumentError, "kernel_size needs whole numbers"),
        (lambda: ops.max_pool2d(image(1, 1, 4, 4), 2, (2, 0)), ArgumentError, "stride needs whole numbers"),
        (lambda: unpool(image(1, 1, 2, 2), [[[[0, 5]]]], 2), ShapeError, "there must be one place for each number"),
        (lambda: unpool(image(1, 1, 1, 2), [[[[0, 8]]]], 2), PositionError, "0 <= place < 2 \\* 4 = 8"),
        (lambda: unpool(image(1, 1, 1, 2), [[[[0.0, 5.0]]]], 2), DTypeError, "float32 cannot be a place"),
        (
            lambda: unpool(image(1, 1, 1, 2), [[[[0, 5]]]], 2, output_size=(2, 6)), ShapeError,
            "cannot have started from 6 pixels on spatial axis 1(.|\n)*kernel_size: 3 to 5",
        ),
        (lambda: unpool(image(1, 1, 1, 2), [[[[0, 5]]]], 2, output_size=(1, 2, 3)), ArgumentError, "output_size has 3"),
    ],
)  # fmt: skip
def test_errors_name_what_is_wrong(call, error, words):
    with pytest.raises(error, match=words):
        call()

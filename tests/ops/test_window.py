"""Windows and their adjoint: sizes, order, overlap, and what is wrong with sizes that do not fit."""

from __future__ import annotations

import numpy as np
import pytest

import tinygrad_cnn as tg
from tests import oracles
from tinygrad_cnn import ops
from tinygrad_cnn.errors import ArgumentError, DTypeError, ShapeError
from tinygrad_cnn.ops.window import padding_pairs, places
from tinygrad_cnn.testing import check_grad

random = np.random.default_rng(3)

SETTINGS = [  # size, kernel, stride, padding, dilation
    ((7,), (3,), (1,), (0,), (1,)),
    ((8,), (3,), (2,), (1,), (2,)),
    ((5, 6), (2, 3), (1, 1), (0, 1), (1, 1)),
    ((5, 7), (2, 2), (3, 2), (1, 0), (2, 1)),  # strides that do not tile, windows with gaps
    ((1, 4), (1, 2), (2, 2), (0, 0), (1, 1)),
    ((4, 3, 5), (2, 1, 2), (1, 2, 2), (1, 0, 1), (2, 1, 1)),
]


def both_sides(padding):
    return tuple((each, each) for each in padding)


@pytest.mark.parametrize(("size", "kernel", "stride", "padding", "dilation"), SETTINGS)
def test_unfold_is_the_loop(size, kernel, stride, padding, dilation):
    x = random.standard_normal((2, 3, *size))
    expected = oracles.unfold(x, kernel, stride, both_sides(padding), dilation)
    found = ops.unfold(tg.Tensor(x), kernel, dilation, padding, stride)
    np.testing.assert_array_equal(found.numpy(), expected)


@pytest.mark.parametrize(("size", "kernel", "stride", "padding", "dilation"), SETTINGS)
def test_fold_is_the_adjoint_of_unfold(size, kernel, stride, padding, dilation):
    x = random.standard_normal((2, 3, *size))
    columns = oracles.unfold(x, kernel, stride, both_sides(padding), dilation)
    y = random.standard_normal(columns.shape)
    image = ops.fold(tg.Tensor(y), size, kernel, dilation, padding, stride).numpy()
    assert image.shape == x.shape
    np.testing.assert_allclose(np.vdot(image, x), np.vdot(y, columns), rtol=1e-12)


@pytest.mark.parametrize(("size", "kernel", "stride", "padding", "dilation"), SETTINGS[1::2])
def test_each_is_the_gradient_of_the_other(size, kernel, stride, padding, dilation):
    x = random.standard_normal((1, 2, *size))
    columns = oracles.unfold(x, kernel, stride, both_sides(padding), dilation)
    check_grad(lambda x: ops.unfold(x, kernel, dilation, padding, stride), [x], order=2)
    check_grad(lambda y: ops.fold(y, size, kernel, dilation, padding, stride), [columns], order=2)


def test_overlapping_windows_add_up():
    ones = ops.unfold(tg.Tensor(np.ones((1, 1, 3, 3))), 2)
    assert ops.fold(ones, 3, 2).tolist() == [[[[1, 2, 1], [2, 4, 2], [1, 2, 1]]]]


def test_without_a_batch_axis():
    x = random.standard_normal((2, 4, 4))
    columns = ops.unfold(tg.Tensor(x), (2, 2))
    assert columns.shape == (8, 9)
    assert ops.fold(columns, (4, 4), 2).shape == (2, 4, 4)


def test_an_empty_batch():
    assert ops.unfold(tg.Tensor(np.zeros((0, 3, 5, 5))), 3).shape == (0, 27, 9)
    assert ops.fold(tg.Tensor(np.zeros((0, 27, 9))), 5, 3).shape == (0, 3, 5, 5)


def test_views_in_another_order_of_memory():
    x = random.standard_normal((2, 3, 6, 6))
    views = [
        (tg.Tensor(x).permute(0, 1, 3, 2), x.transpose(0, 1, 3, 2)),
        (tg.Tensor(x).flip(2), x[:, :, ::-1]),
        (tg.Tensor(x)[:, ::2, ::2], x[:, ::2, ::2]),
        (tg.Tensor(x)[:1].broadcast_to(2, 3, 6, 6), np.broadcast_to(x[:1], x.shape)),
    ]
    for view, same in views:
        expected = oracles.unfold(same, (3, 2), (1, 2), ((1, 1), (0, 0)), (1, 1))
        np.testing.assert_array_equal(ops.unfold(view, (3, 2), 1, (1, 0), (1, 2)).numpy(), expected)


@pytest.mark.parametrize(("stride", "count"), [(1, 5), (2, 3), (3, 2)])
def test_output_size_rounds_down(stride, count):
    none = ((0, 0), (0, 0))
    assert places("conv2d", (7, 7), (3, 3), (stride, stride), none, (1, 1)) == (count, count)


@pytest.mark.parametrize(("kernel", "padding"), [(3, 1), (5, 2), (7, 3)])
def test_same_padding_is_half_of_the_kernel(kernel, padding):
    pairs = padding_pairs("conv2d", "same", (7, 9), (kernel, kernel), (1, 1), (1, 1))
    assert pairs == ((padding, padding), (padding, padding))


@pytest.mark.parametrize("n", [1, 2, 7, 8])
@pytest.mark.parametrize("kernel", [1, 2, 3, 5])
@pytest.mark.parametrize("stride", [1, 2, 3, 4])
@pytest.mark.parametrize("dilation", [1, 2])
def test_same_padding_keeps_the_size_over_the_stride(n, kernel, stride, dilation):
    pairs = padding_pairs("conv1d", "same", (n,), (kernel,), (stride,), (dilation,))
    assert places("conv1d", (n,), (kernel,), (stride,), pairs, (dilation,)) == (-(-n // stride),)
    assert 0 <= pairs[0][1] - pairs[0][0] <= 1  # the odd one comes after


def test_same_padding_may_have_another_stride_on_each_axis():
    pairs = padding_pairs("conv2d", "same", (8, 10), (3, 3), (3, 2), (1, 1))
    assert places("conv2d", (8, 10), (3, 3), (3, 2), pairs, (1, 1)) == (3, 5)


def test_a_window_larger_than_the_image():
    with pytest.raises(ShapeError) as caught:
        ops.unfold(tg.Tensor(np.zeros((1, 1, 9, 4))), 3, dilation=2)
    message = str(caught.value)
    assert "unfold: the kernel is larger than the padded image on spatial axis 1: 5 against 4" in message
    assert "floor((4 + 0 + 0 - (2 * (3 - 1) + 1)) / 1) + 1 = 0" in message


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"stride": 0}, "stride needs whole numbers of at least 1"),
        ({"dilation": 0}, "dilation needs whole numbers of at least 1"),
        ({"padding": -1}, "padding needs whole numbers of at least 0"),
        ({"stride": 1.5}, "stride needs whole numbers of at least 1"),
        ({"stride": (1, 2, 3)}, "stride has 3 numbers for 2 spatial axes"),
        ({"padding": "full"}, "there is no such padding"),
    ],
)
def test_settings_that_make_no_sense(settings, words):
    with pytest.raises(ArgumentError, match=words):
        ops.unfold(tg.Tensor(np.zeros((1, 1, 4, 4))), 2, **settings)


def test_columns_that_make_no_image():
    with pytest.raises(ShapeError, match=r"fold: the columns do not make up an image of \(4, 4\)"):
        ops.fold(tg.Tensor(np.zeros((1, 4, 8))), 4, 2)
    with pytest.raises(DTypeError, match="fold"):
        ops.fold(tg.Tensor(np.zeros((1, 4, 9), int)), 4, 2)
    with pytest.raises(ShapeError, match="unfold: there are 0 spatial axes"):
        ops.unfold(tg.Tensor(np.zeros((4, 4))), 2)

"""Shapes: what NumPy and PyTorch do, and the errors."""

from __future__ import annotations

import numpy as np
import pytest

import tinygrad_cnn as tg
from tinygrad_cnn import ops
from tinygrad_cnn.errors import ArgumentError, DTypeError, ShapeError

X = np.arange(24.0).reshape(2, 3, 4)


def leaf(data):
    return tg.Tensor(data, requires_grad=True)


# Reshaping


@pytest.mark.parametrize("to", [(24,), (4, 6), (-1,), (2, -1), (2, 3, 2, 2), (1, 24, 1), (-1, 1)])
def test_reshape(to):
    np.testing.assert_array_equal(tg.Tensor(X).reshape(to).numpy(), X.reshape(to))
    np.testing.assert_array_equal(tg.Tensor(X).reshape(*to).numpy(), X.reshape(to))


def test_reshape_of_nothing():
    empty = tg.Tensor(np.ones((0, 3)))
    assert empty.reshape(3, 0).shape == (3, 0)
    assert empty.reshape(-1, 3).shape == (0, 3)
    assert empty.reshape(-1).shape == (0,)
    with pytest.raises(ShapeError):  # 0 elements in rows of 0: any number of rows
        empty.reshape(-1, 0)


@pytest.mark.parametrize("to", [(5, 5), (-1, 5), (-1, -1), (-2, -12), ()])
def test_a_reshape_that_does_not_fit_is_an_error(to):
    with pytest.raises(ShapeError, match="24 elements"):
        ops.reshape(tg.Tensor(X), to)


def test_flatten_squeeze_and_unsqueeze():
    x = tg.Tensor(X)
    assert x.flatten().shape == (24,)
    assert x.flatten(1).shape == (2, 12)
    assert x.flatten(0, 1).shape == (6, 4)
    assert x.flatten(-2).shape == (2, 12)
    assert tg.Tensor(1.0).flatten().shape == (1,)
    assert x.unsqueeze(0).shape == (1, 2, 3, 4)
    assert x.unsqueeze(-1).shape == (2, 3, 4, 1)
    assert x.unsqueeze(3).unsqueeze(0).squeeze().shape == (2, 3, 4)
    assert x.unsqueeze(3).unsqueeze(0).squeeze(0).shape == (2, 3, 4, 1)
    assert x.squeeze(0).shape == (2, 3, 4)
    with pytest.raises(ArgumentError, match="no axis 5"):
        x.unsqueeze(5)


# Order of axes


def test_permute_and_transpose():
    x = tg.Tensor(X)
    np.testing.assert_array_equal(x.permute(2, 0, 1).numpy(), X.transpose(2, 0, 1))
    np.testing.assert_array_equal(x.permute((-1, 0, 1)).numpy(), X.transpose(2, 0, 1))
    np.testing.assert_array_equal(x.transpose(0, -1).numpy(), X.swapaxes(0, 2))
    np.testing.assert_array_equal(x.T.numpy(), X.T)
    assert x.permute(0, 1, 2) is x
    for dims in ((0, 1), (0, 0, 1), (0, 1, 2, 3)):
        with pytest.raises(ArgumentError):
            x.permute(*dims)


@pytest.mark.parametrize("dims", [0, -1, (0, 2), (0, 1, 2)])
def test_flip(dims):
    np.testing.assert_array_equal(ops.flip(tg.Tensor(X), dims).numpy(), np.flip(X, dims))
    x = leaf(X)
    weights = X**2
    np.testing.assert_array_equal(tg.grad((ops.flip(x, dims) * weights).sum(), x).numpy(), np.flip(weights, dims))


# Broadcasting


def test_broadcast_to_sums_the_gradient_of_copies():
    x = leaf([[1.0], [2.0]])
    y = x.broadcast_to(4, 2, 3)
    assert y.shape == (4, 2, 3)
    assert tg.grad(y.sum(), x).tolist() == [[12.0], [12.0]]
    assert tg.grad(x.broadcast_to(0, 2, 1).sum(), x).tolist() == [[0.0], [0.0]]


@pytest.mark.parametrize("to", [(3,), (2, 3, 5), (2, 1, 4), (24,)])
def test_a_broadcast_that_does_not_fit_is_an_error(to):
    with pytest.raises(ShapeError, match="cannot be repeated"):
        ops.broadcast_to(tg.Tensor(X), to)


# Joining and cutting


@pytest.mark.parametrize("dim", [0, 1, 2, -1])
def test_cat_and_split_are_inverse(dim):
    x = leaf(X)
    pieces = ops.split(x, 1, dim)
    assert len(pieces) == X.shape[dim]
    joined = ops.cat(pieces, dim)
    np.testing.assert_array_equal(joined.numpy(), X)
    np.testing.assert_array_equal(tg.grad((joined * X).sum(), x).numpy(), X)


def test_cat_gives_each_part_its_gradient():
    a, b = leaf(np.ones((2, 1))), leaf(np.ones((2, 2)))
    weights = np.array([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]])
    in_a, in_b = tg.grad((ops.cat([a, b], 1) * weights).sum(), [a, b])
    assert (in_a.tolist(), in_b.tolist()) == ([[1.0], [4.0]], [[2.0, 3.0], [5.0, 6.0]])


def test_cat_of_one_tensor_with_itself():
    x = leaf(np.array([1.0, 2.0]))
    assert tg.grad((ops.cat([x, x, x]) * np.arange(6.0)).sum(), x).tolist() == [6.0, 9.0]


def test_what_cat_refuses():
    with pytest.raises(ShapeError, match="tensor 1 of shape"):
        ops.cat([tg.Tensor(X), tg.Tensor(X[:, :2])], 0)
    with pytest.raises(DTypeError):
        ops.cat([tg.Tensor([1.0]), tg.Tensor([1])])
    with pytest.raises(ArgumentError, match="empty list"):
        ops.cat([])
    with pytest.raises(ArgumentError, match="no axis 0"):
        ops.cat([tg.Tensor(1.0), tg.Tensor(2.0)])
    with pytest.raises(ShapeError):
        ops.cat([tg.Tensor([1.0]), tg.Tensor([[1.0]])])


@pytest.mark.parametrize("dim", [0, 1, -1, 3])
def test_stack(dim):
    x, y = leaf(X), leaf(X + 100)
    stacked = ops.stack([x, y], dim)
    np.testing.assert_array_equal(stacked.numpy(), np.stack([X, X + 100], dim))
    weights = np.random.default_rng(0).normal(size=stacked.shape)
    in_x, in_y = tg.grad((stacked * weights).sum(), [x, y])
    np.testing.assert_array_equal(in_x.numpy(), np.take(weights, 0, dim))
    np.testing.assert_array_equal(in_y.numpy(), np.take(weights, 1, dim))


def test_stack_of_numbers():
    assert ops.stack([tg.Tensor(1.0), 2.0]).tolist() == [1.0, 2.0]


@pytest.mark.parametrize(
    ("size", "lengths"), [(3, [3, 1]), (4, [4]), (9, [4]), ([1, 3], [1, 3]), ([4, 0], [4, 0]), ([1, 1, 2], [1, 1, 2])]
)
def test_split(size, lengths):
    pieces = ops.split(tg.Tensor(X), size, 2)
    assert [each.shape[2] for each in pieces] == lengths
    np.testing.assert_array_equal(np.concatenate([each.numpy() for each in pieces], 2), X)


def test_what_split_refuses():
    with pytest.raises(ArgumentError, match="add up to 4"):
        ops.split(tg.Tensor(X), [1, 2], 2)
    with pytest.raises(ArgumentError, match="add up to 4"):
        ops.split(tg.Tensor(X), [5, -1], 2)
    with pytest.raises(ArgumentError, match="1 or more"):
        ops.split(tg.Tensor(X), 0)


def test_an_unused_piece_has_gradient_zero():
    x = leaf([1.0, 2.0, 3.0])
    first, _ = ops.split(x, [1, 2])
    assert tg.grad((first * 5.0).sum(), x).tolist() == [5.0, 0.0, 0.0]


# Padding


def test_the_widths_of_pad_start_with_the_last_axis():
    padded = ops.pad(tg.Tensor(X), (1, 2, 0, 3), value=-1.0)
    expected = np.pad(X, ((0, 0), (0, 3), (1, 2)), constant_values=-1.0)
    np.testing.assert_array_equal(padded.numpy(), expected)


def test_negative_widths_cut_away():
    assert ops.pad(tg.Tensor([1.0, 2.0, 3.0]), (-1, 1)).tolist() == [2.0, 3.0, 0.0]
    tg.testing.check_grad(lambda x: ops.pad(x, (-1, 2, 1, -1), value=5.0), [X], order=2, directions=1)
    with pytest.raises(ShapeError, match="more is cut away"):
        ops.pad(tg.Tensor([1.0]), (-1, -1))


def test_no_margin_is_no_change():
    np.testing.assert_array_equal(ops.pad(tg.Tensor(X), (0, 0)).numpy(), X)


def test_what_pad_refuses():
    with pytest.raises(ArgumentError, match="pairs"):
        ops.pad(tg.Tensor(X), (1,))
    with pytest.raises(ArgumentError, match="pairs"):
        ops.pad(tg.Tensor([1.0]), (1, 1, 1, 1))
    with pytest.raises(ArgumentError, match="mode"):
        ops.pad(tg.Tensor([1.0]), (1, 1), mode="circular")


# Views share memory with what they were made of; nobody can write into it


def test_nobody_can_write_into_a_tensor():
    x = tg.Tensor(X)
    with pytest.raises(ValueError, match="read-only"):
        x.T.numpy()[0, 0, 0] = 99.0
    np.testing.assert_array_equal(x.numpy(), X)

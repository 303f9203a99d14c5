"""Indexing for reading, against NumPy's."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

import tinygrad_cnn as tg
from tinygrad_cnn import ops
from tinygrad_cnn.errors import ArgumentError, DTypeError, GraphError, ImmutableError, ShapeError

quick = settings(max_examples=150, deadline=None, derandomize=True)

SHAPES = arrays.array_shapes(min_dims=1, max_dims=4, min_side=0, max_side=4)


def numbered(shape):
    return np.arange(float(np.prod(shape))).reshape(shape)


@st.composite
def basic(draw):
    """A shape, and integers, slices, ``...`` and ``None``."""
    shape = draw(SHAPES)
    return shape, draw(arrays.basic_indices(shape, allow_newaxis=True))


@st.composite
def advanced(draw):
    """A shape, and a key that mixes index arrays with slices, integers, ``...`` and ``None``."""
    shape = draw(arrays.array_shapes(min_dims=1, max_dims=4, min_side=1, max_side=4))
    target = draw(arrays.array_shapes(min_dims=0, max_dims=2, min_side=0, max_side=3))
    key = []
    for length in shape[: draw(st.integers(1, len(shape)))]:
        kind = draw(st.sampled_from(["array", "array", "slice", "integer", "new"]))
        if kind == "array":
            places = draw(st.sampled_from([target, *[tuple(1 for _ in target)], target[1:]]))
            key.append(draw(arrays.arrays(np.int64, places, elements=st.integers(-length, length - 1))))
        elif kind == "integer":
            key.append(draw(st.integers(-length, length - 1)))
        else:
            key.append(draw(st.slices(length)))
            if kind == "new":
                key.insert(draw(st.integers(0, len(key))), None)
    if draw(st.booleans()):
        key.append(Ellipsis)
    return shape, tuple(key)


def check(shape, key):
    """The numbers are NumPy's, and the gradient counts how often each element was read."""
    array = numbered(shape)
    expected = array[key]
    x = tg.Tensor(array, requires_grad=True)
    found = x[key]
    assert found.shape == expected.shape
    np.testing.assert_array_equal(found.numpy(), expected)

    weights = np.arange(1.0, expected.size + 1).reshape(expected.shape)
    slopes = np.zeros(shape)
    np.add.at(slopes, key, weights)
    np.testing.assert_array_equal(tg.grad((found * weights).sum(), x).numpy(), slopes)
    assert tg.symbol(shape, "float64")[key].shape == expected.shape


@quick
@given(basic())
def test_basic_keys(case):
    check(*case)


@quick
@given(advanced())
def test_keys_with_integer_arrays(case):
    check(*case)


@quick
@given(st.data())
def test_boolean_masks(data):
    shape = data.draw(SHAPES)
    axes = data.draw(st.integers(1, len(shape)))
    mask = data.draw(arrays.arrays(bool, shape[:axes]))
    array = numbered(shape)
    x = tg.Tensor(array, requires_grad=True)
    np.testing.assert_array_equal(x[mask].numpy(), array[mask])
    np.testing.assert_array_equal(x[tg.Tensor(mask)].numpy(), array[mask])
    slopes = np.zeros(shape)
    slopes[mask] = 1.0
    np.testing.assert_array_equal(tg.grad(x[mask].sum(), x).numpy(), slopes)


KEYS = {
    "negative step": np.s_[::-1, 3:0:-2],
    "an empty slice backwards": np.s_[0:3:-1],
    "an empty slice of nothing": np.s_[:, :, 5:],
    "a list": ([1, 0, 1],),
    "an empty list": ([],),
    "arrays apart": (np.array([0, 1]), slice(None), np.array([2, 0])),
    "a new axis between arrays": (np.array([0, 1]), None, np.array([2, 0])),
    "an integer apart from an array": (0, slice(None), np.array([2, 0])),
    "a mask beside a slice": (slice(None), np.array([True, False, True])),
    "a mask of two axes": (np.ones((2, 3), bool), 1),
    "a NumPy integer": (np.int64(1),),
    "an array without axes": (np.array(1),),
    "unsigned": (np.array([1, 0], np.uint8),),
}


@pytest.mark.parametrize("name", KEYS)
def test_a_key(name):
    check((2, 3, 4), KEYS[name] if name != "an empty list" else (np.array([], int),))
    found = tg.Tensor(numbered((2, 3, 4)))[KEYS[name]]
    expected = numbered((2, 3, 4))[KEYS[name]]
    np.testing.assert_array_equal(found.numpy(), expected)


def test_index_tensors_may_be_tensors():
    x = tg.Tensor(numbered((3, 4)), requires_grad=True)
    places = tg.Tensor([2, 0, 2])
    np.testing.assert_array_equal(x[places].numpy(), numbered((3, 4))[[2, 0, 2]])
    assert tg.grad(x[places].sum(), x).numpy()[:, 0].tolist() == [1.0, 0.0, 2.0]


def test_iteration_and_unpacking():
    a, b = tg.Tensor([[1.0, 2.0], [3.0, 4.0]])
    assert (a.tolist(), b.tolist()) == ([1.0, 2.0], [3.0, 4.0])


@pytest.mark.parametrize("key", [3, -4, (0, 4), (slice(None), -5), [0, 3], [-4], ([0], [4]), (0, [4, 0])], ids=str)
def test_a_position_outside_is_an_error(key):
    with pytest.raises(ArgumentError, match="outside an axis of length"):
        tg.Tensor(numbered((3, 4)))[key]


@pytest.mark.parametrize("key", [0, -1, [0], np.array([0, 0])], ids=str)
def test_nothing_can_be_picked_from_an_empty_axis(key):
    with pytest.raises(ArgumentError, match="length 0"):
        tg.Tensor(np.ones((0, 2)))[key]


def test_what_no_key_can_be():
    x = tg.Tensor(numbered((3, 4)))
    with pytest.raises(ArgumentError, match="3 positions for a tensor of 2 axes"):
        x[0, 0, 0]
    with pytest.raises(DTypeError, match="float32 cannot be an index"):
        x[[0.5]]
    with pytest.raises(DTypeError, match="bool"):
        x[True]
    with pytest.raises(ShapeError, match="do not fit together"):
        x[[0, 1], [0, 1, 2]]


def test_a_mask_of_the_wrong_length_is_an_error():
    with pytest.raises(ShapeError, match=r"\(2,\).*\(3,\)"):
        tg.Tensor(numbered((3, 4)))[np.array([True, False])]
    with pytest.raises(ShapeError, match=r"\(3, 3\).*\(3, 4\)"):
        tg.Tensor(numbered((2, 3, 4)))[:, np.ones((3, 3), bool)]


def test_two_ellipses_are_an_error():
    with pytest.raises(ArgumentError, match="only once"):
        tg.Tensor(numbered((3, 4)))[..., 0, ...]


def test_a_symbolic_mask_is_an_error_that_names_where():
    with pytest.raises(GraphError, match=r"tg\.where"):
        tg.Tensor([1.0, 2.0])[tg.symbol((2,), "bool")]


def test_assignment_is_an_error_that_names_the_alternatives():
    x = tg.Tensor([1.0, 2.0])
    with pytest.raises(ImmutableError, match=r"tg\.where"):
        x[0] = 5.0
    assert x.tolist() == [1.0, 2.0]


def test_an_index_that_is_read_twice_gets_both_gradients_in_second_order_too():
    places = np.array([0, 2, 0])
    tg.testing.check_grad(lambda x: x[places] ** 3, [np.array([0.5, 1.0, -1.5])], order=2)


# One element for each row


def test_take_along_dim_against_numpy():
    random = np.random.default_rng(0)
    x = random.normal(size=(3, 4))
    for dim in (0, 1, -1):
        places = random.integers(0, x.shape[dim], (3, 4))
        np.testing.assert_array_equal(
            ops.take_along_dim(tg.Tensor(x), places, dim).numpy(), np.take_along_axis(x, places, dim)
        )


def test_what_take_along_dim_refuses():
    x = tg.Tensor(numbered((2, 3)))
    with pytest.raises(ArgumentError, match="outside an axis of length 3"):
        ops.take_along_dim(x, [[3], [0]], 1)
    with pytest.raises(ArgumentError, match="0 <= index < 3"):  # as in PyTorch: -1 is no class number
        ops.take_along_dim(x, [[-1], [0]], 1)
    with pytest.raises(ShapeError, match="every axis but axis 1"):
        ops.take_along_dim(x, [[0]], 1)
    with pytest.raises(ShapeError):
        ops.take_along_dim(x, [0], 1)
    with pytest.raises(DTypeError, match="cannot be an index"):
        ops.take_along_dim(x, [[0.0], [1.0]], 1)


def test_one_hot():
    assert ops.one_hot([2, 0], 3).tolist() == [[0, 0, 1], [1, 0, 0]]
    assert ops.one_hot(np.zeros((2, 0), int), 4).shape == (2, 0, 4)
    assert ops.one_hot(tg.symbol((5,), "int64"), 3).shape == (5, 3)

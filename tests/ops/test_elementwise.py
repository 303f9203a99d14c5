"""Element-wise operations: types, ties, edges and extremes. That each is right in general is in ``test_operations``."""

from __future__ import annotations

import math
from functools import partial

import numpy as np
import pytest

import tinygrad_cnn as tg
from tinygrad_cnn import ops
from tinygrad_cnn.errors import ArgumentError, DTypeError, ShapeError


def leaf(data, dtype="float64"):
    return tg.Tensor(data, dtype=dtype, requires_grad=True)


# Types: nothing is widened or narrowed behind the user's back

SCALARS = [2, 2.0, True, np.float64(2), np.float32(2), np.int64(2), np.bool_(True)]


@pytest.mark.parametrize("scalar", SCALARS, ids=lambda scalar: f"{type(scalar).__module__}.{type(scalar).__name__}")
@pytest.mark.parametrize("operation", [ops.add, ops.sub, ops.mul, ops.div, ops.pow, ops.maximum, ops.minimum])
@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_a_number_takes_the_type_of_the_tensor(operation, scalar, dtype):
    x = leaf([1.0, 2.0, 3.0], dtype)
    for y in (operation(x, scalar), operation(scalar, x)):
        assert y.dtype == dtype
        assert tg.grad(y.sum(), x).dtype == dtype


def test_the_operators_keep_float32_too():
    x = leaf([1.0, 2.0], "float32")
    for y in (x * 2.0, 2.0 * x, x + 1, 1 - x, x / 3, 3 / x, x**2, x**0.5, 2**x, -x, abs(x), np.float64(2) * x):
        assert y.dtype == np.float32
        assert y.array.dtype == np.float32


@pytest.mark.parametrize("operation", [ops.add, ops.mul, ops.maximum, ops.eq, ops.lt])
def test_mixed_types_are_an_error(operation):
    with pytest.raises(DTypeError, match="float32 and float64"):
        operation(tg.Tensor([1.0], "float32"), tg.Tensor([1.0], "float64"))
    with pytest.raises(DTypeError, match="int64"):
        operation(tg.Tensor([1.0], "float32"), tg.Tensor([1], "int64"))


def test_an_array_that_meets_a_tensor_keeps_its_type():
    with pytest.raises(DTypeError, match="float32 and float64"):
        tg.Tensor([1.0]) + np.ones(1)
    assert (tg.Tensor([1.0]) + np.ones(1, np.float32)).dtype == np.float32


@pytest.mark.parametrize("number", [0.5, math.nan, math.inf, 2**63, -(2**63) - 1])
def test_a_number_that_an_integer_tensor_cannot_hold_is_an_error(number):
    with pytest.raises(DTypeError, match="does not fit into a tensor of int64"):
        tg.Tensor([1, 2]) + number


def test_a_whole_number_fits_an_integer_tensor():
    y = tg.Tensor([1, 2]) * 2.0
    assert (y.dtype, y.tolist()) == (np.dtype("int64"), [2, 4])


@pytest.mark.parametrize(
    "operation", [ops.exp, ops.log, ops.sqrt, ops.relu, ops.sigmoid, ops.tanh, ops.softplus, ops.erf, ops.leaky_relu]
)
def test_integers_must_be_converted_first(operation):
    with pytest.raises(DTypeError, match=r'int64(.|\n)*tensor\.to\("float32"\)'):
        operation(tg.Tensor([1, 2]))


def test_division_and_powers_of_integers_are_errors():
    for operation in (ops.div, ops.pow):
        with pytest.raises(DTypeError, match="int64"):
            operation(tg.Tensor([1, 2]), tg.Tensor([1, 2]))


def test_booleans_have_no_arithmetic_minus():
    flags = tg.Tensor([True, False])
    with pytest.raises(DTypeError, match="bool"):
        ops.sub(flags, flags)
    with pytest.raises(DTypeError, match="bool"):
        ops.neg(flags)
    assert (~flags).tolist() == [False, True]


def test_a_cast_gives_its_gradient_back_in_the_old_type():
    x = leaf([1.0, 2.0], "float32")
    slope = tg.grad((x.double() * 3.0).sum(), x)
    assert (slope.dtype, slope.tolist()) == (np.dtype("float32"), [3.0, 3.0])
    assert not ops.cast(x, "int64").requires_grad
    assert x.to("float32") is x


# NumPy on the left


def test_numpy_on_the_left_gives_tensors():
    x = leaf([1.0, 2.0])
    array = np.array([10.0, 20.0])
    for y, expected in [
        (np.add(array, x), [11.0, 22.0]), (array * x, [10.0, 40.0]), (array - x, [9.0, 18.0]),
        (array / x, [10.0, 10.0]), (np.exp(x), [math.e, math.e**2]), (np.maximum(x, 1.5), [1.5, 2.0]),
        (array == x, [False, False]),
        (np.float64(2) ** x, [2.0, 4.0]),
    ]:  # fmt: skip
        assert isinstance(y, tg.Tensor)
        np.testing.assert_allclose(y.numpy(), expected)
    np.testing.assert_allclose(tg.grad((array * x).sum(), x).numpy(), array)


def test_numpy_functions_without_a_counterpart_are_errors():
    x = leaf([1.0, 2.0])
    for call in (partial(np.arctan, x), lambda: np.add.reduce(x), lambda: np.add(x, x, out=np.zeros(2))):
        with pytest.raises(DTypeError, match="counterpart"):
            call()


# Broadcasting


@pytest.mark.parametrize(
    ("a", "b"),
    [
        ((2, 3), (3,)), ((2, 3), ()), ((2, 1), (1, 3)), ((4, 1, 3), (2, 1)), ((0, 3), (1, 3)), ((1,), (0,)),
        ((1, 1), (1,)),
    ],
)  # fmt: skip
@pytest.mark.parametrize("operation", [ops.add, ops.mul, ops.maximum])
def test_broadcasting_gives_numpys_shape_and_sums_the_gradient(operation, a, b):
    random = np.random.default_rng(0)
    left, right = random.uniform(0.5, 1, a), random.uniform(1.5, 2, b)
    function = {"add": np.add, "mul": np.multiply, "maximum": np.maximum}[operation.__name__]
    np.testing.assert_allclose(operation(tg.Tensor(left), tg.Tensor(right)).numpy(), function(left, right))
    tg.testing.check_grad(operation, [left, right], order=2)


def test_where_broadcasts_all_three():
    tg.testing.check_grad(ops.where, [np.array([[True], [False]]), np.ones(3), np.array(2.0)], order=2)
    assert ops.where(tg.Tensor([[True], [False]]), 1.0, tg.Tensor([2.0, 3.0])).tolist() == [[1.0, 1.0], [2.0, 3.0]]


def test_shapes_that_do_not_broadcast_are_an_error_that_names_the_axis():
    with pytest.raises(ShapeError, match=r"axis -1: 3 and 2"):
        tg.Tensor(np.ones((2, 3))) + tg.Tensor(np.ones((2, 2)))


# Ties and kinks: the gradients are PyTorch's


@pytest.mark.parametrize("operation", [ops.maximum, ops.minimum])
def test_equals_share_the_gradient_half_and_half(operation):
    a, b = leaf([1.0, 2.0, 3.0]), leaf([1.0, 3.0, 2.0])
    slope_a, slope_b = tg.grad(operation(a, b).sum(), [a, b])
    wins = [0.0, 1.0] if operation is ops.maximum else [1.0, 0.0]
    assert slope_a.tolist() == [0.5, *wins]
    assert slope_b.tolist() == [0.5, *wins[::-1]]


KINKS = {
    "relu": (ops.relu, [-1.0, 0.0, 1.0], [0.0, 0.0, 1.0]),
    "abs": (ops.abs, [-1.0, 0.0, 1.0], [-1.0, 0.0, 1.0]),
    "leaky_relu": (ops.leaky_relu, [-1.0, 0.0, 1.0], [0.01, 0.01, 1.0]),
    "clip": (lambda x: ops.clip(x, -1.0, 1.0), [-2.0, -1.0, 0.0, 1.0, 2.0], [0.0, 1.0, 1.0, 1.0, 0.0]),
    "clip below": (lambda x: ops.clip(x, min=0.0), [-1.0, 0.0, 1.0], [0.0, 1.0, 1.0]),
}


@pytest.mark.parametrize("name", KINKS)
def test_the_gradient_at_a_kink(name):
    function, places, slopes = KINKS[name]
    x = leaf(places)
    assert tg.grad(function(x).sum(), x).tolist() == slopes


def test_clip_needs_a_limit():
    with pytest.raises(ArgumentError, match="neither"):
        ops.clip(tg.Tensor([1.0]))


# Powers at zero


def test_powers_with_a_number_at_zero():
    x = leaf([0.0, 2.0])
    for exponent, slopes in [(0, [0.0, 0.0]), (1, [1.0, 1.0]), (2, [0.0, 4.0]), (3.0, [0.0, 12.0])]:
        assert tg.grad((x**exponent).sum(), x).tolist() == slopes


def test_powers_with_tensors_at_zero():
    a, b = leaf([0.0, 0.0, 0.0, 2.0]), leaf([0.0, 1.0, 2.0, 0.0])
    in_a, in_b = tg.grad((a**b).sum(), [a, b])
    assert (a**b).tolist() == [1.0, 0.0, 0.0, 1.0]
    assert in_a.tolist() == [0.0, 1.0, 0.0, 0.0]
    np.testing.assert_allclose(in_b.numpy(), [0.0, 0.0, 0.0, math.log(2)])


def test_whole_powers_of_negative_numbers():
    tg.testing.check_grad(lambda x: x**3, [np.array([-2.0, -0.5, 1.5])], order=2)
    tg.testing.check_grad(lambda x: x**-2.0, [np.array([-2.0, -0.5, 1.5])], order=2)


# Extremes: no overflow, no NaN, not even a warning on the way


def logistic(x):
    return 0.0 if x < -700 else 1 / (1 + math.exp(-x))


FAR = [-1000.0, -100.0, -40.0, 0.0, 40.0, 100.0, 1000.0]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(
    ("function", "value", "slope"),
    [
        (ops.sigmoid, logistic, None),
        (ops.softplus, lambda x: max(x, 0.0) + math.log1p(math.exp(-abs(x))), logistic),
        (ops.tanh, math.tanh, lambda x: 1 - math.tanh(x) ** 2),
        (ops.erf, math.erf, lambda x: 2 / math.sqrt(math.pi) * math.exp(-x * x)),
        (ops.gelu, lambda x: x / 2 * (1 + math.erf(x / math.sqrt(2))), None),
        (
            lambda x: ops.gelu(x, "tanh"),
            lambda x: x / 2 * (1 + math.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3))),
            None,
        ),
    ],
    ids=["sigmoid", "softplus", "tanh", "erf", "gelu", "gelu tanh"],
)  # fmt: skip
def test_far_from_zero(function, value, slope, dtype):
    x = leaf(FAR, dtype)
    y = function(x)
    assert y.dtype == dtype
    tolerance = {"rtol": 1e-6, "atol": 1e-37} if dtype == "float32" else {"rtol": 1e-14, "atol": 1e-300}
    np.testing.assert_allclose(y.numpy(), [value(each) for each in FAR], **tolerance)
    slopes = tg.grad(y.sum(), x).numpy()
    assert np.isfinite(slopes).all()
    if slope is not None:
        np.testing.assert_allclose(slopes, [slope(each) for each in FAR], **tolerance)


def test_erf_is_exact_over_its_whole_range():
    x = np.concatenate([np.linspace(-7, 7, 2001), np.logspace(-300, 0, 50), [0.46875, 4.0, -4.0]])
    expected = np.array([math.erf(each) for each in x.tolist()])
    np.testing.assert_allclose(ops.erf(tg.Tensor(x)).numpy(), expected, rtol=1e-15, atol=0)


def test_gelu_follows_its_formula():
    x = np.linspace(-4, 4, 17)
    exact = [each / 2 * (1 + math.erf(each / math.sqrt(2))) for each in x]
    np.testing.assert_allclose(ops.gelu(tg.Tensor(x)).numpy(), exact, rtol=1e-13, atol=1e-16)
    np.testing.assert_allclose(ops.gelu(tg.Tensor(x), "tanh").numpy(), exact, atol=5e-4)
    for approximate in ("none", "tanh"):
        tg.testing.check_grad(lambda x: ops.gelu(x, approximate), [x], order=2)  # noqa: B023
    with pytest.raises(ArgumentError, match="approximat"):
        ops.gelu(tg.Tensor(x), "fast")


def test_nan_and_infinity_pass_through():
    x = tg.Tensor([math.nan, math.inf, -math.inf])
    np.testing.assert_array_equal(ops.relu(x).numpy(), [math.nan, math.inf, 0.0])
    np.testing.assert_array_equal(ops.maximum(x, 0.0).numpy(), [math.nan, math.inf, 0.0])
    np.testing.assert_array_equal(ops.clip(x, -1, 1).numpy(), [math.nan, 1.0, -1.0])


# Comparisons and choosing


def test_comparisons_are_boolean_and_cut_the_graph():
    x = leaf([1.0, 2.0, 3.0])
    y = x > 1.5
    assert (y.dtype, y.tolist(), y.requires_grad) == (np.dtype(bool), [False, True, True], False)
    assert (x == x).tolist() == [True, True, True]
    assert (x != 2.0).tolist() == [True, False, True]


def test_the_condition_of_where_must_be_boolean():
    with pytest.raises(DTypeError, match="condition is float32"):
        ops.where(tg.Tensor([1.0]), 1.0, tg.Tensor([2.0]))


def test_an_unchosen_branch_gets_no_gradient():
    a, b = leaf([1.0, 2.0]), leaf([3.0, 4.0])
    in_a, in_b = tg.grad(ops.where(a > 1.5, a, b).sum(), [a, b])
    assert (in_a.tolist(), in_b.tolist()) == ([0.0, 1.0], [1.0, 0.0])


def test_a_guarded_branch_makes_no_nan():
    x = leaf([0.0, 2.0])
    y = ops.where(x > 0, ops.log(ops.where(x > 0, x, 1.0)), 0.0)
    assert tg.grad(y.sum(), x).tolist() == [0.0, 0.5]


def test_detach_stops_the_gradient():
    x = leaf([3.0])
    assert tg.grad((x * x.detach()).sum(), x).tolist() == [3.0]

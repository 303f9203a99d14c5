"""The gradient checker against planted wrong gradients: each must be caught, and the right ones must pass."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pytest

import tinygrad_cnn as tg
from tinygrad_cnn import ops
from tinygrad_cnn.errors import ArgumentError, DTypeError
from tinygrad_cnn.testing import GradientError, check_grad

Rule = Callable[[tg.Tensor, tg.Tensor, tg.Tensor], object]

A = np.array([[0.5, -1.2, 2.0], [1.5, 0.3, -0.7], [0.9, -0.4, 1.1]])
B = np.array([[1.3, 0.8, -0.6], [-1.7, 0.2, 2.1], [0.4, 1.9, -0.5]])


@dataclass(frozen=True)
class Product(ops.Operation):
    """``a * a * b`` with whatever gradient rule is planted."""

    rule: Rule
    name = "product"
    keeps = ((0, 1), (0,))

    def infer(self, a, b):
        return a

    def forward(self, xp, a, b):
        return a * a * b

    def vjp(self, grad, output, a, b):
        return self.rule(grad, a, b)


def right(grad, a, b):
    return grad * a * b * 2.0, grad * a * a


def bump(grad, at=(1, 2), by=1e-3):
    """A factor that is 1 but for one element."""
    factors = np.ones(grad.shape)
    factors[at] += by
    return tg.Tensor(factors)


WRONG = {
    "100 times too large": lambda g, a, b: (right(g, a, b)[0] * 100.0, right(g, a, b)[1]),
    "zero": lambda g, a, b: (right(g, a, b)[0] * 0.0, right(g, a, b)[1]),
    "transposed": lambda g, a, b: (right(g, a, b)[0].T, right(g, a, b)[1]),
    "sign flipped": lambda g, a, b: (-right(g, a, b)[0], right(g, a, b)[1]),
    "one element off by 1e-3": lambda g, a, b: (right(g, a, b)[0] * bump(g), right(g, a, b)[1]),
    "missing for the second input": lambda g, a, b: (right(g, a, b)[0], None),
    "exchanged": lambda g, a, b: right(g, a, b)[::-1],
    "nan": lambda g, a, b: (right(g, a, b)[0] * float("nan"), right(g, a, b)[1]),
    "infinite": lambda g, a, b: (right(g, a, b)[0], right(g, a, b)[1] + float("inf")),
    "a constant too much": lambda g, a, b: (right(g, a, b)[0] + 1e-3, right(g, a, b)[1]),
}


def product(rule: Rule) -> Callable[[tg.Tensor, tg.Tensor], tg.Tensor]:
    return lambda a, b: ops.apply(Product(rule), a, b)


def test_the_right_gradient_passes_in_every_order():
    check_grad(product(right), [A, B], order=3)


@pytest.mark.parametrize("kind", WRONG)
def test_a_wrong_gradient_is_caught(kind):
    with pytest.raises(GradientError):
        check_grad(product(WRONG[kind]), [A, B])


@pytest.mark.parametrize("kind", WRONG)
def test_it_is_caught_in_one_output_among_others(kind):
    with pytest.raises(GradientError):
        check_grad(lambda a, b: (a * b, product(WRONG[kind])(a, b), a.exp()), [A, B])


@pytest.mark.parametrize("seed", range(5))
def test_it_is_caught_whatever_the_random_weights(seed):
    with pytest.raises(GradientError, match=r"input 0 .* 1 of 9 elements(.|\n)*element \(1, 2\)"):
        check_grad(product(WRONG["one element off by 1e-3"]), [A, B], seed=seed, directions=1)


def test_too_few_gradients_are_an_error():
    with pytest.raises(ValueError, match="zip"):
        check_grad(product(lambda g, a, b: (right(g, a, b)[0],)), [A, B])


def cut_off(grad, a, b):
    """Right numbers, but as constants: the gradient of the gradient is lost."""
    return tuple(each.detach() for each in right(grad, a, b))


def test_a_wrong_second_order_is_caught_by_order_2_only():
    check_grad(product(cut_off), [A, B])
    with pytest.raises(GradientError, match="derivative of order 2"):
        check_grad(product(cut_off), [A, B], order=2)


def test_a_rule_that_forgets_the_gradient_from_above_is_caught():
    with pytest.raises(GradientError):
        check_grad(product(lambda g, a, b: (a * b * 2.0, a * a)), [A, B])


def test_a_kink_is_caught():
    with pytest.raises(GradientError, match="kink"):
        check_grad(ops.abs, [np.array([1e-7, 1.0, 2.0])])


def test_the_message_teaches():
    with pytest.raises(GradientError) as caught:
        check_grad(product(WRONG["100 times too large"]), [A, B])
    message = str(caught.value)
    assert "check_grad: the gradient in input 0 is wrong in 9 of 9 elements" in message
    assert "by finite differences" in message
    assert "relative error 0.99" in message
    assert "the rule gives 100 times the right number everywhere" in message
    assert "test_testing.py" in message
    assert isinstance(caught.value, AssertionError)


def test_numbers_in_the_message_are_those_of_the_element():
    with pytest.raises(GradientError) as caught:
        check_grad(lambda a: a.detach() * a, [np.array([3.0])], directions=1)
    words = caught.value.got.replace(";", " ").split()
    by_rule, by_difference = [float(word) for word in words if _is_number(word)][:2]
    assert by_difference == pytest.approx(2 * by_rule, rel=1e-6)
    assert 1.5 <= abs(by_rule) <= 4.5  # 3 times a weight between 0.5 and 1.5


def _is_number(word: str) -> bool:
    try:
        float(word)
    except ValueError:
        return False
    return True


LINEAR = {
    "sum": lambda x: x.sum(),
    "scaled": lambda x: x * 3.0,
    "transposed": lambda x: x.T,
    "mean over an axis": lambda x: x.mean(0),
    "does not depend on x": lambda x: tg.Tensor(np.ones(2)),
    "depends on x by a constant": lambda x: (x * 0.0, x),
    "rounded": ops.sign,
}


@pytest.mark.parametrize("kind", LINEAR)
@pytest.mark.parametrize("order", [1, 2, 3])
def test_functions_whose_second_derivative_is_zero_pass(kind, order):
    check_grad(LINEAR[kind], [A], order=order)


def test_a_function_that_depends_on_one_input_only_passes():
    check_grad(lambda a, b: a * a, [A, B], order=2)


def test_float32_is_checked_in_float64():
    seen = []

    def function(x):
        seen.append(x.dtype)
        return x * x

    check_grad(function, [A.astype(np.float32)])
    check_grad(function, [tg.Tensor([0.1, 0.2])])
    check_grad(function, [0.1])
    assert set(seen) == {np.dtype(np.float64)}


def test_a_float32_constant_inside_is_an_error_that_says_so():
    constant = tg.Tensor([1.0, 2.0, 3.0])
    with pytest.raises(DTypeError, match="float64 and float32"):
        check_grad(lambda x: x * constant, [A])


def test_inputs_stay_as_they_are():
    kept, tensor = A.copy(), tg.Tensor(B)
    check_grad(lambda a, b: a * b, [A, tensor])
    np.testing.assert_array_equal(A, kept)
    np.testing.assert_array_equal(tensor.numpy(), B)
    assert not tensor.requires_grad


def test_integers_and_booleans_are_handed_on_and_not_perturbed():
    def function(x, places, mask):
        assert places.dtype == np.int64
        return ops.where(mask, ops.take_along_dim(x, places, 1), 0.0)

    check_grad(function, [A, np.array([[2, 0, 1]] * 3), A > 0], order=2)


def test_outputs_without_a_gradient_are_passed_over():
    check_grad(lambda x: ops.max(x, 1), [A], order=2)
    with pytest.raises(ArgumentError, match="no floating-point"):
        check_grad(lambda x: ops.argmax(x, 1), [A])


@pytest.mark.parametrize("shape", [(), (0, 3), (1,), (2, 1)])
def test_shapes_at_the_edge(shape):
    check_grad(lambda x: x * x, [np.full(shape, 0.3)], order=2)
    if np.prod(shape):
        with pytest.raises(GradientError):
            check_grad(lambda x: x * x.detach(), [np.full(shape, 0.3)])


def test_random_numbers_must_be_seeded_inside():
    def seeded(x):
        tg.seed(3)
        return ops.dropout(x, 0.5)

    check_grad(seeded, [A], order=2)
    with pytest.raises(ArgumentError, match="other numbers"):
        check_grad(lambda x: ops.dropout(x, 0.5), [A])


def test_there_is_no_order_0():
    with pytest.raises(ArgumentError, match="order=0"):
        check_grad(lambda x: x, [A], order=0)

"""Matrix products of all ranks, against NumPy's rules."""

from __future__ import annotations

import numpy as np
import pytest

import tinygrad_cnn as tg
from tinygrad_cnn import ops
from tinygrad_cnn.errors import DTypeError, ShapeError
from tinygrad_cnn.graph import topological_order

SHAPES = [
    ((3,), (3,)), ((3,), (3, 2)), ((2, 3), (3,)), ((2, 3), (3, 4)),
    ((5, 2, 3), (3,)), ((3,), (5, 3, 2)), ((5, 2, 3), (3, 4)), ((2, 3), (5, 3, 4)),
    ((5, 2, 3), (5, 3, 4)), ((1, 2, 3), (5, 3, 4)), ((4, 1, 2, 3), (5, 3, 2)), ((2, 3), (4, 5, 3, 2)),
    ((4, 5, 2, 3), (3, 2)),
    ((4, 1, 2, 3), (1, 5, 3, 2)), ((1,), (1,)), ((1, 1), (1, 1)),
    ((0,), (0,)), ((0, 3), (3, 2)), ((2, 0), (0, 3)), ((2, 3), (3, 0)), ((0, 2, 3), (3, 4)), ((0, 2, 3), (0, 3, 4)),
    ((5, 2, 0), (0, 4)), ((5, 0, 3), (3, 4)), ((0, 0), (0, 0)), ((2, 3), (0, 3, 4)), ((5, 2, 0), (0,)),
    ((5, 2, 3), (3, 0)),
]  # fmt: skip


@pytest.mark.parametrize(("a", "b"), SHAPES, ids=str)
def test_the_product_and_its_gradient(a, b):
    random = np.random.default_rng(0)
    left, right = random.normal(size=a), random.normal(size=b)
    expected = left @ right
    found = tg.Tensor(left) @ tg.Tensor(right)
    assert found.shape == expected.shape
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-12, atol=1e-14)
    assert (tg.symbol(a) @ tg.symbol(b)).shape == expected.shape

    # s = sum(u * (a @ b)) has slope sum(u * (e @ b)) in the element of a at which e is 1
    above = random.normal(size=expected.shape)
    x, y = tg.Tensor(left, requires_grad=True), tg.Tensor(right, requires_grad=True)
    in_a, in_b = tg.grad(x @ y, [x, y], above)
    for found, side in ((in_a, 0), (in_b, 1)):
        slopes = np.zeros((a, b)[side])
        for place in np.ndindex(*slopes.shape):
            one = np.zeros(slopes.shape)
            one[place] = 1.0
            slopes[place] = np.sum(above * (one @ right if side == 0 else left @ one))
        np.testing.assert_allclose(found.numpy(), slopes, rtol=1e-11, atol=1e-13)


@pytest.mark.parametrize(
    ("a", "b"), [((2, 3), (3, 2)), ((2, 2, 3), (3, 2)), ((3,), (2, 3, 1)), ((2, 1, 2, 1), (3, 1, 2))]
)
def test_second_order(a, b):
    random = np.random.default_rng(1)
    tg.testing.check_grad(ops.matmul, [random.normal(size=a), random.normal(size=b)], order=2, directions=1)


def test_one_matrix_for_a_whole_stack_is_a_single_product():
    product = tg.symbol((5, 4, 2, 3)) @ tg.symbol((3, 7))
    shapes = [node.spec.shape for node in topological_order([product.node]) if node.op.name == "matmul"]
    assert shapes == [(40, 7)]


def test_float32_stays_float32():
    x, y = tg.Tensor([[1.0, 2.0]], requires_grad=True), tg.Tensor([[3.0], [4.0]])
    assert (x @ y).dtype == np.float32
    assert tg.grad((x @ y).sum(), x).dtype == np.float32


def test_numpy_on_the_left():
    product = np.eye(2) @ tg.Tensor(np.ones((2, 3)))
    assert isinstance(product, tg.Tensor)
    assert product.shape == (2, 3)


def test_what_matmul_refuses():
    with pytest.raises(ShapeError, match="k = 3 and k = 2"):
        tg.Tensor(np.ones((2, 3))) @ tg.Tensor(np.ones((2, 3)))
    with pytest.raises(ShapeError, match="do not broadcast"):
        tg.Tensor(np.ones((2, 1, 3))) @ tg.Tensor(np.ones((4, 3, 1)))
    with pytest.raises(ShapeError, match=r"use \*"):
        tg.Tensor(np.ones((2, 3))) @ tg.Tensor(2.0, "float64")
    with pytest.raises(DTypeError, match="float32 and float64"):
        tg.Tensor([[1.0]]) @ tg.Tensor(np.ones((1, 1)))
    with pytest.raises(ShapeError):
        tg.Tensor(np.ones((0, 3))) @ tg.Tensor(np.ones((2, 2)))

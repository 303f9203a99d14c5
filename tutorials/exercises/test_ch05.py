from __future__ import annotations

from itertools import product

import ch05
import numpy as np
import pytest

import tinygrad_cnn as tg

pytestmark = pytest.mark.ch05

SHAPES = [(), (1,), (3,), (2, 1), (1, 3), (2, 3), (4, 1, 3), (4, 2, 1), (1, 1, 1)]
PAIRS = list(product(SHAPES, SHAPES))


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_mean_gradient(axis: int) -> None:
    random = np.random.default_rng(axis)
    x = tg.Tensor(random.standard_normal((4, 5, 6)), requires_grad=True)
    mean = x.mean(axis)
    grad = random.standard_normal(mean.shape)
    found = ch05.mean_gradient(grad, x.shape, axis)
    assert found.shape == x.shape
    assert np.allclose(found, tg.grad(mean, x, grad).numpy())


@pytest.mark.parametrize(("a", "b"), PAIRS)
def test_broadcast_shape(a: tuple[int, ...], b: tuple[int, ...]) -> None:
    assert tuple(ch05.broadcast_shape(a, b)) == np.broadcast_shapes(a, b)


@pytest.mark.parametrize(("a", "b"), [((2,), (3,)), ((2, 3), (2,)), ((2, 1, 3), (5, 4, 3)), ((2, 3), (3, 2))])
def test_what_does_not_broadcast_is_refused(a: tuple[int, ...], b: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"\d"):
        ch05.broadcast_shape(a, b)


@pytest.mark.parametrize(("a", "b"), PAIRS)
def test_unbroadcast(a: tuple[int, ...], b: tuple[int, ...]) -> None:
    grad = np.random.default_rng(1).standard_normal(np.broadcast_shapes(a, b))
    x = tg.Tensor(np.ones(a), requires_grad=True)
    found = np.asarray(ch05.unbroadcast(grad, a))
    assert found.shape == a
    assert np.allclose(found, tg.grad(x + np.ones(b), x, grad).numpy())


def test_distances() -> None:
    a, b = tg.Tensor([[0.0, 0.0], [3.0, 0.0]]), tg.Tensor([[3.0, 4.0], [1.0, 0.0], [0.0, 0.0]])
    assert ch05.distances(a, b).tolist() == [[25, 1, 0], [16, 4, 9]]
    tg.testing.check_grad(ch05.distances, [[[0.0, 1.0], [2.0, 3.0]], [[1.0, 1.0]]])

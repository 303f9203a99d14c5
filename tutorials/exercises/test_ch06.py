from __future__ import annotations

import ch06
import numpy as np
import pytest

import tinygrad_cnn as tg

pytestmark = pytest.mark.ch06


@pytest.mark.parametrize("axis", [0, 1, -1])
def test_logsumexp(axis: int) -> None:
    x = np.random.default_rng(0).standard_normal((4, 5)) * 400
    assert np.allclose(ch06.logsumexp(x, axis), tg.logsumexp(tg.Tensor(x), axis).numpy())


def test_logsumexp_of_infinities() -> None:
    x = np.array([[-np.inf, -np.inf], [0.0, np.inf], [-2000.0, -np.inf]])
    assert np.array_equal(ch06.logsumexp(x, 1), [-np.inf, np.inf, -2000.0])


def test_scatter_rows() -> None:
    places = [3, 0, 3, 3, 1]
    values = np.random.default_rng(1).standard_normal((5, 3))
    expected = np.zeros((6, 3))
    np.add.at(expected, places, values)
    assert np.allclose(ch06.scatter_rows(values, places, 6), expected)


def test_softmax_vjp() -> None:
    random = np.random.default_rng(2)
    x = tg.Tensor(random.standard_normal(7), requires_grad=True)
    g = random.standard_normal(7)
    p = tg.softmax(x)
    assert np.allclose(ch06.softmax_vjp(p.numpy(), g), tg.grad(p, x, g).numpy())


def test_distances() -> None:
    random = np.random.default_rng(3)
    a, b = random.standard_normal((300, 200)), random.standard_normal((400, 200))
    expected = ((a[0] - b) ** 2).sum(1)
    assert np.allclose(ch06.distances(tg.Tensor(a), tg.Tensor(b))[0].numpy(), expected)


def test_distances_makes_no_table_of_differences() -> None:
    a, b = tg.symbol((300, 200)), tg.symbol((400, 200))
    from tinygrad_cnn.graph import topological_order

    sizes = [node.spec.size for node in topological_order([ch06.distances(a, b).node])]
    assert max(sizes) <= 300 * 400

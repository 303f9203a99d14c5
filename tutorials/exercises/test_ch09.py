from __future__ import annotations

import ch09
import numpy as np
import pytest

import tinygrad_cnn as tg
from tinygrad_cnn.nn import functional as F

pytestmark = pytest.mark.ch09


def test_cross_entropy() -> None:
    random = np.random.default_rng(0)
    scores, classes = random.standard_normal((5, 4)), random.integers(0, 4, 5)
    loss, gradient = ch09.cross_entropy(scores, classes)
    leaf = tg.Tensor(scores, requires_grad=True)
    expected = F.cross_entropy(leaf, tg.Tensor(classes))
    assert np.isclose(loss, expected.item())
    assert np.allclose(gradient, tg.grad(expected, leaf).numpy())


def test_cross_entropy_of_large_scores() -> None:
    loss, gradient = ch09.cross_entropy(np.array([[1e4, 0.0], [-1e4, 0.0]]), np.array([1, 1]))
    assert loss == 5e3
    assert np.allclose(gradient, [[0.5, -0.5], [0, 0]])


def test_cross_entropy_leaves_its_input_alone() -> None:
    scores = np.array([[1.0, 2.0]])
    ch09.cross_entropy(scores, np.array([0]))
    assert scores.tolist() == [[1, 2]]


@pytest.mark.parametrize("size", [1e-6, 1.0, 1e6])
def test_adam_step(size: float) -> None:
    theta, m, v = np.ones(3), np.zeros(3), np.zeros(3)
    p = tg.Tensor(np.ones(3), requires_grad=True)
    optimiser = tg.optim.Adam([p], lr=0.05)
    for t in range(1, 8):
        g = size * np.array([1.0, -2.0, 0.0]) * t
        p.grad = tg.Tensor(g)
        optimiser.step()
        theta, m, v = ch09.adam_step(theta, g, m, v, t, 0.05)
        assert np.allclose(theta, p.numpy())


def test_going_on_ends_with_the_same_bits() -> None:
    random = np.random.default_rng(1)
    inputs = tg.Tensor(random.standard_normal((80, 6)).astype(np.float32))
    targets = tg.Tensor(random.integers(0, 3, 80))

    def fresh(seed: int) -> tuple[tg.nn.Module, tg.optim.Optimizer]:
        tg.seed(seed)
        model = tg.nn.Linear(6, 3)
        return model, tg.optim.Adam(model.parameters(), lr=0.1)

    def steps(model: tg.nn.Module, optimiser: tg.optim.Optimizer, first: int, last: int) -> None:
        for k in range(first, last):
            optimiser.zero_grad()
            F.cross_entropy(model(inputs[8 * k : 8 * k + 8]), targets[8 * k : 8 * k + 8]).backward()
            optimiser.step()

    model, optimiser = fresh(0)
    steps(model, optimiser, 0, 5)
    point = ch09.save_point(model, optimiser)
    steps(model, optimiser, 5, 10)
    whole = model.weight.numpy()

    model, optimiser = fresh(1)
    ch09.go_on(model, optimiser, point)
    steps(model, optimiser, 5, 10)
    assert np.array_equal(model.weight.numpy(), whole)

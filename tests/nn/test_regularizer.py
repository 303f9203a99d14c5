"""Regularisers, constraints, and what a training does with them."""

from __future__ import annotations

import weakref

import numpy as np
import pytest

import tinygrad_cnn as tg
from tinygrad_cnn import nn
from tinygrad_cnn.errors import ArgumentError, GraphError


def model() -> nn.Sequential:
    return nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2))


def test_the_penalty_adds_up_over_layers():
    net = nn.regularize(model(), weight=nn.L1L2(0.1, 0.2))
    nn.regularize(net[2], bias=nn.L2(0.5))
    expected = sum(0.1 * abs(w).sum() + 0.2 * (w**2).sum() for w in (net[0].weight.numpy(), net[2].weight.numpy()))
    expected += 0.5 * (net[2].bias.numpy() ** 2).sum()
    np.testing.assert_allclose(nn.penalty(net).item(), expected, rtol=1e-5)
    nn.penalty(net).backward()
    w = net[0].weight.numpy()
    np.testing.assert_allclose(net[0].weight.grad.numpy(), 0.1 * np.sign(w) + 0.4 * w, rtol=1e-5)
    assert list(net.state_dict()) == list(model().state_dict())


def test_activations_cost_in_training_only_and_are_forgotten_at_the_next_call():
    net = nn.Sequential(nn.Linear(3, 4), nn.ActivityRegularization(nn.L2(0.5)))
    x = tg.Tensor([[1.0, 2.0, 3.0]])
    y = net(x)
    cost = nn.penalty(net)
    np.testing.assert_allclose(cost.item(), 0.5 * (y.numpy() ** 2).sum(), rtol=1e-5)
    assert nn.penalty(net).item() == cost.item()  # to look at it changes nothing
    alive = weakref.ref(cost.node)
    del cost
    net.eval()(x)
    with pytest.raises(GraphError, match="nothing is regularised"):
        nn.penalty(net)
    assert alive() is None


@pytest.mark.parametrize(
    ("rule", "holds"),
    [
        (nn.MaxNorm(0.3), lambda w: np.linalg.norm(w, axis=1).max() <= 0.3 + 1e-6),
        (nn.UnitNorm(), lambda w: np.allclose(np.linalg.norm(w, axis=1), 1, rtol=1e-5)),
        (nn.NonNeg(), lambda w: w.min() >= 0),
    ],
)
def test_constraints_hold_after_each_step(rule, holds):
    net = nn.constrain(model(), weight=rule)
    optimizer = tg.optim.SGD(net.parameters(), lr=0.5)
    x = tg.Tensor(np.random.default_rng(0).standard_normal((8, 3)).astype("float32"))
    for _ in range(3):
        optimizer.zero_grad()
        (net(x) ** 2).mean().backward()
        optimizer.step()
        nn.apply_constraints(net)
        for layer in (net[0], net[2]):
            assert holds(layer.weight.numpy())
            assert layer.weight.requires_grad


def test_weights_within_the_limit_stay():
    w = np.array([[0.3, 0.4], [3.0, 4.0]], "float32")
    np.testing.assert_allclose(nn.MaxNorm(1.0)(tg.Tensor(w)).numpy(), [[0.3, 0.4], [0.6, 0.8]], rtol=1e-6)
    zero = nn.MaxNorm(1.0)(tg.Tensor([[0.0, 0.0]]))
    np.testing.assert_array_equal(zero.numpy(), [[0.0, 0.0]])


def test_a_penalty_makes_weights_smaller():
    lengths = []
    for amount in (0.0, 0.1):
        tg.seed(0)
        net = nn.regularize(model(), weight=nn.L2(amount))
        optimizer = tg.optim.SGD(net.parameters(), lr=0.1)
        x = tg.Tensor(np.random.default_rng(0).standard_normal((16, 3)).astype("float32"))
        for _ in range(30):
            optimizer.zero_grad()
            (((net(x) - 1.0) ** 2).mean() + nn.penalty(net)).backward()
            optimizer.step()
        lengths.append(float((net[0].weight.numpy() ** 2).sum()))
    assert lengths[1] < 0.7 * lengths[0]


def test_errors():
    with pytest.raises(ArgumentError, match="no layer has a parameter 'kernel'"):
        nn.regularize(model(), kernel=nn.L2())
    with pytest.raises(ArgumentError, match="cannot be called"):
        nn.constrain(model(), weight=2.0)
    with pytest.raises(ArgumentError, match="there is nothing to note"):
        nn.regularize(model())

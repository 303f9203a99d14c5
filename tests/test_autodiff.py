"""Gradients: of graphs in every shape, eager and symbolic, once and twice."""

from __future__ import annotations

import numpy as np
import pytest

import tinygrad_cnn as tg
from tinygrad_cnn import nn
from tinygrad_cnn.graph import topological_order


def leaf(*values: float) -> tg.Tensor:
    return tg.Tensor(list(values), dtype="float64", requires_grad=True)


def test_a_worked_example() -> None:
    """f = (a b + b)^2 at a = 2, b = 3: df/da = 2 f' b = 54, df/db = 2 * 9 * (a + 1) = 54."""
    a, b = leaf(2.0), leaf(3.0)
    ((a * b + b) ** 2).backward()
    assert a.grad.tolist() == [54.0]
    assert b.grad.tolist() == [54.0]


def test_a_value_used_twice_gets_both_gradients() -> None:
    x = leaf(3.0)
    (x * x + x).backward()
    assert x.grad.tolist() == [7.0]


def test_grad_of_several_inputs_is_a_tuple() -> None:
    x, y, unused = leaf(3.0), leaf(4.0), leaf(1.0, 2.0)
    found = tg.grad((x * y).sum(), [x, y, unused, x])
    assert isinstance(found, tuple)
    assert [each.tolist() for each in found] == [[4.0], [3.0], [0.0, 0.0], [4.0]]
    assert x.grad is None


def test_grad_stops_at_inner_nodes() -> None:
    x = leaf(3.0)
    inner = x * x
    y = (inner * 5).sum()
    assert tg.grad(y, inner).tolist() == [5.0]


def test_derivatives_of_a_power_down_to_zero() -> None:
    x = leaf(2.0)
    y, found = x**3, []
    for _ in range(5):
        y = tg.grad(y.sum(), x) if y.requires_grad else tg.grad(x.sum() * 0.0, x)
        found.append(y.tolist()[0])
    assert found == [12.0, 12.0, 6.0, 0.0, 0.0]


def test_grad_output_weighs_the_outputs() -> None:
    x = leaf(1.0, 2.0)
    y = x * x
    y.backward([1.0, 10.0])
    assert x.grad.tolist() == [2.0, 40.0]
    with pytest.raises(tg.ShapeError, match="grad_output does not fit"):
        y.backward([1.0])


def test_the_gradient_is_a_graph_that_can_be_differentiated() -> None:
    x = leaf(0.3, 0.7)
    slope = tg.grad(x.sigmoid().sum(), x)
    assert slope.requires_grad
    curvature = tg.grad(slope.sum(), x)
    s = 1 / (1 + np.exp(-x.numpy()))
    np.testing.assert_allclose(curvature.numpy(), s * (1 - s) * (1 - 2 * s), rtol=1e-12)


def test_backward_leaves_no_graph_on_the_gradient() -> None:
    x = leaf(2.0)
    (x * x).backward()
    assert not x.grad.requires_grad
    assert x.grad.node.inputs == ()


def test_symbolic_and_eager_gradients_agree() -> None:
    data = np.random.default_rng(0).normal(size=(3, 4))

    def loss(x: tg.Tensor) -> tg.Tensor:
        return (x.tanh() @ x.T).logsumexp(1).sum()

    eager = tg.Tensor(data, requires_grad=True)
    loss(eager).backward()
    x = tg.symbol((3, 4), dtype="float64")
    slope = tg.grad(loss(x), x)
    assert slope.symbolic
    twice = tg.grad((slope * slope).sum(), x)
    np.testing.assert_allclose(tg.evaluate(slope, {x: data}).numpy(), eager.grad.numpy(), rtol=1e-12)
    again = tg.grad(loss(eager), eager)
    expected = tg.grad((again * again).sum(), eager)
    np.testing.assert_allclose(tg.evaluate(twice, {x: data}).numpy(), expected.numpy(), rtol=1e-12)


def test_symbolic_backward_fills_the_gradients_of_parameters() -> None:
    layer = nn.Linear(3, 2)
    x = tg.symbol((4, 3))
    layer(x).sum().backward()
    assert layer.weight.grad.symbolic
    data = np.arange(12.0, dtype=np.float32).reshape(4, 3)
    found = tg.evaluate(layer.weight.grad, {x: data})
    np.testing.assert_allclose(found.numpy(), np.tile(data.sum(0), (2, 1)))
    assert x.grad is None


def test_gradient_nodes_carry_the_block_that_they_belong_to() -> None:
    x = tg.symbol((2,))
    with tg.scope("encoder"):
        y = x.exp()
    slope = tg.grad(y.sum(), x)
    assert {node.scope for node in topological_order([slope.node]) if node.inputs} >= {"encoder", "gradient/encoder"}


def test_only_wanted_gradients_are_computed() -> None:
    """The gradient in the images of a first layer is the most expensive one that nobody needs."""
    images, weight = tg.symbol((2, 1, 8, 8)), tg.Tensor(np.ones((3, 1, 3, 3), np.float32), requires_grad=True)
    loss = nn.functional.conv2d(images, weight).sum()
    names = {node.op.name for node in topological_order([tg.grad(loss, weight).node])}
    assert "conv_weight" in names
    assert "conv_transpose" not in names


def test_no_gradient_through_comparisons_and_integers() -> None:
    x = leaf(1.0, -2.0)
    ((x > 0).to("float64") * x).sum().backward()
    assert x.grad.tolist() == [1.0, 0.0]


def test_detect_nan_names_the_first_node() -> None:
    x = tg.Tensor([1.0, 0.0], requires_grad=True)
    with tg.detect_nan(), tg.scope("head"), pytest.raises(tg.NanError, match=r"mul: made 1 NaN.*") as caught:
        x * float("inf")
    assert "in head" in str(caught.value)
    with tg.detect_nan():
        passed_on = tg.Tensor([float("nan")]) * 2.0  # was there before: nobody's fault
    assert np.isnan(passed_on.numpy()).all()


def test_detect_nan_watches_gradients() -> None:
    x = tg.Tensor([0.0], requires_grad=True)
    y = (x.sqrt() * 0.0).sum()
    with tg.detect_nan(), pytest.raises(tg.NanError, match="div: made 1 NaN") as caught:
        y.backward()
    assert any("in the gradient of sqrt" in note for note in caught.value.__notes__)


def test_a_thread_has_its_own_modes() -> None:
    import threading

    x, seen = leaf(1.0), []
    with tg.no_grad():
        thread = threading.Thread(target=lambda: seen.append((x * 2).requires_grad))
        thread.start()
        thread.join()
        assert not (x * 2).requires_grad
    assert seen == [True]

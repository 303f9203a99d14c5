"""Nodes, symbols, scopes and the order in which a graph is walked."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest

import tinygrad_cnn as tg
from tinygrad_cnn.graph import Spec, topological_order


def test_a_symbol_has_a_spec_and_no_numbers() -> None:
    x = tg.symbol((8, 1, 28, 28), dtype="float64", name="images")
    y = (x * 2).sum((1, 2, 3))
    assert y.spec == Spec((8,), np.dtype("float64"))
    assert y.symbolic
    for ask in (y.numpy, y.tolist, lambda: float(y[0]), lambda: list(map(bool, y > 0))):
        with pytest.raises(tg.GraphError, match="this tensor is symbolic"):
            ask()


def test_a_symbol_of_negative_length_is_refused() -> None:
    with pytest.raises(tg.ArgumentError, match="negative length"):
        tg.symbol((2, -1))


def test_describing_a_large_graph_allocates_nothing() -> None:
    tracemalloc.start()
    x = tg.symbol((1000, 1000, 1000))
    y = ((x * 2 + 1).exp() / 3).sum(0).reshape(-1)
    tg.grad(y.sum(), x)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert y.shape == (1_000_000,)
    assert peak < 1_000_000  # one array would take 4 GB


def test_errors_come_while_describing() -> None:
    with pytest.raises(tg.ShapeError, match="do not broadcast"):
        tg.symbol((2, 3)) + tg.symbol((4,))


def test_a_node_knows_operation_inputs_block_and_line() -> None:
    x = tg.symbol((2,), name="x")
    with tg.scope("encoder"), tg.scope("block1"):
        y = x.exp()  # here
    node = y.node
    assert str(node.op) == "exp"
    assert node.inputs == (x.node,)
    assert node.scope == "encoder/block1"
    assert node.place.text == "y = x.exp()  # here"
    assert node.where.startswith("test_graph.py, line ")
    assert repr(node) == "<Node exp -> (2,) float32>"
    assert repr(x.node) == "<Node symbol 'x' -> (2,) float32>"


def test_operations_print_their_settings_and_compare_by_them() -> None:
    x = tg.symbol((2, 3))
    assert str(x.sum(0).node.op) == "sum(dims=(0,), keepdim=False)"
    assert x.sum(0).node.op == x.sum(0).node.op
    assert x.sum(0).node.op != x.sum(1).node.op
    assert len({x.sum(0).node.op, x.sum(0).node.op, x.exp().node.op}) == 2


def test_the_order_is_deterministic_and_inputs_come_first() -> None:
    x = tg.symbol((2,))
    a, b = x.exp(), x.tanh()
    y = a * b + a
    order = topological_order([y.node])
    assert [node.op.name for node in order] == ["symbol", "exp", "tanh", "mul", "add"]
    place = {node: position for position, node in enumerate(order)}
    assert all(place[parent] < place[node] for node in order for parent in node.inputs)
    assert topological_order([y.node]) == order


def test_the_order_of_several_outputs_holds_shared_nodes_once() -> None:
    x = tg.symbol((2,))
    a = x.exp()
    order = topological_order([(a * 2).node, (a * 3).node, a.node])
    assert len(order) == len(set(order))
    assert [node.op.name for node in order] == ["symbol", "exp", "full", "mul", "full", "mul"]


def test_nothing_is_recorded_without_need() -> None:
    x = tg.Tensor([1.0, 2.0])
    assert (x * 2).node.inputs == ()
    w = tg.Tensor([1.0, 2.0], requires_grad=True)
    with tg.no_grad():
        assert (w * 2).node.inputs == ()
    assert len((w * 2).node.inputs) == 2
    assert (w > 1).node.inputs == ()


def test_no_grad_can_be_a_decorator() -> None:
    @tg.no_grad()
    def double(x: tg.Tensor) -> tg.Tensor:
        return x * 2

    assert not double(tg.Tensor([1.0], requires_grad=True)).requires_grad


def test_a_scope_ends_with_an_error() -> None:
    with pytest.raises(ZeroDivisionError), tg.scope("broken"):
        1 / 0  # noqa: B018
    assert tg.symbol(()).exp().node.scope == ""

"""What compilers hand over: operations that are graphs, and facts about them. Calls of a block in an eager graph."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

import tinygrad_cnn as tg
from tinygrad_cnn import nn
from tinygrad_cnn.draw import GraphView
from tinygrad_cnn.graph import Node, Spec, topological_order
from tinygrad_cnn.mode import current_mode
from tinygrad_cnn.ops.base import Operation


@dataclass(frozen=True)
class Fused(Operation):
    """Stands in for what a compiler makes."""

    body: tuple[Node, ...]
    facts: Mapping[str, str]
    name = "fused"

    def infer(self, *specs: Spec) -> Spec:
        return self.body[-1].spec

    def forward(self, xp: Any, *arrays: Any) -> Any:
        waiting, known = list(arrays), {}
        for node in self.body:
            inputs = [known[parent] for parent in node.inputs]
            known[node] = waiting.pop(0) if node.op.name == "symbol" else node.op.forward(xp, *inputs)
        return known[self.body[-1]]


def planned(scope: str = "net") -> tg.Tensor:
    a, b = tg.symbol((2, 3), name="a"), tg.symbol((2, 3), name="b")
    op = Fused(tuple(topological_order([((a * 2).exp() + b).relu().node])), {"layout": "rows", "buffer": "2"})
    x = tg.symbol((2, 3), name="x")
    w = tg.Tensor(np.ones((2, 3), "float32"), requires_grad=True, name="w")
    with tg.scope(scope):
        inputs = (x.tanh().node, w.node)
        node = Node(op, inputs, op.infer(), symbolic=True, scope=current_mode().scope)
        return tg.Tensor._from_node(node, None).sum(1)


def titles(view: GraphView) -> list[str]:
    paths = {group.id: group.path for group in view.groups}
    return [f"{paths.get(node.group, '')}: {node.title} {node.name}".strip() for node in view.nodes]


# Fused operations


def test_a_fused_operation_is_one_box_that_says_what_is_in_it() -> None:
    drawing = tg.draw(planned())
    assert titles(drawing.view) == [": input x", "net: tanh", ": parameter w", "net: fused", "net: sum"]
    fused = drawing.view.nodes[3]
    assert fused.settings == ("mul, exp, add, relu",)
    assert fused.facts == ("layout: rows", "buffer: 2")
    assert (fused.kind, fused.shape) == ("activation", "2×3")
    assert "layout: rows, buffer: 2" in drawing.dot
    assert "layout: rows, buffer: 2" in drawing.text()
    assert json.loads(drawing.json())["nodes"][3]["facts"] == ["layout: rows", "buffer: 2"]


def test_a_fused_operation_opens_in_the_page() -> None:
    data = json.loads(re.findall(r'id="data">(.*?)</script>', tg.draw(planned()).page(), re.DOTALL)[0])
    (frame,) = [group for group in data["groups"] if group["closed"]]
    assert (frame["title"], frame["name"], frame["facts"]) == ("fused", "", ["layout: rows", "buffer: 2"])
    assert [node["title"] for node in data["nodes"] if node["group"] == frame["id"]] == ["mul", "exp", "add", "relu"]


def test_a_fused_operation_opens_when_asked_to() -> None:
    drawing = tg.draw(planned(), bodies=True)
    names = {node.id: node.name or node.title for node in drawing.view.nodes}
    assert [(names[edge.source], names[edge.target]) for edge in drawing.view.edges] == [
        ("x", "tanh"), ("tanh", "mul"), ("mul", "exp"), ("exp", "add"), ("w", "add"), ("add", "relu"), ("relu", "sum"),
    ]  # fmt: skip
    assert [group.title for group in drawing.view.groups] == ["net", "fused"]
    assert drawing.view.nodes[2].settings == ("(·, 2)",)
    assert drawing.view.nodes[2].path == "net.fused"
    assert "layout: rows, buffer: 2" in drawing.dot
    assert "fused" in drawing.text().splitlines()[4]
    assert titles(tg.draw(planned(), level="block", bodies=True).view) == [": input x", ": net"]


def test_fused_operations_are_counted_and_compared() -> None:
    a, b = tg.symbol((2, 3)), tg.symbol((3, 4))
    product = Fused(tuple(topological_order([(a @ b).relu().node])), {})
    node = Node(product, (a.exp().node, b.node), product.infer(), symbolic=True)
    assert tg.draw(node).view.nodes[-1].macs == 24
    against = tg.draw([node], against=(a.exp() @ b).relu()).view
    assert against.name == "graph: 1 added, 2 removed, 0 changed, 3 kept"
    opened = tg.draw([node], against=(a.exp() @ b).relu(), bodies=True).view
    assert opened.name == "graph: 0 added, 0 removed, 0 changed, 5 kept"


def test_facts_that_changed_are_told() -> None:
    a = tg.symbol((2, 3), name="a")
    body = tuple(topological_order([a.exp().node]))

    def plan(**facts: str) -> Node:
        op = Fused(body, facts)
        return Node(op, (a.node,), op.infer(), symbolic=True)

    view = tg.draw(plan(buffer="1", layout="rows"), against=plan(buffer="2", layout="rows")).view
    assert view.nodes[-1].was == ("buffer: 2",)


def test_fused_operations_have_numbers_and_times() -> None:
    a = tg.symbol((2, 3))
    op = Fused(tuple(topological_order([(a * 2).exp().node])), {})
    x = tg.Tensor(np.zeros((2, 3), "float32"))
    node = Node(op, (x.node,), op.infer(), symbolic=True)
    for bodies in (False, True):
        view = tg.draw(node, values=True, overlay="time", bodies=bodies).view
        assert view.nodes[-1].values == ("value 1 to 1, mean 1",)
        assert view.nodes[-1].milliseconds


def test_what_offers_its_tensors_is_drawn() -> None:
    class Graph:
        def tensors(self) -> tuple[tg.Tensor, ...]:
            return (planned(),)

    assert tg.draw(Graph()).dot == tg.draw(planned()).dot  # type: ignore[arg-type]


# Calls in graphs that come from no model


class Twice(nn.Module):
    def __init__(self) -> None:
        self.layer = nn.Linear(4, 4)

    def forward(self, x: tg.Tensor) -> tg.Tensor:
        return self.layer(self.layer(x))


@pytest.mark.parametrize("given", ["numbers", "symbols"])
def test_a_layer_applied_twice_in_a_row_is_two_boxes(given: str) -> None:
    x = tg.Tensor(np.ones((2, 4), "float32")) if given == "numbers" else tg.symbol((2, 4), name="x")
    model = Twice()
    view = tg.draw(model(x), level="block").view
    calls = [node for node in view.nodes if node.role == "block"]
    assert [(node.title, node.settings, node.path) for node in calls] == [
        ("layer", (), "twice.layer"),
        ("layer", ("call 2",), "twice.layer"),
    ]
    for weight in [node for node in view.nodes if node.role == "parameter"]:  # one parameter, used twice
        assert [edge.target for edge in view.edges if edge.source == weight.id] == [node.id for node in calls]
    frames = tg.draw(model(x)).view.groups
    assert [(group.title, group.name) for group in frames] == [("twice", ""), ("layer", ""), ("layer", "call 2")]


def test_the_gradients_of_both_calls_are_boxes() -> None:
    view = tg.draw(Twice()(tg.Tensor(np.ones((2, 4), "float32"))), level="block", backward=True).view
    backward = [node for node in view.nodes if node.backward]
    assert [node.title for node in backward] == ["layer", "layer", "sum of gradients", "sum of gradients"]
    assert backward[0].settings == ("call 2",)


def test_a_block_written_in_pieces_stays_one_box() -> None:
    x = tg.symbol((2,), name="x")
    with tg.scope("net"):
        for _ in range(3):
            with tg.scope("part"):
                x = x.relu() + 1
    assert [node.title for node in tg.draw(x, level="block").view.nodes] == ["input", "part"]


def test_the_graph_itself_keeps_its_scopes() -> None:
    y = Twice()(tg.Tensor(np.ones((2, 4), "float32")))
    before = [(node, node.scope, node.value is None) for node in topological_order([y.node])]
    tg.draw(y, level="block", backward=True, values=True, bodies=True)
    assert [(node, node.scope, node.value is None) for node in topological_order([y.node])] == before

"""Checkpoints in a plan: what was computed inside of one is computed again where a gradient reads it.

In the traced graph a gradient rule reads the numbers of the forward pass, which would have to stay in memory until
then. This pass lets it read a copy of the nodes that made them. ``hold`` keeps the copy apart from the original, and
lets it begin only when a gradient has arrived.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ..backend import Array
from ..graph import Node, Region, Spec, topological_order
from ..ops.base import Constant, Full, Operation
from .graph import like


@dataclass(frozen=True)
class Hold(Operation):
    """The first input, but not before the second has been computed."""

    region: Region
    name = "hold"
    differentiable = False

    def infer(self, x: Spec, first: Spec) -> Spec:
        return x

    def forward(self, xp: Any, x: Array, first: Array) -> Array:
        return x

    def __str__(self) -> str:
        return self.name


def without_hold(node: Node) -> Node:
    """The node whose numbers a ``hold`` shows; another node itself."""
    while isinstance(node.op, Hold):
        node = node.inputs[0]
    return node


def recompute(results: Sequence[Node]) -> list[Node]:
    """Let the gradients of a checkpoint read copies of its nodes."""
    order = topological_order(results)
    if not any(node.region is not None and node.region.forgets for node in order):
        return list(results)
    signals = _signals(order)
    new: dict[Node, Node] = {}
    copies: dict[Node, Node] = {}
    for node in order:
        inputs = []
        for each in node.inputs:
            copied = _reads_again(node, each) and each.region in signals
            inputs.append(_copy(each, new, copies, signals) if copied else new[each])
        new[node] = like(node, node.op, inputs, node.spec) if inputs else node
    return [new[node] for node in results]


def _reads_again(reader: Node, node: Node) -> bool:
    """Whether a node reads what a checkpoint that it does not belong to has forgotten."""
    inside = node.region
    if inside is None or not inside.forgets or not node.inputs:
        return False
    return reader.region is None or reader.region.of is not inside


def _signals(order: Sequence[Node]) -> dict[Region, Node]:
    """For each checkpoint a node that says that its gradient has begun: it rests on nothing that is to be copied."""
    rests_on: dict[Node, frozenset[Region]] = {}
    signals: dict[Region, Node] = {}
    for node in order:
        again = frozenset([each.region for each in node.inputs if _reads_again(node, each) and each.region is not None])
        for region in again:
            for each in node.inputs:
                gradient = each.inputs and (each.region is None or each.region.of is not region)
                if gradient and region not in rests_on[each] and region not in signals:
                    signals[region] = each
        rests_on[node] = again.union(*[rests_on[each] for each in node.inputs])
    return signals


def _copy(wanted: Node, new: dict[Node, Node], copies: dict[Node, Node], signals: dict[Region, Node]) -> Node:
    """The node made anew from what its checkpoint began with."""
    region = wanted.region
    assert region is not None
    signal = new[signals[region]]
    stack = [wanted]
    while stack:
        node = stack[-1]
        inside = [each for each in node.inputs if each.region is region and each.inputs]
        missing = [each for each in inside if each not in copies]
        if missing:
            stack.extend(missing)
            continue
        stack.pop()
        inputs = []
        for each in node.inputs:
            if each in inside:
                inputs.append(copies[each])
            elif each.spec.size > 1 and not isinstance(each.op, Constant | Full):
                inputs.append(like(each, Hold(region), (new[each], signal), each.spec))
            else:
                inputs.append(new[each])
        if node not in copies:
            copies[node] = like(node, node.op, inputs, node.spec)
            copies[node].region = None
    return copies[wanted]

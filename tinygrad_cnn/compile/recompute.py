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
    for node in _signals_first(order, signals):
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


def _again(node: Node) -> list[Region]:
    """The checkpoints whose numbers a node reads again."""
    return [each.region for each in node.inputs if _reads_again(node, each) and each.region is not None]


def _signals(order: Sequence[Node]) -> dict[Region, Node]:
    """For each checkpoint the gradient that comes back to it: it rests on its results, and on nothing to be copied."""
    copied: dict[Node, frozenset[Region]] = {}  # the checkpoints whose copies a node rests on
    passed: dict[Node, frozenset[Region]] = {}  # those that a result of which went into it
    signals: dict[Region, Node] = {}
    ends: dict[Region, Node] = {}
    for node in order:
        if node.region is not None and not node.region.forgets:
            ends[node.region.of] = node
        copied[node] = frozenset(_again(node)).union(*[copied[each] for each in node.inputs])
        edges = [each.region for each in node.inputs if each.region is not None and not each.region.forgets]
        passed[node] = frozenset([each.of for each in edges]).union(*[passed[each] for each in node.inputs])
        for region in copied[node] - signals.keys():
            for each in node.inputs:
                if region in passed[each] - copied[each] and region not in signals:
                    signals[region] = each
    # A gradient may be the result itself, as that of a sum of exponentials is.
    return {region: end for region, end in ends.items() if region not in copied[end]} | signals


def _signals_first(order: Sequence[Node], signals: dict[Region, Node]) -> list[Node]:
    """The nodes, each after its inputs and after the signals of what it reads again.

    Where checkpoints would have to wait for each other, none of them is computed again.
    """
    done: list[Node] = []
    position: dict[Node, int] = {}
    entered: set[Node] = set()
    stack = [(node, False) for node in reversed(order)]
    while stack:
        node, finished = stack.pop()
        if finished:
            position[node] = len(done)
            done.append(node)
        elif node not in entered:
            entered.add(node)
            stack.append((node, True))
            waits = [*node.inputs, *[signals[region] for region in _again(node) if region in signals]]
            stack.extend([(each, False) for each in reversed(waits)])
    if all(position[each] < position[node] for node in done for each in node.inputs):
        return done
    signals.clear()
    return list(order)


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

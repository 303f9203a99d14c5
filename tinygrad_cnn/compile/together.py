"""Small updates that do the same to different states are found here, so that an executor can run them as one.

A network has many small parameters, and an optimiser does the same to each of them. When the parameters of a group lie
in memory one after the other, and so do their gradients and the optimiser's memories, one kernel serves them all.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from itertools import groupby
from typing import Any

from ..graph import Node
from ..ops.base import Full
from ..ops.shape import BroadcastTo, Reshape
from .fuse import Fused
from .split import AllReduce

LARGE = 1 << 15
"""A state with more numbers keeps a processor busy on its own, and gains nothing from company."""
EARLY = -1
"""What stands for the kind of a node that is computed before the last phase."""


def units(late: Sequence[Node]) -> list[list[Node]]:
    """The nodes of the last phase, those together that pass arrays on to one another: usually what updates one leaf.

    Single numbers, which many units read, are not among them.
    """
    leader: dict[Node, Node] = {}

    def find(node: Node) -> Node:
        while leader.setdefault(node, node) is not node:
            node = leader[node]
        return node

    members = {node for node in late if node.spec.size > 1}
    for node in late:
        for each in node.inputs:
            if node in members and each in members:
                leader[find(each)] = find(node)
    found: dict[Node, list[Node]] = {}
    for node in late:
        if node in members:
            found.setdefault(find(node), []).append(node)
    return list(found.values())


def groups(late: Sequence[Node], owner: dict[Node, int]) -> list[list[Node]]:
    """The nodes of small units, those together that do the same for the same owner; each group after what it reads."""
    small = [unit for unit in units(late) if max(node.spec.size for node in unit) <= LARGE]
    # Whole cache lines come first: so most arrays of a flat buffer begin at one.
    rank = {node: (unit[0].spec.size % 16 > 0, place) for place, unit in enumerate(small) for node in unit}
    numbers: dict[Hashable, int] = {}
    kinds: dict[Node, int] = {}
    for node in late:
        if isinstance(node.op, Reshape):  # the same numbers
            kinds[node] = kinds.get(node.inputs[0], EARLY)
        elif node in rank:
            kinds[node] = numbers.setdefault((owner[node], *_kind(node, kinds)), len(numbers))
    order = sorted(rank, key=lambda node: (kinds[node], isinstance(node.op, Reshape), rank[node]))
    return [list(same) for _, same in groupby(order, lambda node: (kinds[node], isinstance(node.op, Reshape)))]


def _kind(node: Node, kinds: dict[Node, int]) -> tuple[Hashable, ...]:
    """What a node does, apart from the sizes and from where its numbers lie."""
    read = tuple(
        [(kinds.get(each, EARLY), each.spec.dtype) if is_own(each, node) else origin(each) for each in node.inputs]
    )
    if not isinstance(node.op, Fused):
        return type(node.op).__name__, node.spec.dtype, *read
    place = {each: index for index, each in enumerate((*node.op.parameters, *node.op.body))}
    body = [(_what(each.op), each.spec.dtype, *[place[source] for source in each.inputs]) for each in node.op.body]
    return *body, *read


def _what(op: Any) -> Hashable:
    if isinstance(op, Full):
        return Full, op.value, op.dtype
    return BroadcastTo if isinstance(op, BroadcastTo) else op


def is_own(source: Node, node: Node) -> bool:
    """Whether ``node`` reads one number of ``source`` for each of its own, and not one for all."""
    return source.spec.size == node.spec.size


def origin(node: Node) -> Node:
    """The node whose numbers a reshape shows."""
    while isinstance(node.op, Reshape):
        node = node.inputs[0]
    return node


def can_run_as_one(group: Sequence[Node]) -> bool:
    """Whether the nodes of a group may be computed by one kernel, once their numbers lie in a row."""
    return len(group) > 1 and isinstance(group[0].op, Fused | AllReduce)

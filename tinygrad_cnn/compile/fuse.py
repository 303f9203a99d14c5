"""Fusion: nodes that are computed together, piece by piece while the numbers are in the processor's cache.

A **fused** node holds a small graph of its own. It begins, if it has one, with a convolution, pool or matrix product
(its *head*), goes on with element-wise operations, and may end in a reduction. Each executor decides how to run it: as
NumPy calls on blocks, or as one loop.

What is used once, by a node of the same shape, goes together with that node. Repeating (``broadcast_to``) and single
numbers cost nothing inside a loop: every group that reads them has its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ..backend import Array
from ..graph import Node, Spec, topological_order
from ..ops.base import SYMBOL, Full, Operation
from ..ops.elementwise import Unary
from ..ops.linalg import MatMul
from ..ops.reduce import Mean, Reduction, Sum
from ..ops.shape import BroadcastTo
from .graph import Graph, like
from .layout import MAPS, Arranged

FREE = (BroadcastTo, Full)


@dataclass(frozen=True, eq=False)
class Fused(Operation):
    """Several operations run as one."""

    parameters: tuple[Node, ...]
    """The symbols that stand for the inputs."""
    body: tuple[Node, ...]
    """What is computed, each node after its inputs; the last is the result."""
    name = "fused"
    differentiable = False

    @property
    def head(self) -> Node | None:
        """The convolution, pool or product that the numbers come from, if there is one."""
        return next((node for node in self.body if is_head(node)), None)

    @property
    def tail(self) -> Node | None:
        """The reduction at the end, if there is one."""
        return self.body[-1] if isinstance(self.body[-1].op, Reduction) else None

    def infer(self, *specs: Spec) -> Spec:
        return self.body[-1].spec

    def forward(self, xp: Any, *arrays: Array) -> Array:
        values = dict(zip(self.parameters, arrays, strict=True))
        for node in self.body:
            values[node] = node.op.forward(xp, *[values[each] for each in node.inputs])
        return values[self.body[-1]]

    def __str__(self) -> str:
        return " + ".join([str(node.op.op if isinstance(node.op, Arranged) else node.op) for node in self.steps])

    @property
    def steps(self) -> list[Node]:
        """The body without what is free."""
        return [node for node in self.body if not isinstance(node.op, FREE)]


def is_head(node: Node) -> bool:
    """Whether the node is one that element-wise operations can follow in the same group."""
    return isinstance(node.op, Arranged | MatMul)


def is_map(node: Node) -> bool:
    """Whether each element of the result comes from the elements at the same place."""
    return isinstance(node.op, MAPS)


def is_reduction(node: Node) -> bool:
    """Whether the node adds up, with its axes kept."""
    return isinstance(node.op, Sum | Mean) and node.op.keepdim


def fuse(graph: Graph) -> Graph:
    """Put nodes together that are best computed together."""
    order = graph.nodes
    users: dict[Node, set[Node]] = {node: set() for node in order}
    for node in order:
        for each in node.inputs:
            users[each].add(node)
    wanted = set(graph.results)
    members: dict[Node, list[Node]] = {}  # by the last node of the group, latest first
    group_of: dict[Node, Node] = {}
    shape_of: dict[Node, Spec] = {}
    headed: set[Node] = set()
    for node in reversed(order):
        last = _group_to_join(node, users, wanted, group_of, shape_of, headed)
        if last is None:
            if not (is_map(node) or is_head(node) or is_reduction(node)):
                continue
            last = node
            members[last] = []
            shape_of[last] = node.inputs[0].spec if is_reduction(node) else node.spec
        members[last].append(node)
        group_of[node] = last
        if is_head(node):
            headed.add(last)

    new: dict[Node, Node] = {}
    for node in order:
        if node in members:
            new[node] = _fused(node, members[node][::-1], new)
        elif node not in group_of:
            new[node] = like(node, node.op, [new[each] for each in node.inputs], node.spec) if node.inputs else node
    return graph.with_results([new[node] for node in graph.results])


def _group_to_join(
    node: Node,
    users: dict[Node, set[Node]],
    wanted: set[Node],
    group_of: dict[Node, Node],
    shape_of: dict[Node, Spec],
    headed: set[Node],
) -> Node | None:
    """The last node of the group that reads this node, provided that nobody else does."""
    if node in wanted or not (is_map(node) or is_head(node)):
        return None
    groups = {group_of.get(user) for user in users[node]}
    if len(groups) != 1:
        return None
    (last,) = groups
    if last is None or node.spec.shape != shape_of[last].shape:
        return None
    if any(is_head(user) for user in users[node]):
        return None  # a head reads its inputs as a whole
    if is_head(node) and (last in headed or is_reduction(last)):
        return None
    return last


def _fused(last: Node, group: Sequence[Node], new: dict[Node, Node]) -> Node:
    """One node for the whole group."""
    if len(group) == 1 and not (is_map(last) or is_head(last) or is_reduction(last)):
        return like(last, last.op, [new[each] for each in last.inputs], last.spec)
    inside: dict[Node, Node] = {}
    parameters: dict[Node, Node] = {}  # by the node outside

    def outside(node: Node) -> Node:
        if node not in parameters:
            parameters[node] = Node(SYMBOL, (), node.spec, symbolic=True, name=node.name)
        return parameters[node]

    def read(node: Node) -> Node:
        """What stands for the input of an element-wise member."""
        if node not in inside:
            if isinstance(node.op, BroadcastTo):
                inside[node] = like(node, node.op, (read(node.inputs[0]),), node.spec)
            elif isinstance(node.op, Full):
                inside[node] = node
            else:
                return outside(node)
        return inside[node]

    for node in group:
        inside[node] = like(
            node, node.op, [(outside if is_head(node) else read)(each) for each in node.inputs], node.spec
        )
    result = inside[last]
    symbols = tuple(parameters.values())
    body = [node for node in topological_order([result]) if node.op is not SYMBOL]
    named = next((node for node in group if is_head(node)), last)
    return like(named, Fused(symbols, tuple(body)), [new[each] for each in parameters], last.spec)


class Copy(Unary):
    """The same numbers in an array of their own."""

    name = "copy"
    differentiable = False

    def infer(self, x: Spec) -> Spec:
        return x

    def forward(self, xp: Any, x: Array) -> Array:
        return xp.ascontiguousarray(x)


def copy_of(node: Node) -> Node:
    """A node that holds the numbers of another in an array of its own."""
    symbol = Node(SYMBOL, (), node.spec, symbolic=True)
    return like(node, Fused((symbol,), (like(node, Copy(), (symbol,)),)), (node,))

"""The order in which a plan computes its nodes, and where its parts wait for each other.

A plan runs in **phases**. Within a phase a part works on its own; between two phases every part waits for the others.
The last phase changes the states: it is entered when everything that may fail is done, and when no part reads them any
more.
"""

from __future__ import annotations

import heapq
from dataclasses import dataclass

from ..graph import Node, topological_order
from ..ops.index import Index
from ..ops.shape import BroadcastTo, Permute, Reshape
from .fuse import Fused
from .graph import Graph
from .recompute import Hold
from .split import AllReduce, Rows
from .together import groups, units

VIEWS = (Reshape, Permute, BroadcastTo, Index, Rows, Hold)
"""Operations that show an array in another way, where they can."""


@dataclass(frozen=True)
class Schedule:
    """The nodes of one part, phase by phase."""

    phases: tuple[tuple[Node, ...], ...]
    groups: tuple[tuple[Node, ...], ...] = ()
    """Nodes of the last phase, of all parts, that do the same to different states."""

    @property
    def order(self) -> list[Node]:
        """All nodes, each after its inputs."""
        return [node for phase in self.phases for node in phase]


def schedule(graph: Graph, part: int = 0, parts: int = 1) -> Schedule:
    """The phases of one part of a plan."""
    order = _short_ways_first(graph)
    late = _late(graph, order)
    early = _sums_last([node for node in order if node not in late])
    phases: list[list[Node]] = [[]]
    for node in early:
        if (
            isinstance(node.op, AllReduce)
            and phases[-1]
            and not all(isinstance(each.op, AllReduce) for each in phases[-1])
        ):
            phases.append([])
        phases[-1].append(node)
    last = [node for node in order if node in late]
    owner = _owners(last, parts)
    same = groups(last, owner)
    grouped = {node for group in same for node in group}
    last = (
        [node for node in last if node not in owner]
        + [node for group in same for node in group]
        + [node for node in last if node in owner and node not in grouped]
    )
    phases.append([node for node in last if owner.get(node, part) == part])
    return Schedule(tuple([tuple(phase) for phase in phases]), tuple([tuple(group) for group in same]))


def _short_ways_first(graph: Graph) -> list[Node]:
    """All nodes, those first that results need which are soon done.

    So the gradient of a layer's weights is computed when the backward pass comes by, and what it reads is free again.
    """
    steps: dict[Node, int] = {}
    for node in graph.nodes:
        steps[node] = 1 + max([steps[each] for each in node.inputs], default=0)
    return topological_order(sorted(graph.results, key=steps.__getitem__))


def _late(graph: Graph, order: list[Node]) -> set[Node]:
    """What only serves to change the states, seen from the end: element-wise work, and the sums below it."""
    replacing = graph.replacing
    returned = {node for position, node in enumerate(graph.results) if position not in replacing}
    changed = {node for position, node in enumerate(graph.results) if position in replacing} - returned
    users: dict[Node, list[Node]] = {node: [] for node in order}
    for node in order:
        for each in node.inputs:
            users[each].append(node)
    late: set[Node] = set()
    for node in reversed(order):
        if node.inputs and node not in returned and (users[node] or node in changed):
            cheap = isinstance(node.op, AllReduce | Reshape)
            cheap = cheap or (isinstance(node.op, Fused) and node.op.head is None and node.op.tail is None)
            if cheap and all(user in late for user in users[node]):
                late.add(node)
    return late


def _sums_last(order: list[Node]) -> list[Node]:
    """Nodes that wait for other parts come when nothing else can be done: so the parts wait for each other seldom."""
    position = {node: index for index, node in enumerate(order)}
    waiting = {node: sum(each in position for each in set(node.inputs)) for node in order}
    users: dict[Node, list[Node]] = {node: [] for node in order}
    for node in order:
        for each in set(node.inputs):
            if each in position:
                users[each].append(node)
    if not any(isinstance(node.op, AllReduce) for node in order):
        return order
    ready = [(isinstance(node.op, AllReduce), position[node], node) for node in order if not waiting[node]]
    heapq.heapify(ready)
    done: list[Node] = []
    while ready:
        node = heapq.heappop(ready)[-1]
        done.append(node)
        for user in users[node]:
            waiting[user] -= 1
            if not waiting[user]:
                heapq.heappush(ready, (isinstance(user.op, AllReduce), position[user], user))
    return done


def _owners(late: list[Node], parts: int) -> dict[Node, int]:
    """Which part computes each late node. Single numbers have no owner: every part computes them for itself."""
    load, owner = [0] * parts, {}
    for unit in sorted(units(late), key=lambda unit: -sum(node.spec.size for node in unit)):
        part = load.index(min(load))
        load[part] += sum(node.spec.size for node in unit)
        owner.update(dict.fromkeys(unit, part))
    return owner

"""Which nodes of a scope belong to one call of it, where the graph alone is there to tell.

Calls of modules in a traced model have scopes of their own. Scopes of other graphs only have names: the same name may
stand for several calls, and what joins the nodes of a call is that they pass tensors to each other.
"""

from __future__ import annotations

from ..graph import Node
from .gradient import is_backward


def join_calls(nodes: list[Node], block_of: dict[Node, str], find: Sets) -> None:
    """Which nodes stand in one box: those of one call of one block that pass tensors to each other.

    The parts of a gradient rule do not feed each other; what holds them together is the gradient that they all
    start from.
    """
    call_of = _calls(nodes, block_of)
    first_user: dict[tuple[Node, str, int], Node] = {}
    for node, call in call_of.items():
        block = block_of[node]
        for parent in node.inputs:
            if block_of.get(parent) == block:
                if call_of[parent] == call:
                    find.join(parent, node)
            elif is_backward(block) and is_backward(parent.scope):
                find.join(first_user.setdefault((parent, block, call), node), node)


def _calls(nodes: list[Node], block_of: dict[Node, str]) -> dict[Node, int]:
    """Which call of its block each node belongs to: a path that leaves a block and comes back is in its next call.

    A node that depends on no call at all belongs to the call that uses it first.
    """
    places: dict[str, list[int]] = {}
    for place, node in enumerate(nodes):
        if node in block_of:
            places.setdefault(block_of[node], []).append(place)
    found: dict[Node, int] = {}
    fresh: list[Node] = []
    for block, own in places.items():
        calls: dict[Node, int] = {}  # also for nodes between: the last call that they depend on
        for node in nodes[own[0] : own[-1] + 1]:
            inside = block_of.get(node) == block
            for parent in node.inputs:
                if parent in calls:
                    again = inside and block_of.get(parent) != block
                    calls[node] = max(calls.get(node, 0), calls[parent] + again)
            if inside and node in calls:
                found[node] = calls[node]
            elif inside:
                fresh.append(node)
                calls[node] = 0
    first_use: dict[Node, int] = {}
    waiting = set(fresh)
    for node in reversed(nodes):
        if node in waiting:
            found[node] = first_use.get(node, 0)
        for parent in node.inputs if node in found else ():
            if parent in waiting and block_of[parent] == block_of[node]:
                first_use[parent] = min(first_use.get(parent, found[node]), found[node])
    return {node: found[node] for node in nodes if node in found}


class Sets:
    """Sets that merge: each node leads, over others, to the one that stands for its set."""

    def __init__(self) -> None:
        self.leader: dict[Node, Node] = {}

    def __call__(self, node: Node) -> Node:
        path = []
        while node in self.leader:
            path.append(node)
            node = self.leader[node]
        for each in path:
            self.leader[each] = node
        return node

    def join(self, one: Node, other: Node) -> None:
        one, other = self(one), self(other)
        if one is not other:
            self.leader[other] = one

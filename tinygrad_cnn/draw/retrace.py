"""Copies of a traced graph: without its numbers, with the calls of a block told apart, with fused operations opened.

The nodes of a user's graph are never changed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from ..graph import Node, topological_order
from ..tensor import Tensor
from .gradient import is_backward, is_leaf
from .plans import body_of, steps_of
from .trace import CALL, Trace


def without_numbers(trace: Trace, scopes: Mapping[Node, str]) -> tuple[Trace, dict[Node, Node]]:
    """The same graph with nothing in it computed, so that its gradient is a graph in full; and each node's twin.

    An eager gradient is recorded only where it could be differentiated again; a picture wants all of it.

    Args:
        trace: the graph.
        scopes: other scopes for some of the nodes.
    """
    twins: dict[Node, Node] = {}
    for node in topological_order([tensor.node for tensor in trace.outputs]):
        inputs = tuple([twins[parent] for parent in node.inputs])
        twins[node] = _twin(node, inputs, scopes.get(node, node.scope))
    return _renamed(trace, twins), twins


def _twin(node: Node, inputs: tuple[Node, ...], scope: str) -> Node:
    twin = Node(
        node.op, inputs, node.spec, requires_grad=node.requires_grad, symbolic=True, scope=scope, place=node.place,
        name=node.name,
    )  # fmt: skip
    twin.handle = node.handle
    return twin


def _renamed(trace: Trace, twins: Mapping[Node, Node]) -> Trace:
    return replace(
        trace,
        outputs=[Tensor._from_node(twins[tensor.node], None) for tensor in trace.outputs],
        leaves={twins[node]: name for node, name in trace.leaves.items() if node in twins},
        buffers=frozenset([twins[node] for node in trace.buffers if node in twins]),
        given={twins[node]: tensor for node, tensor in trace.given.items() if node in twins},
        becomes={twins[node]: words for node, words in trace.becomes.items() if node in twins},
        times={twins.get(node, node): time for node, time in trace.times.items()},
    )


def calls_told_apart(trace: Trace) -> dict[Node, str]:
    """Scopes of their own for the second and further calls of an innermost block, where no model was traced.

    The path of a scope is made anew whenever a block is entered, so the nodes of one call share not only the path but
    the very object. What is entered several times is called several times if it reads the same weights each time;
    without weights it may as well be one block written in pieces. Blocks with others in them have no such sign:
    nothing says which of two inner calls belongs to which outer one.
    """
    if trace.modules:
        return {}
    order = topological_order([tensor.node for tensor in trace.outputs])
    paths = {node.scope for node in order}
    outer = {path[:end] for path in paths for end, letter in enumerate(path) if letter == "/"}
    calls: dict[str, dict[int, int]] = {}
    readers: dict[tuple[str, Node], set[int]] = {}
    call_of: dict[Node, int] = {}
    for node in order:
        if node.scope and not is_leaf(node) and node.scope not in outer and not is_backward(node.scope):
            known = calls.setdefault(node.scope, {})
            call_of[node] = known.setdefault(id(node.scope), len(known) + 1)
            for parent in node.inputs:
                if is_leaf(parent) and parent.requires_grad:
                    readers.setdefault((node.scope, parent), set()).add(call_of[node])
    again = {scope for (scope, _), numbers in readers.items() if len(numbers) > 1}
    return {node: f"{node.scope}{CALL}{call}" for node, call in call_of.items() if call > 1 and node.scope in again}


def opened(trace: Trace) -> Trace:
    """The graph with the nodes of each fused operation in its place, several of them in a block of their own."""
    roots = [tensor.node for tensor in trace.outputs]
    twins: dict[Node, Node] = {}
    bodies: dict[str, Node] = {}
    for node in topological_order(roots):
        inputs = tuple([twins[parent] for parent in node.inputs])
        body = body_of(node)
        if not body:
            twins[node] = twin = _twin(node, inputs, node.scope)
            twin.value, twin.symbolic = node.value, node.symbolic
            continue
        scope = node.scope
        if len(steps_of(node)) > 1:
            scope = f"{node.scope}/{node.op.name}{CALL}{len(bodies) + 1}".lstrip("/")
            bodies[scope] = node
        inner: dict[Node, Node] = dict(zip(node.inputs, inputs, strict=True))
        waiting = list(inputs[::-1])
        for each in body:
            if each.op.name == "symbol" and each not in inner:
                inner[each] = waiting.pop()
            elif each not in inner:
                for parent in each.inputs:
                    if parent not in inner:  # a number that belongs to the operation
                        inner[parent] = _twin(parent, (), scope)
                        inner[parent].value = parent.value
                inner[each] = made = _twin(each, tuple([inner[parent] for parent in each.inputs]), scope)
                made.requires_grad = node.requires_grad and each.requires_grad
        twins[node] = inner[body[-1]]
    fused = set(bodies.values())
    times = {node if node in fused else twins.get(node, node): time for node, time in trace.times.items()}
    return replace(_renamed(trace, twins), bodies=bodies, times=times)


def has_bodies(trace: Trace) -> bool:
    """Whether any operation is a graph itself."""
    return any(body_of(node) for node in topological_order([tensor.node for tensor in trace.outputs]))

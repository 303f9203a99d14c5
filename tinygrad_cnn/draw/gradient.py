"""The gradient of a traced graph, with what a picture says of it: whose rule made each node, and what adds up."""

from __future__ import annotations

import inspect
import re
from collections.abc import Sequence
from functools import cache
from typing import NamedTuple

from ..autodiff import grad
from ..errors import ArgumentError
from ..graph import Node, topological_order
from ..mode import exact_scope
from ..ops.base import Operation, full_like
from ..ops.elementwise import Add
from ..tensor import Tensor
from .trace import Trace

GRADIENT = "gradient"
"""The scope that :func:`tinygrad_cnn.grad` works in."""
LEAVES = frozenset({"symbol", "constant", "initial"})
_MARK = "\x1f"
_TOTAL = "total"


class Gradients(NamedTuple):
    """The gradient of the sum of all outputs."""

    of: dict[Node, Node]
    """For each node that was asked for, the node of its gradient."""
    rule_of: dict[Node, Node]
    """For each node of the gradient, the forward node whose rule made it."""
    sums: frozenset[Node]
    """The nodes that add up what several uses of one tensor give."""
    seeds: frozenset[Node]
    """The gradients in the outputs of a graph with several: ones."""


def is_backward(scope: str) -> bool:
    """Whether a scope belongs to a gradient."""
    return scope == GRADIENT or scope.startswith(GRADIENT + "/")


def forward_scope(scope: str) -> str:
    """The scope of the forward node that a gradient belongs to."""
    while is_backward(scope):
        scope = scope[len(GRADIENT) + 1 :]
    return scope


def is_leaf(node: Node) -> bool:
    """Whether the node was given: a symbol, a constant, a parameter."""
    return node.op.name in LEAVES and not node.inputs


def find_gradients(trace: Trace, everywhere: bool = False) -> Gradients:
    """The gradients in all leaves that require one, or in all nodes that do.

    Args:
        trace: nobody else may use its nodes: their scopes are marked for the time of the walk.
        everywhere: whether the gradients in results are wanted too.

    Raises :class:`ArgumentError` where no leaf requires one.
    """
    order = topological_order([tensor.node for tensor in trace.outputs])
    wanted = [node for node in order if node.requires_grad and (everywhere or is_leaf(node))]
    outputs = [tensor for tensor in trace.outputs if tensor.requires_grad]
    if not wanted or not outputs:
        raise ArgumentError(
            "draw",
            "there is no gradient to draw: no leaf requires one",
            got=f"{len(order)} nodes",
            fix="make the leaves with requires_grad=True, or draw with backward=False",
        )
    for place, node in enumerate(order):  # the rules work in the scope of their node, which is how they are found
        node.scope += f"{_MARK}{place}"
    # A handle knows the newest node of its tensor; the graph may hold an older one.
    handles = [Tensor._from_node(node, None) for node in wanted]
    with exact_scope(f"{_MARK}{_TOTAL}"):
        total = outputs[0] if len(outputs) == 1 else _total(outputs)
    with exact_scope(GRADIENT):
        found = grad(total, handles, full_like(total, 1.0))
    rule_of: dict[Node, Node] = {}
    seeds: set[Node] = set()
    made = topological_order([*[tensor.node for tensor in outputs], *[each.node for each in found]])
    for node in made:
        before, mark, after = node.scope.partition(_MARK)
        index, _, inner = after.partition("/")
        node.scope = f"{before.rstrip('/')}/{inner}" if inner else before.rstrip("/")
        if mark and index == _TOTAL:
            seeds.add(node)
        elif mark and is_backward(node.scope):
            rule_of[node] = order[int(index)]
    for node in order:  # what no gradient depends on
        node.scope = node.scope.partition(_MARK)[0]
    return Gradients(
        {node: gradient.node for node, gradient in zip(wanted, found, strict=True)},
        rule_of,
        frozenset(_sums(made, rule_of)),
        frozenset(seeds),
    )


def _total(outputs: Sequence[Tensor]) -> Tensor:
    """The sum of all numbers that come out."""
    parts = [output.sum().to(outputs[0].dtype) for output in outputs]
    total = parts[0]
    for part in parts[1:]:
        total = total + part
    return total


def _sums(made: Sequence[Node], rule_of: dict[Node, Node]) -> set[Node]:
    """The additions that belong to no rule: the walk adds a rule's result to what other uses have given before.

    Such an addition comes last in its rule's scope and takes the total from another rule, or from the same rule
    where an operation reads one tensor twice.
    """
    read_inside = {parent for node in made for parent in node.inputs if rule_of.get(parent) is rule_of.get(node)}
    found: set[Node] = set()
    for node in made:
        rule = rule_of.get(node)
        if rule is None or not isinstance(node.op, Add) or node in read_inside:
            continue
        total = rule_of.get(node.inputs[0])
        twice = len(set(rule.inputs)) < len(rule.inputs)
        if (total is not rule and is_backward(node.inputs[0].scope)) or (twice and total is rule):
            found.add(node)
    return found


def rule_text(operation: Operation) -> str:
    """The gradient rule as the operation's docstring gives it.

    >>> rule_text(Add())
    'grad, grad'
    """
    return _rule_in(inspect.getdoc(type(operation)) or "")


@cache
def _rule_in(docstring: str) -> str:
    text = " ".join(docstring.partition("\n\n")[0].split())
    rule = text.partition("Gradient:")[2].replace("`", "").strip()
    return re.sub(r"\. \([^()]*\)$", "", rule).strip(" .")  # without the source

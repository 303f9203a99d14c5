"""The graph: what a node is, and the order in which nodes are visited.

A **node** is one call of one operation. It knows the operation (which holds its own hyper-parameters), the nodes it
was called on, the shape and type of its result, the block it was made in and the user's line. Nodes point only at
their inputs, so a graph is gone as soon as nobody holds its last node.

Most nodes hold no numbers. The numbers belong to the :class:`~tinygrad_cnn.tensor.Tensor` in the user's hand; a node
keeps them only when it is a leaf, or when the gradient rule of some operation will read them (``Operation.keeps``).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, NamedTuple
from weakref import ReferenceType

import numpy as np

from .errors import Place, describe_place

if TYPE_CHECKING:
    from .backend import Array
    from .ops.base import Operation
    from .tensor import Tensor


class Spec(NamedTuple):
    """The shape and element type of an array, known before the array is.

    >>> Spec((8, 3, 28, 28), np.dtype("float32"))
    (8, 3, 28, 28) float32
    """

    shape: tuple[int, ...]
    dtype: np.dtype

    @property
    def size(self) -> int:
        """The number of elements."""
        size = 1
        for length in self.shape:
            size *= length
        return size

    def __repr__(self) -> str:
        return f"{self.shape} {self.dtype}"


class Region:
    """The operations of one checkpoint: their numbers are forgotten, and computed again when a gradient needs them."""

    def __init__(self, of: Region | None = None) -> None:
        self.of = of or self
        self.forgets = of is None

    @property
    def edge(self) -> Region:
        """Where its results belong, which are not forgotten."""
        return Region(self)


class Node:
    """One call of one operation."""

    __slots__ = (
        "__weakref__", "handle", "inputs", "name", "op", "place", "region", "requires_grad", "scope", "spec",
        "symbolic", "value",
    )  # fmt: skip

    def __init__(
        self,
        op: Operation,
        inputs: tuple[Node, ...],
        spec: Spec,
        value: Array | None = None,
        requires_grad: bool = False,
        symbolic: bool = False,
        scope: str = "",
        place: Place | None = None,
        name: str | None = None,
        region: Region | None = None,
    ) -> None:
        self.op = op
        self.inputs = inputs
        self.spec = spec
        self.value = value
        """The numbers, where the node keeps them."""
        self.requires_grad = requires_grad
        """Whether a gradient may flow through this node."""
        self.symbolic = symbolic
        """Whether the numbers come only when the graph is run."""
        self.scope = scope
        self.place = place
        self.name = name
        self.region = region
        """The checkpoint that the call belongs to."""
        self.handle: ReferenceType[Tensor] | None = None
        """On a leaf that the user made: the tensor that owns it, collects its gradient and may be assigned to."""

    @property
    def is_leaf(self) -> bool:
        """Whether the node was given rather than computed."""
        return not self.inputs

    @property
    def where(self) -> str:
        """The user's line and the block, as one phrase."""
        return describe_place(self.place, self.scope)

    def __repr__(self) -> str:
        name = f" {self.name!r}" if self.name else ""
        return f"<Node {self.op}{name} -> {self.spec}>"


def topological_order(outputs: Iterable[Node], differentiable: bool = False) -> list[Node]:
    """All nodes that the outputs rest on, each after its inputs.

    The walk goes depth first, inputs from left to right, so the order is the same in every run. It keeps its own
    stack: a graph may be deeper than Python's recursion limit. With ``differentiable``, nodes that no gradient flows
    through are left out, with all that only they rest on.
    """
    order: list[Node] = []
    entered: set[Node] = set()
    opened: list[Node] = []  # the path from an output down to where the walk is
    stack: list[Node | None] = []
    stack.extend([node for node in outputs if node.requires_grad or not differentiable][::-1])
    while stack:
        node = stack.pop()
        if node is None:  # everything below the last node of the path is in order
            order.append(opened.pop())
        elif node not in entered:
            entered.add(node)
            opened.append(node)
            stack.append(None)
            for parent in node.inputs[::-1]:
                if parent not in entered and (parent.requires_grad or not differentiable):
                    stack.append(parent)  # noqa: PERF401 - for one or two inputs a list costs more than it saves
    return order


def symbolic_order(outputs: Iterable[Node]) -> list[Node]:
    """The symbolic nodes that the outputs rest on, each after its inputs, and the nodes with numbers that they use.

    How those numbers came about is not looked at: a symbolic graph begins where the numbers end.
    """
    return order_within(outputs, lambda node: node.symbolic)


def order_within(outputs: Iterable[Node], inside: Callable[[Node], bool]) -> list[Node]:
    """The nodes of a part of the graph, each after its inputs, and the nodes outside that it begins with."""
    order: list[Node] = []
    entered: set[Node] = set()
    stack = [(node, False) for node in outputs][::-1]
    while stack:
        node, done = stack.pop()
        if done:
            order.append(node)
        elif node not in entered:
            entered.add(node)
            stack.append((node, True))
            if inside(node):
                stack.extend([(each, False) for each in node.inputs[::-1]])
    return order

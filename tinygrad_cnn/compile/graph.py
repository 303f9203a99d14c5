"""What a compiled function is made of: its inputs, its results, and the graph between them.

A pass takes the results and gives other nodes that compute the same; :func:`rewrite` is the walk that most passes
are written with. At every stage :func:`run` gives the numbers by the plain interpreter, which is what the tests hold
each pass and each executor against.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from ..backend import Array, get_device
from ..graph import Node, Spec, topological_order
from ..ops.base import SYMBOL, Operation
from ..tensor import Tensor


@dataclass(frozen=True)
class State:
    """Something that outlives a call and is read in it, such as a parameter or the learning rate."""

    node: Node
    """The symbol that stands for it in the graph."""
    read: Callable[..., Array]
    """What it holds now."""
    leaf: Tensor | None = None
    """The tensor whose numbers these are, if there is one."""
    dims: tuple[int, ...] | None = None
    """The order in which its axes are stored, where it is not their own."""
    fills: bool = False
    """Whether ``read`` writes into an array that it is called with."""


@dataclass(frozen=True)
class Effect:
    """What a call leaves behind: new numbers of a leaf, or its gradient."""

    leaf: Tensor
    kind: str
    """``"assign"``, ``"gradient"``, or ``"forget"`` for a gradient that is none afterwards."""
    position: int = -1
    """Where among the results the numbers are."""
    dims: tuple[int, ...] | None = None
    """The order in which the axes of these numbers are stored, where it is not their own."""


@dataclass(frozen=True)
class Graph:
    """A function described: what goes in, what comes out, and what is left behind."""

    arguments: tuple[Node, ...]
    """The symbols of the tensors that the function is called with."""
    states: tuple[State, ...]
    results: tuple[Node, ...]
    """Everything that is to be computed: first what is returned, then the numbers of the effects."""
    effects: tuple[Effect, ...]
    argument_dims: tuple[tuple[int, ...] | None, ...] = ()
    """The order in which the axes of each argument are stored, where it is not their own."""

    @property
    def nodes(self) -> list[Node]:
        """All nodes that the results rest on, each after its inputs."""
        return topological_order(self.results)

    @property
    def replacing(self) -> set[int]:
        """Which results are new numbers of states; the others are given to the user, or to leaves that nobody reads."""
        states = {id(state.leaf) for state in self.states if state.leaf is not None}
        return {effect.position for effect in self.effects if effect.kind == "assign" and id(effect.leaf) in states}

    def with_results(self, results: Sequence[Node]) -> Graph:
        """The same function computed by other nodes."""
        return replace(self, results=tuple(results))

    def tensors(self) -> tuple[Tensor, ...]:
        """The results as symbolic tensors, for pictures."""
        return tuple([Tensor._from_node(node, None) for node in self.results])


Rule = Callable[[Node], Node]
"""From a node whose inputs have been rewritten to what takes its place: itself, or another."""


def rewrite(results: Sequence[Node], rule: Rule) -> list[Node]:
    """Walk from the inputs to the results and let ``rule`` replace each node."""
    new: dict[Node, Node] = {}
    for node in topological_order(results):
        inputs = tuple([new[parent] for parent in node.inputs])
        new[node] = rule(node if inputs == node.inputs else like(node, node.op, inputs, node.spec))
    return [new[node] for node in results]


def like(node: Node, op: Operation, inputs: Sequence[Node], spec: Spec | None = None) -> Node:
    """A call of ``op`` that belongs to the same block and line of the user's program as ``node``."""
    inputs = tuple(inputs)
    spec = op.infer(*[each.spec for each in inputs]) if spec is None else spec
    value = None if inputs else node.value
    return Node(op, inputs, spec, value, False, True, node.scope, node.place, node.name, node.region)


def run(graph: Graph, arguments: Sequence[Array]) -> list[Array]:
    """The results by the plain interpreter, one node after the other. Nothing is left behind."""
    xp = get_device().xp
    arrays: dict[Node, Array] = {}
    dims_of = graph.argument_dims or (None,) * len(arguments)
    for node, array, dims in zip(graph.arguments, arguments, dims_of, strict=True):
        arrays[node] = array if dims is None else array.transpose(dims)
    for state in graph.states:
        arrays[state.node] = state.read() if state.dims is None else state.read().transpose(state.dims)
    for node in graph.nodes:
        if node not in arrays:
            assert node.op is not SYMBOL, node
            inputs = [arrays[parent] for parent in node.inputs]
            arrays[node] = node.value if node.value is not None else xp.asarray(node.op.forward(xp, *inputs))
    stored = {effect.position: effect.dims for effect in graph.effects if effect.dims is not None}
    results = [arrays[node] for node in graph.results]
    for position, dims in stored.items():
        results[position] = results[position].transpose(sorted(range(len(dims)), key=dims.__getitem__))
    return results

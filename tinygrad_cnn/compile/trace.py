"""Tracing: a function is called once with symbols, and what it does is taken down instead of done.

Every operation inside gives a symbolic result, so nothing is computed. Effects are handed to the :class:`Tracer`: an
assignment makes the leaf stand for its new value until the end of the trace, when everything is put back as it was.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import repeat
from operator import attrgetter, is_
from typing import Any, NoReturn
from weakref import ref

import numpy as np

from ..backend import Array
from ..errors import GraphError
from ..graph import Node, Spec, symbolic_order
from ..mode import tracing
from ..ops.base import CONSTANT, SYMBOL, Full
from ..ops.elementwise import Detach
from ..tensor import Tensor
from .graph import Effect, Graph, State, like

PLAIN = (bool, int, float, str, tuple, type(None), Tensor)
"""Kinds of attributes of a module or an optimiser that a trace depends on, beside the parts of a module."""
GRAD = attrgetter("grad")


@dataclass(frozen=True)
class Guards:
    """What a trace holds for: settings of modules and optimisers, and which leaves had a gradient."""

    settings: tuple[tuple[Any, Callable[[Any], tuple[Any, ...]], tuple[Any, ...]], ...]
    """The object, how to read its settings, and what they were."""
    leaves: tuple[Tensor, ...]
    """Those whose gradient the function changes."""
    had_none: list[bool]
    """Whether each of them had no gradient when it began."""

    def hold(self) -> bool:
        """Whether everything is as it was: the very same objects."""
        for part, read, before in self.settings:
            if not all(map(is_, read(part), before)):
                return False
        return list(map(is_, map(GRAD, self.leaves), repeat(None))) == self.had_none

    def changed_setting(self) -> str:
        """The first setting that is not what it was, for messages."""
        for part, read, before in self.settings:
            for name, now, then in zip(read.__reduce__()[1], read(part), before, strict=True):
                if now is not then:
                    return f"{type(part).__name__}.{name}"
        return ""


class Tracer:
    """Who takes down what a function does."""

    def __init__(self) -> None:
        self._before: dict[int, tuple[Tensor, Node, Array | None]] = {}
        self._gradients: dict[int, tuple[Tensor, Tensor | None]] = {}
        self._numbers: dict[tuple[int, str, np.dtype], State] = {}
        self._drawn: dict[Node, State] = {}
        self._visited: dict[int, Any] = {}

    def assigned(self, leaf: Tensor) -> bool:
        """Whether the function has given this leaf new numbers."""
        return id(leaf) in self._before

    def assign(self, leaf: Tensor, value: Tensor) -> None:
        """From here to the end of the trace the leaf stands for ``value``; no gradient flows back through it."""
        self._before.setdefault(id(leaf), (leaf, leaf.node, leaf._array))
        old = leaf.node
        leaf.node = Node(DETACH, (value.node,), old.spec, None, old.requires_grad, True, name=old.name)
        leaf.node.handle = ref(leaf)
        leaf._array = None

    def remember_gradient(self, leaf: Tensor) -> None:
        """Called before the gradient of a leaf changes."""
        self._gradients.setdefault(id(leaf), (leaf, leaf.grad))

    def number(self, owner: object, name: str, dtype: np.dtype) -> Tensor:
        """The symbol of a number that is read anew in every call."""
        key = (id(owner), name, dtype)
        if key not in self._numbers:
            node = Node(SYMBOL, (), Spec((), dtype), symbolic=True, name=name)
            self._numbers[key] = State(node, lambda: np.asarray(getattr(owner, name), dtype))
        return Tensor._from_node(self._numbers[key].node, None)

    def draw(self, numbers: Callable[..., Array], spec: Spec) -> Tensor:
        """The symbol of random numbers, which are drawn in every call in the order in which they are asked for here.

        ``numbers`` gives a new array, or writes into the one that it is called with.
        """
        node = Node(SYMBOL, (), spec, symbolic=True, name="noise")
        self._drawn[node] = State(node, numbers, fills=spec.dtype in (np.float32, np.float64))
        return Tensor._from_node(node, None)

    def visit(self, part: object) -> None:
        """Called by modules and optimisers that take part: the trace holds for their settings as they are now."""
        self._visited.setdefault(id(part), part)

    def refuse_reading(self, tensor: Tensor) -> NoReturn:
        """Called where the numbers of a tensor with numbers are read: they would be frozen in the compiled function."""
        raise GraphError(
            "compile",
            "the function looks at the numbers of a tensor while it is being compiled",
            got=repr(tensor.node),
            expected="operations on tensors, which the compiled function does anew in every call",
            fix="compute with the tensor itself; to print or to branch on numbers, return them from the function",
        )

    def guards(self) -> Guards:
        """What the trace holds for."""
        settings = []
        for part in self._visited.values():
            names = [name for name, value in vars(part).items() if _is_setting(name, value)]
            names += [] if "training" in names or not hasattr(part, "training") else ["training"]
            if len(names) == 1:
                names *= 2  # attrgetter gives a tuple for two names and more
            if names:
                read = attrgetter(*names)
                settings.append((part, read, read(part)))
        leaves = self._gradients.values()
        return Guards(tuple(settings), tuple([leaf for leaf, _ in leaves]), [before is None for _, before in leaves])


DETACH = Detach()


def _is_setting(name: str, value: object) -> bool:
    from ..nn.module import Module

    if name == "lr" or name.startswith("_"):  # read anew in every call; private things are nobody's settings
        return False
    return isinstance(value, (*PLAIN, Module))


def trace(
    function: Callable[[Sequence[Tensor]], tuple[Any, list[Tensor]]], specs: Sequence[Spec], names: Sequence[str]
) -> tuple[Graph, Any, Guards]:
    """Call the function with symbols.

    Args:
        function: takes the tensors; gives a description of what is returned, and the tensors in it.
        specs: shape and type of each tensor argument.
        names: their names in pictures and messages.

    Returns the graph, the description, and the settings that the graph holds for.
    """
    tracer = Tracer()
    symbols = [
        Node(SYMBOL, (), spec, requires_grad=spec.dtype.kind == "f", symbolic=True, name=name)
        for spec, name in zip(specs, names, strict=True)
    ]
    gradients: list[tuple[Tensor, Tensor | None, Tensor | None]] = []
    assigned: list[tuple[Tensor, Node]] = []
    try:
        with tracing(tracer):
            description, returned = function([Tensor._from_node(node, None) for node in symbols])
        outputs = [tensor.node for tensor in returned]
        assigned = [(leaf, leaf.node.inputs[0]) for leaf, _, _ in tracer._before.values()]
        gradients = [(leaf, leaf.grad, before) for leaf, before in tracer._gradients.values()]
    finally:
        for leaf, node, array in tracer._before.values():
            leaf.node, leaf._array = node, array
        for leaf, before in tracer._gradients.values():
            leaf.grad = before

    results, effects = outputs, []
    for leaf, node in assigned:
        effects.append(Effect(leaf, "assign", len(results)))
        results.append(node)
    served = {id(leaf) for leaf, _ in assigned}
    for leaf, gradient, _ in gradients:
        if gradient is None or id(leaf) in served:
            effects.append(Effect(leaf, "forget"))
        else:
            effects.append(Effect(leaf, "gradient", len(results)))
            results.append(gradient.node)
    gradient_of = {before.node: leaf for leaf, _, before in gradients if before is not None}
    leaf_of = {node: leaf for leaf, node, _ in tracer._before.values()}
    numbers = {state.node: state for state in tracer._numbers.values()}
    states, replaced = _states(results, {*symbols, *tracer._drawn}, numbers, gradient_of, leaf_of)
    states += tracer._drawn.values()  # drawn even where nobody reads them, as outside of a plan
    graph = Graph(tuple(symbols), tuple(states), tuple(_replace_leaves(results, replaced)), tuple(effects))
    return graph, description, tracer.guards()


def _states(
    results: list[Node],
    arguments: set[Node],
    numbers: dict[Node, State],
    gradient_of: dict[Node, Tensor],
    leaf_of: dict[Node, Tensor],
) -> tuple[list[State], dict[Node, Node]]:
    """What the graph reads beside its arguments, and a symbol or a constant for each node that has numbers."""
    states: list[State] = []
    replaced: dict[Node, Node] = {}
    by_leaf: dict[int, Node] = {}
    order = symbolic_order(results)
    outside = {node for node in order if not node.symbolic}
    led_there = {each for node in order if not isinstance(node.op, Detach) for each in node.inputs if each in outside}
    for node in order:
        if node.symbolic:
            if node in numbers:
                states.append(numbers[node])
            elif node.op is SYMBOL and node not in arguments:
                raise GraphError(
                    "compile", "the function uses a symbol that is none of its arguments", got=repr(node),
                    fix="pass it as an argument, and a tensor with numbers in its place",
                )  # fmt: skip
            continue
        if node in gradient_of:
            states.append(State(Node(SYMBOL, (), node.spec, symbolic=True), partial(_gradient_of, gradient_of[node])))
            replaced[node] = states[-1].node
            continue
        leaf = leaf_of.get(node, None if node.handle is None else node.handle())
        if leaf is None:
            if node.requires_grad and node in led_there:
                raise GraphError(
                    "compile",
                    "the function uses a tensor that was recorded outside of it, and would not lead gradients there",
                    got=repr(node),
                    expected="arguments, leaves such as parameters, and constants",
                    fix="pass it as an argument, or use tensor.detach()",
                )
            if isinstance(node.op, Full):
                replaced[node] = Node(node.op, (), node.spec, symbolic=True)
            else:
                replaced[node] = Node(CONSTANT, (), node.spec, node.value, symbolic=True, name=node.name)
            continue
        if id(leaf) not in by_leaf:
            by_leaf[id(leaf)] = Node(SYMBOL, (), node.spec, symbolic=True, name=node.name)
            states.append(State(by_leaf[id(leaf)], partial(_numbers_of, leaf), leaf))
        replaced[node] = by_leaf[id(leaf)]
    return states, replaced


def _numbers_of(leaf: Tensor) -> Array:
    return leaf.array


def _gradient_of(leaf: Tensor) -> Array:
    assert leaf.grad is not None  # the guards have looked
    return leaf.grad.array


def _replace_leaves(results: list[Node], replaced: dict[Node, Node]) -> list[Node]:
    new = dict(replaced)
    for node in symbolic_order(results):
        if node not in new:
            new[node] = like(node, node.op, [new[each] for each in node.inputs], node.spec) if node.inputs else node
    return [new[node] for node in results]

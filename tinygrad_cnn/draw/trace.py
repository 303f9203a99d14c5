"""Run a model on symbols: what comes out, and what belongs to which block. Nothing is computed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any

import numpy as np

from ..errors import ArgumentError, TinygradCnnError
from ..graph import Node, Spec, topological_order
from ..mode import current_mode, exact_scope, recording
from ..nn.module import Module, Parameter, forwards_wrapped
from ..ops.base import Operation
from ..tensor import Tensor, symbol

CALL = "#"
"""Parts a module's scope from the number of its call, from the second on: ``net/act#2``."""


@dataclass(frozen=True)
class Trace:
    """A graph to be shown, with what is known about it beyond the graph."""

    name: str
    outputs: list[Tensor]
    modules: dict[str, Module] = field(default_factory=dict)
    """Every call of a module by the scope it ran in, outer ones first; empty where the graph comes from no model."""
    leaves: dict[Node, str] = field(default_factory=dict)
    """The full names of parameters and buffers."""
    buffers: frozenset[Node] = frozenset()
    """Which of the leaves are buffers."""
    given: dict[Node, Tensor] = field(default_factory=dict)
    """Numbers for symbols, where the model was traced on tensors."""
    calls: frozenset[str] = frozenset()
    """Scopes that are made up for the second and further calls of a block, where the graph comes from no model."""
    bodies: dict[str, Node] = field(default_factory=dict)
    """Fused operations that are drawn opened, by the scope that their nodes stand in."""
    returned: int | None = None
    """So many of the outputs, from the first on, are returned; without it all are. The others are left behind."""
    becomes: dict[Node, tuple[str, ...]] = field(default_factory=dict)
    """What is done with a result: that it is returned, or which parameter it is from now on."""
    notes: tuple[str, ...] = ()
    """What a reader must know of the graph as a whole."""
    times: dict[Node, float] = field(default_factory=dict)
    """Milliseconds of operations, where the compiler has measured them."""


@dataclass(frozen=True)
class Failure(Operation):
    """Stands at the end of a graph where the model raised an error."""

    message: str
    name = "error"
    differentiable = False


def trace_model(operation: str, model: Module, input: Any, keep_errors: bool = False) -> Trace:
    """Call the model on a symbol.

    Args:
        operation: who asks, for the error message.
        model: left as it is, in training or in evaluation.
        input: a shape, a tensor (only its shape and type are used), or a list of these for several arguments.
        keep_errors: whether an error of the model becomes the last node of the graph instead of being raised.

    Raises :class:`ArgumentError` for another input, and what the model itself raises.
    """
    arguments, given = _symbols(operation, model, input)
    calls: dict[str, Module] = {}
    raised: list[str] = []
    outputs: list[Tensor] = []
    try:
        with recording(), exact_scope(""), _calls_told_apart(model, calls, raised):
            result = model(*arguments)
    except Exception as error:
        if not keep_errors:
            if operation == "draw":
                error.add_note('  to see how far the model came: draw(model, input, errors="draw")')
            raise
        outputs = [_failure(error, arguments, raised[0] if raised else "")]
    else:
        outputs = list(tensors_in(result))
        if not outputs:
            raise ArgumentError(
                operation,
                f"{type(model).__name__} returned no tensor",
                got=type(result).__name__,
                expected="a tensor, or a list, tuple or dictionary of tensors",
            )
    named: list[tuple[str, Tensor]] = [*model.named_parameters(), *model.named_buffers()]
    return Trace(
        type(model).__name__,
        outputs,
        calls,
        {leaf.node: name for name, leaf in named},
        frozenset([buffer.node for buffer in model.buffers()]),
        given,
    )


def _calls_told_apart(model: Module, calls: dict[str, Module], raised: list[str]) -> AbstractContextManager[None]:
    """Give each call of a module a scope of its own; note which module ran there, and which raised, inner first."""
    counts: dict[str, int] = {}

    def watched(_: str, module: Module, forward: Any) -> Any:
        def watching(*inputs: Any, **settings: Any) -> Any:
            path = current_mode().scope
            counts[path] = counts.get(path, 0) + 1
            if counts[path] > 1:
                path = f"{path}{CALL}{counts[path]}"
            calls[path] = module
            with exact_scope(path):
                try:
                    return forward(*inputs, **settings)
                except Exception:
                    raised.append(path)
                    raise

        return watching

    return forwards_wrapped(model, watched)


def _failure(error: Exception, arguments: list[Tensor], scope: str) -> Tensor:
    """The end of the graph: a node with the error's message on the tensors that led to it."""
    if isinstance(error, TinygradCnnError):
        message, place = f"{error.operation}: {error.problem}", error.place
        details = [text for text in (error.expected, error.fix) if text]
        message = "\n".join([message, *details])
    else:
        message, place = f"{type(error).__name__}: {error}", None
    inputs = _last_tensors(error.__traceback__) or arguments
    node = Node(
        Failure(message), tuple([each.node for each in inputs]), Spec((), np.dtype("float32")), symbolic=True,
        scope=scope, place=place,
    )  # fmt: skip
    return Tensor._from_node(node, None)


def _last_tensors(traceback: TracebackType | None) -> list[Tensor]:
    """The symbolic tensors that the innermost function with any was working on when it raised."""
    found: list[Tensor] = []
    while traceback is not None:
        here: dict[Node, Tensor] = {}
        for value in traceback.tb_frame.f_locals.values():
            for tensor in tensors_in(value) if isinstance(value, Tensor | tuple | list) else ():
                if tensor.node.symbolic:
                    here.setdefault(tensor.node, tensor)
        # What others here were made of is not where the way ended.
        inner = {node for each in here for node in topological_order(each.inputs)} if len(here) > 1 else set()
        found = [tensor for node, tensor in here.items() if node not in inner] or found
        traceback = traceback.tb_next
    return found


def tensors_in(value: Any) -> Iterator[Tensor]:
    """The tensors in a result, in order."""
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, list | tuple):
        for each in value:
            yield from tensors_in(each)
    elif isinstance(value, Mapping):
        for each in value.values():
            yield from tensors_in(each)


def _symbols(operation: str, model: Module, input: Any) -> tuple[list[Tensor], dict[Node, Tensor]]:
    is_shape = isinstance(input, list | tuple) and all(isinstance(each, int | np.integer) for each in input)
    inputs = list(input) if isinstance(input, list | tuple) and not is_shape else [input]
    floats = [parameter.dtype for parameter in model.parameters() if parameter.dtype.kind == "f"]
    dtype = floats[0] if floats else np.dtype("float32")
    symbols: list[Tensor] = []
    given: dict[Node, Tensor] = {}
    for position, each in enumerate(inputs):
        name = "input" if len(inputs) == 1 else f"input {position}"
        if isinstance(each, Tensor):
            symbols.append(each if each.symbolic else symbol(each.shape, each.dtype, each.name or name))
            if not each.symbolic:
                given[symbols[-1].node] = each
        elif isinstance(each, list | tuple) and all(isinstance(length, int | np.integer) for length in each):
            symbols.append(symbol(each, dtype, name))
        else:
            raise ArgumentError(
                operation,
                "a model needs to know what goes in",
                got=f"input={input!r}",
                expected="a shape with the batch axis first, or a tensor; a list of these for several arguments",
                fix=f"{operation}(model, (1, 3, 32, 32)) for one colour image of 32 by 32",
            )
    return symbols, given


def is_parameter(node: Node) -> bool:
    """Whether the node is a leaf that belongs to a parameter which somebody still holds."""
    return node.handle is not None and isinstance(node.handle(), Parameter)

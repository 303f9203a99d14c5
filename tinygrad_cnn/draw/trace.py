"""Run a model on symbols: what comes out, and what belongs to which block. Nothing is computed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..errors import ArgumentError
from ..graph import Node, topological_order
from ..mode import exact_scope, recording
from ..nn.module import Module, Parameter
from ..tensor import Tensor, symbol


@dataclass(frozen=True)
class Trace:
    """A graph to be shown, with what is known about it beyond the graph."""

    name: str
    outputs: list[Tensor]
    modules: dict[str, Module] = field(default_factory=dict)
    """By the scope they run in, the model itself first; empty where the graph does not come from a model."""
    leaves: dict[Node, str] = field(default_factory=dict)
    """The full names of parameters and buffers."""
    buffers: frozenset[Node] = frozenset()
    """Which of the leaves are buffers."""


def trace_model(operation: str, model: Module, input: Any) -> Trace:
    """Call the model on a symbol.

    Args:
        operation: who asks, for the error message.
        model: left as it is, in training or in evaluation.
        input: a shape, a tensor (only its shape and type are used), or a list of these for several arguments.

    Raises :class:`ArgumentError` for another input, and what the model itself raises.
    """
    arguments = _symbols(operation, model, input)
    with recording(), exact_scope(""):
        result = model(*arguments)
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
        _modules_by_scope(model),
        {leaf.node: name for name, leaf in named},
        frozenset([buffer.node for buffer in model.buffers()]),
    )


def without_numbers(trace: Trace) -> Trace:
    """The same graph with nothing in it computed, so that its gradient is a graph in full.

    An eager gradient is recorded only where it could be differentiated again; a picture wants all of it.
    """
    twins: dict[Node, Node] = {}
    for node in topological_order([tensor.node for tensor in trace.outputs]):
        inputs = tuple([twins[parent] for parent in node.inputs])
        twin = Node(
            node.op, inputs, node.spec, requires_grad=node.requires_grad, symbolic=True, scope=node.scope,
            place=node.place, name=node.name,
        )  # fmt: skip
        twin.handle = node.handle
        twins[node] = twin
    return Trace(
        trace.name,
        [Tensor._from_node(twins[tensor.node], None) for tensor in trace.outputs],
        trace.modules,
        {twins[node]: name for node, name in trace.leaves.items() if node in twins},
        frozenset([twins[node] for node in trace.buffers if node in twins]),
    )


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


def _modules_by_scope(model: Module) -> dict[str, Module]:
    """Every module of a model that has been called, under each scope that it may run in, parents first."""
    found: dict[str, Module] = {}
    stack = [(_scope_of(model), model)]
    while stack:
        scope, module = stack.pop()
        if scope not in found:
            found[scope] = module
            stack.extend([(f"{scope}/{_scope_of(child)}", child) for child in module.children()][::-1])
    return found


def _scope_of(module: Module) -> str:
    own: str = vars(module).get("_scope", type(module).__name__.lower())
    return own


def _symbols(operation: str, model: Module, input: Any) -> list[Tensor]:
    is_shape = isinstance(input, list | tuple) and all(isinstance(each, int | np.integer) for each in input)
    inputs = list(input) if isinstance(input, list | tuple) and not is_shape else [input]
    floats = [parameter.dtype for parameter in model.parameters() if parameter.dtype.kind == "f"]
    dtype = floats[0] if floats else np.dtype("float32")
    symbols: list[Tensor] = []
    for position, each in enumerate(inputs):
        name = "input" if len(inputs) == 1 else f"input {position}"
        if isinstance(each, Tensor):
            symbols.append(each if each.symbolic else symbol(each.shape, each.dtype, each.name or name))
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
    return symbols


def is_parameter(node: Node) -> bool:
    """Whether the node is a leaf that belongs to a parameter which somebody still holds."""
    return node.handle is not None and isinstance(node.handle(), Parameter)

"""The numbers in a graph, worked out for a picture."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ..backend import Array, device_of, get_device
from ..errors import GraphError
from ..graph import Node, topological_order
from ..ops.random import Initial
from .gradient import Gradients, is_leaf

if TYPE_CHECKING:
    from .trace import Trace

FEW = 9
"""A tensor of so many elements is written out."""


class Numbers:
    """The numbers of every node of a graph and of its gradient, on the host."""

    def __init__(self, trace: Trace, twins: dict[Node, Node], gradients: Gradients) -> None:
        leaves = {twin: node for node, twin in twins.items() if is_leaf(node)}
        roots = [*[tensor.node for tensor in trace.outputs], *gradients.of.values()]
        arrays: dict[Node, Array] = {}
        self.of: dict[Node, np.ndarray] = {}
        self.nan: set[Node] = set()
        self.first_nan: set[Node] = set()
        for node in topological_order(roots):
            if node in trace.given:
                array = trace.given[node].array
            elif node in leaves:
                array = _leaf(leaves[node])
            else:
                inputs = [arrays[parent] for parent in node.inputs]
                device = device_of(inputs[0]) if inputs else get_device()
                with np.errstate(all="ignore"):  # the picture shows what went wrong
                    array = node.op.forward(device.xp, *inputs)
                if isinstance(array, np.generic):  # NumPy turns results without axes into scalars
                    array = np.asarray(array)
            arrays[node] = array
            host = device_of(array).to_host(array)
            self.of[node] = host
            if host.dtype.kind == "f" and bool(np.isnan(host).any()):
                self.nan.add(node)
                if not any(parent in self.nan for parent in node.inputs):
                    self.first_nan.add(node)


def _leaf(node: Node) -> Array:
    """The numbers of a leaf: those that the graph was made with."""
    if node.value is not None:
        return node.value
    if isinstance(node.op, Initial):
        owner = None if node.handle is None else node.handle()
        if owner is not None and owner.node is node:
            return owner.array
        return node.op.forward(get_device(node.op.device).xp)
    raise GraphError(
        "draw",
        "there are no numbers to show: they come only when the graph is run",
        got=repr(node),
        fix="pass a tensor with numbers as input, draw(model, images, values=True), or leave out values",
    )


def describe_numbers(numbers: Numbers, node: Node, gradients: Gradients, in_full: bool) -> tuple[str, ...]:
    """The value of a node in words, and its gradient."""
    words = []
    if node in numbers.of:
        words.append("value " + _words(numbers.of[node], in_full))
    gradient = gradients.of.get(node)
    if gradient in numbers.of:
        array = numbers.of[gradient]
        text = _words(array, in_full)
        if array.size > 1 and not (in_full and array.size <= FEW):
            text = f"norm {_number(float(np.linalg.norm(array.astype(np.float64).ravel())))}"
        words.append(f"gradient {text}")
    return tuple(words)


def _words(array: np.ndarray, in_full: bool) -> str:
    if array.size == 1:
        return _number(array.item())
    if not array.size:
        return "empty"
    if in_full and array.size <= FEW:
        return "[" + ", ".join(_number(each) for each in array.ravel().tolist()) + "]"
    if array.dtype.kind == "f" and np.isnan(array).any():
        return f"NaN in {int(np.isnan(array).sum()):,} of {array.size:,}"
    if array.dtype.kind == "b":
        return f"true in {100 * float(array.mean()):.3g} %"
    return f"{_number(array.min().item())} to {_number(array.max().item())}, mean {_number(float(array.mean()))}"


def _number(value: float | int | bool) -> str:
    return format(value, ".3g") if isinstance(value, float) else str(value)

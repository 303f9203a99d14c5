"""The numbers in a graph, worked out for a picture, and how long each operation takes."""

from __future__ import annotations

import time
from collections import Counter
from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np

from ..backend import Array, Device, device_of, get_device
from ..graph import Node, topological_order
from ..ops.random import Initial
from .gradient import Gradients, is_leaf
from .images import histogram, thumbnail

if TYPE_CHECKING:
    from .trace import Trace

Values = Literal["numbers", "norms", "histogram", "thumbnails"]
"""What is told of the numbers in a box."""
FEW = 9
"""A tensor of so many elements is written out."""
RUNS = 3
"""How often each operation is timed; the quickest run counts."""
ABSENT = "not computed: the numbers of a symbol come when the graph is run; give a tensor as input to see them"


class Told(NamedTuple):
    """What a box tells of its numbers."""

    words: tuple[str, ...] = ()
    bars: tuple[int, ...] = ()
    picture: str = ""


class Numbers:
    """The numbers of every node of a graph and of its gradient, on the host, as far as there are any."""

    def __init__(self, trace: Trace, twins: dict[Node, Node], gradients: Gradients, kind: Values) -> None:
        self.kind = kind
        self.gradients = gradients
        self.of: dict[Node, np.ndarray] = {}
        self.nan: set[Node] = set()
        self.first_nan: set[Node] = set()
        self.absent = False
        """Whether there are nodes without numbers."""
        arrays: dict[Node, Array | None] = {}
        originals = {twin: node for node, twin in twins.items()}
        for node in topological_order([*[tensor.node for tensor in trace.outputs], *gradients.of.values()]):
            if node in trace.given:
                array = trace.given[node].array
            elif is_leaf(node):
                array = _leaf(originals.get(node, node))
            else:
                inputs = [arrays[parent] for parent in node.inputs]
                array = None if any(each is None for each in inputs) else _result(node, inputs)
            arrays[node] = array
            if array is None:
                self.absent = True
            else:
                self._note(node, device_of(array).to_host(array))

    def _note(self, node: Node, array: np.ndarray) -> None:
        self.of[node] = array
        if array.dtype.kind == "f" and bool(np.isnan(array).any()):
            self.nan.add(node)
            if not any(parent in self.nan for parent in node.inputs):
                self.first_nan.add(node)

    def tell(self, node: Node, in_full: bool) -> Told:
        """What a box says of a node's numbers."""
        array = self.of.get(node)
        if self.kind in ("histogram", "thumbnails"):
            if array is None:
                return Told(("not computed",))
            if self.kind == "histogram":
                return Told((_words(array, False),), histogram(array))
            filters = node.op.name in ("initial", "constant") and node.requires_grad
            return Told((_words(array, False),), picture=thumbnail(array, filters, is_leaf(node)))
        norms = self.kind == "norms"
        words = ["value not computed" if array is None else f"norm {_norm(array)}" if norms else ""]
        if array is not None and not norms:
            words = [f"value {_words(array, in_full)}"]
        if node in self.gradients.of:
            gradient = self.of.get(self.gradients.of[node])
            if gradient is None:
                words.append("gradient not computed")
            elif norms or (gradient.size > 1 and not (in_full and gradient.size <= FEW)):
                words.append(f"gradient norm {_norm(gradient)}")
            else:
                words.append(f"gradient {_words(gradient, in_full)}")
        return Told(tuple(words))


def _leaf(node: Node) -> Array | None:
    """The numbers of a leaf: those that the graph was made with; nothing for a symbol."""
    if node.value is not None:
        return node.value
    if isinstance(node.op, Initial):
        owner = None if node.handle is None else node.handle()
        if owner is not None and owner.node is node:
            return owner.array
        return node.op.forward(get_device(node.op.device).xp)
    return None


def _result(node: Node, inputs: list[Array]) -> Array:
    device = device_of(inputs[0]) if inputs else get_device()
    with np.errstate(all="ignore"):  # the picture shows what went wrong
        array = node.op.forward(device.xp, *inputs)
    return np.asarray(array) if isinstance(array, np.generic) else array  # NumPy makes scalars of results without axes


def measure(trace: Trace, twins: dict[Node, Node], gradients: Gradients) -> dict[Node, float]:
    """The milliseconds that each operation takes when it is run by itself, the quickest of a few runs.

    Symbols without numbers are given random ones. Results are freed as soon as nothing reads them any more.
    """
    originals = {twin: node for node, twin in twins.items()}
    order = topological_order([*[tensor.node for tensor in trace.outputs], *gradients.of.values()])
    given: dict[Node, Array] = {}
    for node in order:
        if node in trace.given:
            given[node] = trace.given[node].array
        elif is_leaf(node):
            array = _leaf(originals.get(node, node))
            given[node] = _stand_in(node) if array is None else array
    found: dict[Node, float] = {}
    for _ in range(RUNS):
        arrays = dict(given)
        uses = Counter(parent for node in order for parent in node.inputs)
        for node in order:
            if node not in given:
                inputs = [arrays[parent] for parent in node.inputs]
                device = device_of(inputs[0]) if inputs else get_device()
                start = time.perf_counter()
                arrays[node] = _result(node, inputs)
                _finish(device)
                found[node] = min(found.get(node, float("inf")), 1000 * (time.perf_counter() - start))
            for parent in node.inputs:
                uses[parent] -= 1
                if not uses[parent]:
                    del arrays[parent]
    return found


def _stand_in(node: Node) -> Array:
    """Numbers for a symbol, which must not be zeros where they are to be divided by; a class or position is 0."""
    shape, dtype = node.spec
    if dtype.kind == "f":
        return get_device().from_host(np.random.default_rng(0).uniform(0.5, 1.5, shape).astype(dtype))
    return get_device().from_host(np.zeros(shape, dtype))


def _finish(device: Device) -> None:
    if device.name == "gpu":  # it works on while the program goes on
        device.xp.cuda.get_current_stream().synchronize()


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


def _norm(array: np.ndarray) -> str:
    return _number(float(np.linalg.norm(array.astype(np.float64).ravel())))


def _number(value: float | int | bool) -> str:
    return format(value, ".3g") if isinstance(value, float) else str(value)

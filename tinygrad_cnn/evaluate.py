"""Running a symbolic graph: the plain interpreter, one node after the other."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import overload

import numpy as np

from .backend import Array, Device, device_of, get_device, move
from .errors import DTypeError, GraphError, ShapeError
from .graph import Node, symbolic_order
from .mode import current_mode
from .ops.base import SYMBOL, watched
from .tensor import Tensor, TensorLike


@overload
def evaluate(outputs: Tensor, values: Mapping[Tensor, TensorLike] | None = None) -> Tensor: ...
@overload
def evaluate(outputs: Sequence[Tensor], values: Mapping[Tensor, TensorLike] | None = None) -> tuple[Tensor, ...]: ...
def evaluate(
    outputs: Tensor | Sequence[Tensor], values: Mapping[Tensor, TensorLike] | None = None
) -> Tensor | tuple[Tensor, ...]:
    """The numbers of a symbolic graph, given those of its symbols.

    Args:
        outputs: a tensor, or several; what they share is computed once.
        values: an array, list, number or tensor for each symbol that the outputs depend on.

    Returns a tensor with numbers for each output: a tuple, or a single tensor where one was given. An array is freed
    after its last use. The graph runs on the device of the values; parameters are moved there.

    Raises :class:`GraphError` for a symbol without a value, :class:`ShapeError` and :class:`DTypeError` for a value
    that does not fit its symbol.

    >>> from tinygrad_cnn import symbol
    >>> x = symbol((2,), name="x")
    >>> evaluate(x * x + 1, {x: [1.0, 2.0]})
    Tensor([2., 5.])
    """
    wanted = (outputs,) if isinstance(outputs, Tensor) else tuple(outputs)
    given = {symbol.node: _fitting(symbol, value) for symbol, value in (values or {}).items()}
    devices = {device_of(array).name: device_of(array) for array in given.values()}
    device = next(iter(devices.values())) if devices else get_device()
    order = symbolic_order([tensor.node for tensor in wanted])
    uses = Counter(parent for node in order if node.symbolic for parent in node.inputs)
    uses.update(tensor.node for tensor in wanted)

    arrays: dict[Node, Array] = {}
    for node in order:
        arrays[node] = _value_of(node, arrays, given, device)
        for parent in node.inputs if node.symbolic else ():
            uses[parent] -= 1
            if not uses[parent]:
                del arrays[parent]
    results = tuple([Tensor._from_array(arrays[tensor.node], tensor.spec) for tensor in wanted])
    return results[0] if isinstance(outputs, Tensor) else results


def _fitting(symbol: Tensor, value: TensorLike) -> Array:
    if symbol.node.op is not SYMBOL:
        raise GraphError(
            "evaluate", "values can be given to symbols only", got=repr(symbol.node), fix="pass {symbol: array, ...}"
        )
    tensor = value if isinstance(value, Tensor) else Tensor(value)
    if not isinstance(value, Tensor) and not hasattr(value, "dtype"):
        tensor = Tensor(value, dtype=symbol.dtype)  # numbers and lists take the symbol's type
    name = f" {symbol.name!r}" if symbol.name else ""
    if tensor.shape != symbol.shape:
        raise ShapeError(
            "evaluate", f"the value does not fit the symbol{name}", got=repr(tensor.spec), expected=repr(symbol.spec),
            fix="pass an array of that shape, or make another symbol and graph for this one",
        )  # fmt: skip
    if tensor.dtype != symbol.dtype:
        raise DTypeError(
            "evaluate", f"the value does not fit the symbol{name}", got=repr(tensor.spec), expected=repr(symbol.spec),
            fix=f"convert it: array.astype({str(symbol.dtype)!r})",
        )  # fmt: skip
    return tensor.array


def _value_of(node: Node, arrays: dict[Node, Array], given: dict[Node, Array], device: Device) -> Array:
    if node in given:
        return given[node]
    if node.op is SYMBOL:
        name = f" {node.name!r}" if node.name else ""
        raise GraphError(
            "evaluate",
            f"the symbol{name} has no value",
            got=repr(node),
            fix="pass an array for each symbol: tg.evaluate(output, {symbol: array, ...})",
        )
    if not node.symbolic:  # a parameter, which stands for what it holds now, or an eager result
        owner = node.handle() if node.handle is not None else None
        return move((Tensor._from_node(node, node.value) if owner is None else owner).array, device)
    try:
        inputs = [arrays[parent] for parent in node.inputs]
        there = device_of(inputs[0]) if inputs else device  # a node may have moved them to another device
        array = watched(node.op, there, inputs) if current_mode().detect_nan else node.op.forward(there.xp, *inputs)
        return np.asarray(array) if isinstance(array, np.generic) else array
    except Exception as error:
        error.add_note(f"  in {node.op}, called {node.where}")
        raise

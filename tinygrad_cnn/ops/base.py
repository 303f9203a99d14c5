"""The contract of an operation, and the one function that calls one.

An operation is a small immutable value that holds its hyper-parameters and answers three questions:

``infer(*specs)``
    What shape and type will the result have? Answered without data; wrong input raises an error that teaches.
``forward(xp, *arrays)``
    What are the numbers? Works for any array module ``xp`` with NumPy's interface.
``vjp(grad, output, *inputs)``
    Given the gradient of the loss in the output, what is it in each input? Written with operations on tensors, so
    the answer is part of the graph and can itself be drawn and differentiated. One entry per input: a tensor, or a
    function of no arguments that makes the tensor when that gradient is wanted, or ``None`` where there is none.

A rule reads some arrays of the forward pass again. ``keeps`` says which, so that all others can be freed. Inputs that
no gradient flows through (labels, masks, positions) are always at hand and need not be listed.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, fields
from functools import lru_cache
from typing import Any, ClassVar

import numpy as np

from ..backend import Array, Device, device_of, get_device
from ..errors import DeviceError, DTypeError, NanError, user_place
from ..graph import Node, Spec
from ..mode import current_mode
from ..tensor import Number, Tensor

OUTPUT = -1
"""Stands for the operation's own result in :attr:`Operation.keeps`."""

Gradient = Tensor | Callable[[], Tensor] | None
"""What a rule gives for one input."""

OPERATIONS: dict[str, type[Operation]] = {}
"""Every operation by name, in the order of definition: the one table that tests and documentation are made from."""


@dataclass(frozen=True, init=False)
class Operation:
    """One operation with its hyper-parameters. Subclasses give the rules; the module's text explains them."""

    name: ClassVar[str] = ""
    """The name in errors, pictures and tables."""
    keeps: ClassVar[tuple[tuple[int, ...], ...]] = ()
    """For each input, what its gradient reads again: positions of inputs, or :data:`OUTPUT`. Empty: nothing."""
    differentiable: ClassVar[bool] = True
    """Whether ``vjp`` is defined. Comparisons, for one, have no gradient."""

    def __init_subclass__(cls) -> None:
        if cls.name and cls.__module__.startswith(__package__):
            OPERATIONS[cls.name] = cls

    def infer(self, *specs: Spec) -> Spec:
        """The shape and type of the result."""
        raise NotImplementedError

    def forward(self, xp: Any, *arrays: Array) -> Array:
        """The numbers."""
        raise NotImplementedError

    def vjp(self, grad: Tensor, output: Tensor, *inputs: Tensor) -> tuple[Gradient, ...]:
        """The gradient in each input."""
        raise NotImplementedError

    def __str__(self) -> str:
        settings = ", ".join(f"{field.name}={getattr(self, field.name)!r}" for field in fields(self) if field.repr)
        return f"{self.name}({settings})" if settings else self.name


_NUMPY_SCALAR = np.generic
_NUMBERS = (int, float, np.generic)


def apply(op: Operation, *inputs: Tensor, like: Tensor | None = None) -> Tensor:
    """Call an operation on tensors: infer the spec, compute the numbers if there are any, record the node.

    An operation without inputs takes its device, and whether it is symbolic, from ``like``.

    Raises what ``op.infer`` raises; :class:`DeviceError` when the inputs live on different devices.
    """
    record, scope, _, detect_nan, describe, _, region = current_mode()
    nodes, specs, arrays = [], [], []
    symbolic = describe or (like is not None and like.node.symbolic)
    requires_grad = False
    for tensor in inputs:
        node = tensor.node
        nodes.append(node)
        specs.append(node.spec)
        arrays.append(tensor._array)
        if node.requires_grad:
            requires_grad = True
        if node.symbolic:
            symbolic = True
    spec = op.infer(*specs)
    requires_grad = requires_grad and record and op.differentiable and spec.dtype.kind == "f"

    if symbolic:
        for node, array in zip(nodes, arrays, strict=True):
            if array is not None and node.value is None and not node.symbolic:
                node.value = array  # numbers that were computed outside and that the graph will need when it runs
        node = Node(op, tuple(nodes), spec, None, requires_grad, True, scope, user_place(2), None, region)
        return Tensor._from_node(node, None)

    kind = type(arrays[0]) if arrays else None
    for array in arrays:
        if type(array) is not kind or array is None:
            arrays = _arrays_on_one_device(op, inputs)
            break
    device = device_of(arrays[0]) if arrays else get_device(None if like is None else like.device)
    array = watched(op, device, arrays) if detect_nan else op.forward(device.xp, *arrays)
    if isinstance(array, _NUMPY_SCALAR):  # NumPy turns results without axes into scalars
        array = np.asarray(array)
    if not requires_grad:
        return Tensor._from_node(Node(CONSTANT, (), spec, array), array)

    node = Node(op, tuple(nodes), spec, None, True, False, scope, user_place(2), None, region)
    if region is not None:  # all that it needs to begin anew, and nothing else
        for parent, given in zip(nodes, arrays, strict=True):
            if parent.value is None and (parent.region is None or not parent.region.forgets):
                parent.value = given
        return Tensor._from_node(node, array)
    for parent, reads in zip(nodes, op.keeps):  # noqa: B905 - `keeps` may be shorter: the rest reads nothing
        if parent.requires_grad:
            for read in reads:
                if read >= 0:
                    nodes[read].value = arrays[read]
                else:
                    node.value = array
    return Tensor._from_node(node, array)


def _arrays_on_one_device(op: Operation, inputs: tuple[Tensor, ...]) -> list[Array]:
    """The inputs' arrays, drawing the numbers of parameters that nobody has needed yet."""
    arrays = [tensor.array for tensor in inputs]
    names = [tensor.device for tensor in inputs]
    if len(set(names)) > 1:
        raise DeviceError(
            op.name,
            "the inputs live on different devices, " + " and ".join(map(repr, names)),
            got=", ".join(f"{each.spec} on {each.device!r}" for each in inputs),
            expected="all inputs on one device",
            fix=f"move them: tensor.to({names[0]!r}), or module.to({names[0]!r}) for a whole model",
        )
    return arrays


def watched(op: Operation, device: Device, arrays: list[Array]) -> Array:
    """The numbers of an operation, with :class:`NanError` for a NaN among them that no input held."""

    def count(values: Array) -> int:
        return int((values != values).sum())

    with np.errstate(all="ignore"):  # the error says more than NumPy's warning
        array = op.forward(device.xp, *arrays)
    if array.dtype.kind == "f" and count(array) and not any(count(each) for each in arrays if each.dtype.kind == "f"):
        ranges = [f"{each.min()} to {each.max()}" for each in map(device.to_host, arrays) if each.size]
        raise NanError(
            op.name,
            f"made {count(array)} NaN out of inputs that hold none",
            got=f"{op} on inputs that range over " + ", ".join(ranges),
            fix="look at these ranges: a negative logarithm or root, 0/0, inf - inf and 0 * inf all give NaN",
        )
    return array


def require_float(name: str, *specs: Spec) -> None:
    """Raise :class:`DTypeError` unless each spec is of a floating-point type."""
    for spec in specs:
        if spec.dtype.kind != "f":
            raise DTypeError(
                name,
                f"is not defined for {spec.dtype}",
                got=", ".join(map(repr, specs)),
                expected="a floating-point tensor",
                fix='convert first: tensor.to("float32")',
            )


def require_same_dtype(name: str, *specs: Spec) -> None:
    """Raise :class:`DTypeError` when element types differ: nothing is converted behind the user's back."""
    first = specs[0].dtype
    if any([spec.dtype is not first and spec.dtype != first for spec in specs]):
        raise DTypeError(
            name,
            "the inputs have different element types, " + " and ".join(str(spec.dtype) for spec in specs),
            got=", ".join(map(repr, specs)),
            expected="one element type",
            fix=f'convert one of them: tensor.to("{specs[0].dtype}")',
        )


@dataclass(frozen=True)
class Constant(Operation):
    """A leaf whose numbers were given, or were computed without recording."""

    name = "constant"
    differentiable = False


class Deferred(Operation):
    """A leaf whose numbers are made when somebody looks, on the device ``device``."""

    differentiable = False
    device: str
    passes = False
    """Whether there may be other numbers later: whoever keeps the leaf's node has to look at once."""

    def take(self, array: Array) -> bool:
        """Put new numbers where those that nobody has seen lie. Returns whether that was possible."""
        return False


@dataclass(frozen=True)
class Symbol(Operation):
    """A leaf whose numbers are given when the graph is run."""

    name = "symbol"
    differentiable = False


CONSTANT = Constant()
SYMBOL = Symbol()


@dataclass(frozen=True)
class Full(Operation):
    """One number everywhere. Python numbers in a formula become this; it takes the room of one element."""

    value: Number
    shape: tuple[int, ...]
    dtype: np.dtype
    name = "full"
    differentiable = False

    def infer(self) -> Spec:
        return Spec(self.shape, self.dtype)

    def forward(self, xp: Any) -> Array:
        number = xp.asarray(self.value, dtype=self.dtype)
        return xp.broadcast_to(number, self.shape) if self.shape else number


def full_like(like: Tensor, value: Number, shape: tuple[int, ...] | None = None) -> Tensor:
    """A tensor of one number, with the element type and device of ``like``, and its shape unless one is given.

    Raises :class:`DTypeError` where the element type cannot hold the number, as int64 cannot hold 0.5.
    """
    shared = operand_like(like, value, shape)
    return Tensor._from_node(shared.node, shared._array)


def operand_like(like: Tensor, value: Number, shape: tuple[int, ...] | None = None) -> Tensor:
    """The same for use in a formula: not to be handed to anybody who might change it, for others may share it."""
    node, array = like.node, like._array
    spec = node.spec if shape is None else Spec(shape, node.spec.dtype)
    if node.symbolic:
        op = Full(_in_dtype(value, spec), spec.shape, spec.dtype)
        return Tensor._from_node(Node(op, (), spec, symbolic=True, scope=current_mode().scope), None)
    minus_zero = not value and math.copysign(1.0, value) < 0  # equal to 0, but not the same
    return _constant(value, minus_zero, spec, like.device if array is None else device_of(array).name)


@lru_cache(maxsize=1024)
def _constant(value: Number, minus_zero: bool, spec: Spec, device: str) -> Tensor:
    """Formulas use the same few numbers over and over."""
    op = Full(_in_dtype(value, spec), spec.shape, spec.dtype)
    array = op.forward(get_device(device).xp)
    return Tensor._from_node(Node(op, (), spec, array), array)


def _in_dtype(value: Number, spec: Spec) -> Number:
    """The number as Python's type of that kind: 1, 1.0 and True are the same in a tensor."""
    if spec.dtype.kind == "f":
        return float(value)
    if not _holds(spec.dtype, value):
        raise DTypeError(
            "number",
            f"{value!r} does not fit into a tensor of {spec.dtype}",
            got=f"{spec} and the Python number {value!r}",
            fix='convert the tensor first: tensor.to("float32")',
        )
    return bool(value) if spec.dtype.kind == "b" else int(value)


def _holds(dtype: np.dtype, value: Number) -> bool:
    if dtype.kind == "b":
        return isinstance(value, bool)
    info = np.iinfo(dtype)
    return math.isfinite(value) and value == int(value) and info.min <= value <= info.max


def is_number(value: object) -> bool:
    """Whether the value is a single Python or NumPy number, which takes the element type of the tensor it meets."""
    return isinstance(value, _NUMBERS) and not isinstance(value, np.complexfloating)


def as_tensor(value: object, name: str = "tensor") -> Tensor:
    """The value as a tensor: itself, or a constant made of an array, a list or a number.

    Raises :class:`DTypeError` for what cannot be one.
    """
    return value if isinstance(value, Tensor) else Tensor(value)

"""The tensor: a handle to a node of the graph, with the numbers if there are any.

There is no mathematics here. Operators and methods delegate to :mod:`tinygrad_cnn.ops`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, Self
from weakref import ref

import numpy as np

from .backend import Array, device_of, get_device, is_array, is_device_name, move
from .errors import ArgumentError, DeviceError, DTypeError, GraphError, ImmutableError, ShapeError
from .graph import Node, Spec
from .mode import current_mode

if TYPE_CHECKING:
    from .ops.reduce import ValuesAndIndices

TensorLike = Any
"""What an operation takes beside a tensor: a number, a nested list of numbers or an array."""
Number = float | int | bool
"""A Python number."""
Dims = int | Sequence[int] | None
"""One axis, several, or all."""

_new = object.__new__


class Tensor:
    """An array of numbers that remembers how it was made.

    Args:
        data: a number, a nested list of numbers, an array or another tensor. It is copied.
        dtype: the element type. Without it arrays keep theirs, Python floats become float32, as in PyTorch.
        device: ``"cpu"`` or ``"gpu"``; without it the default device, see :func:`tinygrad_cnn.device`.
        requires_grad: whether operations on this tensor are recorded, so that gradients can be asked for.
        name: a label for pictures and error messages.

    A tensor is never changed in place: arrays given to the user are read-only, and an update of a leaf
    (:meth:`assign`) gives it new numbers while older graphs keep the old ones.

    Raises :class:`DTypeError` for data that is no rectangular block of real numbers, and for a gradient of integers.

    >>> x = Tensor([1.0, 2.0], requires_grad=True)
    >>> (x * x).sum().backward()
    >>> x.grad
    Tensor([2., 4.])
    """

    __slots__ = ("__weakref__", "_array", "grad", "node")

    node: Node
    grad: Tensor | None

    def __init__(
        self,
        data: TensorLike,
        dtype: str | np.dtype | type | None = None,
        device: str | None = None,
        requires_grad: bool = False,
        name: str | None = None,
    ) -> None:
        array = _as_array(data, None if dtype is None else np.dtype(dtype), device)
        self._become_leaf(array, requires_grad, name)
        self.grad = None

    def _become_leaf(self, array: Array, requires_grad: bool, name: str | None) -> None:
        """Point at a new leaf that holds ``array``; graphs that hold the old leaf are not touched."""
        self._array = array
        self._become_node(Node(ops.CONSTANT, (), Spec(array.shape, array.dtype), array, name=name), requires_grad)

    def _become_node(self, node: Node, requires_grad: bool) -> None:
        """Point at a leaf, which from now on knows this tensor as its owner."""
        if requires_grad and node.spec.dtype.kind != "f":
            raise DTypeError(
                "requires_grad",
                f"a tensor of {node.spec.dtype} has no gradient",
                got=repr(node.spec),
                expected="a floating-point tensor",
                fix='convert it: tg.Tensor(data, dtype="float32", requires_grad=True)',
            )
        node.requires_grad = requires_grad
        node.handle = ref(self)
        self.node = node

    @staticmethod
    def _from_node(node: Node, array: Array | None) -> Tensor:
        tensor = _new(Tensor)
        tensor.node = node
        tensor._array = array
        tensor.grad = None
        return tensor

    @staticmethod
    def _from_array(array: Array, spec: Spec) -> Tensor:
        return Tensor._from_node(Node(ops.CONSTANT, (), spec, array), array)

    # What it is

    @property
    def array(self) -> Array:
        """The numbers as the device's own array. Raises :class:`GraphError` where there are none."""
        if self._array is None:
            self._array = self._materialise()
        return self._array

    def _materialise(self) -> Array:
        node = self.node
        if node.symbolic:
            raise GraphError(
                "value",
                "this tensor is symbolic: its numbers come only when the graph is run",
                got=repr(self),
                fix="run it with tg.evaluate(output, {symbol: array}); "
                "Python's if, while and for cannot depend on its values, tg.where can",
            )
        if node.value is None:
            if not isinstance(node.op, ops.Deferred):
                raise GraphError(
                    str(node.op.name),
                    "these numbers were not kept: a gradient rule reads an array that the operation did not list",
                    got=f"{node.op}, called {node.where}",
                    fix="list the array's position in the `keeps` of the operation whose rule reads it",
                )
            node.value = node.op.forward(get_device(node.op.device).xp)
        return node.value

    @property
    def spec(self) -> Spec:
        """Shape and element type."""
        return self.node.spec

    @property
    def shape(self) -> tuple[int, ...]:
        """The length of each axis."""
        return self.node.spec.shape

    @property
    def dtype(self) -> np.dtype:
        """The element type, as NumPy's ``dtype``."""
        return self.node.spec.dtype

    @property
    def ndim(self) -> int:
        """The number of axes."""
        return len(self.node.spec.shape)

    @property
    def device(self) -> str:
        """Where the numbers live: ``"cpu"`` or ``"gpu"``; a symbol has the device that it is run on."""
        if self.node.symbolic:
            return get_device().name
        if self._array is None and isinstance(self.node.op, ops.Deferred):
            return self.node.op.device
        return device_of(self.array).name

    @property
    def name(self) -> str | None:
        """The label in pictures and messages."""
        return self.node.name

    @name.setter
    def name(self, name: str | None) -> None:
        self.node.name = name

    @property
    def symbolic(self) -> bool:
        """Whether the numbers come only when the graph is run."""
        return self.node.symbolic

    @property
    def is_leaf(self) -> bool:
        """Whether the tensor was given rather than computed by a recorded operation."""
        return self.node.is_leaf

    @property
    def requires_grad(self) -> bool:
        """Whether a gradient may be asked for; may be set on leaves."""
        return self.node.requires_grad

    @requires_grad.setter
    def requires_grad(self, requires_grad: bool) -> None:
        self.requires_grad_(requires_grad)

    def requires_grad_(self, requires_grad: bool = True) -> Self:
        """Set :attr:`requires_grad` of a leaf. Raises :class:`GraphError` for a computed tensor."""
        if not self.is_leaf or self.symbolic:
            raise GraphError(
                "requires_grad",
                "only a leaf can be told whether it requires a gradient",
                got=f"the result of {self.node.op}",
                fix="use tensor.detach() to cut a computed tensor off its history",
            )
        old = self.node
        self._become_node(Node(old.op, (), old.spec, old.value, name=old.name), requires_grad)
        return self

    def size(self, dim: int | None = None) -> tuple[int, ...] | int:
        """The shape, or the length of one axis."""
        return self.shape if dim is None else self.shape[dim]

    def numel(self) -> int:
        """The number of elements."""
        return self.spec.size

    def __repr__(self) -> str:
        kind, notes = type(self).__name__, []
        if self.symbolic:
            body = f"symbolic, shape={self.shape}, dtype={self.dtype}"
        else:
            host = self._host()
            body = np.array2string(host, separator=", ", prefix=f"{kind}(", threshold=200)
            if self.dtype not in (np.float32, np.int64, np.bool_) or not self.numel():
                notes.append(f"dtype={self.dtype}")
            if not self.numel():
                notes.append(f"shape={self.shape}")
            if self.device != "cpu":
                notes.append(f"device={self.device!r}")
            if self.requires_grad:
                notes.append("requires_grad=True")
        if self.name:
            notes.append(f"name={self.name!r}")
        return f"{kind}({', '.join([body, *notes])})"

    # Out to NumPy and Python

    def _host(self) -> np.ndarray:
        tracer = current_mode().tracer
        if tracer is not None and not self.symbolic:
            tracer.refuse_reading(self)
        return device_of(self.array).to_host(self.array)

    def numpy(self) -> np.ndarray:
        """The numbers as a NumPy array, read-only; call ``.copy()`` on it for one that can be written to.

        Raises :class:`GraphError` for a symbolic tensor.
        """
        view = self._host().view()
        view.flags.writeable = False
        return view

    def __array__(self, dtype: np.dtype | None = None, copy: bool | None = None) -> np.ndarray:
        host = self.numpy()
        if dtype is not None and dtype != host.dtype:
            return host.astype(dtype)
        return host.copy() if copy else host

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: TensorLike, **kwargs: Any) -> Tensor:
        """``np.add(array, tensor)`` and its like give tensors; what has no operation here raises ``DTypeError``."""
        function = ops.UFUNCS.get(ufunc.__name__)
        if function is None or method != "__call__" or kwargs:
            raise DTypeError(
                f"numpy.{ufunc.__name__}",
                "NumPy's function has no counterpart on tensors in this form",
                got=", ".join(type(each).__name__ for each in inputs) + (f" and {', '.join(kwargs)}" if kwargs else ""),
                fix="use the tensor's own method, or tensor.numpy() to leave the graph",
            )
        result: Tensor = function(*inputs)
        return result

    def item(self) -> float | int | bool:
        """The only element, as a Python number. Raises :class:`ShapeError` unless there is exactly one."""
        if self.numel() != 1:
            raise ShapeError(
                "item",
                f"the tensor has {self.numel()} elements, not one",
                got=repr(self.spec),
                fix="reduce it first, for example with .sum() or .mean(); use .tolist() for all elements",
            )
        value: float | int | bool = self._host().item()
        return value

    def tolist(self) -> Any:
        """The numbers as nested Python lists."""
        return self._host().tolist()

    def __float__(self) -> float:
        return float(self.item())

    def __int__(self) -> int:
        return int(self.item())

    def __index__(self) -> int:
        if self.dtype.kind not in "iu":
            raise DTypeError("index", f"a tensor of {self.dtype} is no whole number", fix="use int(tensor)")
        return int(self.item())

    def __bool__(self) -> bool:
        return bool(self.item())

    def __len__(self) -> int:
        if not self.shape:
            raise ShapeError("len", "a tensor without axes has no length", got=repr(self.spec), fix="use .item()")
        return self.shape[0]

    def __iter__(self) -> Iterator[Tensor]:
        return (self[position] for position in range(len(self)))

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        if not self.is_leaf or self.symbolic:
            raise GraphError(
                "copy", "only leaves can be copied with their numbers", got=repr(self.node), fix="use tensor.detach()"
            )
        if isinstance(self.node.op, ops.Deferred) and self.node.op.passes:
            self.array  # noqa: B018 - the twin keeps the numbers of now
        twin = type(self).__new__(type(self))
        memo[id(self)] = twin
        twin.node, twin._array, twin.grad = self.node, self._array, self.grad
        twin.requires_grad_(self.requires_grad)  # gives it a node of its own
        return twin

    # The graph

    def backward(self, grad_output: TensorLike = None) -> None:
        """Add the gradient of this tensor to ``.grad`` of every leaf that it depends on and that requires one.

        Args:
            grad_output: the gradient of the loss in this tensor; may be left out where it has one element (then 1).

        Raises :class:`ShapeError` when it is left out for a larger tensor, :class:`GraphError` when there is no leaf
        to give a gradient to.
        """
        autodiff.backward(self, grad_output)

    def detach(self) -> Tensor:
        """The same numbers, cut off from the graph: no gradient flows through."""
        return ops.detach(self)

    def assign(self, value: TensorLike) -> Self:
        """Give this leaf new numbers of the same shape and type: the only effect there is.

        Graphs made before keep the old numbers, so their gradients stay right. While a graph is only described
        (``value`` is symbolic) nothing is written.

        Raises :class:`ShapeError`, :class:`DTypeError` or :class:`DeviceError` where ``value`` does not fit,
        :class:`GraphError` for a computed tensor.

        >>> x = Tensor([1.0, 2.0])
        >>> x.assign(x * 10)
        Tensor([10., 20.])
        """
        tracer = current_mode().tracer
        if (not self.is_leaf or self.symbolic) and (tracer is None or not tracer.assigned(self)):
            raise GraphError("assign", "only leaves can be given new numbers", got=f"the result of {self.node.op}")
        value = ops.as_tensor(value) if not ops.is_number(value) else ops.full_like(self, value)
        if value.dtype != self.dtype:
            ops.require_same_dtype("assign", self.spec, value.spec)
        if value.shape != self.shape:
            raise ShapeError(
                "assign",
                f"a tensor of shape {self.shape} cannot take {value.shape}",
                got=repr(value.spec),
                expected=repr(self.spec),
                fix="reshape or broadcast the value first",
            )
        if tracer is not None:
            tracer.assign(self, value)
        elif not value.symbolic:
            if self._array is not None and type(value.array) is not type(self._array):
                raise DeviceError(
                    "assign",
                    f"a tensor on {self.device!r} cannot take numbers on {value.device!r}",
                    fix=f"move them first: value.to({self.device!r})",
                )
            unseen = self._array is None and self.node.value is None
            if not (unseen and isinstance(self.node.op, ops.Deferred) and self.node.op.take(value.array)):
                self._become_leaf(value.array, self.requires_grad, self.name)
        return self

    def to(self, target: str | np.dtype | type) -> Tensor:
        """The tensor on another device (``"cpu"``, ``"gpu"``) or in another element type (``"float64"``).

        Gradients flow back through both. Raises :class:`DeviceError` when the device is not to be had,
        :class:`DTypeError` for a name that is neither.
        """
        if is_device_name(target):
            return ops.to_device(self, str(target))
        return ops.cast(self, target)

    def float(self) -> Tensor:
        """The tensor as float32."""
        return ops.cast(self, "float32")

    def double(self) -> Tensor:
        """The tensor as float64."""
        return ops.cast(self, "float64")

    def __setitem__(self, key: object, value: object) -> None:
        raise ImmutableError(
            "item assignment",
            "tensors are not changed in place: gradients would silently be those of other numbers",
            got=f"tensor[{key!r}] = ...",
            fix="make a new tensor: tg.where(mask, new, old), tg.cat or tg.stack of its parts; "
            "leaf.assign(value) replaces all numbers of a leaf",
        )

    __hash__ = object.__hash__

    # Operators. `x += y` needs no method of its own: Python makes a new tensor and binds the name to it.

    def __add__(self, other: TensorLike) -> Tensor:
        return ops.add(self, other)

    def __radd__(self, other: TensorLike) -> Tensor:
        return ops.add(other, self)

    def __sub__(self, other: TensorLike) -> Tensor:
        return ops.sub(self, other)

    def __rsub__(self, other: TensorLike) -> Tensor:
        return ops.sub(other, self)

    def __mul__(self, other: TensorLike) -> Tensor:
        return ops.mul(self, other)

    def __rmul__(self, other: TensorLike) -> Tensor:
        return ops.mul(other, self)

    def __truediv__(self, other: TensorLike) -> Tensor:
        return ops.div(self, other)

    def __rtruediv__(self, other: TensorLike) -> Tensor:
        return ops.div(other, self)

    def __pow__(self, other: TensorLike) -> Tensor:
        return ops.pow(self, other)

    def __rpow__(self, other: TensorLike) -> Tensor:
        return ops.pow(other, self)

    def __matmul__(self, other: TensorLike) -> Tensor:
        return ops.matmul(self, other)

    def __rmatmul__(self, other: TensorLike) -> Tensor:
        return ops.matmul(other, self)

    def __neg__(self) -> Tensor:
        return ops.neg(self)

    def __pos__(self) -> Tensor:
        return self

    def __abs__(self) -> Tensor:
        return ops.abs(self)

    def __invert__(self) -> Tensor:
        return ops.logical_not(self)

    def __eq__(self, other: TensorLike) -> Tensor:  # type: ignore[override]
        return ops.eq(self, other)

    def __ne__(self, other: TensorLike) -> Tensor:  # type: ignore[override]
        return ops.ne(self, other)

    def __lt__(self, other: TensorLike) -> Tensor:
        return ops.lt(self, other)

    def __le__(self, other: TensorLike) -> Tensor:
        return ops.le(self, other)

    def __gt__(self, other: TensorLike) -> Tensor:
        return ops.gt(self, other)

    def __ge__(self, other: TensorLike) -> Tensor:
        return ops.ge(self, other)

    def __getitem__(self, key: Any) -> Tensor:
        return ops.index(self, key)

    # Methods: each is the function of the same name

    def exp(self) -> Tensor:
        return ops.exp(self)

    def log(self) -> Tensor:
        return ops.log(self)

    def sqrt(self) -> Tensor:
        return ops.sqrt(self)

    def abs(self) -> Tensor:
        return ops.abs(self)

    def relu(self) -> Tensor:
        return ops.relu(self)

    def sigmoid(self) -> Tensor:
        return ops.sigmoid(self)

    def tanh(self) -> Tensor:
        return ops.tanh(self)

    def clip(self, min: Number | None = None, max: Number | None = None) -> Tensor:
        return ops.clip(self, min, max)

    def sum(self, dim: Dims = None, keepdim: bool = False) -> Tensor:
        return ops.sum(self, dim, keepdim)

    def mean(self, dim: Dims = None, keepdim: bool = False) -> Tensor:
        return ops.mean(self, dim, keepdim)

    def var(self, dim: Dims = None, correction: int = 1, keepdim: bool = False) -> Tensor:
        return ops.var(self, dim, correction, keepdim)

    def std(self, dim: Dims = None, correction: int = 1, keepdim: bool = False) -> Tensor:
        return ops.std(self, dim, correction, keepdim)

    def amax(self, dim: Dims = None, keepdim: bool = False) -> Tensor:
        return ops.amax(self, dim, keepdim)

    def amin(self, dim: Dims = None, keepdim: bool = False) -> Tensor:
        return ops.amin(self, dim, keepdim)

    def max(self, dim: int | None = None, keepdim: bool = False) -> Tensor | ValuesAndIndices:
        return ops.max(self, dim, keepdim)

    def min(self, dim: int | None = None, keepdim: bool = False) -> Tensor | ValuesAndIndices:
        return ops.min(self, dim, keepdim)

    def argmax(self, dim: int | None = None, keepdim: bool = False) -> Tensor:
        return ops.argmax(self, dim, keepdim)

    def argmin(self, dim: int | None = None, keepdim: bool = False) -> Tensor:
        return ops.argmin(self, dim, keepdim)

    def logsumexp(self, dim: Dims = None, keepdim: bool = False) -> Tensor:
        return ops.logsumexp(self, dim, keepdim)

    def reshape(self, *shape: int | Sequence[int]) -> Tensor:
        return ops.reshape(self, _one_tuple(shape))

    def flatten(self, start_dim: int = 0, end_dim: int = -1) -> Tensor:
        return ops.flatten(self, start_dim, end_dim)

    def squeeze(self, dim: Dims = None) -> Tensor:
        return ops.squeeze(self, dim)

    def unsqueeze(self, dim: int) -> Tensor:
        return ops.unsqueeze(self, dim)

    def transpose(self, dim0: int, dim1: int) -> Tensor:
        return ops.transpose(self, dim0, dim1)

    def permute(self, *dims: int | Sequence[int]) -> Tensor:
        return ops.permute(self, _one_tuple(dims))

    @property
    def T(self) -> Tensor:
        """The transpose of a matrix; of any tensor, its axes in reverse order."""
        return ops.permute(self, tuple(range(self.ndim))[::-1])

    def broadcast_to(self, *shape: int | Sequence[int]) -> Tensor:
        return ops.broadcast_to(self, _one_tuple(shape))

    def flip(self, *dims: int | Sequence[int]) -> Tensor:
        return ops.flip(self, _one_tuple(dims))

    def split(self, split_size: int | Sequence[int], dim: int = 0) -> tuple[Tensor, ...]:
        return ops.split(self, split_size, dim)

    def matmul(self, other: TensorLike) -> Tensor:
        return ops.matmul(self, other)


def _one_tuple(values: tuple[int | Sequence[int], ...]) -> tuple[int, ...]:
    """``f(2, 3)`` and ``f((2, 3))`` mean the same."""
    if len(values) == 1 and not isinstance(values[0], int | np.integer):
        values = tuple(values[0])
    return values  # type: ignore[return-value]


def _as_array(data: TensorLike, dtype: np.dtype | None, device: str | None) -> Array:
    """A copy of the data on the device, of a type that tensors can hold."""
    if isinstance(data, Tensor):
        data = data.array
    if is_array(data) and device_of(data).name != "cpu":  # arrays of a device stay there
        target = get_device(device or device_of(data).name)
        return move(data, target).astype(data.dtype if dtype is None else dtype)
    keep_type = isinstance(data, np.ndarray | np.generic)
    try:
        array = np.array(data)
    except ValueError:
        array = np.empty(0, object)
    if array.dtype.kind not in "fiub":
        raise DTypeError(
            "Tensor",
            f"the data is no rectangular block of real numbers (NumPy makes it {array.dtype})",
            got=f"{type(data).__name__}: {str(data)[:80]}",
            expected="a number, nested lists of equal lengths, or an array of floats, integers or booleans",
            fix="make the lists equally long; join tensors with tg.stack or tg.cat",
        )
    if dtype is None:
        dtype = np.dtype(np.float32) if array.dtype == np.float64 and not keep_type else array.dtype
    if dtype.kind not in "fiub":
        raise DTypeError("Tensor", f"{dtype} is no element type of tensors", fix="use float32, float64, int64 or bool")
    array = np.ascontiguousarray(array, dtype).reshape(array.shape)
    return get_device(device).from_host(array)


def symbol(shape: Sequence[int], dtype: str | np.dtype | type = "float32", name: str | None = None) -> Tensor:
    """A tensor without numbers: what is computed from it is a graph, and nothing is allocated.

    Args:
        shape: the length of each axis.
        dtype: the element type.
        name: the label in pictures and messages.

    Run the graph with :func:`tinygrad_cnn.evaluate`. Raises :class:`ArgumentError` for a negative length.

    >>> images = symbol((8, 1, 28, 28), name="images")
    >>> images.flatten(1)
    Tensor(symbolic, shape=(8, 784), dtype=float32)
    """
    shape = tuple(int(length) for length in shape)
    if any(length < 0 for length in shape):
        raise ArgumentError("symbol", "an axis has a negative length", got=str(shape))
    spec = Spec(shape, np.dtype(dtype))
    node = Node(ops.SYMBOL, (), spec, requires_grad=spec.dtype.kind == "f", symbolic=True, name=name)
    return Tensor._from_node(node, None)


# Down here because the operations themselves are made of tensors: they need the class above to exist.
from . import autodiff, ops  # noqa: E402

"""Reading elements by position: slices, integer and boolean indices, one element per row."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from ..backend import Array
from ..errors import ArgumentError, DTypeError, GraphError, PositionError, ShapeError
from ..graph import Spec
from ..tensor import Tensor, TensorLike
from .base import Gradient, Operation, apply, as_tensor
from .shape import normalize_dim


@dataclass(frozen=True)
class Range:
    """A slice whose ends are settled: positions ``start, start + step, ...``, ``length`` of them."""

    start: int
    length: int
    step: int

    def slice(self) -> slice:
        """The same as Python's slice, for indexing an array."""
        if not self.length:  # a start before the first element would count from the end
            return slice(0, 0)
        stop = self.start + self.length * self.step
        return slice(self.start, stop if stop >= 0 else None, self.step)


@dataclass(frozen=True)
class Picked:
    """A place in a key that one of the index tensors fills."""


Key = tuple[int | Range | Picked, ...]
"""One entry for each axis of the tensor."""


def _array_key(key: Key, indices: tuple[Array, ...]) -> tuple[Any, ...]:
    """The key as arrays understand it."""
    remaining = iter(indices)
    return tuple(
        [
            each.slice() if isinstance(each, Range) else next(remaining) if isinstance(each, Picked) else each
            for each in key
        ]
    )


def _picked_lengths(key: Key, shape: tuple[int, ...]) -> list[int]:
    """The lengths of the axes along which index tensors pick."""
    return [length for each, length in zip(key, shape, strict=True) if isinstance(each, Picked)]


def _check_bounds(name: str, indices: tuple[Array, ...], lengths: list[int], from_end: bool) -> None:
    """Raise :class:`PositionError` for an index outside its axis; ``from_end`` lets -1 mean the last element."""
    for array, length in zip(indices, lengths, strict=True):
        if array.size:
            low, high, least = int(array.min()), int(array.max()), -length if from_end else 0
            if low < least or high >= length:
                raise PositionError(
                    name,
                    f"an index points outside an axis of length {length}",
                    got=f"indices from {low} to {high}",
                    expected=f"{least} <= index < {length}",
                    fix="positions and class numbers count from 0",
                )


@dataclass(frozen=True)
class Index(Operation):
    """``x[key]``. Gradient: ``grad``, added into zeros at the places that were read."""

    key: Key
    name = "index"

    def infer(self, x: Spec, *indices: Spec) -> Spec:
        # Only shapes are computed: a tensor of the same shape that takes no room is indexed with zeros of none.
        stand_in = np.broadcast_to(np.empty((), bool), x.shape)
        zeros = tuple([np.broadcast_to(np.zeros((), np.intp), spec.shape) for spec in indices])
        if 0 in _picked_lengths(self.key, x.shape) and all(array.size for array in zeros):
            raise ArgumentError(self.name, "an axis of length 0 has no elements to pick", got=repr(x))
        try:
            return Spec(stand_in[_array_key(self.key, zeros)].shape, x.dtype)
        except IndexError as error:
            raise ShapeError(
                self.name, "the index tensors do not fit together", got=", ".join(map(repr, indices)),
                expected="shapes that broadcast",
            ) from error  # fmt: skip

    def forward(self, xp: Any, x: Array, *indices: Array) -> Array:
        _check_bounds(self.name, indices, _picked_lengths(self.key, x.shape), from_end=True)
        return x[_array_key(self.key, indices)]

    def vjp(self, grad: Tensor, output: Tensor, x: Tensor, *indices: Tensor) -> tuple[Gradient, ...]:
        return apply(IndexAdd(self.key, x.shape), grad, *indices), *[None for _ in indices]


@dataclass(frozen=True)
class IndexAdd(Operation):
    """Zeros, with elements added in at the places of a key: the adjoint of ``index``. Gradient: ``grad[key]``."""

    key: Key
    shape: tuple[int, ...]
    name = "index_add"

    def infer(self, x: Spec, *indices: Spec) -> Spec:
        return Spec(self.shape, x.dtype)

    def forward(self, xp: Any, x: Array, *indices: Array) -> Array:
        lengths = _picked_lengths(self.key, self.shape)
        _check_bounds(self.name, indices, lengths, from_end=True)  # it may run before index
        result = xp.zeros(self.shape, dtype=x.dtype)
        key = _array_key(self.key, indices)
        if indices:
            xp.add.at(result, key, x)  # an element may be read several times
        else:
            result[key] = x
        return result

    def vjp(self, grad: Tensor, output: Tensor, x: Tensor, *indices: Tensor) -> tuple[Gradient, ...]:
        return apply(Index(self.key), grad, *indices), *[None for _ in indices]


@dataclass(frozen=True)
class TakeAlongDim(Operation):
    """``x[i, index[i, j]]``: elements picked along one axis. Gradient: ``grad``, added into zeros at those places."""

    dim: int
    name = "take_along_dim"

    def infer(self, x: Spec, index: Spec) -> Spec:
        others = [axis for axis in range(len(x.shape)) if axis != self.dim]
        if len(index.shape) != len(x.shape) or any(index.shape[axis] != x.shape[axis] for axis in others):
            raise ShapeError(
                self.name,
                f"indices of shape {index.shape} do not fit a tensor of shape {x.shape}",
                got=f"{x!r}, indices {index!r}",
                expected=f"equal lengths on every axis but axis {self.dim}",
            )
        return Spec(index.shape, x.dtype)

    def forward(self, xp: Any, x: Array, index: Array) -> Array:
        _check_bounds(self.name, (index,), [x.shape[self.dim]], from_end=False)
        return xp.take_along_axis(x, index, axis=self.dim)

    def vjp(self, grad: Tensor, output: Tensor, x: Tensor, index: Tensor) -> tuple[Gradient, ...]:
        return apply(AddAlongDim(self.dim, x.shape), grad, index), None


@dataclass(frozen=True)
class AddAlongDim(Operation):
    """Zeros, with elements added in along one axis: the adjoint of ``take_along_dim``. Gradient: the elements there."""

    dim: int
    shape: tuple[int, ...]
    name = "add_along_dim"

    def infer(self, x: Spec, index: Spec) -> Spec:
        return Spec(self.shape, x.dtype)

    def forward(self, xp: Any, x: Array, index: Array) -> Array:
        _check_bounds(self.name, (index,), [self.shape[self.dim]], from_end=False)  # it may run before take_along_dim
        result = xp.zeros(self.shape, dtype=x.dtype)
        places: list[Array] = []
        for axis, length in enumerate(index.shape):  # every other axis runs along itself
            own = [1] * len(index.shape)
            own[axis] = length
            places.append(index if axis == self.dim else xp.arange(length).reshape(own))
        xp.add.at(result, tuple(places), x)
        return result

    def vjp(self, grad: Tensor, output: Tensor, x: Tensor, index: Tensor) -> tuple[Gradient, ...]:
        return apply(TakeAlongDim(self.dim), grad, index), None


# The functions


def index(x: TensorLike, key: Any) -> Tensor:
    """``x[key]`` for reading, by NumPy's rules: integers, slices, ``...``, ``None``, integer and boolean tensors.

    The shape of a boolean index's result depends on its values, so it cannot be symbolic.

    Raises :class:`PositionError` (an ``IndexError``) for a position outside its axis, :class:`ArgumentError` for too
    many of them, :class:`DTypeError` for an index that is neither an integer nor a boolean, :class:`ShapeError` for
    indices that do not fit together.

    >>> x = Tensor([[1, 2, 3], [4, 5, 6]])
    >>> index(x, (0, slice(None, None, -1)))
    Tensor([3, 2, 1])
    >>> x[:, [2, 0]]
    Tensor([[3, 1],
            [6, 4]])
    """
    source = as_tensor(x)
    entries = list(key) if isinstance(key, tuple) else [key]
    entries = [_as_index(entry) for entry in entries]
    used = sum(_axes_of(entry) for entry in entries)
    if used > source.ndim:
        raise ArgumentError(
            "index",
            f"{used} positions for a tensor of {source.ndim} axes",
            got=repr(source.spec),
            expected="at most one each",
        )
    ellipses = [place for place, entry in enumerate(entries) if entry is Ellipsis]
    if len(ellipses) > 1:
        raise ArgumentError("index", "'...' can stand for the other axes only once", got=f"{len(ellipses)} of them")
    if not ellipses:
        entries.append(Ellipsis)
    at = ellipses[0] if ellipses else len(entries) - 1
    entries[at : at + 1] = [slice(None)] * (source.ndim - used)

    normal: list[int | Range | Picked] = []
    indices: list[Tensor] = []
    shape: list[int] = []  # that of the source, with the new axes of length 1 that `None` asks for
    lengths = iter(source.shape)
    for entry in entries:
        spans = [next(lengths) for _ in range(_axes_of(entry))]
        shape.extend([1] if entry is None else spans)
        if isinstance(entry, Tensor):
            places = _positions(entry, tuple(spans))
            indices.extend(places)
            normal.extend([Picked() for _ in places])
        else:
            normal.append(Range(0, 1, 1) if entry is None else _settled(entry, spans[0]))
    if source.shape != tuple(shape):
        from .shape import reshape

        source = reshape(source, shape)
    if not indices and normal == [Range(0, length, 1) for length in shape]:
        return source
    return apply(Index(tuple(normal)), source, *indices)


def _as_index(entry: Any) -> Any:
    """An entry of a key: ``int``, ``slice``, ``None``, ``...`` or a tensor of integers or booleans."""
    if entry is None or entry is Ellipsis or isinstance(entry, slice):
        return entry
    if isinstance(entry, int | np.integer) and not isinstance(entry, bool):
        return int(entry)
    tensor = Tensor(entry, dtype="int64") if isinstance(entry, list) and not entry else as_tensor(entry)
    if tensor.dtype.kind not in "iub" or (tensor.dtype.kind == "b" and tensor.ndim == 0):
        raise DTypeError(
            "index", f"{tensor.dtype} cannot be an index", got=repr(entry)[:80],
            expected="integers, slices, None, ..., or tensors of integers or booleans",
        )  # fmt: skip
    return tensor


def _axes_of(entry: Any) -> int:
    """How many axes of the tensor an entry speaks for."""
    if entry is None or entry is Ellipsis:
        return 0
    return entry.ndim if isinstance(entry, Tensor) and entry.dtype.kind == "b" else 1


def _positions(entry: Tensor, lengths: tuple[int, ...]) -> list[Tensor]:
    """An integer index as it is; a boolean one as the positions of its true elements, one tensor for each axis."""
    if entry.dtype.kind != "b":
        return [entry]
    if entry.symbolic:
        raise GraphError(
            "index",
            "a symbolic boolean index would give a tensor of unknown shape",
            got=repr(entry),
            fix="keep the shape and choose with tg.where(mask, x, 0)",
        )
    if entry.shape != lengths:
        raise ShapeError(
            "index", f"a mask of shape {entry.shape} does not fit axes of lengths {lengths}", got=repr(entry.spec),
            expected="one boolean for each place",
        )  # fmt: skip
    places = np.nonzero(entry.numpy())
    return [Tensor(each, dtype="int64", device=entry.device) for each in places]


def _settled(entry: int | slice, length: int) -> int | Range:
    """An integer or slice for an axis of that length, with all ends worked out."""
    if isinstance(entry, slice):
        start, stop, step = entry.indices(length)
        return Range(start, len(range(start, stop, step)), step)
    if not -length <= entry < length:
        raise PositionError(
            "index",
            f"position {entry} is outside an axis of length {length}",
            got=str(entry),
            expected=f"{-length} <= index < {length}" if length else "no position: the axis has length 0",
        )
    return entry % length


def take_along_dim(x: TensorLike, indices: TensorLike, dim: int) -> Tensor:
    """Elements picked along one axis: for ``dim=1``, ``result[i, j] = x[i, indices[i, j]]``.

    Args:
        x: any shape.
        indices: integers from 0, of the shape of ``x`` except along ``dim``.
        dim: the axis.

    Raises :class:`ShapeError` where the other axes differ, :class:`PositionError` for an index outside the axis.

    >>> take_along_dim(Tensor([[1, 2, 3], [4, 5, 6]]), [[2], [0]], 1)
    Tensor([[3],
            [4]])
    """
    x, indices = as_tensor(x), as_tensor(indices)
    if indices.dtype.kind not in "iu":
        raise DTypeError("take_along_dim", f"{indices.dtype} cannot be an index", expected="integers")
    return apply(TakeAlongDim(normalize_dim("take_along_dim", dim, x.ndim)), x, indices)


def one_hot(x: TensorLike, num_classes: int) -> Tensor:
    """For each integer a row that is 1 at its place and 0 elsewhere, as in PyTorch.

    Args:
        x: integers from 0 to ``num_classes - 1``, any shape.
        num_classes: the length of the new last axis.

    >>> one_hot([2, 0], 3)
    Tensor([[0, 0, 1],
            [1, 0, 0]])
    """
    from .elementwise import cast, eq
    from .shape import unsqueeze

    x = as_tensor(x)
    classes = Tensor(np.arange(num_classes), dtype=x.dtype, device=None if x.symbolic else x.device)
    return cast(eq(unsqueeze(x, -1), classes), "int64")

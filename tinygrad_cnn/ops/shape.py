"""Operations that move elements without changing them: shapes, order, joining, padding."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..backend import Array
from ..errors import ArgumentError, ShapeError
from ..graph import Spec
from ..tensor import Dims, Tensor, TensorLike
from .base import Gradient, Operation, apply, as_tensor, is_number, operand_like, require_same_dtype

Shape = tuple[int, ...]


@dataclass(frozen=True)
class Reshape(Operation):
    """The same elements in the same order, counted off in other lengths. Gradient: reshaped back."""

    shape: Shape
    name = "reshape"

    def infer(self, x: Spec) -> Spec:
        return Spec(self.shape, x.dtype)

    def forward(self, xp: Any, x: Array) -> Array:
        return xp.reshape(x, self.shape)

    def vjp(self, grad: Tensor, output: Tensor, x: Tensor) -> tuple[Gradient, ...]:
        return (reshape(grad, x.shape),)


@dataclass(frozen=True)
class Permute(Operation):
    """The axes in another order. Gradient: the inverse order."""

    dims: Shape
    name = "permute"

    def infer(self, x: Spec) -> Spec:
        return Spec(tuple([x.shape[dim] for dim in self.dims]), x.dtype)

    def forward(self, xp: Any, x: Array) -> Array:
        return xp.transpose(x, self.dims)

    def vjp(self, grad: Tensor, output: Tensor, x: Tensor) -> tuple[Gradient, ...]:
        inverse = sorted(range(len(self.dims)), key=self.dims.__getitem__)
        return (permute(grad, inverse),)


@dataclass(frozen=True)
class BroadcastTo(Operation):
    """Repeated along axes of length 1 and along new leading axes. Gradient: the sum over the repeated axes."""

    shape: Shape
    name = "broadcast_to"

    def infer(self, x: Spec) -> Spec:
        lead = len(self.shape) - len(x.shape)
        if lead < 0 or any([n not in (1, new) for n, new in zip(x.shape, self.shape[lead:], strict=True)]):
            raise ShapeError(
                self.name,
                f"the shape {x.shape} cannot be repeated to {self.shape}",
                got=repr(x),
                expected="on each axis, counted from the last, the new length or 1",
                fix="insert axes of length 1 with unsqueeze where they are missing",
            )
        return Spec(self.shape, x.dtype)

    def forward(self, xp: Any, x: Array) -> Array:
        return xp.broadcast_to(x, self.shape)

    def vjp(self, grad: Tensor, output: Tensor, x: Tensor) -> tuple[Gradient, ...]:
        from .reduce import sum

        lead = len(self.shape) - x.ndim
        stretched = [lead + axis for axis, length in enumerate(x.shape) if length == 1 != self.shape[lead + axis]]
        grad = sum(grad, [*range(lead), *stretched], keepdim=True)
        return (reshape(grad, x.shape),)


@dataclass(frozen=True)
class Cat(Operation):
    """Tensors joined along an axis. Gradient: the pieces of ``grad``."""

    dim: int
    name = "cat"

    def infer(self, *specs: Spec) -> Spec:
        require_same_dtype(self.name, *specs)
        first = specs[0].shape
        for position, spec in enumerate(specs):
            same = len(spec.shape) == len(first) and all(
                axis == self.dim or mine == theirs
                for axis, (mine, theirs) in enumerate(zip(spec.shape, first, strict=True))
            )
            if not same:
                raise ShapeError(
                    self.name,
                    f"tensor {position} of shape {spec.shape} cannot be joined to {first} along axis {self.dim}",
                    got=", ".join(map(repr, specs)),
                    expected=f"equal lengths on every axis but axis {self.dim}",
                )
        total = sum([spec.shape[self.dim] for spec in specs])
        return Spec((*first[: self.dim], total, *first[self.dim + 1 :]), specs[0].dtype)

    def forward(self, xp: Any, *arrays: Array) -> Array:
        return xp.concatenate(arrays, axis=self.dim)

    def vjp(self, grad: Tensor, output: Tensor, *inputs: Tensor) -> tuple[Gradient, ...]:
        return split(grad, [each.shape[self.dim] for each in inputs], self.dim)


@dataclass(frozen=True)
class Pad(Operation):
    """A margin of one value around the tensor; negative widths cut away. Gradient: the part inside the margin."""

    widths: tuple[tuple[int, int], ...]
    value: float = 0.0
    name = "pad"

    def infer(self, x: Spec) -> Spec:
        shape = tuple([before + n + after for n, (before, after) in zip(x.shape, self.widths, strict=True)])
        if any(n < 0 for n in shape):
            raise ShapeError(
                self.name, "more is cut away than there is", got=f"{x!r}, widths {self.widths}",
                expected="lengths of 0 or more", fix="use smaller negative widths",
            )  # fmt: skip
        return Spec(shape, x.dtype)

    def forward(self, xp: Any, x: Array) -> Array:
        return pad_array(xp, x, self.widths, self.value)

    def vjp(self, grad: Tensor, output: Tensor, x: Tensor) -> tuple[Gradient, ...]:
        return (apply(Pad(tuple([(-before, -after) for before, after in self.widths])), grad),)


def pad_array(xp: Any, x: Array, widths: Sequence[tuple[int, int]], value: float = 0.0) -> Array:
    """An array with a margin of ``value``; negative widths cut away. Without any width, the array itself."""
    if not any(before or after for before, after in widths):
        return x
    shape = tuple([before + n + after for n, (before, after) in zip(x.shape, widths, strict=True)])
    padded = xp.full(shape, value, dtype=x.dtype)
    inside = tuple([slice(max(before, 0), n - max(after, 0)) for n, (before, after) in zip(shape, widths, strict=True)])
    kept = tuple(
        [slice(max(-before, 0), n - max(-after, 0)) for n, (before, after) in zip(x.shape, widths, strict=True)]
    )
    padded[inside] = x[kept]
    return padded


@dataclass(frozen=True)
class Flip(Operation):
    """The elements in reverse order along some axes. Gradient: flipped back."""

    dims: Shape
    name = "flip"

    def infer(self, x: Spec) -> Spec:
        return x

    def forward(self, xp: Any, x: Array) -> Array:
        return xp.flip(x, self.dims)

    def vjp(self, grad: Tensor, output: Tensor, x: Tensor) -> tuple[Gradient, ...]:
        return (flip(grad, self.dims),)


# Broadcasting


def align(name: str, *operands: object) -> tuple[Tensor, ...]:
    """The operands as tensors of one element type and one shape.

    Python numbers take the type of the tensors. Shapes are brought together by explicit ``broadcast_to`` nodes, so
    that no gradient rule has to undo a broadcast. Raises :class:`DTypeError` for mixed types,
    :class:`ShapeError` for shapes that do not broadcast.
    """
    tensors = [each if isinstance(each, Tensor) else None if is_number(each) else as_tensor(each) for each in operands]
    given = [each for each in tensors if each is not None] or [as_tensor(operands[0])]
    first = given[0]
    shape = first.node.spec.shape
    if len(given) > 1:
        specs = [each.node.spec for each in given]
        require_same_dtype(name, *specs)
        shape = broadcast_shape(name, *specs)
    aligned = []
    for tensor, operand in zip(tensors, operands, strict=True):
        if tensor is None:
            aligned.append(operand_like(first, operand, shape))  # type: ignore[arg-type]
        else:
            aligned.append(tensor if tensor.node.spec.shape == shape else apply(BroadcastTo(shape), tensor))
    return tuple(aligned)


def broadcast_shape(name: str, *specs: Spec) -> tuple[int, ...]:
    """The common shape by NumPy's rule: axes are matched from the last; lengths must agree, or one of them be 1.

    Raises :class:`ShapeError` naming the axis that does not fit.
    """
    shapes = [spec.shape for spec in specs]
    length = max(map(len, shapes))
    result = [1] * length
    for shape in shapes:
        for axis, n in enumerate(shape, start=length - len(shape)):
            if n != 1 and n != result[axis]:
                if result[axis] != 1:
                    raise ShapeError(
                        name,
                        f"the shapes {' and '.join(map(str, shapes))} do not broadcast",
                        got=", ".join(map(repr, specs)),
                        expected=f"equal lengths, or 1, on axis {axis - length}: {result[axis]} and {n}",
                        fix="reshape one of them, or insert axes of length 1 with unsqueeze",
                    )
                result[axis] = n
    return tuple(result)


# The functions


def normalize_dim(name: str, dim: int, ndim: int) -> int:
    """An axis counted from the front; negative ones count from the back.

    Raises :class:`ArgumentError` for an axis that does not exist.
    """
    if not -ndim <= dim < ndim:
        raise ArgumentError(
            name,
            f"there is no axis {dim} in a tensor of {ndim} axes",
            got=f"dim={dim}",
            expected=f"{-ndim} <= dim < {ndim}" if ndim else "no dim at all",
        )
    return int(dim) % ndim


def normalize_dims(name: str, dims: Dims, ndim: int) -> Shape:
    """Axes counted from the front, in rising order; ``None`` means all.

    Raises :class:`ArgumentError` for an axis that does not exist or is named twice.
    """
    if dims is None:
        return tuple(range(ndim))
    listed = [dims] if isinstance(dims, int | np.integer) else list(dims)
    normal = sorted(normalize_dim(name, dim, ndim) for dim in listed)
    if len(set(normal)) < len(normal):
        raise ArgumentError(name, "an axis is named twice", got=f"dim={dims}")
    return tuple(normal)


def reshape(x: TensorLike, shape: Sequence[int]) -> Tensor:
    """The same elements in row-major order, with other axis lengths; one length may be -1 and is worked out.

    Raises :class:`ShapeError` when the number of elements differs.

    >>> reshape(Tensor([1, 2, 3, 4]), (2, -1)).shape
    (2, 2)
    """
    x = as_tensor(x)
    wanted = tuple([int(length) for length in shape])
    size = math.prod(x.shape)
    if -1 in wanted:
        known = math.prod([length for length in wanted if length != -1])
        if wanted.count(-1) == 1 and known and size % known == 0:
            wanted = tuple([size // known if length == -1 else length for length in wanted])
    if math.prod(wanted) != size or (wanted and min(wanted) < 0):
        raise ShapeError(
            "reshape",
            f"{size} elements cannot be laid out as {wanted}",
            got=repr(x.spec),
            expected=f"lengths whose product is {size}; at most one of them -1",
        )
    return x if wanted == x.shape else apply(Reshape(wanted), x)


def flatten(x: TensorLike, start_dim: int = 0, end_dim: int = -1) -> Tensor:
    """The axes from ``start_dim`` to ``end_dim`` as a single one.

    Raises :class:`ArgumentError` for an axis that does not exist.

    >>> flatten(Tensor([[[1, 2]], [[3, 4]]]), 1).shape
    (2, 2)
    """
    x = as_tensor(x)
    if not x.ndim:
        return reshape(x, (1,))
    start, end = normalize_dim("flatten", start_dim, x.ndim), normalize_dim("flatten", end_dim, x.ndim)
    return reshape(x, (*x.shape[:start], math.prod(x.shape[start : end + 1]), *x.shape[end + 1 :]))


def squeeze(x: TensorLike, dim: Dims = None) -> Tensor:
    """Without the axes of length 1, or without those of them that ``dim`` names.

    >>> squeeze(Tensor([[1, 2]])).shape
    (2,)
    """
    x = as_tensor(x)
    dims = normalize_dims("squeeze", dim, x.ndim)
    return reshape(x, [length for axis, length in enumerate(x.shape) if length != 1 or axis not in dims])


def unsqueeze(x: TensorLike, dim: int) -> Tensor:
    """With a new axis of length 1 at place ``dim``.

    >>> unsqueeze(Tensor([1, 2]), 0).shape
    (1, 2)
    """
    x = as_tensor(x)
    place = normalize_dim("unsqueeze", dim, x.ndim + 1)
    return reshape(x, (*x.shape[:place], 1, *x.shape[place:]))


def permute(x: TensorLike, dims: Sequence[int]) -> Tensor:
    """The axes in the order ``dims``.

    Raises :class:`ArgumentError` unless ``dims`` names each axis once.

    >>> permute(Tensor([[1, 2, 3]]), (1, 0)).shape
    (3, 1)
    """
    x = as_tensor(x)
    order = tuple([normalize_dim("permute", dim, x.ndim) for dim in dims])
    if len(order) != x.ndim or len(set(order)) != x.ndim:
        raise ArgumentError(
            "permute", "each axis must be named once", got=f"dims={tuple(dims)} for {x.spec!r}",
            expected=f"an order of the {x.ndim} axes",
        )  # fmt: skip
    return x if order == tuple(range(x.ndim)) else apply(Permute(order), x)


def transpose(x: TensorLike, dim0: int, dim1: int) -> Tensor:
    """With two axes exchanged.

    >>> transpose(Tensor([[1, 2, 3]]), 0, 1).shape
    (3, 1)
    """
    x = as_tensor(x)
    order = list(range(x.ndim))
    first, second = normalize_dim("transpose", dim0, x.ndim), normalize_dim("transpose", dim1, x.ndim)
    order[first], order[second] = order[second], order[first]
    return x if first == second else apply(Permute(tuple(order)), x)


def broadcast_to(x: TensorLike, shape: Sequence[int]) -> Tensor:
    """Repeated along axes of length 1, and along new leading axes, without copying.

    Raises :class:`ShapeError` when a length is neither 1 nor the wanted one.

    >>> broadcast_to(Tensor([1, 2]), (3, 2)).shape
    (3, 2)
    """
    x = as_tensor(x)
    wanted = tuple([int(length) for length in shape])
    return x if wanted == x.shape else apply(BroadcastTo(wanted), x)


def cat(tensors: Sequence[TensorLike], dim: int = 0) -> Tensor:
    """Tensors joined along an existing axis.

    Raises :class:`ShapeError` where other axes differ, :class:`ArgumentError` for an empty list.

    >>> cat([Tensor([1, 2]), Tensor([3])])
    Tensor([1, 2, 3])
    """
    parts = [as_tensor(each) for each in tensors]
    if not parts:
        raise ArgumentError("cat", "there is nothing to join", got="an empty list")
    return apply(Cat(normalize_dim("cat", dim, parts[0].ndim)), *parts)


concatenate = cat


def stack(tensors: Sequence[TensorLike], dim: int = 0) -> Tensor:
    """Tensors of one shape joined along a new axis.

    Raises :class:`ShapeError` where shapes differ, :class:`ArgumentError` for an empty list.

    >>> stack([Tensor([1, 2]), Tensor([3, 4])])
    Tensor([[1, 2],
            [3, 4]])
    """
    return cat([unsqueeze(each, dim) for each in tensors], dim)


def split(x: TensorLike, split_size: int | Sequence[int], dim: int = 0) -> tuple[Tensor, ...]:
    """The tensor cut along an axis into pieces of the given length (the last may be shorter) or lengths.

    Raises :class:`ArgumentError` when lengths do not add up to the axis.

    >>> [each.tolist() for each in split(Tensor([1, 2, 3]), 2)]
    [[1, 2], [3]]
    """
    from .index import index

    x = as_tensor(x)
    axis = normalize_dim("split", dim, x.ndim)
    length = x.shape[axis]
    if isinstance(split_size, int):
        if split_size < 1:
            raise ArgumentError("split", "pieces need a length of 1 or more", got=f"split_size={split_size}")
        sizes = [min(split_size, length - start) for start in range(0, length, split_size)] or [0]
    else:
        sizes = [int(size) for size in split_size]
        if sum(sizes) != length or any(size < 0 for size in sizes):
            raise ArgumentError(
                "split", f"the pieces do not make up axis {axis}", got=f"{sizes}, in all {sum(sizes)}",
                expected=f"lengths that add up to {length}",
            )  # fmt: skip
    pieces, start = [], 0
    for size in sizes:
        pieces.append(index(x, (slice(None),) * axis + (slice(start, start + size),)))
        start += size
    return tuple(pieces)


def pad(x: TensorLike, pad: Sequence[int], mode: str = "constant", value: float = 0.0) -> Tensor:
    """A margin around the last axes, in PyTorch's order: last axis first, ``(before, after)`` for each.

    Args:
        x: any shape.
        pad: two widths for each padded axis, at most as many as there are axes; negative widths cut away.
        mode: ``"constant"``.
        value: what the margin is filled with.

    Raises :class:`ArgumentError` for an odd number of widths or another mode.

    >>> pad(Tensor([1, 2]), (1, 2), value=7)
    Tensor([7, 1, 2, 7, 7])
    """
    x = as_tensor(x)
    if mode != "constant":
        raise ArgumentError("pad", "there is no such mode", got=f"mode={mode!r}", expected="'constant'")
    if len(pad) % 2 or len(pad) > 2 * x.ndim:
        raise ArgumentError(
            "pad", "widths come in pairs, one pair for each axis from the last", got=f"{tuple(pad)} for {x.spec!r}",
            expected=f"2 to {2 * x.ndim} widths",
        )  # fmt: skip
    pairs = [(int(pad[i]), int(pad[i + 1])) for i in range(0, len(pad), 2)]
    widths = [(0, 0)] * (x.ndim - len(pairs)) + pairs[::-1]
    return apply(Pad(tuple(widths), value), x)


def flip(x: TensorLike, dims: Dims) -> Tensor:
    """The elements in reverse order along the given axes.

    >>> flip(Tensor([1, 2, 3]), 0)
    Tensor([3, 2, 1])
    """
    x = as_tensor(x)
    return apply(Flip(normalize_dims("flip", dims, x.ndim)), x)

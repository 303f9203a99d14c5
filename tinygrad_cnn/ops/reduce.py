"""Reductions: one number out of many, along chosen axes."""

from __future__ import annotations

import builtins
import math
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import numpy as np

from ..backend import Array
from ..errors import ArgumentError, ShapeError
from ..graph import Spec
from ..tensor import Dims, Tensor, TensorLike
from .base import OUTPUT, Gradient, Operation, apply, as_tensor, require_float
from .elementwise import cast, div, eq, exp, maximum, mul, sqrt, square, sub
from .index import take_along_dim
from .shape import broadcast_to, normalize_dim, normalize_dims, reshape, unsqueeze


@dataclass(frozen=True)
class Reduction(Operation):
    """Many elements become one, along the axes ``dims``; ``keepdim`` leaves these axes in place with length 1."""

    dims: tuple[int, ...]
    keepdim: bool = False
    needs_elements: ClassVar[bool] = False
    """Whether the result of no elements at all is undefined."""

    def infer(self, x: Spec) -> Spec:
        if self.needs_elements and math.prod([x.shape[dim] for dim in self.dims]) == 0:
            raise ShapeError(
                self.name, f"there is nothing to reduce: an axis among {self.dims} has length 0", got=repr(x),
                expected="at least one element for each result",
            )  # fmt: skip
        return Spec(self.reduced_shape(x.shape, self.keepdim), x.dtype)

    def reduced_shape(self, shape: tuple[int, ...], keepdim: bool) -> tuple[int, ...]:
        """The shape that is left of ``shape``."""
        if keepdim:
            return tuple([1 if axis in self.dims else length for axis, length in enumerate(shape)])
        return tuple([length for axis, length in enumerate(shape) if axis not in self.dims])

    def spread(self, result: Tensor, x: Tensor) -> Tensor:
        """A result, or its gradient, laid back over the elements that it was made of."""
        return broadcast_to(reshape(result, self.reduced_shape(x.shape, keepdim=True)), x.shape)

    def count(self, shape: tuple[int, ...]) -> int:
        """How many elements make one result."""
        return math.prod([shape[dim] for dim in self.dims])


@dataclass(frozen=True)
class Sum(Reduction):
    """The sum. Gradient: ``grad``, spread."""

    name = "sum"

    def infer(self, x: Spec) -> Spec:
        shape = super().infer(x).shape
        return Spec(shape, np.dtype(np.int64) if x.dtype.kind in "iub" else x.dtype)

    def forward(self, xp: Any, x: Array) -> Array:
        dtype = np.int64 if x.dtype.kind in "iub" else x.dtype
        return xp.sum(x, axis=self.dims, keepdims=self.keepdim, dtype=dtype)

    def vjp(self, grad: Tensor, output: Tensor, x: Tensor) -> tuple[Gradient, ...]:
        return (self.spread(grad, x),)


@dataclass(frozen=True)
class Mean(Reduction):
    """The average. Gradient: ``grad / n``, spread."""

    name = "mean"

    def infer(self, x: Spec) -> Spec:
        require_float(self.name, x)
        return super().infer(x)

    def forward(self, xp: Any, x: Array) -> Array:
        count = self.count(x.shape)
        return xp.sum(x, axis=self.dims, keepdims=self.keepdim) * (1 / count if count else math.nan)

    def vjp(self, grad: Tensor, output: Tensor, x: Tensor) -> tuple[Gradient, ...]:
        return (self.spread(mul(grad, 1 / builtins.max(self.count(x.shape), 1)), x),)


@dataclass(frozen=True)
class ExtremumOf(Reduction):
    """The largest or smallest element. Where several are, they share the gradient equally, as in PyTorch."""

    keeps = ((0, OUTPUT),)
    needs_elements = True

    def vjp(self, grad: Tensor, output: Tensor, x: Tensor) -> tuple[Gradient, ...]:
        hits = cast(eq(x, self.spread(output, x)), x.dtype)
        ties = maximum(sum(hits, self.dims, self.keepdim), 1.0)
        return (mul(hits, self.spread(div(grad, ties), x)),)


@dataclass(frozen=True)
class AMax(ExtremumOf):
    """The largest element. Gradient: ``grad``, shared equally by the elements that attain it."""

    name = "amax"

    def forward(self, xp: Any, x: Array) -> Array:
        return xp.max(x, axis=self.dims, keepdims=self.keepdim)


@dataclass(frozen=True)
class AMin(ExtremumOf):
    """The smallest element. Gradient: ``grad``, shared equally by the elements that attain it."""

    name = "amin"

    def forward(self, xp: Any, x: Array) -> Array:
        return xp.min(x, axis=self.dims, keepdims=self.keepdim)


@dataclass(frozen=True)
class ArgExtremum(Operation):
    """The place of the first largest or smallest element along an axis."""

    dim: int
    differentiable = False

    def infer(self, x: Spec) -> Spec:
        if x.shape[self.dim] == 0:
            raise ShapeError(
                self.name, f"axis {self.dim} has no elements", got=repr(x), expected="at least one element"
            )
        return Spec((*x.shape[: self.dim], *x.shape[self.dim + 1 :]), np.dtype(np.int64))


@dataclass(frozen=True)
class ArgMax(ArgExtremum):
    """The place of the first largest element along an axis."""

    name = "argmax"

    def forward(self, xp: Any, x: Array) -> Array:
        return xp.argmax(x, axis=self.dim)


@dataclass(frozen=True)
class ArgMin(ArgExtremum):
    """The place of the first smallest element along an axis."""

    name = "argmin"

    def forward(self, xp: Any, x: Array) -> Array:
        return xp.argmin(x, axis=self.dim)


@dataclass(frozen=True)
class LogSumExp(Reduction):
    """``log(sum(exp(x)))`` without overflow. Gradient: ``grad * exp(x - y)``, the softmax."""

    name = "logsumexp"
    keeps = ((0, OUTPUT),)
    needs_elements = True

    def infer(self, x: Spec) -> Spec:
        require_float(self.name, x)
        return super().infer(x)

    def forward(self, xp: Any, x: Array) -> Array:
        highest = xp.max(x, axis=self.dims, keepdims=True)
        highest = xp.where(xp.isfinite(highest), highest, xp.asarray(0, dtype=x.dtype))
        total = xp.sum(xp.exp(x - highest), axis=self.dims, keepdims=True)
        empty = total == 0  # every x is -inf, and so is the result
        result = xp.where(empty, xp.asarray(-math.inf, dtype=x.dtype), xp.log(total + empty)) + highest
        return result if self.keepdim else xp.squeeze(result, axis=self.dims)

    def vjp(self, grad: Tensor, output: Tensor, x: Tensor) -> tuple[Gradient, ...]:
        return (mul(self.spread(grad, x), exp(sub(x, self.spread(output, x)))),)


@dataclass(frozen=True)
class LogSoftmax(Operation):
    """``x - log(sum(exp(x)))`` along an axis, exact for large ``x``. Gradient: ``grad - exp(y) * sum(grad)``."""

    dim: int
    name = "log_softmax"
    keeps = ((OUTPUT,),)

    def infer(self, x: Spec) -> Spec:
        require_float(self.name, x)
        return x

    def forward(self, xp: Any, x: Array) -> Array:
        if x.shape[self.dim] == 0:
            return x
        shifted = x - xp.max(x, axis=self.dim, keepdims=True)
        return shifted - xp.log(xp.sum(xp.exp(shifted), axis=self.dim, keepdims=True))

    def vjp(self, grad: Tensor, output: Tensor, x: Tensor) -> tuple[Gradient, ...]:
        total = broadcast_to(sum(grad, self.dim, keepdim=True), x.shape)
        return (sub(grad, mul(exp(output), total)),)


# The functions. Their arguments ``dim`` (an axis, several, or ``None`` for all) and ``keepdim`` are PyTorch's.


def sum(x: TensorLike, dim: Dims = None, keepdim: bool = False) -> Tensor:
    """The sum along the axes ``dim``. Integers and booleans add up in int64.

    Raises :class:`ArgumentError` for an axis that does not exist.

    >>> sum(Tensor([[1.0, 2.0], [3.0, 4.0]]), dim=0)
    Tensor([4., 6.])
    """
    x = as_tensor(x)
    return apply(Sum(normalize_dims("sum", dim, x.ndim), keepdim), x)


def mean(x: TensorLike, dim: Dims = None, keepdim: bool = False) -> Tensor:
    """The average along the axes ``dim``; NaN where there is nothing to average.

    Raises :class:`DTypeError` for integers, :class:`ArgumentError` for an axis that does not exist.

    >>> mean(Tensor([[1.0, 2.0], [3.0, 4.0]]), dim=1)
    Tensor([1.5, 3.5])
    """
    x = as_tensor(x)
    return apply(Mean(normalize_dims("mean", dim, x.ndim), keepdim), x)


def var(x: TensorLike, dim: Dims = None, correction: int = 1, keepdim: bool = False) -> Tensor:
    """The variance along the axes ``dim``: the sum of squared distances from the mean, over ``n - correction``.

    Args:
        x: any shape, floating-point.
        dim: the axes; ``None`` for all.
        correction: 1 for the unbiased estimate of a sample's variance, 0 for the variance of the numbers themselves.
        keepdim: whether the reduced axes stay, with length 1.

    Raises :class:`ArgumentError` when ``n - correction`` is not positive.

    >>> var(Tensor([1.0, 3.0])), var(Tensor([1.0, 3.0]), correction=0)
    (Tensor(2.), Tensor(1.))
    """
    x = as_tensor(x)
    dims = normalize_dims("var", dim, x.ndim)
    count = math.prod([x.shape[axis] for axis in dims])
    if count - correction <= 0:
        raise ArgumentError(
            "var",
            f"{count} numbers have no variance with correction {correction}",
            got=repr(x.spec),
            expected=f"n - correction > 0, but {count} - {correction} = {count - correction}",
            fix="take more numbers, or correction=0",
        )
    distance = sub(x, mean(x, dims, keepdim=True))
    return mul(sum(square(distance), dims, keepdim), 1 / (count - correction))


def std(x: TensorLike, dim: Dims = None, correction: int = 1, keepdim: bool = False) -> Tensor:
    """The standard deviation, the root of :func:`var`, with the same arguments and errors.

    >>> std(Tensor([1.0, 5.0]), correction=0)
    Tensor(2.)
    """
    return sqrt(var(x, dim, correction, keepdim))


def amax(x: TensorLike, dim: Dims = None, keepdim: bool = False) -> Tensor:
    """The largest element along the axes ``dim``; equals share the gradient.

    Raises :class:`ShapeError` where there is no element.

    >>> amax(Tensor([[1.0, 2.0], [3.0, 0.0]]), dim=1)
    Tensor([2., 3.])
    """
    x = as_tensor(x)
    return apply(AMax(normalize_dims("amax", dim, x.ndim), keepdim), x)


def amin(x: TensorLike, dim: Dims = None, keepdim: bool = False) -> Tensor:
    """The smallest element along the axes ``dim``; equals share the gradient.

    Raises :class:`ShapeError` where there is no element.

    >>> amin(Tensor([[1.0, 2.0], [3.0, 0.0]]), dim=1)
    Tensor([1., 0.])
    """
    x = as_tensor(x)
    return apply(AMin(normalize_dims("amin", dim, x.ndim), keepdim), x)


def argmax(x: TensorLike, dim: int | None = None, keepdim: bool = False) -> Tensor:
    """The place of the largest element along an axis, the first among equals; without ``dim``, in row-major order.

    Raises :class:`ShapeError` where there is no element.

    >>> argmax(Tensor([[1.0, 2.0], [3.0, 0.0]]), dim=1)
    Tensor([1, 0])
    """
    return _arg_extremum(ArgMax, as_tensor(x), dim, keepdim)


def argmin(x: TensorLike, dim: int | None = None, keepdim: bool = False) -> Tensor:
    """The place of the smallest element along an axis, the first among equals; without ``dim``, in row-major order.

    Raises :class:`ShapeError` where there is no element.

    >>> argmin(Tensor([[1.0, 2.0], [3.0, 0.0]]), dim=1)
    Tensor([0, 1])
    """
    return _arg_extremum(ArgMin, as_tensor(x), dim, keepdim)


def _arg_extremum(kind: type[ArgExtremum], x: Tensor, dim: int | None, keepdim: bool) -> Tensor:
    if dim is None:
        place = apply(kind(0), reshape(x, (-1,) if x.numel() else (0,)))
        return reshape(place, (1,) * x.ndim) if keepdim else place
    axis = normalize_dim(kind.name, dim, x.ndim)
    place = apply(kind(axis), x)
    return unsqueeze(place, axis) if keepdim else place


class ValuesAndIndices(NamedTuple):
    """What :func:`max` and :func:`min` give along an axis."""

    values: Tensor
    indices: Tensor


def max(x: TensorLike, dim: int | None = None, keepdim: bool = False) -> Tensor | ValuesAndIndices:
    """The largest of all elements; along an axis ``dim``, the pair ``(values, indices)``, as in PyTorch.

    Equals share the gradient of the first form; in the second it goes to the element that the index names.

    Raises :class:`ShapeError` where there is no element.

    >>> values, indices = max(Tensor([[1.0, 2.0], [3.0, 0.0]]), dim=1)
    >>> values, indices
    (Tensor([2., 3.]), Tensor([1, 0]))
    """
    return amax(x) if dim is None else _values_at(as_tensor(x), argmax(x, dim, keepdim=True), dim, keepdim)


def min(x: TensorLike, dim: int | None = None, keepdim: bool = False) -> Tensor | ValuesAndIndices:
    """The smallest of all elements; along an axis ``dim``, the pair ``(values, indices)``, as in PyTorch.

    Equals share the gradient of the first form; in the second it goes to the element that the index names.

    Raises :class:`ShapeError` where there is no element.

    >>> min(Tensor([[1.0, 2.0], [3.0, 0.0]]))
    Tensor(0.)
    """
    return amin(x) if dim is None else _values_at(as_tensor(x), argmin(x, dim, keepdim=True), dim, keepdim)


def _values_at(x: Tensor, places: Tensor, dim: int, keepdim: bool) -> ValuesAndIndices:
    values = take_along_dim(x, places, dim)
    if keepdim:
        return ValuesAndIndices(values, places)
    shape = [length for axis, length in enumerate(x.shape) if axis != dim % x.ndim]
    return ValuesAndIndices(reshape(values, shape), reshape(places, shape))


def logsumexp(x: TensorLike, dim: Dims = None, keepdim: bool = False) -> Tensor:
    """``log(sum(exp(x)))`` along the axes ``dim``, without overflow.

    Raises :class:`ShapeError` where there is no element.

    >>> logsumexp(Tensor([1000.0, 1000.0]))
    Tensor(1000.693...)
    """
    x = as_tensor(x)
    return apply(LogSumExp(normalize_dims("logsumexp", dim, x.ndim), keepdim), x)


def softmax(x: TensorLike, dim: int = -1) -> Tensor:
    """``exp(x) / sum(exp(x))`` along an axis: positive numbers that add up to 1. (Bridle, 1990)

    >>> softmax(Tensor([0.0, 0.0]))
    Tensor([0.5, 0.5])
    """
    return exp(log_softmax(x, dim))


def log_softmax(x: TensorLike, dim: int = -1) -> Tensor:
    """The logarithm of :func:`softmax`, accurate where the softmax itself rounds to 0.

    >>> log_softmax(Tensor([1000.0, 0.0]))
    Tensor([    0., -1000.])
    """
    x = as_tensor(x)
    return apply(LogSoftmax(normalize_dim("log_softmax", dim, x.ndim)), x)

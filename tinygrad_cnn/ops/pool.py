"""Pooling, in one to three spatial axes: the largest, the average or the sum of each window; and back to the places.

Legend: N batch, C channels, S the spatial axes of the image, K those of the window, P the places that the window takes.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..backend import Array
from ..errors import ArgumentError, DTypeError, PositionError, ShapeError
from ..graph import Spec
from ..tensor import Tensor, TensorLike
from .base import OUTPUT, Gradient, Operation, apply, as_tensor, full_like, require_float
from .elementwise import detach, div, masked_array, maximum
from .index import AddAlongDim
from .shape import pad_array, reshape, squeeze
from .window import (
    Pairs,
    SizeArgument,
    Sizes,
    along_axes,
    meeting,
    offsets,
    padding_pairs,
    per_axis,
    places,
    spatial_axes,
)  # fmt: skip


@dataclass(frozen=True)
class Pooling(Operation):
    """What all pooling operations share: the settings of the window."""

    kernel: Sizes
    stride: Sizes
    padding: Pairs
    dilation: Sizes
    ceil_mode: bool = False

    def count(self, name: str, size: Sizes) -> Sizes:
        """The spatial axes P of the result."""
        return places(name, size, self.kernel, self.stride, self.padding, self.dilation, self.ceil_mode)

    def padded(self, xp: Any, x: Array, count: Sizes, value: float) -> Array:
        """The image with its padding, and as much more after it as windows of the ceil mode hang over."""
        widths = [(0, 0), (0, 0)]
        for n, p, k, s, (before, after), d in zip(
            x.shape[2:], count, self.kernel, self.stride, self.padding, self.dilation, strict=True
        ):
            widths.append((before, max(after, (p - 1) * s + d * (k - 1) + 1 - n - before)))
        return pad_array(xp, x, widths, value)


@dataclass(frozen=True)
class MaxPool(Pooling):
    """The largest pixel of each window: ``(N, C, *S) -> (N, C, *P)``. Padding never wins; NaN does.

    Gradient: ``grad`` goes to the first of the largest.
    """

    name = "max_pool"
    keeps = ((0, OUTPUT),)

    def infer(self, x: Spec) -> Spec:
        name = f"max_pool{len(self.kernel)}d"
        require_float(name, x)
        return Spec((*x.shape[:2], *self.count(name, x.shape[2:])), x.dtype)

    def forward(self, xp: Any, x: Array) -> Array:
        count = self.count(self.name, x.shape[2:])
        padded = self.padded(xp, x, count, -math.inf)
        return along_axes(xp.maximum, padded, self.kernel, self.stride, self.dilation, count)

    def vjp(self, grad: Tensor, output: Tensor, x: Tensor) -> tuple[Gradient, ...]:
        settings = (self.kernel, self.stride, self.padding, self.dilation, self.ceil_mode)
        return (apply(MaxPoolScatter(*settings, size=x.shape[2:]), grad, x, output),)


@dataclass(frozen=True)
class Winning(Pooling):
    """What the two adjoints of maximum pooling share: they find the first of the largest pixels of each window again.

    Besides what they act on they take the image and its largest pixels. They are linear in the first only.
    """

    def winners(self, xp: Any, x: Array, largest: Array) -> Iterator[tuple[Any, Any, Array]]:
        """For each cell of the window: where in the image it lies, for which places, and whether it wins there."""
        free = xp.full(largest.shape, True)  # windows without a winner so far
        for offset in offsets(self.kernel):
            inside, place = meeting(
                x.shape[2:], largest.shape[2:], offset, self.stride, self.padding, self.dilation
            )  # fmt: skip
            at = (..., *place)
            pixel = xp.ascontiguousarray(x[(..., *inside)])  # read twice
            wins = pixel == largest[at]
            wins |= pixel != pixel  # NaN equals nothing, but it wins
            wins &= free[at]
            free[at] ^= wins  # no longer
            yield (..., *inside), at, wins


@dataclass(frozen=True)
class MaxPoolScatter(Winning):
    """Each number at the pixel that won: ``(N, C, *P) -> (N, C, *S)``, zero elsewhere. Gradient: ``max_pool_gather``.

    Pixels that won in several windows receive the sum.
    """

    size: Sizes = ()
    name = "max_pool_scatter"
    keeps = ((1, 2),)

    def infer(self, y: Spec, x: Spec, largest: Spec) -> Spec:
        return Spec((*y.shape[:2], *self.size), y.dtype)

    def forward(self, xp: Any, y: Array, x: Array, largest: Array) -> Array:
        image = xp.zeros(x.shape, dtype=y.dtype)
        apart = all(s >= d * (k - 1) + 1 for s, k, d in zip(self.stride, self.kernel, self.dilation, strict=True))
        for inside, at, wins in self.winners(xp, x, largest):
            if apart:  # no pixel is in two windows: nothing to add to
                image[inside] = masked_array(y[at], wins)
            else:
                image[inside] += masked_array(y[at], wins)
        return image

    def vjp(self, grad: Tensor, output: Tensor, y: Tensor, x: Tensor, largest: Tensor) -> tuple[Gradient, ...]:
        settings = (self.kernel, self.stride, self.padding, self.dilation, self.ceil_mode)
        return apply(MaxPoolGather(*settings), grad, x, largest), None, None


@dataclass(frozen=True)
class MaxPoolGather(Winning):
    """The pixel at the place that won: ``(N, C, *S) -> (N, C, *P)``. Gradient: ``max_pool_scatter``."""

    name = "max_pool_gather"
    keeps = ((1, 2),)

    def infer(self, z: Spec, x: Spec, largest: Spec) -> Spec:
        return Spec(largest.shape, z.dtype)

    def forward(self, xp: Any, z: Array, x: Array, largest: Array) -> Array:
        picked = xp.zeros(largest.shape, dtype=z.dtype)
        for inside, at, wins in self.winners(xp, x, largest):
            picked[at] += masked_array(z[inside], wins)
        return picked

    def vjp(self, grad: Tensor, output: Tensor, z: Tensor, x: Tensor, largest: Tensor) -> tuple[Gradient, ...]:
        settings = (self.kernel, self.stride, self.padding, self.dilation, self.ceil_mode)
        return apply(MaxPoolScatter(*settings, size=x.shape[2:]), grad, x, largest), None, None


@dataclass(frozen=True)
class MaxPoolIndices(Winning):
    """Which pixel won: ``(N, C, *S), (N, C, *P) -> (N, C, *P)``, counted in row-major order over S. No gradient."""

    name = "max_pool_indices"
    differentiable = False

    def infer(self, x: Spec, largest: Spec) -> Spec:
        return Spec(largest.shape, np.dtype(np.int64))

    def forward(self, xp: Any, x: Array, largest: Array) -> Array:
        size = x.shape[2:]
        numbers = xp.arange(math.prod(size)).reshape(size)
        places = xp.zeros(largest.shape, dtype=xp.int64)
        for inside, at, wins in self.winners(xp, x, largest):
            places[at] += numbers[inside[1:]] * wins  # without the ellipsis, which stands for batch and channels
        return places


@dataclass(frozen=True)
class Averaging(Pooling):
    """What average pooling and its adjoint share: what the sum of a window is divided by."""

    count_include_pad: bool = True
    divisor_override: int | None = None

    def divisor(self, xp: Any, size: Sizes, count: Sizes, dtype: np.dtype) -> Array | int:
        """A number for each place, or one for all where they are equal.

        Without an override it is the number of pixels in the window: those of the image, and those of the padding
        too if they are to be counted; what hangs over the padding in ceil mode is never counted.
        """
        if self.divisor_override is not None:
            return self.divisor_override
        numbers = xp.full((1,) * len(count), 1, dtype=dtype)
        uniform = True
        for axis, (n, p, k, s, (before, after)) in enumerate(
            zip(size, count, self.kernel, self.stride, self.padding, strict=True)
        ):
            low, high = (-before, n + after) if self.count_include_pad else (0, n)
            starts = [place * s - before for place in range(p)]
            lengths = [min(start + k, high) - max(start, low) for start in starts]
            uniform = uniform and set(lengths) == {k}
            numbers = numbers * xp.asarray(lengths, dtype=dtype).reshape(-1, *[1] * (len(count) - axis - 1))
        return math.prod(self.kernel) if uniform else numbers


@dataclass(frozen=True)
class AvgPool(Averaging):
    """The average of each window: ``(N, C, *S) -> (N, C, *P)``. Gradient: ``avg_pool_adjoint``."""

    name = "avg_pool"

    def infer(self, x: Spec) -> Spec:
        name = f"avg_pool{len(self.kernel)}d"
        require_float(name, x)
        return Spec((*x.shape[:2], *self.count(name, x.shape[2:])), x.dtype)

    def forward(self, xp: Any, x: Array) -> Array:
        size = x.shape[2:]
        count = self.count(self.name, size)
        padded = self.padded(xp, x, count, 0.0)
        total = along_axes(xp.add, padded, self.kernel, self.stride, self.dilation, count)
        return total / self.divisor(xp, size, count, x.dtype)

    def vjp(self, grad: Tensor, output: Tensor, x: Tensor) -> tuple[Gradient, ...]:
        settings = (self.kernel, self.stride, self.padding, self.dilation, self.ceil_mode)
        divided = (self.count_include_pad, self.divisor_override)
        return (apply(AvgPoolAdjoint(*settings, *divided, size=x.shape[2:]), grad),)


@dataclass(frozen=True)
class AvgPoolAdjoint(Averaging):
    """Each number spread evenly over its window: ``(N, C, *P) -> (N, C, *S)``. Gradient: ``avg_pool``."""

    size: Sizes = ()
    name = "avg_pool_adjoint"

    def infer(self, y: Spec) -> Spec:
        return Spec((*y.shape[:2], *self.size), y.dtype)

    def forward(self, xp: Any, y: Array) -> Array:
        count = y.shape[2:]
        share = y / self.divisor(xp, self.size, count, y.dtype)
        image = xp.zeros((*y.shape[:2], *self.size), dtype=y.dtype)
        for offset in offsets(self.kernel):
            inside, place = meeting(self.size, count, offset, self.stride, self.padding, self.dilation)
            image[(..., *inside)] += share[(..., *place)]
        return image

    def vjp(self, grad: Tensor, output: Tensor, y: Tensor) -> tuple[Gradient, ...]:
        settings = (self.kernel, self.stride, self.padding, self.dilation, self.ceil_mode)
        return (apply(AvgPool(*settings, self.count_include_pad, self.divisor_override), grad),)


# The functions


def prepare(
    name: str,
    axes: int,
    input: TensorLike,
    kernel_size: SizeArgument,
    stride: SizeArgument | None,
    padding: SizeArgument | str,
    dilation: SizeArgument,
) -> tuple[Tensor, bool, tuple[Sizes, Sizes, Pairs, Sizes]]:
    """The input with a batch axis, whether that was added, and the settings of the window."""
    x, single = spatial_axes(name, as_tensor(input), axes)
    kernel = per_axis(name, "kernel_size", kernel_size, axes, least=1)
    steps = kernel if stride is None else per_axis(name, "stride", stride, axes, least=1)
    spread = per_axis(name, "dilation", dilation, axes, least=1)
    pairs = padding_pairs(name, padding, x.shape[2:], kernel, steps, spread)
    for axis, (k, (before, _)) in enumerate(zip(kernel, pairs, strict=True)):
        if padding != "same" and before > k // 2:
            raise ArgumentError(
                name,
                f"padding is more than half of the window on spatial axis {axis}",
                got=f"kernel_size={kernel}, padding={padding!r}",
                expected="padding <= kernel_size / 2, so that no window sees padding alone, but "
                f"{before} > {k} / 2 = {k / 2:g}",
                fix="use less padding, or put a margin around the image with pad",
            )
    return x, single, (kernel, steps, pairs, spread)


MaxPooled = Any
"""A tensor; or with ``return_indices`` the pair of it and the places of the largest pixels."""


def _max_pool(
    axes: int,
    input: TensorLike,
    kernel_size: SizeArgument,
    stride: SizeArgument | None,
    padding: SizeArgument | str,
    dilation: SizeArgument,
    ceil_mode: bool,
    return_indices: bool,
) -> MaxPooled:
    x, single, settings = prepare(f"max_pool{axes}d", axes, input, kernel_size, stride, padding, dilation)
    y = apply(MaxPool(*settings, ceil_mode), x)
    if not return_indices:
        return squeeze(y, 0) if single else y
    places = apply(MaxPoolIndices(*settings, ceil_mode), detach(x), detach(y))
    return (squeeze(y, 0), squeeze(places, 0)) if single else (y, places)


def max_pool1d(
    input: TensorLike,
    kernel_size: SizeArgument,
    stride: SizeArgument | None = None,
    padding: SizeArgument | str = 0,
    dilation: SizeArgument = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> MaxPooled:
    """The largest number of each window: ``(N, C, L) -> (N, C, L')``. Everything else as in :func:`max_pool2d`.

    >>> max_pool1d(Tensor([[[1.0, 3.0, 2.0, 0.0]]]), 2)
    Tensor([[[3., 2.]]])
    """
    return _max_pool(1, input, kernel_size, stride, padding, dilation, ceil_mode, return_indices)


def max_pool2d(
    input: TensorLike,
    kernel_size: SizeArgument,
    stride: SizeArgument | None = None,
    padding: SizeArgument | str = 0,
    dilation: SizeArgument = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> MaxPooled:
    """The largest pixel of each window: ``(N, C, H, W) -> (N, C, H', W')``.

    Args:
        input: ``(N, C, H, W)``, or ``(C, H, W)`` for a single image.
        kernel_size: the window, in pixels.
        stride: the distance between neighbouring windows; without it the window's size.
        padding: a margin on each side that is never the largest, at most half of the window; or ``"same"`` or
            ``"valid"``.
        dilation: the distance between neighbouring cells of the window.
        ceil_mode: whether a last window may hang over the end.
        return_indices: whether to give the pair of the pixels and their places in the image, counted in row-major
            order, for :func:`max_unpool2d`.

    Returns ``H' = floor((H + 2 * padding - (dilation * (kernel_size - 1) + 1)) / stride) + 1``, rounded up in ceil
    mode. NaN in a window gives NaN. The gradient goes to the first of the largest pixels, in row-major order.

    Raises :class:`ShapeError` for a window larger than the padded image, :class:`ArgumentError` for settings that make
    no sense, :class:`DTypeError` for integers.

    >>> max_pool2d(Tensor([[[[1.0, 2.0, 5.0, 0.0], [3.0, 4.0, 6.0, 7.0]]]]), 2)
    Tensor([[[[4., 7.]]]])
    """
    return _max_pool(2, input, kernel_size, stride, padding, dilation, ceil_mode, return_indices)


def max_pool3d(
    input: TensorLike,
    kernel_size: SizeArgument,
    stride: SizeArgument | None = None,
    padding: SizeArgument | str = 0,
    dilation: SizeArgument = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> MaxPooled:
    """The largest voxel of each window: ``(N, C, D, H, W) -> (N, C, D', H', W')``; see :func:`max_pool2d`.

    >>> max_pool3d(Tensor([[[[[1.0, 2.0]], [[4.0, 3.0]]]]]), (2, 1, 2))
    Tensor([[[[[4.]]]]])
    """
    return _max_pool(3, input, kernel_size, stride, padding, dilation, ceil_mode, return_indices)


def _avg_pool(
    name: str,
    axes: int,
    input: TensorLike,
    kernel_size: SizeArgument,
    stride: SizeArgument | None,
    padding: SizeArgument | str,
    ceil_mode: bool,
    count_include_pad: bool,
    divisor_override: int | None,
) -> Tensor:
    x, single, settings = prepare(name, axes, input, kernel_size, stride, padding, 1)
    require_float(name, x.spec)
    places(name, x.shape[2:], *settings, ceil_mode)  # an error names the function that was called
    if divisor_override == 0:
        raise ArgumentError(name, "nothing can be divided by 0", got="divisor_override=0")
    y = apply(AvgPool(*settings, ceil_mode, count_include_pad, divisor_override), x)
    return reshape(y, y.shape[1:]) if single else y


def avg_pool1d(
    input: TensorLike,
    kernel_size: SizeArgument,
    stride: SizeArgument | None = None,
    padding: SizeArgument | str = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
) -> Tensor:
    """The average of each window: ``(N, C, L) -> (N, C, L')``. Everything else as in :func:`avg_pool2d`.

    >>> avg_pool1d(Tensor([[[1.0, 3.0, 2.0, 0.0]]]), 2)
    Tensor([[[2., 1.]]])
    """
    return _avg_pool("avg_pool1d", 1, input, kernel_size, stride, padding, ceil_mode, count_include_pad, None)


def avg_pool2d(
    input: TensorLike,
    kernel_size: SizeArgument,
    stride: SizeArgument | None = None,
    padding: SizeArgument | str = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> Tensor:
    """The average of each window: ``(N, C, H, W) -> (N, C, H', W')``.

    Args:
        input: ``(N, C, H, W)``, or ``(C, H, W)`` for a single image.
        kernel_size: the window, in pixels.
        stride: the distance between neighbouring windows; without it the window's size.
        padding: zeros on each side, at most half of the window; or ``"same"`` or ``"valid"``.
        ceil_mode: whether a last window may hang over the end.
        count_include_pad: whether the zeros count as pixels in the average.
        divisor_override: what the sum is divided by, instead of the number of pixels; 1 gives sum pooling.

    Returns sizes as :func:`max_pool2d`. The gradient is ``grad``, shared equally by the pixels of its window.

    Raises :class:`ShapeError` for a window larger than the padded image, :class:`ArgumentError` for settings that make
    no sense, :class:`DTypeError` for integers.

    >>> avg_pool2d(Tensor([[[[1.0, 2.0, 5.0, 0.0], [3.0, 4.0, 6.0, 7.0]]]]), 2)
    Tensor([[[[2.5, 4.5]]]])
    """
    window = (kernel_size, stride, padding, ceil_mode)
    return _avg_pool("avg_pool2d", 2, input, *window, count_include_pad, divisor_override)


def avg_pool3d(
    input: TensorLike,
    kernel_size: SizeArgument,
    stride: SizeArgument | None = None,
    padding: SizeArgument | str = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> Tensor:
    """The average of each window: ``(N, C, D, H, W) -> (N, C, D', H', W')``; see :func:`avg_pool2d`.

    >>> avg_pool3d(Tensor([[[[[1.0, 2.0]], [[4.0, 3.0]]]]]), (2, 1, 2))
    Tensor([[[[[2.5]]]]])
    """
    window = (kernel_size, stride, padding, ceil_mode)
    return _avg_pool("avg_pool3d", 3, input, *window, count_include_pad, divisor_override)


# Sums


def sum_pool1d(
    input: TensorLike,
    kernel_size: SizeArgument,
    stride: SizeArgument | None = None,
    padding: SizeArgument | str = 0,
    ceil_mode: bool = False,
) -> Tensor:
    """The sum of each window: ``(N, C, L) -> (N, C, L')``. Everything else as in :func:`sum_pool2d`.

    >>> sum_pool1d(Tensor([[[1.0, 3.0, 2.0, 0.0]]]), 2)
    Tensor([[[4., 2.]]])
    """
    return _avg_pool("sum_pool1d", 1, input, kernel_size, stride, padding, ceil_mode, True, 1)


def sum_pool2d(
    input: TensorLike,
    kernel_size: SizeArgument,
    stride: SizeArgument | None = None,
    padding: SizeArgument | str = 0,
    ceil_mode: bool = False,
) -> Tensor:
    """The sum of each window: ``(N, C, H, W) -> (N, C, H', W')``, as :func:`avg_pool2d` without the division.

    Args:
        input: ``(N, C, H, W)``, or ``(C, H, W)`` for a single image.
        kernel_size: the window, in pixels.
        stride: the distance between neighbouring windows; without it the window's size.
        padding: zeros on each side, at most half of the window; or ``"same"`` or ``"valid"``.
        ceil_mode: whether a last window may hang over the end.

    Raises the errors of :func:`avg_pool2d`.

    >>> sum_pool2d(Tensor([[[[1.0, 2.0, 5.0, 0.0], [3.0, 4.0, 6.0, 7.0]]]]), 2)
    Tensor([[[[10., 18.]]]])
    """
    return _avg_pool("sum_pool2d", 2, input, kernel_size, stride, padding, ceil_mode, True, 1)


def sum_pool3d(
    input: TensorLike,
    kernel_size: SizeArgument,
    stride: SizeArgument | None = None,
    padding: SizeArgument | str = 0,
    ceil_mode: bool = False,
) -> Tensor:
    """The sum of each window: ``(N, C, D, H, W) -> (N, C, D', H', W')``; see :func:`sum_pool2d`.

    >>> sum_pool3d(Tensor([[[[[1.0, 2.0]], [[4.0, 3.0]]]]]), (2, 1, 2))
    Tensor([[[[[10.]]]]])
    """
    return _avg_pool("sum_pool3d", 3, input, kernel_size, stride, padding, ceil_mode, True, 1)


# Back to the places


def _max_unpool(
    axes: int,
    input: TensorLike,
    indices: TensorLike,
    kernel_size: SizeArgument,
    stride: SizeArgument | None,
    padding: SizeArgument,
    output_size: Sequence[int] | None,
) -> Tensor:
    name = f"max_unpool{axes}d"
    x, single = spatial_axes(name, as_tensor(input), axes)
    require_float(name, x.spec)
    places, _ = spatial_axes(name, as_tensor(indices), axes)
    if places.shape != x.shape:
        raise ShapeError(
            name, "there must be one place for each number", got=f"input {x.spec!r}, indices {places.spec!r}",
            expected="indices of the shape of the input",
            fix=f"take both from max_pool{axes}d(..., return_indices=True)",
        )  # fmt: skip
    kernel = per_axis(name, "kernel_size", kernel_size, axes, least=1)
    steps = kernel if stride is None else per_axis(name, "stride", stride, axes, least=1)
    margin = per_axis(name, "padding", padding, axes, least=0)
    size = _unpooled_size(name, x.shape[2:], kernel, steps, margin, output_size)
    _check_places(name, places, size)
    flat = (*x.shape[:2], math.prod(x.shape[2:]))
    x, places = reshape(x, flat), reshape(places, flat)
    scatter = AddAlongDim(2, (*flat[:2], math.prod(size)))
    # A pixel that won in several windows gets the average of what is put there.
    count = maximum(apply(scatter, full_like(detach(x), 1.0), places), 1.0)
    image = reshape(div(apply(scatter, x, places), count), (*flat[:2], *size))
    return squeeze(image, 0) if single else image


def _unpooled_size(
    name: str, count: Sizes, kernel: Sizes, stride: Sizes, padding: Sizes, output_size: Sequence[int] | None
) -> Sizes:
    """The spatial axes of the image, checked against what pooling can have started from."""
    usual = [(p - 1) * s - 2 * margin + k for p, k, s, margin in zip(count, kernel, stride, padding, strict=True)]
    if output_size is None:
        return per_axis(name, "the size (P - 1) * stride - 2 * padding + kernel_size", usual, len(count), least=1)
    wanted = tuple(output_size)
    size = per_axis(name, "output_size", wanted[2:] if len(wanted) == len(count) + 2 else wanted, len(count), least=1)
    for axis, (n, p, s) in enumerate(zip(size, usual, stride, strict=True)):
        if not p - s < n < p + s:
            raise ShapeError(
                name, f"pooling cannot have started from {n} pixels on spatial axis {axis}",
                got=f"output_size={wanted}, kernel_size={kernel}, stride={stride}, padding={padding}",
                expected=f"less than one stride from (P - 1) * stride - 2 * padding + kernel_size: {max(p - s, 0) + 1} "
                f"to {p + s - 1}",
                fix="pass the shape of the image that was pooled: output_size=image.shape",
            )  # fmt: skip
    return size


def _check_places(name: str, places: Tensor, size: Sizes) -> None:
    if places.dtype.kind not in "iu":
        raise DTypeError(
            name, f"{places.dtype} cannot be a place", got=repr(places.spec), expected="integers",
            fix="take the second of the pair that max_pool with return_indices=True gives",
        )  # fmt: skip
    if not places.symbolic and places.numel():
        low, high, pixels = int(places.array.min()), int(places.array.max()), math.prod(size)
        if low < 0 or high >= pixels:
            raise PositionError(
                name, f"a place lies outside an image of {size}", got=f"places from {low} to {high}",
                expected=f"0 <= place < {' * '.join(map(str, size))} = {pixels}",
                fix="pass the shape of the image that was pooled: output_size=image.shape",
            )  # fmt: skip


def max_unpool1d(
    input: TensorLike,
    indices: TensorLike,
    kernel_size: SizeArgument,
    stride: SizeArgument | None = None,
    padding: SizeArgument = 0,
    output_size: Sequence[int] | None = None,
) -> Tensor:
    """Each number at its place, zeros elsewhere: ``(N, C, L') -> (N, C, L)``; see :func:`max_unpool2d`.

    >>> max_unpool1d(Tensor([[[3.0, 2.0]]]), [[[1, 2]]], 2)
    Tensor([[[0., 3., 2., 0.]]])
    """
    return _max_unpool(1, input, indices, kernel_size, stride, padding, output_size)


def max_unpool2d(
    input: TensorLike,
    indices: TensorLike,
    kernel_size: SizeArgument,
    stride: SizeArgument | None = None,
    padding: SizeArgument = 0,
    output_size: Sequence[int] | None = None,
) -> Tensor:
    """Each number at the place that :func:`max_pool2d` took it from, zeros elsewhere. (Zeiler and Fergus, 2014)

    Args:
        input: ``(N, C, H', W')``, or ``(C, H', W')``: what was pooled, or what became of it.
        indices: the places, of the same shape, from ``max_pool2d(..., return_indices=True)``.
        kernel_size: the window of the pooling.
        stride: the distance between its windows; without it the window's size.
        padding: its padding.
        output_size: the size of the image that was pooled, or its whole shape, where it is not
            ``(H' - 1) * stride - 2 * padding + kernel_size``: pixels at the end may have filled no window.

    Returns ``(N, C, H, W)``. Where windows overlapped and a place is named several times, the pixel gets the average
    of the numbers. (PyTorch writes one of them, which is the same for numbers that come from pooling directly.)

    Raises :class:`ShapeError` for indices of another shape or a size that pooling cannot have started from,
    :class:`PositionError` for a place outside the image, :class:`DTypeError` for indices that are not integers.

    >>> max_unpool2d(Tensor([[[[4.0]]]]), [[[[3]]]], 2)
    Tensor([[[[0., 0.],
              [0., 4.]]]])
    """
    return _max_unpool(2, input, indices, kernel_size, stride, padding, output_size)


def max_unpool3d(
    input: TensorLike,
    indices: TensorLike,
    kernel_size: SizeArgument,
    stride: SizeArgument | None = None,
    padding: SizeArgument = 0,
    output_size: Sequence[int] | None = None,
) -> Tensor:
    """Each number at its place, zeros elsewhere: ``(N, C, D', H', W') -> (N, C, D, H, W)``; see :func:`max_unpool2d`.

    >>> max_unpool3d(Tensor([[[[[4.0]]]]]), [[[[[1]]]]], (1, 1, 2))
    Tensor([[[[[0., 4.]]]]])
    """
    return _max_unpool(3, input, indices, kernel_size, stride, padding, output_size)

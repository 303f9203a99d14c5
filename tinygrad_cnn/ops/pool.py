"""Pooling, in one to three spatial axes: the largest or the average pixel of each window.

Legend: N batch, C channels, S the spatial axes of the image, K those of the window, P the places that the window takes.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..backend import Array
from ..errors import ArgumentError
from ..graph import Spec
from ..tensor import Tensor, TensorLike
from .base import OUTPUT, Gradient, Operation, apply, as_tensor, require_float
from .elementwise import masked_array
from .shape import pad_array, reshape
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


def _prepare(
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


def _max_pool(
    axes: int,
    input: TensorLike,
    kernel_size: SizeArgument,
    stride: SizeArgument | None,
    padding: SizeArgument | str,
    dilation: SizeArgument,
    ceil_mode: bool,
) -> Tensor:
    x, single, settings = _prepare(f"max_pool{axes}d", axes, input, kernel_size, stride, padding, dilation)
    y = apply(MaxPool(*settings, ceil_mode), x)
    return reshape(y, y.shape[1:]) if single else y


def max_pool1d(
    input: TensorLike,
    kernel_size: SizeArgument,
    stride: SizeArgument | None = None,
    padding: SizeArgument | str = 0,
    dilation: SizeArgument = 1,
    ceil_mode: bool = False,
) -> Tensor:
    """The largest number of each window: ``(N, C, L) -> (N, C, L')``. Everything else as in :func:`max_pool2d`.

    >>> max_pool1d(Tensor([[[1.0, 3.0, 2.0, 0.0]]]), 2)
    Tensor([[[3., 2.]]])
    """
    return _max_pool(1, input, kernel_size, stride, padding, dilation, ceil_mode)


def max_pool2d(
    input: TensorLike,
    kernel_size: SizeArgument,
    stride: SizeArgument | None = None,
    padding: SizeArgument | str = 0,
    dilation: SizeArgument = 1,
    ceil_mode: bool = False,
) -> Tensor:
    """The largest pixel of each window: ``(N, C, H, W) -> (N, C, H', W')``.

    Args:
        input: ``(N, C, H, W)``, or ``(C, H, W)`` for a single image.
        kernel_size: the window, in pixels.
        stride: the distance between neighbouring windows; without it the window's size.
        padding: a margin on each side that is never the largest, at most half of the window; or ``"same"`` or
            ``"valid"``.
        dilation: the distance between neighbouring cells of the window.
        ceil_mode: whether a last window may hang over the end.

    Returns ``H' = floor((H + 2 * padding - (dilation * (kernel_size - 1) + 1)) / stride) + 1``, rounded up in ceil
    mode. NaN in a window gives NaN. The gradient goes to the first of the largest pixels, in row-major order.

    Raises :class:`ShapeError` for a window larger than the padded image, :class:`ArgumentError` for settings that make
    no sense, :class:`DTypeError` for integers.

    >>> max_pool2d(Tensor([[[[1.0, 2.0, 5.0, 0.0], [3.0, 4.0, 6.0, 7.0]]]]), 2)
    Tensor([[[[4., 7.]]]])
    """
    return _max_pool(2, input, kernel_size, stride, padding, dilation, ceil_mode)


def max_pool3d(
    input: TensorLike,
    kernel_size: SizeArgument,
    stride: SizeArgument | None = None,
    padding: SizeArgument | str = 0,
    dilation: SizeArgument = 1,
    ceil_mode: bool = False,
) -> Tensor:
    """The largest voxel of each window: ``(N, C, D, H, W) -> (N, C, D', H', W')``; see :func:`max_pool2d`.

    >>> max_pool3d(Tensor([[[[[1.0, 2.0]], [[4.0, 3.0]]]]]), (2, 1, 2))
    Tensor([[[[[4.]]]]])
    """
    return _max_pool(3, input, kernel_size, stride, padding, dilation, ceil_mode)


def _avg_pool(
    axes: int,
    input: TensorLike,
    kernel_size: SizeArgument,
    stride: SizeArgument | None,
    padding: SizeArgument | str,
    ceil_mode: bool,
    count_include_pad: bool,
    divisor_override: int | None,
) -> Tensor:
    name = f"avg_pool{axes}d"
    x, single, settings = _prepare(name, axes, input, kernel_size, stride, padding, 1)
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
    return _avg_pool(1, input, kernel_size, stride, padding, ceil_mode, count_include_pad, None)


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
    return _avg_pool(2, input, kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override)


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
    return _avg_pool(3, input, kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override)

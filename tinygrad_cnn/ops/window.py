"""Windows: the patches of an image that a kernel or a pool looks at, and their adjoint.

Legend: N batch, C channels, S the spatial axes of the image, K those of the kernel, P the places that the window takes
(the spatial axes of the result). Everything here works for any number of spatial axes.
"""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..backend import Array
from ..errors import ArgumentError, ShapeError
from ..graph import Spec
from ..tensor import Tensor, TensorLike
from .base import Gradient, Operation, apply, as_tensor, require_float
from .shape import pad_array, reshape

Sizes = tuple[int, ...]
"""One number for each spatial axis."""
Pairs = tuple[tuple[int, int], ...]
"""How much is padded before and after, for each spatial axis; negative numbers cut away."""
SizeArgument = int | Sequence[int]
"""One number for all spatial axes, or one for each."""


# Sizes


def per_axis(name: str, argument: str, value: SizeArgument, axes: int, least: int) -> Sizes:
    """One number for each spatial axis, whether one or several were given.

    Raises :class:`ArgumentError` for a wrong count, for what is no whole number and for numbers below ``least``.

    >>> per_axis("conv2d", "stride", 2, 2, least=1)
    (2, 2)
    """
    if type(value) is int and value >= least:  # the most common case
        return (value,) * axes
    given: list[Any] = list(value) if isinstance(value, tuple | list) else [value]
    if len(given) == 1:
        given = given * axes
    whole = all(isinstance(each, int | np.integer) and not isinstance(each, bool) for each in given)
    if len(given) != axes or not whole or min(given) < least:
        problem = f"{argument} needs whole numbers of at least {least}"
        if len(given) != axes:
            problem = f"{argument} has {len(given)} numbers for {axes} spatial {'axis' if axes == 1 else 'axes'}"
        raise ArgumentError(
            name, problem, got=f"{argument}={value!r}",
            expected=f"an integer, or {axes} of them, each at least {least}",
        )  # fmt: skip
    return tuple([int(each) for each in given])


def padding_pairs(
    name: str, padding: SizeArgument | str, size: Sizes, kernel: Sizes, stride: Sizes, dilation: Sizes
) -> Pairs:
    """What is padded before and after each spatial axis.

    ``"valid"`` is no padding. ``"same"`` gives ``ceil(size / stride)`` places; an odd total has its extra row after
    the image. For stride 1 that is PyTorch's ``"same"``, for larger strides TensorFlow's.

    Raises :class:`ArgumentError` for another word, a negative number or a wrong count.

    >>> padding_pairs("conv2d", "same", (8, 10), (3, 3), (3, 2), (1, 1))
    ((0, 1), (0, 1))
    """
    if padding == "valid":
        return ((0, 0),) * len(size)
    if padding == "same":
        pairs = []
        for n, k, s, d in zip(size, kernel, stride, dilation, strict=True):
            total = max((math.ceil(n / s) - 1) * s + d * (k - 1) + 1 - n, 0)
            pairs.append((total // 2, total - total // 2))
        return tuple(pairs)
    if isinstance(padding, str):
        raise ArgumentError(
            name, "there is no such padding", got=f"padding={padding!r}",
            expected="'same', 'valid', an integer, or one for each spatial axis",
        )  # fmt: skip
    return tuple([(each, each) for each in per_axis(name, "padding", padding, len(size), least=0)])


@functools.lru_cache(maxsize=4096)
def places(
    name: str, size: Sizes, kernel: Sizes, stride: Sizes, padding: Pairs, dilation: Sizes, ceil_mode: bool = False
) -> Sizes:
    """How many places the window takes along each spatial axis: the size of the result.

    ``floor((n + before + after - (dilation * (kernel - 1) + 1)) / stride) + 1``. Pixels at the end that fill no whole
    stride are not looked at. In ceil mode there is one more window for them, provided that it starts inside the
    image or the padding before it.

    Raises :class:`ShapeError` when the kernel is larger than the padded image.

    >>> places("conv2d", (7, 7), (3, 3), (1, 3), ((0, 0), (0, 0)), (1, 1))
    (5, 2)
    """
    result = []
    for n, k, s, (before, after), d in zip(size, kernel, stride, padding, dilation, strict=True):
        room = n + before + after - (d * (k - 1) + 1)
        count = (room + (s - 1 if ceil_mode else 0)) // s + 1
        if ceil_mode and (count - 1) * s >= n + before:
            count -= 1
        result.append(count)
    if min(result) < 1:
        axis = next(axis for axis, count in enumerate(result) if count < 1)
        n, k, s, (before, after), d = size[axis], kernel[axis], stride[axis], padding[axis], dilation[axis]
        raise ShapeError(
            name,
            f"the kernel is larger than the padded image on spatial axis {axis}: "
            f"{d * (k - 1) + 1} against {n + before + after}",
            got=f"image {size}, kernel {kernel}, stride {stride}, padding (before, after) {padding}, "
            f"dilation {dilation}",
            expected="output = floor((n + before + after - (dilation * (kernel - 1) + 1)) / stride) + 1 >= 1, but "
            f"floor(({n} + {before} + {after} - ({d} * ({k} - 1) + 1)) / {s}) + 1 = {result[axis]}",
            fix="use a larger image, more padding, a smaller kernel, or fewer layers that shrink the image before",
        )
    return tuple(result)


def spatial_axes(name: str, x: Tensor, axes: int) -> tuple[Tensor, bool]:
    """The tensor with a batch axis, and whether that had to be added.

    Raises :class:`ShapeError` unless there are the batch, the channels and ``axes`` more, or these without the batch.
    """
    if x.ndim == axes + 1:
        return reshape(x, (1, *x.shape)), True
    if x.ndim != axes + 2:
        letters = ("L", "H, W", "D, H, W")[axes - 1]
        raise ShapeError(
            name,
            f"the input has {x.ndim} axes, not {axes + 2}",
            got=repr(x.spec),
            expected=f"(N, C, {letters}): batch, channels, {axes} spatial; or (C, {letters}) for a single sample",
            fix="insert missing axes with unsqueeze: a batch of grey images (N, H, W) becomes (N, 1, H, W)"
            if axes == 2
            else "insert missing axes with unsqueeze",
        )
    return x, False


# Arrays


SHORT_ROW = 16
"""Below so many places in a row, windows are taken along one axis after the other."""


def windows(xp: Any, x: Array, kernel: Sizes, stride: Sizes, dilation: Sizes) -> Array:
    """All windows of a padded array, as a view: ``(N, C, *S) -> (C, *K, N, *P)``. Copied, they are a matrix.

    The places come last because they are the longest runs that lie together in the image: the copy is then fast.
    Where rows are short, the windows along all axes but the first are copied here: that makes the runs longer.
    Neighbouring windows share memory, so the view must not be written to.
    """
    axes = len(kernel)
    count = [(n - (d * (k - 1) + 1)) // s + 1 for n, k, s, d in zip(x.shape[2:], kernel, stride, dilation, strict=True)]
    cells = x.transpose(1, 0, *range(2, 2 + axes))  # -> (C, N, *S)
    steps = [range(axes)] if count[-1] >= SHORT_ROW else [range(axis, axis + 1) for axis in reversed(range(axes))]
    for number, step in enumerate(steps):
        if number:
            cells = xp.ascontiguousarray(cells)
        shape, strides = list(cells.shape), list(cells.strides)
        for axis in reversed(step):  # an axis S becomes P, and a new one K is set in behind the channels
            place = len(shape) - axes + axis
            offset = strides[place] * dilation[axis]
            shape[place], strides[place] = count[axis], strides[place] * stride[axis]
            shape.insert(1, kernel[axis])
            strides.insert(1, offset)
        cells = xp.lib.stride_tricks.as_strided(cells, tuple(shape), tuple(strides))
    return cells


def offsets(kernel: Sizes) -> Iterator[Sizes]:
    """The cells of a kernel in row-major order."""
    return itertools.product(*map(range, kernel))


@functools.lru_cache(maxsize=4096)
def meeting(
    size: Sizes, count: Sizes, offset: Sizes, stride: Sizes, padding: Pairs, dilation: Sizes
) -> tuple[tuple[slice, ...], tuple[slice, ...]]:
    """Where one cell of the kernel meets the image, over all places of the window.

    Returns slices of the image's spatial axes and the matching ones of the places; places where the cell lies on the
    padding are left out.

    >>> meeting((4,), (4,), (0,), (1,), ((1, 1),), (1,))
    ((slice(0, 3, 1),), (slice(1, 4, None),))
    """
    image, place = [], []
    for n, p, i, s, (before, _), d in zip(size, count, offset, stride, padding, dilation, strict=True):
        first = i * d - before  # where the cell lies for place 0
        low = max(0, -(first // s))
        high = max(low, min(p, (n - 1 - first) // s + 1))
        start = first + low * s
        image.append(slice(start, start + (high - low) * s, s) if high > low else slice(0, 0))
        place.append(slice(low, high))
    return tuple(image), tuple(place)


def add_windows(image: Array, windows: Array, kernel: Sizes, stride: Sizes, padding: Pairs, dilation: Sizes) -> None:
    """Add each window to the image at the place that it was taken from: ``(C, *K, *P, N)`` into ``(C, *S, N)``.

    The adjoint of padding and taking windows. Pixels that several windows saw receive the sum; what falls on the
    padding is dropped. One addition for each cell of the kernel, over all places at once.
    """
    axes = len(kernel)
    size, count = image.shape[1 : 1 + axes], windows.shape[1 + axes : 1 + 2 * axes]
    for offset in offsets(kernel):
        inside, place = meeting(size, count, offset, stride, padding, dilation)
        image[(slice(None), *inside)] += windows[(slice(None), *offset, *place)]


def along_axes(
    combine: Callable[[Array, Array], Array], x: Array, kernel: Sizes, stride: Sizes, dilation: Sizes, count: Sizes
) -> Array:
    """One number out of each window of a padded array: ``(N, C, *S) -> (N, C, *P)``.

    ``combine`` is a sum or a maximum, which may be taken along one axis after the other: ``sum(K)`` passes over the
    array instead of ``prod(K)``. Whole strided slices are combined, so that no loop runs over the windows.
    """
    for axis, (k, s, d, p) in enumerate(zip(kernel, stride, dilation, count, strict=True), start=2):
        before = (slice(None),) * axis
        x = functools.reduce(combine, [x[(*before, slice(i * d, i * d + p * s - s + 1, s))] for i in range(k)])
    return x


# Operations


@dataclass(frozen=True)
class Unfold(Operation):
    """All windows: ``(N, C, *S) -> (N, C, *K, *P)``. Gradient: ``fold``, which adds them up again."""

    kernel: Sizes
    stride: Sizes
    padding: Pairs
    dilation: Sizes
    name = "unfold"

    def infer(self, x: Spec) -> Spec:
        count = places(self.name, x.shape[2:], self.kernel, self.stride, self.padding, self.dilation)
        return Spec((*x.shape[:2], *self.kernel, *count), x.dtype)

    def forward(self, xp: Any, x: Array) -> Array:
        padded = pad_array(xp, x, ((0, 0), (0, 0), *self.padding))
        cells = windows(xp, padded, self.kernel, self.stride, self.dilation)  # -> (C, *K, N, *P)
        batch = 1 + len(self.kernel)
        order = (batch, *range(batch), *range(batch + 1, cells.ndim))
        return xp.ascontiguousarray(cells.transpose(order))  # -> (N, C, *K, *P)

    def vjp(self, grad: Tensor, output: Tensor, x: Tensor) -> tuple[Gradient, ...]:
        return (apply(Fold(x.shape[2:], self.kernel, self.stride, self.padding, self.dilation), grad),)


@dataclass(frozen=True)
class Fold(Operation):
    """Windows added up where they were taken from: ``(N, C, *K, *P) -> (N, C, *S)``. Gradient: ``unfold``."""

    size: Sizes
    kernel: Sizes
    stride: Sizes
    padding: Pairs
    dilation: Sizes
    name = "fold"

    def infer(self, x: Spec) -> Spec:
        require_float(self.name, x)
        return Spec((*x.shape[:2], *self.size), x.dtype)

    def forward(self, xp: Any, x: Array) -> Array:
        n, c = x.shape[:2]
        image = xp.zeros((c, *self.size, n), dtype=x.dtype)
        batch_last = (*range(1, x.ndim), 0)
        add_windows(image, x.transpose(batch_last), self.kernel, self.stride, self.padding, self.dilation)
        return xp.ascontiguousarray(image.transpose(image.ndim - 1, *range(image.ndim - 1)))  # -> (N, C, *S)

    def vjp(self, grad: Tensor, output: Tensor, x: Tensor) -> tuple[Gradient, ...]:
        return (apply(Unfold(self.kernel, self.stride, self.padding, self.dilation), grad),)


# The functions


def unfold(
    input: TensorLike,
    kernel_size: SizeArgument,
    dilation: SizeArgument = 1,
    padding: SizeArgument | str = 0,
    stride: SizeArgument = 1,
) -> Tensor:
    """The windows of an image as columns: ``(N, C, *S) -> (N, C * prod(K), L)``, ``L`` being the number of windows.

    Args:
        input: ``(N, C, *S)`` with one to three spatial axes (PyTorch: two); without N when ``kernel_size`` is a
            tuple that says how many there are.
        kernel_size: the window, in pixels.
        dilation: the distance between neighbouring cells of the window.
        padding: zeros on each side, or ``"same"`` or ``"valid"``.
        stride: the distance between neighbouring windows.

    Rows are in the order channel, then cell of the window; columns in the order of places. The gradient adds every
    window's share back to its pixels (:func:`fold`).

    Raises :class:`ShapeError` when the window is larger than the padded image, :class:`ArgumentError` for sizes that
    no window can have.

    >>> unfold(Tensor([[[1.0, 2.0, 3.0, 4.0]]]), 2, stride=2)
    Tensor([[[1., 3.],
             [2., 4.]]])
    """
    x = as_tensor(input)
    axes = x.ndim - 2 if isinstance(kernel_size, int | np.integer) else len(tuple(kernel_size))
    if not 1 <= axes <= 3:
        raise ShapeError(
            "unfold", f"there are {axes} spatial axes", got=repr(x.spec), expected="(N, C, *S) with 1 to 3 axes in S",
            fix="insert missing axes with unsqueeze",
        )  # fmt: skip
    x, single = spatial_axes("unfold", x, axes)
    kernel = per_axis("unfold", "kernel_size", kernel_size, axes, least=1)
    steps = per_axis("unfold", "stride", stride, axes, least=1)
    spread = per_axis("unfold", "dilation", dilation, axes, least=1)
    pairs = padding_pairs("unfold", padding, x.shape[2:], kernel, steps, spread)
    cells = apply(Unfold(kernel, steps, pairs, spread), x)  # (N, C, *S) -> (N, C, *K, *P)
    rows, count = x.shape[1] * math.prod(kernel), math.prod(cells.shape[2 + axes :])
    return reshape(cells, (rows, count) if single else (x.shape[0], rows, count))


def fold(
    input: TensorLike,
    output_size: SizeArgument,
    kernel_size: SizeArgument,
    dilation: SizeArgument = 1,
    padding: SizeArgument | str = 0,
    stride: SizeArgument = 1,
) -> Tensor:
    """Columns added up to an image, each at its window: ``(N, C * prod(K), L) -> (N, C, *S)``.

    The adjoint of :func:`unfold`, not its inverse: a pixel that several windows share receives the sum.

    Args:
        input: ``(N, C * prod(K), L)``, or without N.
        output_size: the image's spatial axes, one to three; a single number means a square, as in PyTorch.
        kernel_size: the window, in pixels.
        dilation: the distance between neighbouring cells of the window.
        padding: the margin that falls away on each side, or ``"same"`` or ``"valid"``.
        stride: the distance between neighbouring windows.

    Raises :class:`ShapeError` when rows or columns do not fit these sizes.

    >>> fold(Tensor([[[1.0, 2.0], [3.0, 4.0]]]), (3,), 2)
    Tensor([[[1., 5., 4.]]])
    """
    x = as_tensor(input)
    axes = 2 if isinstance(output_size, int | np.integer) else len(tuple(output_size))
    size = per_axis("fold", "output_size", output_size, axes, least=1)
    kernel = per_axis("fold", "kernel_size", kernel_size, axes, least=1)
    steps = per_axis("fold", "stride", stride, axes, least=1)
    spread = per_axis("fold", "dilation", dilation, axes, least=1)
    pairs = padding_pairs("fold", padding, size, kernel, steps, spread)
    count = places("fold", size, kernel, steps, pairs, spread)
    single = x.ndim == 2
    if single:
        x = reshape(x, (1, *x.shape))
    cells, total = math.prod(kernel), math.prod(count)
    if x.ndim != 3 or x.shape[1] % cells or x.shape[2] != total:
        raise ShapeError(
            "fold",
            f"the columns do not make up an image of {size}",
            got=repr(x.spec),
            expected=f"(N, C * {cells}, {total}): rows C * {' * '.join(map(str, kernel))}, "
            f"columns {' * '.join(map(str, count))}",
            fix="use the same sizes as in unfold",
        )
    n, channels = x.shape[0], x.shape[1] // cells
    x = reshape(x, (n, channels, *kernel, *count))  # (N, C * prod(K), L) -> (N, C, *K, *P)
    image = apply(Fold(size, kernel, steps, pairs, spread), x)
    return reshape(image, image.shape[1:]) if single else image

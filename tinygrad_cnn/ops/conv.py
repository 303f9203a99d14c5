"""Convolution, in one to three spatial axes: a family of three operations whose gradients lie in the family.

Each is linear in both of its inputs, and each is what the other two are differentiated into:

* ``conv``: image and weight give a map. ``y[o, p] = sum over c, k of w[o, c, k] * x[c, p * stride + k * dilation]``;
* ``conv_transpose``: map and weight give an image, the adjoint of ``conv`` in the image;
* ``conv_weight``: image and map give a weight, the adjoint of ``conv`` in the weight.

It is the cross-correlation that deep learning calls convolution: the kernel is not flipped.

Legend: N batch, C channels of the image, O channels of the map, G groups, S the spatial axes of the image, K those of
the kernel, P those of the map, k = prod(K), p = prod(P). The weight is ``(O, C/G, *K)`` throughout.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from ..backend import Array
from ..errors import ArgumentError, ShapeError
from ..graph import Spec
from ..tensor import Tensor, TensorLike
from .base import Gradient, Operation, apply, as_tensor, require_float, require_same_dtype
from .elementwise import add
from .shape import pad_array, reshape
from .window import (
    Pairs,
    SizeArgument,
    Sizes,
    add_windows,
    padding_pairs,
    per_axis,
    places,
    spatial_axes,
    windows,
)  # fmt: skip

COLUMN_BYTES = 1 << 19
"""How large the copied windows may become. They are ``k`` times the image: for a batch of large images that would be
gigabytes. And a piece that stays in the processor's cache between the copy and the product is faster than a whole."""
SPREAD_BYTES = 1 << 24
"""The same for windows that are added up. Larger, because the sums run along the batch."""


@dataclass(frozen=True)
class Convolution(Operation):
    """What the three share: the settings, and the batch in pieces."""

    stride: Sizes
    padding: Pairs
    dilation: Sizes
    groups: int = 1

    def count(self, name: str, size: Sizes, kernel: Sizes) -> Sizes:
        """The spatial axes P of the map."""
        return places(name, size, kernel, self.stride, self.padding, self.dilation)

    def windows(self, xp: Any, x: Array, kernel: Sizes) -> Array:
        """All windows of the padded image, as a view: ``(N, C, *S) -> (C, *K, N, *P)``."""
        padded = pad_array(xp, x, ((0, 0), (0, 0), *self.padding))
        return windows(xp, padded, kernel, self.stride, self.dilation)

    def columns(self, xp: Any, view: Array, piece: slice) -> Array:
        """The windows of a piece of the batch, copied into a matrix for each group: ``-> (G, C/G * k, N * p)``."""
        batch = view.ndim // 2
        cells = xp.ascontiguousarray(view[(*[slice(None)] * batch, piece)])  # (C, *K, N, *P)
        rows = math.prod(cells.shape[:batch]) // self.groups
        return cells.reshape(self.groups, rows, math.prod(cells.shape[batch:]))

    def rows(self, xp: Any, y: Array) -> Array:
        """A map as one matrix for each group: ``(N, O, *P) -> (G, O/G, N * p)``."""
        n, o = y.shape[:2]
        flat = xp.ascontiguousarray(y.transpose(1, 0, *range(2, y.ndim)))  # -> (O, N, *P)
        return flat.reshape(self.groups, o // self.groups, n * math.prod(y.shape[2:]))

    def matrix(self, weight: Array) -> Array:
        """The weight as one matrix for each group: ``(O, C/G, *K) -> (G, O/G, C/G * k)``."""
        o = weight.shape[0]
        return weight.reshape(self.groups, o // self.groups, math.prod(weight.shape[1:]))

    def moves_nothing(self, kernel: Sizes) -> bool:
        """Whether each output pixel sees just its own input pixel (1x1, stride 1): then there is nothing to copy."""
        return all(each == 1 for each in (*kernel, *self.stride))


def _pieces(n: int, bytes_each: int, bytes_most: int) -> Iterator[slice]:
    """The batch in pieces of at most ``bytes_most``, or single samples; at least one piece, if only an empty one."""
    step = max(1, bytes_most // max(1, bytes_each))
    return (slice(start, min(start + step, n)) for start in range(0, max(n, 1), step))


@dataclass(frozen=True)
class Conv(Convolution):
    """Every filter at every place: ``(N, C, *S), (O, C/G, *K) -> (N, O, *P)``. Gradient: the two adjoints."""

    name = "conv"
    keeps = ((1,), (0,))

    def infer(self, x: Spec, weight: Spec) -> Spec:
        name = f"conv{len(self.stride)}d"
        require_same_dtype(name, x, weight)
        require_float(name, x)
        channels, filters, wanted = x.shape[1], weight.shape[0], weight.shape[1] * self.groups
        if channels != wanted:
            raise ShapeError(
                name,
                f"the input has {channels} channels, the weight takes {wanted}",
                got=f"input {x!r}, weight {weight!r}, groups {self.groups}",
                expected=f"input channels = weight.shape[1] * groups = {weight.shape[1]} * {self.groups} = {wanted}",
                fix=f"pass an input with {wanted} channels, or make the layer with in_channels={channels}",
            )
        _check_groups(name, filters, self.groups, weight)
        return Spec((x.shape[0], filters, *self.count(name, x.shape[2:], weight.shape[2:])), x.dtype)

    def forward(self, xp: Any, x: Array, weight: Array) -> Array:
        (n, c), (o, _), g = x.shape[:2], weight.shape[:2], self.groups
        kernel: Sizes = weight.shape[2:]
        filters = self.matrix(weight)  # (O, C/G, *K) -> (G, O/G, C/G * k)
        if self.moves_nothing(kernel):
            x = pad_array(xp, x, ((0, 0), (0, 0), *self.padding))
            pixels = x.reshape(n, g, c // g, math.prod(x.shape[2:]))  # (N, C, *P) -> (N, G, C/G, p)
            return xp.matmul(filters, pixels).reshape(n, o, *x.shape[2:])  # (N, G, O/G, p) -> (N, O, *P)
        count = self.count(self.name, x.shape[2:], kernel)
        k, p = math.prod(kernel), math.prod(count)
        y = xp.empty((n, g, o // g, p), dtype=x.dtype)
        view = self.windows(xp, x, kernel)
        batch = view.ndim // 2
        view = view.transpose(batch, *range(batch), *range(batch + 1, view.ndim))  # (C, *K, N, *P) -> (N, C, *K, *P)
        for piece in _pieces(n, c * k * p * x.itemsize, COLUMN_BYTES):
            part = xp.ascontiguousarray(view[piece])
            columns = part.reshape(part.shape[0], g, c // g * k, p)
            xp.matmul(filters, columns, out=y[piece])  # (G, O/G, C/G * k) @ (N, G, C/G * k, p) -> (N, G, O/G, p)
        return y.reshape(n, o, *count)

    def vjp(self, grad: Tensor, output: Tensor, x: Tensor, weight: Tensor) -> tuple[Gradient, ...]:
        settings = (self.stride, self.padding, self.dilation, self.groups)
        return (
            lambda: apply(ConvTranspose(*settings, size=x.shape[2:]), grad, weight),
            lambda: apply(ConvWeight(*settings, kernel=weight.shape[2:]), x, grad),
        )


@dataclass(frozen=True)
class ConvTranspose(Convolution):
    """Every filter added up where it was applied: ``(N, O, *P), (O, C/G, *K) -> (N, C, *S)``.

    The adjoint of ``conv`` in the image. Several image sizes give the same map, so ``size`` says which is meant.
    Gradient: ``conv`` of the gradient, ``conv_weight`` of the gradient and the map.
    """

    size: Sizes = ()
    name = "conv_transpose"
    keeps = ((1,), (0,))

    def infer(self, y: Spec, weight: Spec) -> Spec:
        name = f"conv_transpose{len(self.stride)}d"
        require_same_dtype(name, y, weight)
        require_float(name, y)
        channels, wanted = y.shape[1], weight.shape[0]
        if channels != wanted:
            raise ShapeError(
                name,
                f"the input has {channels} channels, the weight takes {wanted}",
                got=f"input {y!r}, weight {weight!r}, groups {self.groups}",
                expected=f"input channels = weight.shape[0] = {wanted}",
                fix=f"pass an input with {wanted} channels, or make the layer with in_channels={channels}",
            )
        _check_groups(name, wanted, self.groups, weight)
        return Spec((y.shape[0], weight.shape[1] * self.groups, *self.size), y.dtype)

    def forward(self, xp: Any, y: Array, weight: Array) -> Array:
        (n, o), g, count = y.shape[:2], self.groups, y.shape[2:]
        c, kernel = weight.shape[1] * g, weight.shape[2:]
        filters = self.matrix(weight).transpose(0, 2, 1)  # (O, C/G, *K) -> (G, C/G * k, O/G)
        if self.moves_nothing(kernel):
            pixels = y.reshape(n, g, o // g, math.prod(count))  # (N, O, *P) -> (N, G, O/G, p)
            image = xp.matmul(filters, pixels).reshape(n, c, *count)  # (N, G, C/G, p) -> (N, C, *P)
            return pad_array(xp, image, ((0, 0), (0, 0), *[(-before, -after) for before, after in self.padding]))
        if all(each == 1 for each in self.stride) and o * math.prod(self.size) <= 2 * c * math.prod(count):
            return self._gathered(xp, y, weight)
        # With the batch as the last axis, the sums run over long stretches of memory.
        image = xp.empty((n, c, *self.size), dtype=y.dtype)
        batch_last = (*range(1, y.ndim), 0)
        batch_first = (y.ndim - 1, *range(y.ndim - 1))
        for piece in _pieces(n, c * math.prod(kernel + count) * y.itemsize, SPREAD_BYTES):
            part = xp.ascontiguousarray(y[piece].transpose(batch_last))  # (N, O, *P) -> (O, *P, N)
            cells = xp.matmul(filters, part.reshape(g, o // g, math.prod(part.shape[1:])))  # -> (G, C/G * k, p * N)
            cells = cells.reshape(c, *kernel, *part.shape[1:])  # -> (C, *K, *P, N)
            total = xp.zeros((c, *self.size, part.shape[-1]), dtype=y.dtype)
            add_windows(total, cells, kernel, self.stride, self.padding, self.dilation)  # -> (C, *S, N)
            image[piece] = total.transpose(batch_first)  # -> (N, C, *S)
        return image

    def _gathered(self, xp: Any, y: Array, weight: Array) -> Array:
        """With stride 1: each pixel collects what the map's places around it give, a convolution with turned kernels.

        Quicker than adding up windows, unless the map has many more numbers than the image.
        """
        o, kernel, g = weight.shape[0], weight.shape[2:], self.groups
        turned = xp.flip(weight, tuple(range(2, weight.ndim)))
        turned = turned.reshape(g, o // g, weight.shape[1], *kernel)  # (O, C/G, *K) -> (G, O/G, C/G, *K)
        turned = turned.transpose(0, 2, 1, *range(3, turned.ndim))  # -> (G, C/G, O/G, *K)
        pairs = []
        for n, p, k, d, (before, _) in zip(self.size, y.shape[2:], kernel, self.dilation, self.padding, strict=True):
            ahead = d * (k - 1) - before
            pairs.append((ahead, n - p + d * (k - 1) - ahead))
        same = Conv(self.stride, tuple(pairs), self.dilation, g)
        return same.forward(xp, y, turned.reshape(weight.shape[1] * g, o // g, *kernel))  # -> (N, C, *S)

    def vjp(self, grad: Tensor, output: Tensor, y: Tensor, weight: Tensor) -> tuple[Gradient, ...]:
        settings = (self.stride, self.padding, self.dilation, self.groups)
        return (
            lambda: apply(Conv(*settings), grad, weight),
            lambda: apply(ConvWeight(*settings, kernel=weight.shape[2:]), grad, y),
        )


@dataclass(frozen=True)
class ConvWeight(Convolution):
    """Image times map, summed over the batch and over all places: ``(N, C, *S), (N, O, *P) -> (O, C/G, *K)``.

    The adjoint of ``conv`` in the weight: a tied weight collects its gradient from every place where it was applied.
    Gradient: ``conv_transpose`` of the map and ``conv`` of the image, with the gradient as the weight.
    """

    kernel: Sizes = ()
    name = "conv_weight"
    keeps = ((1,), (0,))

    def infer(self, x: Spec, y: Spec) -> Spec:
        require_same_dtype(self.name, x, y)
        return Spec((y.shape[1], x.shape[1] // self.groups, *self.kernel), x.dtype)

    def forward(self, xp: Any, x: Array, y: Array) -> Array:
        (n, c), o, g = x.shape[:2], y.shape[1], self.groups
        k = math.prod(self.kernel)
        turned = xp.zeros((g, c // g * k, o // g), dtype=x.dtype)  # with the longer side first, the product is quicker
        view = self.windows(xp, x, self.kernel)
        for piece in _pieces(n, c * k * math.prod(y.shape[2:]) * x.itemsize, COLUMN_BYTES):
            cells = self.columns(xp, view, piece)  # -> (G, C/G * k, N * p)
            turned += xp.matmul(cells, self.rows(xp, y[piece]).transpose(0, 2, 1))  # @ (G, N * p, O/G)
        return xp.ascontiguousarray(turned.transpose(0, 2, 1)).reshape(o, c // g, *self.kernel)

    def vjp(self, grad: Tensor, output: Tensor, x: Tensor, y: Tensor) -> tuple[Gradient, ...]:
        settings = (self.stride, self.padding, self.dilation, self.groups)
        return (
            lambda: apply(ConvTranspose(*settings, size=x.shape[2:]), y, grad),
            lambda: apply(Conv(*settings), x, grad),
        )


def _check_groups(name: str, channels: int, groups: int, weight: Spec) -> None:
    if channels % groups:
        raise ShapeError(
            name,
            f"{channels} channels cannot be divided into {groups} equal groups",
            got=f"weight {weight!r}, groups {groups}",
            expected=f"weight.shape[0] divisible by groups, but {channels} % {groups} = {channels % groups}",
            fix="choose numbers of channels that groups divides",
        )


# The functions


def _operands(name: str, axes: int, input: TensorLike, weight: TensorLike, groups: int) -> tuple[Tensor, Tensor, bool]:
    """The input with a batch axis, the weight, and whether the batch axis was added."""
    x, w = as_tensor(input), as_tensor(weight)
    x, single = spatial_axes(name, x, axes)
    if w.ndim != axes + 2:
        raise ShapeError(
            name, f"the weight has {w.ndim} axes, not {axes + 2}", got=f"input {x.spec!r}, weight {w.spec!r}",
            expected=f"two axes of channels and {axes} of the kernel",
        )  # fmt: skip
    if groups < 1:
        raise ArgumentError(name, "groups are counted from 1", got=f"groups={groups}")
    per_axis(name, "the kernel", w.shape[2:], axes, least=1)
    return x, w, single


def _finish(name: str, y: Tensor, bias: TensorLike | None, single: bool) -> Tensor:
    """With the bias, and without the batch axis if it was added."""
    if bias is not None:
        b = as_tensor(bias)
        require_same_dtype(name, y.spec, b.spec)
        if b.shape != y.shape[1:2]:
            raise ShapeError(
                name, f"the bias has shape {b.shape} for {y.shape[1]} output channels", got=repr(b.spec),
                expected=f"one number for each output channel: ({y.shape[1]},)",
            )  # fmt: skip
        y = add(y, reshape(b, (1, *b.shape, *[1] * (y.ndim - 2))))  # (O,) -> (1, O, 1, 1)
    return reshape(y, y.shape[1:]) if single else y


def _conv(
    axes: int,
    input: TensorLike,
    weight: TensorLike,
    bias: TensorLike | None,
    stride: SizeArgument,
    padding: SizeArgument | str,
    dilation: SizeArgument,
    groups: int,
) -> Tensor:
    name = f"conv{axes}d"
    x, w, single = _operands(name, axes, input, weight, groups)
    steps = per_axis(name, "stride", stride, axes, least=1)
    spread = per_axis(name, "dilation", dilation, axes, least=1)
    pairs = padding_pairs(name, padding, x.shape[2:], w.shape[2:], steps, spread)
    return _finish(name, apply(Conv(steps, pairs, spread, groups), x, w), bias, single)


def conv1d(
    input: TensorLike,
    weight: TensorLike,
    bias: TensorLike | None = None,
    stride: SizeArgument = 1,
    padding: SizeArgument | str = 0,
    dilation: SizeArgument = 1,
    groups: int = 1,
) -> Tensor:
    """Convolution of signals: ``(N, C, L), (O, C/groups, K) -> (N, O, L')``. Everything else as in :func:`conv2d`.

    >>> conv1d(Tensor([[[1.0, 2.0, 4.0]]]), Tensor([[[-1.0, 1.0]]]))
    Tensor([[[1., 2.]]])
    """
    return _conv(1, input, weight, bias, stride, padding, dilation, groups)


def conv2d(
    input: TensorLike,
    weight: TensorLike,
    bias: TensorLike | None = None,
    stride: SizeArgument = 1,
    padding: SizeArgument | str = 0,
    dilation: SizeArgument = 1,
    groups: int = 1,
) -> Tensor:
    """Convolution of images: ``(N, C, H, W), (O, C/groups, kH, kW) -> (N, O, H', W')``.

    ``y[n, o, i, j] = bias[o] + sum over c, a, b of w[o, c, a, b] * x[n, c, i * stride + a * dilation, ...]``: the
    cross-correlation, whose kernel is not flipped. (LeCun et al., 1989)

    Args:
        input: ``(N, C, H, W)``, or ``(C, H, W)`` for a single image.
        weight: O filters. With groups, filter ``o`` sees only the channels of its own group.
        bias: ``(O,)``, one number for each output channel.
        stride: the distance between neighbouring windows, in pixels.
        padding: zeros on each side, in pixels; or ``"valid"`` (none), or ``"same"``: ``H' = ceil(H / stride)``.
        dilation: the distance between neighbouring cells of the kernel, in pixels.
        groups: how many groups the channels are divided into; C for a depthwise convolution.

    Returns ``H' = floor((H + 2 * padding - (dilation * (kH - 1) + 1)) / stride) + 1``, and so for ``W'``. The gradient
    in the input is :func:`conv_transpose2d` of ``grad`` with the same weight.

    Raises :class:`ShapeError` for channels that do not match and kernels larger than the padded image,
    :class:`ArgumentError` for settings that make no sense, :class:`DTypeError` for integers and mixed types.

    >>> image = Tensor([[[[1.0, 2.0], [3.0, 4.0]]]])
    >>> conv2d(image, Tensor([[[[1.0, 0.0], [0.0, -1.0]]]]))
    Tensor([[[[-3.]]]])
    """
    return _conv(2, input, weight, bias, stride, padding, dilation, groups)


def conv3d(
    input: TensorLike,
    weight: TensorLike,
    bias: TensorLike | None = None,
    stride: SizeArgument = 1,
    padding: SizeArgument | str = 0,
    dilation: SizeArgument = 1,
    groups: int = 1,
) -> Tensor:
    """Convolution of volumes: ``(N, C, D, H, W), (O, C/groups, kD, kH, kW) -> (N, O, D', H', W')``.

    Everything else as in :func:`conv2d`.

    >>> volume = Tensor([[[[[1.0, 2.0]], [[3.0, 4.0]]]]])
    >>> conv3d(volume, Tensor([[[[[1.0, 1.0]], [[1.0, 1.0]]]]]))
    Tensor([[[[[10.]]]]])
    """
    return _conv(3, input, weight, bias, stride, padding, dilation, groups)


def _conv_transpose(
    axes: int,
    input: TensorLike,
    weight: TensorLike,
    bias: TensorLike | None,
    stride: SizeArgument,
    padding: SizeArgument,
    output_padding: SizeArgument,
    groups: int,
    dilation: SizeArgument,
) -> Tensor:
    name = f"conv_transpose{axes}d"
    y, w, single = _operands(name, axes, input, weight, groups)
    steps = per_axis(name, "stride", stride, axes, least=1)
    spread = per_axis(name, "dilation", dilation, axes, least=1)
    extra = per_axis(name, "output_padding", output_padding, axes, least=0)
    if isinstance(padding, str):
        raise ArgumentError(
            name, "padding must be given in numbers", got=f"padding={padding!r}",
            expected="an integer, or one for each spatial axis",
        )  # fmt: skip
    cut = per_axis(name, "padding", padding, axes, least=0)
    if any(e >= max(s, d) for e, s, d in zip(extra, steps, spread, strict=True)):
        raise ArgumentError(
            name, "output_padding must be smaller than the stride or the dilation",
            got=f"output_padding={extra}, stride={steps}, dilation={spread}",
            expected="output_padding < max(stride, dilation) on each axis",
        )  # fmt: skip
    size, pairs = [], []
    for n, k, s, d, p, e in zip(y.shape[2:], w.shape[2:], steps, spread, cut, extra, strict=True):
        size.append((n - 1) * s - 2 * p + d * (k - 1) + e + 1)
        pairs.append((p, p - e // s * s))  # a whole stride more of output is a whole stride less cut away
    if min(size) < 1:
        axis = next(axis for axis, each in enumerate(size) if each < 1)
        n, k, s, d = y.shape[2 + axis], w.shape[2 + axis], steps[axis], spread[axis]
        raise ShapeError(
            name,
            f"nothing is left of the result on spatial axis {axis}",
            got=f"input {y.spec!r}, weight {w.spec!r}, stride {steps}, padding {cut}, dilation {spread}",
            expected="(n - 1) * stride - 2 * padding + dilation * (kernel - 1) + output_padding + 1 >= 1, but "
            f"{n - 1} * {s} - 2 * {cut[axis]} + {d} * {k - 1} + {extra[axis]} + 1 = {size[axis]}",
            fix="use less padding or a larger input",
        )
    operation = ConvTranspose(steps, tuple(pairs), spread, groups, size=tuple(size))
    return _finish(name, apply(operation, y, w), bias, single)


def conv_transpose1d(
    input: TensorLike,
    weight: TensorLike,
    bias: TensorLike | None = None,
    stride: SizeArgument = 1,
    padding: SizeArgument = 0,
    output_padding: SizeArgument = 0,
    groups: int = 1,
    dilation: SizeArgument = 1,
) -> Tensor:
    """Transposed convolution of signals: ``(N, C, L), (C, O/groups, K) -> (N, O, L')``; see :func:`conv_transpose2d`.

    >>> conv_transpose1d(Tensor([[[1.0, 2.0]]]), Tensor([[[1.0, 10.0]]]), stride=2)
    Tensor([[[ 1., 10.,  2., 20.]]])
    """
    return _conv_transpose(1, input, weight, bias, stride, padding, output_padding, groups, dilation)


def conv_transpose2d(
    input: TensorLike,
    weight: TensorLike,
    bias: TensorLike | None = None,
    stride: SizeArgument = 1,
    padding: SizeArgument = 0,
    output_padding: SizeArgument = 0,
    groups: int = 1,
    dilation: SizeArgument = 1,
) -> Tensor:
    """Transposed convolution of images: ``(N, C, H, W), (C, O/groups, kH, kW) -> (N, O, H', W')``.

    Each input pixel paints its multiple of the filter; a stride of 2 doubles the image. It is the adjoint of
    :func:`conv2d`, not its inverse. (Zeiler et al., 2010)

    Args:
        input: ``(N, C, H, W)``, or ``(C, H, W)`` for a single image.
        weight: as for the convolution that goes the other way, so its first axis is the input's channels.
        bias: ``(O,)``, one number for each output channel.
        stride: the distance between the paintings of neighbouring pixels, in pixels of the result.
        padding: how much of the margin is cut away, on each side.
        output_padding: rows and columns more at the end of the result, for strides that several sizes fit.
        groups: how many groups the channels are divided into.
        dilation: the distance between neighbouring cells of the kernel.

    Returns ``H' = (H - 1) * stride - 2 * padding + dilation * (kH - 1) + output_padding + 1``, and so for ``W'``. The
    gradient in the input is :func:`conv2d` of ``grad`` with the same weight.

    Raises :class:`ShapeError` for channels that do not match and for results without pixels, :class:`ArgumentError`
    for settings that make no sense, :class:`DTypeError` for integers and mixed types.

    >>> conv_transpose2d(Tensor([[[[3.0]]]]), Tensor([[[[1.0, 2.0], [0.0, 1.0]]]]))
    Tensor([[[[3., 6.],
              [0., 3.]]]])
    """
    return _conv_transpose(2, input, weight, bias, stride, padding, output_padding, groups, dilation)


def conv_transpose3d(
    input: TensorLike,
    weight: TensorLike,
    bias: TensorLike | None = None,
    stride: SizeArgument = 1,
    padding: SizeArgument = 0,
    output_padding: SizeArgument = 0,
    groups: int = 1,
    dilation: SizeArgument = 1,
) -> Tensor:
    """Transposed convolution of volumes: ``(N, C, D, H, W), (C, O/groups, kD, kH, kW) -> (N, O, D', H', W')``.

    Everything else as in :func:`conv_transpose2d`.

    >>> conv_transpose3d(Tensor([[[[[2.0]]]]]), Tensor([[[[[1.0, 3.0]]]]]))
    Tensor([[[[[2., 6.]]]]])
    """
    return _conv_transpose(3, input, weight, bias, stride, padding, output_padding, groups, dilation)

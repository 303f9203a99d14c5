"""Convolutions and pools of images with their channels last, as NumPy calls.

Legend: N batch, S the axes of the image, P those of the map, K those of the kernel, C channels of the image, O of the
map. Images ``(N, *S, C)`` lie inside a margin of zeros, so windows that reach beyond them are views as well.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.lib.stride_tricks import as_strided

from ...ops.conv import Conv, ConvTranspose, ConvWeight
from ...ops.pool import AvgPool, AvgPoolAdjoint, MaxPool, MaxPoolScatter
from ...ops.window import Pairs, Sizes, meeting, offsets
from . import winograd
from .maps import Call
from .scratch import Scratch

CHUNK = 1 << 20
"""How many bytes of windows are copied before they are multiplied: what a core's second-level cache holds."""

Tail = Callable[[slice, np.ndarray], list[Call]]
"""The calls that finish some images: which, and where the numbers are and go when they come from a head."""


@dataclass(frozen=True)
class Image:
    """An image in its margin."""

    inside: np.ndarray
    """``(N, *S, C)``."""
    whole: np.ndarray
    """The same with its margin."""
    margin: Pairs

    def windows(self, pads: Pairs, kernel: Sizes, stride: Sizes, dilation: Sizes, count: Sizes) -> np.ndarray:
        """``(N, *P, *K, C)``, a view. ``pads`` is how far the first window reaches beyond the image on each axis."""
        axes = len(kernel)
        start = [slice(m - p, None) for (m, _), (p, _) in zip(self.margin, pads, strict=True)]
        view = self.whole[(slice(None), *start)]
        steps = view.strides[1 : 1 + axes]
        strides = (
            view.strides[0],
            *[step * s for step, s in zip(steps, stride, strict=True)],
            *[step * d for step, d in zip(steps, dilation, strict=True)],
            view.strides[-1],
        )
        return as_strided(view, (view.shape[0], *count, *kernel, view.shape[-1]), strides)


def reach(kernel: Sizes, dilation: Sizes) -> Sizes:
    """How far a window's last pixel lies behind its first."""
    return tuple([d * (k - 1) for k, d in zip(kernel, dilation, strict=True)])


def conv_margin(op: Conv | ConvWeight, size: Sizes, kernel: Sizes, count: Sizes) -> Pairs:
    """How much margin the image needs before and after."""
    return tuple(
        [
            (max(p, 0), max((m - 1) * s + far + 1 - n - p, 0))
            for (p, _), m, s, far, n in zip(op.padding, count, op.stride, reach(kernel, op.dilation), size, strict=True)
        ]
    )


def _chunks(n: int, bytes_each: int) -> Iterator[slice]:
    step = max(1, CHUNK // max(1, bytes_each))
    return (slice(start, min(start + step, n)) for start in range(0, n, step))


@dataclass(frozen=True)
class _Gather:
    """How windows are copied into a matrix, and what the product of that matrix is."""

    windows: np.ndarray
    """``(N, *P, *K, C)``."""
    axes: int

    @property
    def row(self) -> int:
        return math.prod(self.windows.shape[1 + self.axes :])

    @property
    def places(self) -> int:
        return math.prod(self.windows.shape[1 : 1 + self.axes])

    @property
    def tall(self) -> bool:
        """Whether short runs of channels make it better to copy along the places than along the window."""
        return bool(self.windows.shape[-1] * self.windows.shape[-2] < 16)

    def bytes_each(self) -> int:
        return self.row * self.places * self.windows.itemsize

    def plain(self) -> np.ndarray | None:
        """The windows as a matrix without copying, where each is one whole pixel and the image has no margin."""
        if self.row != self.windows.shape[-1] or not self.windows.flags.c_contiguous:
            return None
        return self.windows.reshape(-1, self.row)

    def matrix(self, images: slice, scratch: Scratch) -> tuple[list[Call], np.ndarray]:
        """The calls that copy, and the matrix ``(N * P, K * C)``."""
        view = self.windows[images]
        n = view.shape[0]
        whole = self.plain()
        if whole is not None:
            return [], whole[images.start * self.places : images.stop * self.places]
        if not self.tall:
            cells = scratch.take(view.shape, view.dtype)
            return [partial(np.copyto, _merged(cells, self.axes), _merged(view, self.axes))], cells.reshape(
                -1, self.row
            )
        order = (*range(1 + self.axes, view.ndim), *range(1 + self.axes))
        turned = view.transpose(order)  # (*K, C, N, *P)
        cells = scratch.take(turned.shape, view.dtype)
        return [partial(np.copyto, cells, turned)], cells.reshape(self.row, n * self.places).T


def _merged(view: np.ndarray, axes: int) -> np.ndarray:
    """The last axis of the kernel and the channels as one axis, where they lie next to each other."""
    *lead, k, c = view.shape
    if view.strides[-2] != c * view.itemsize or view.strides[-1] != view.itemsize:
        return view
    return as_strided(view, (*lead, k * c), (*view.strides[:-2], view.itemsize))


def correlate(
    windows: np.ndarray, axes: int, weight: np.ndarray, out: np.ndarray, tail: Tail | None, scratch: Scratch
) -> list[Call]:
    """``(N, *P, *K, C) x (*K, C, O) -> (N, *P, O)``: copy some windows, multiply, finish; then the next ones."""
    calls: list[Call] = []
    if not weight.flags.c_contiguous:  # a part of another array
        own = np.empty(weight.shape, weight.dtype)
        calls.append(partial(np.copyto, own, weight))
        weight = own
    if winograd.suits(windows, out.shape[-1]):
        return calls + _by_tiles(windows, weight, out, tail, scratch)
    gather = _Gather(windows, axes)
    kernel = weight.reshape(gather.row, weight.shape[-1])
    for images in _chunks(windows.shape[0], gather.bytes_each()):
        scratch.reset()
        copies, matrix = gather.matrix(images, scratch)
        target = out[images]
        product = target if target.flags.c_contiguous else scratch.take(target.shape, out.dtype)
        calls += copies
        calls.append(partial(np.matmul, matrix, kernel, product.reshape(-1, out.shape[-1])))
        if tail is not None:
            calls += tail(images, product)
        elif product is not target:
            calls.append(partial(np.copyto, target, product))
    return calls


def _by_tiles(
    windows: np.ndarray, weight: np.ndarray, out: np.ndarray, tail: Tail | None, scratch: Scratch
) -> list[Call]:
    tiles = winograd.Tiles(windows, out.shape[-1])
    calls, chunks = winograd.products(tiles, weight, scratch)
    for images, (work, output) in zip(tiles.chunks, chunks, strict=True):
        target = out[images]
        calls += [*work, partial(np.copyto, tiles.as_tiles(target), output)]
        if tail is not None:
            calls += tail(images, target)
    return calls


def conv_calls(
    op: Conv, x: Image, weight: np.ndarray, out: np.ndarray, tail: Tail | None, scratch: Scratch
) -> list[Call]:
    """Convolution: ``(N, *S, C), (*K, C/G, O) -> (N, *P, O)``."""
    axes, groups = len(op.stride), op.groups
    windows = x.windows(op.padding, weight.shape[:axes], op.stride, op.dilation, out.shape[1:-1])
    if groups == 1:
        return correlate(windows, axes, weight, out, tail, scratch)
    c, o = weight.shape[-2], out.shape[-1] // groups
    calls: list[Call] = []
    for g in range(groups):
        part = weight[..., g * o : (g + 1) * o]
        calls += correlate(windows[..., g * c : (g + 1) * c], axes, part, out[..., g * o : (g + 1) * o], None, scratch)
    return calls + _finish(out, tail, scratch)


def _finish(out: np.ndarray, tail: Tail | None, scratch: Scratch) -> list[Call]:
    """The tail, where the head has written everything already."""
    if tail is None:
        return []
    calls: list[Call] = []
    for images in _chunks(out.shape[0], 2 * out[:1].nbytes):
        scratch.reset()
        calls += tail(images, out[images])
    return calls


def transpose_margin(op: ConvTranspose, size: Sizes, kernel: Sizes) -> Pairs:
    """How much margin the map needs. ``size`` is that of the map."""
    pairs = []
    for axis in range(len(size)):
        before = after = 0
        for phase in _phases(op, size, kernel, axis):
            before = max(before, phase.pad)
            after = max(after, phase.last - (size[axis] - 1))
        pairs.append((before, after))
    return tuple(pairs)


@dataclass(frozen=True)
class _Phase:
    """The pixels of the image along one axis that the same cells of the kernel reach."""

    first: int
    """The first of these pixels; the others follow at steps of the stride."""
    count: int
    taps: slice
    """Which cells, counted backwards so that the map is read forwards."""
    pad: int
    """How far before the map the first pixel's window begins."""
    last: int
    """Where in the map the last pixel's window ends."""
    step: int
    """The distance of neighbouring pixels of the window in the map."""


def _phases(op: ConvTranspose, size: Sizes, kernel: Sizes, axis: int) -> list[_Phase]:
    """With stride s the image falls into s phases, each a plain convolution of the map.

    ``image[i] = sum of map[j] * w[k] over j * s + k * d - p = i``. With s = 1 there is one phase and any dilation;
    with d = 1 the cells ``k = r, r + s, ...`` reach the pixels ``i = r - p`` modulo ``s``.
    """
    s, d, (p, _), n, k = op.stride[axis], op.dilation[axis], op.padding[axis], op.size[axis], kernel[axis]
    if s == 1:
        far = d * (k - 1)
        return [_Phase(0, n, slice(None, None, -1), far - p, n - 1 + p, d)]
    phases = []
    for r in range(s):
        cells = len(range(r, k, s))
        q = -(-(p - r) // s)  # the first whole number with s * q + r - p >= 0
        first = s * q + r - p
        count = len(range(first, n, s))
        if not count:
            continue
        taps = slice(r + s * (cells - 1), r - s if r - s >= 0 else None, -s) if cells else slice(0, 0)
        phases.append(_Phase(first, count, taps, cells - 1 - q, q + count - 1, 1))
    return phases


def takes_phases(op: ConvTranspose) -> bool:
    """Whether the operation is a set of plain convolutions."""
    return op.groups == 1 and all(s == 1 or d == 1 for s, d in zip(op.stride, op.dilation, strict=True))


def transposed_calls(
    op: ConvTranspose, y: Image, weight: np.ndarray, out: np.ndarray, tail: Tail | None, scratch: Scratch
) -> list[Call]:
    """Transposed convolution: ``(N, *P, O), (*K, C, O) -> (N, *S, C)``, as one convolution for each phase."""
    axes = len(op.stride)
    size, kernel = y.inside.shape[1:-1], weight.shape[:axes]
    calls: list[Call] = []
    per_axis = [_phases(op, size, kernel, axis) for axis in range(axes)]
    whole = all(len(phases) == 1 and phases[0].count == n for phases, n in zip(per_axis, op.size, strict=True))
    for phase in itertools.product(*per_axis):
        place = tuple([slice(each.first, None, s) for each, s in zip(phase, op.stride, strict=True)])
        part = out[(slice(None), *place)]
        cells = weight[tuple([each.taps for each in phase])]
        if 0 in cells.shape:
            calls.append(partial(part.fill, 0))
            continue
        turned = np.empty((*cells.shape[:axes], cells.shape[-1], cells.shape[-2]), weight.dtype)
        calls.append(partial(np.copyto, turned, cells.swapaxes(-1, -2)))
        windows = y.windows(
            tuple([(each.pad, 0) for each in phase]), cells.shape[:axes], (1,) * axes,
            tuple([each.step for each in phase]), tuple([each.count for each in phase]),
        )  # fmt: skip
        calls += correlate(windows, axes, turned, part, tail if whole else None, scratch)
    return calls if whole else calls + _finish(out, tail, scratch)


def weight_calls(op: ConvWeight, x: Image, y: np.ndarray, out: np.ndarray, scratch: Scratch) -> list[Call]:
    """The gradient in the kernel: ``(N, *S, C), (N, *P, O) -> (*K, C/G, O)``."""
    axes, groups = len(op.stride), op.groups
    windows = x.windows(op.padding, op.kernel, op.stride, op.dilation, y.shape[1:-1])
    c, o = windows.shape[-1] // groups, y.shape[-1] // groups
    calls: list[Call] = []
    if groups == 1 and winograd.suits(windows, o):
        return winograd.weight_products(winograd.Tiles(windows, o), y, out, scratch)
    for g in range(groups):
        gather = _Gather(windows[..., g * c : (g + 1) * c], axes)
        total = out[..., g * o : (g + 1) * o]
        own = total.reshape(gather.row, o) if groups == 1 else np.empty((gather.row, o), out.dtype)
        part = np.empty_like(own)
        for images in _chunks(windows.shape[0], gather.bytes_each()):
            scratch.reset()
            copies, matrix = gather.matrix(images, scratch)
            grad = y[images][..., g * o : (g + 1) * o]
            calls += copies
            if not grad.flags.c_contiguous:
                flat = scratch.take(grad.shape, grad.dtype)
                calls.append(partial(np.copyto, flat, grad))
                grad = flat
            target = own if images.start == 0 else part
            calls.append(partial(np.matmul, matrix.T, grad.reshape(-1, o), target))
            if target is part:
                calls.append(partial(np.add, own, part, own))
        if groups > 1:
            calls.append(partial(np.copyto, total, own.reshape(total.shape)))
    return calls


def max_pool_calls(op: MaxPool, x: np.ndarray, out: np.ndarray, tail: Tail | None, scratch: Scratch) -> list[Call]:
    """The largest of each window: ``(N, *S, C) -> (N, *P, C)``."""
    size, count = x.shape[1:-1], out.shape[1:-1]
    calls: list[Call] = []
    for images in _chunks(x.shape[0], x[:1].nbytes + out[:1].nbytes):
        scratch.reset()
        first = True
        for offset in offsets(op.kernel):
            inside, place = meeting(size, count, offset, op.stride, op.padding, op.dilation)
            pixel = x[images][(slice(None), *inside)]
            target = out[images][(slice(None), *place)]
            if first and target.shape != out[images].shape:
                calls.append(partial(out[images].fill, -np.inf))
                first = False
            calls.append(partial(np.copyto, target, pixel) if first else partial(np.maximum, target, pixel, out=target))
            first = False
        if tail is not None:
            calls += tail(images, out[images])
    return calls


def scatter_calls(
    op: MaxPoolScatter, y: np.ndarray, x: np.ndarray, largest: np.ndarray, out: np.ndarray, tail: Tail | None,
    scratch: Scratch,
) -> list[Call]:  # fmt: skip
    """Each number at the first of the largest pixels of its window: ``(N, *P, C) -> (N, *S, C)``.

    A pixel wins if it is not smaller than the largest and nobody before it has won. (In a window that holds NaN, that
    is the first pixel.)
    """
    size, count = x.shape[1:-1], y.shape[1:-1]
    settings = zip(op.stride, op.kernel, op.dilation, strict=True)
    apart = all(s >= d * (k - 1) + 1 for s, k, d in settings)
    whole = (
        apart
        and all(s * m == n for s, m, n in zip(op.stride, count, size, strict=True))
        and not any(map(any, op.padding))
    )
    covered = whole and all(s == k for s, k in zip(op.stride, op.kernel, strict=True))
    bits = np.dtype(f"i{out.itemsize}")
    calls: list[Call] = []
    cells = list(offsets(op.kernel))
    for images in _chunks(x.shape[0], 3 * x[:1].nbytes):
        scratch.reset()
        target, gradient, image, top = out[images], y[images], x[images], largest[images]
        free = scratch.take(top.shape, np.dtype(bool))
        wins = scratch.take(top.shape, np.dtype(bool))
        kept = scratch.take(top.shape, bits)
        if not covered:
            calls.append(partial(target.fill, 0))
        for number, offset in enumerate(cells):
            inside, place = meeting(size, count, offset, op.stride, op.padding, op.dilation)
            at, pixel = (slice(None), *place), image[(slice(None), *inside)]
            to = target[(slice(None), *inside)]
            if whole and number == 0:
                calls.append(partial(np.less, pixel, top, free))
                calls.append(partial(np.logical_not, free, wins))
                winner = wins
            elif covered and number == len(cells) - 1:
                winner = free
            else:
                if number == 0:
                    calls.append(partial(free.fill, True))
                winner = wins[at]
                calls.append(partial(np.less, pixel, top[at], winner))
                calls.append(partial(np.greater, free[at], winner, winner))
                calls.append(partial(np.not_equal, free[at], winner, free[at]))
            mask = kept[at]
            calls.append(partial(np.negative, winner.view(np.int8), mask))
            calls.append(partial(np.bitwise_and, gradient[at].view(bits), mask, to.view(bits) if apart else mask))
            if not apart:
                calls.append(partial(np.add, to, mask.view(out.dtype), to))
        if tail is not None:
            calls += tail(images, target)
    return calls


def avg_pool_calls(op: AvgPool, x: np.ndarray, out: np.ndarray, tail: Tail | None, scratch: Scratch) -> list[Call]:
    """The average of each window: ``(N, *S, C) -> (N, *P, C)``."""
    size, count = x.shape[1:-1], out.shape[1:-1]
    divisor = _divisor(op, size, count, out.dtype)
    calls: list[Call] = []
    for images in _chunks(x.shape[0], x[:1].nbytes + out[:1].nbytes):
        scratch.reset()
        calls.append(partial(out[images].fill, 0))
        for offset in offsets(op.kernel):
            inside, place = meeting(size, count, offset, op.stride, op.padding, op.dilation)
            target = out[images][(slice(None), *place)]
            calls.append(partial(np.add, target, x[images][(slice(None), *inside)], target))
        calls.append(partial(np.divide, out[images], divisor, out[images]))
        if tail is not None:
            calls += tail(images, out[images])
    return calls


def spread_calls(op: AvgPoolAdjoint, y: np.ndarray, out: np.ndarray, tail: Tail | None, scratch: Scratch) -> list[Call]:
    """Each number spread evenly over its window: ``(N, *P, C) -> (N, *S, C)``."""
    size, count = out.shape[1:-1], y.shape[1:-1]
    divisor = _divisor(op, size, count, out.dtype)
    calls: list[Call] = []
    for images in _chunks(y.shape[0], y[:1].nbytes + out[:1].nbytes):
        scratch.reset()
        share = scratch.take(y[images].shape, y.dtype)
        calls += [partial(np.divide, y[images], divisor, share), partial(out[images].fill, 0)]
        for offset in offsets(op.kernel):
            inside, place = meeting(size, count, offset, op.stride, op.padding, op.dilation)
            target = out[images][(slice(None), *inside)]
            calls.append(partial(np.add, target, share[(slice(None), *place)], target))
        if tail is not None:
            calls += tail(images, out[images])
    return calls


def _divisor(op: AvgPool | AvgPoolAdjoint, size: Sizes, count: Sizes, dtype: np.dtype) -> np.ndarray:
    divisor = np.asarray(op.divisor(np, size, count, dtype), dtype)
    return divisor.reshape(1, *divisor.shape, 1) if divisor.ndim else divisor


def product_calls(a: np.ndarray, b: np.ndarray, out: np.ndarray, tail: Tail | None, scratch: Scratch) -> list[Call]:
    """A matrix product, finished as a whole."""
    calls: list[Call] = [partial(np.matmul, a, b, out)]
    if tail is not None:
        scratch.reset()
        calls += tail(slice(0, out.shape[0]), out)
    return calls

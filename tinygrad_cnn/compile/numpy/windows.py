"""Windows of images with their channels last, and convolution as their product with the kernel.

Legend: N batch, S the axes of the image, P those of the map, K those of the kernel, C channels of the image, O of the
map. Images ``(N, *S, C)`` lie inside a margin of zeros, so windows that reach beyond them are views as well.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import as_strided

from ...ops.window import Pairs, Sizes
from .maps import Call
from .scratch import Scratch, copy_runs, side_by_side

CHUNK = 1 << 19
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
    read_twice: bool = False
    """Whether a convolution and its gradient in the kernel read it."""
    tiles: dict[Any, Any] = field(default_factory=dict)
    """What a convolution leaves for the gradient."""

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


def chunks(n: int, bytes_each: int) -> Iterator[slice]:
    """The batch in pieces that take about so much memory together as a core's second-level cache holds."""
    step = max(1, CHUNK // max(1, bytes_each))
    return (slice(start, min(start + step, n)) for start in range(0, n, step))


@dataclass(frozen=True)
class Gather:
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
            return [copy_runs(_merged(cells, self.axes), _merged(view, self.axes))], cells.reshape(-1, self.row)
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
    gather = Gather(windows, axes)
    kernel = weight.reshape(gather.row, weight.shape[-1])
    for images in chunks(windows.shape[0], gather.bytes_each() + 2 * out[:1].nbytes):
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


def weight_by_windows(windows: np.ndarray, axes: int, y: np.ndarray, out: np.ndarray, scratch: Scratch) -> list[Call]:
    """``(N, *P, *K, C), (N, *P, O) -> (*K, C, O)``: the gradient in the kernel."""
    gather = Gather(windows, axes)
    o = y.shape[-1]
    own = out.reshape(gather.row, o) if out.flags.c_contiguous else scratch.keep((gather.row, o), out.dtype)
    part = scratch.keep(own.shape, out.dtype)
    calls: list[Call] = []
    for images in chunks(windows.shape[0], gather.bytes_each()):
        scratch.reset()
        copies, matrix = gather.matrix(images, scratch)
        more, grad = side_by_side(y[images], scratch.take)
        calls += copies + more
        target = own if images.start == 0 else part
        calls.append(partial(np.matmul, matrix.T, grad.reshape(-1, o), target))
        if target is part:
            calls.append(partial(np.add, own, part, own))
    if not out.flags.c_contiguous:
        calls.append(partial(np.copyto, out, own.reshape(out.shape)))
    return calls

"""Pools of images with their channels last, as NumPy calls.

Legend: N batch, S the axes of the image, P those of the map, C channels.
"""

from __future__ import annotations

from functools import partial

import numpy as np

from ...ops.pool import AvgPool, AvgPoolAdjoint, MaxPool, MaxPoolScatter
from ...ops.window import Sizes, meeting, offsets
from .maps import Call
from .scratch import Scratch, copy_runs, side_by_side
from .windows import Tail, chunks

SHORT_RUN = 64
"""With fewer channels, pixels that do not lie side by side are brought together first: loops over them are slow."""


def _together(pixels: np.ndarray, scratch: Scratch) -> tuple[list[Call], np.ndarray]:
    """Pixels ``(N, *P, C)`` of a larger image, side by side if that is worth it, and what brings them there."""
    return ([], pixels) if pixels.shape[-1] > SHORT_RUN else side_by_side(pixels, scratch.take)


def max_pool_calls(op: MaxPool, x: np.ndarray, out: np.ndarray, tail: Tail | None, scratch: Scratch) -> list[Call]:
    """The largest of each window: ``(N, *S, C) -> (N, *P, C)``."""
    size, count = x.shape[1:-1], out.shape[1:-1]
    calls: list[Call] = []
    for images in chunks(x.shape[0], x[:1].nbytes + out[:1].nbytes):
        scratch.reset()
        first = True
        for offset in offsets(op.kernel):
            inside, place = meeting(size, count, offset, op.stride, op.padding, op.dilation)
            pixel = x[images][(slice(None), *inside)]
            target = out[images][(slice(None), *place)]
            if not first:
                scratch.reset()
                more, pixel = _together(pixel, scratch)
                calls += more
            if first and target.shape != out[images].shape:
                calls.append(partial(out[images].fill, -np.inf))
                first = False
            calls.append(copy_runs(target, pixel) if first else partial(np.maximum, target, pixel, out=target))
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
    short = apart and out.shape[-1] <= SHORT_RUN
    for images in chunks(x.shape[0], 3 * x[:1].nbytes):
        scratch.reset()
        target, gradient, image, top = out[images], y[images], x[images], largest[images]
        free = scratch.take(top.shape, np.dtype(bool))
        wins = scratch.take(top.shape, np.dtype(bool))
        kept = scratch.take(top.shape, bits)
        if not covered:
            calls.append(partial(target.fill, 0))
        for number, offset in enumerate(cells):
            inside, place = meeting(size, count, offset, op.stride, op.padding, op.dilation)
            at, to = (slice(None), *place), target[(slice(None), *inside)]
            with scratch.marked():
                more, pixel = _together(image[(slice(None), *inside)], scratch)
            if not (covered and number == len(cells) - 1):
                calls += more
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
            direct = apart and not short
            calls.append(partial(np.bitwise_and, gradient[at].view(bits), mask, to.view(bits) if direct else mask))
            if short:
                calls.append(copy_runs(to, mask.view(out.dtype)))
            elif not apart:
                calls.append(partial(np.add, to, mask.view(out.dtype), to))
        if tail is not None:
            calls += tail(images, target)
    return calls


def avg_pool_calls(op: AvgPool, x: np.ndarray, out: np.ndarray, tail: Tail | None, scratch: Scratch) -> list[Call]:
    """The average of each window: ``(N, *S, C) -> (N, *P, C)``."""
    size, count = x.shape[1:-1], out.shape[1:-1]
    divisor = _divisor(op, size, count, out.dtype)
    calls: list[Call] = []
    for images in chunks(x.shape[0], x[:1].nbytes + out[:1].nbytes):
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
    for images in chunks(y.shape[0], y[:1].nbytes + out[:1].nbytes):
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

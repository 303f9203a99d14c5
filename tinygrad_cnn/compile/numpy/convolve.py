"""Convolution, its transpose, and its gradient in the kernel, of images with their channels last.

Legend: N batch, S the axes of the image, P those of the map, K those of the kernel, C channels of the image, O of the
map, G groups. Images lie inside a margin of zeros, so windows that reach beyond them are views as well.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from ...graph import Spec
from ...ops.conv import Conv, ConvTranspose, ConvWeight
from ...ops.window import Pairs, Sizes
from . import winograd
from .algorithms import pick, pick_transposed
from .fft import correlate_fft, weight_fft
from .maps import Call
from .scratch import Scratch, side_by_side
from .strips import Band, correlate_strips, transposed_rows, weight_strips
from .windows import Image, Tail, chunks, correlate, weight_by_windows


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


def _view_of(op: Conv | ConvWeight) -> tuple[Any, ...]:
    """What decides which windows of an image a convolution with 3x3 kernels reads."""
    return op.stride, op.padding, op.dilation


Work = tuple[list[Call], str]
"""The calls, and the name of the algorithm."""


def conv_calls(
    op: Conv, x: Image, weight: np.ndarray, out: np.ndarray, tail: Tail | None, scratch: Scratch, wish: str = "auto"
) -> Work:
    """Convolution: ``(N, *S, C), (*K, C/G, O) -> (N, *P, O)``. ``wish`` names an algorithm, to be taken if it can."""
    axes, groups = len(op.stride), op.groups
    windows = x.windows(op.padding, weight.shape[:axes], op.stride, op.dilation, out.shape[1:-1])
    if groups == 1:
        copies, weight = side_by_side(weight, scratch.keep)
        work, name = _correlate(windows, op, weight, out, tail, scratch, wish, x)
        return copies + work, name
    c, o = weight.shape[-2], out.shape[-1] // groups
    calls: list[Call] = []
    for g in range(groups):
        copies, kernel = side_by_side(weight[..., g * o : (g + 1) * o], scratch.keep)
        calls += copies
        part = windows[..., g * c : (g + 1) * c]
        calls += correlate(part, axes, kernel, out[..., g * o : (g + 1) * o], None, scratch)
    return calls + _finish(out, tail, scratch), "windows"


def _correlate(
    windows: np.ndarray, op: Conv, weight: np.ndarray, out: np.ndarray, tail: Tail | None, scratch: Scratch, wish: str,
    image: Image | None = None,
) -> Work:  # fmt: skip
    """``(N, *P, *K, C) x (*K, C, O) -> (N, *P, O)``. ``image`` is what the windows are taken of, if it is stored."""
    axes = len(op.stride)
    name, band = pick(windows, axes, op.stride, op.dilation, out.shape[-1], wish)
    if name == "winograd":
        tiles = winograd.Tiles(windows, out.shape[-1])
        if image is not None and image.read_twice and tiles.channels <= winograd.MOST_STORED:
            tiles.store(scratch)
            image.tiles[_view_of(op), tiles.out] = tiles
        return _by_tiles(tiles, weight, out, tail, scratch), name
    if band is not None:
        return correlate_strips(windows, axes, band, weight, out, tail, scratch), name
    if name == "fft":
        return correlate_fft(windows, axes, weight, out, tail, scratch), name
    return correlate(windows, axes, weight, out, tail, scratch), name


def _by_tiles(
    tiles: winograd.Tiles, weight: np.ndarray, out: np.ndarray, tail: Tail | None, scratch: Scratch
) -> list[Call]:
    calls, pieces = winograd.products(tiles, weight, scratch)
    for images, (work, output) in zip(tiles.chunks, pieces, strict=True):
        target = out[images]
        calls += [*work, partial(np.copyto, tiles.as_tiles(target), output)]
        if tail is not None:
            calls += tail(images, target)
    return calls


def _finish(out: np.ndarray, tail: Tail | None, scratch: Scratch) -> list[Call]:
    """The tail, where the head has written everything already."""
    if tail is None:
        return []
    calls: list[Call] = []
    for images in chunks(out.shape[0], 2 * out[:1].nbytes):
        scratch.reset()
        calls += tail(images, out[images])
    return calls


def transpose_margin(op: ConvTranspose, size: Sizes, kernel: Sizes) -> Pairs:
    """How much margin the map needs. ``size`` is that of the map."""
    pairs = []
    for axis in range(len(size)):
        before = after = 0
        for phase in phases_of(op, size, kernel, axis):
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


def phases_of(op: ConvTranspose, size: Sizes, kernel: Sizes, axis: int) -> list[_Phase]:
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
    return op.groups == 1 and has_phases(op)


def has_phases(op: ConvTranspose) -> bool:
    """The same, of convolutions that may have groups."""
    return all(s == 1 or d == 1 for s, d in zip(op.stride, op.dilation, strict=True))


def goes_by_rows(op: ConvTranspose, y: Spec, weight: Spec, wish: str) -> bool:
    """Whether a transposed convolution adds up rows instead of reading windows, and so needs no margin."""
    chosen = pick_transposed(op, y.shape[1:-1], weight.shape, y.shape[0], y.dtype.itemsize, wish)
    return chosen == "strips"


def transposed_calls(
    op: ConvTranspose, y: Image, weight: np.ndarray, out: np.ndarray, tail: Tail | None, scratch: Scratch,
    wish: str = "auto",
) -> Work:  # fmt: skip
    """Transposed convolution: ``(N, *P, O), (*K, C, O) -> (N, *S, C)``, by rows, or as a convolution for each phase."""
    axes = len(op.stride)
    size, kernel = y.inside.shape[1:-1], weight.shape[:axes]
    if goes_by_rows(op, Spec(y.inside.shape, out.dtype), Spec(weight.shape, out.dtype), wish):
        band = Band(size[-1], op.stride[-1], op.dilation[-1], weight.shape)
        copies, weight = side_by_side(weight, scratch.keep)
        return copies + transposed_rows(op, band, y.inside, weight, out, tail, scratch), "strips"
    calls: list[Call] = []
    per_axis = [phases_of(op, size, kernel, axis) for axis in range(axes)]
    whole = all(len(phases) == 1 and phases[0].count == n for phases, n in zip(per_axis, op.size, strict=True))
    names = set()
    for phase in itertools.product(*per_axis):
        place = tuple([slice(each.first, None, s) for each, s in zip(phase, op.stride, strict=True)])
        part = out[(slice(None), *place)]
        cells = weight[tuple([each.taps for each in phase])]
        if 0 in cells.shape:
            calls.append(partial(part.fill, 0))
            continue
        turned = scratch.keep((*cells.shape[:axes], cells.shape[-1], cells.shape[-2]), weight.dtype)
        calls.append(partial(np.copyto, turned, cells.swapaxes(-1, -2)))
        plain = Conv((1,) * axes, ((0, 0),) * axes, tuple([each.step for each in phase]))
        windows = y.windows(
            tuple([(each.pad, 0) for each in phase]), cells.shape[:axes], plain.stride, plain.dilation,
            tuple([each.count for each in phase]),
        )  # fmt: skip
        work, name = _correlate(windows, plain, turned, part, tail if whole else None, scratch, wish)
        calls += work
        names.add(name)
    name = " and ".join(sorted(names)) + (" by phase" if math.prod(op.stride) > 1 else "")
    return calls if whole else calls + _finish(out, tail, scratch), name


def weight_calls(
    op: ConvWeight, x: Image, y: np.ndarray, out: np.ndarray, scratch: Scratch, wish: str = "auto"
) -> Work:
    """The gradient in the kernel: ``(N, *S, C), (N, *P, O) -> (*K, C/G, O)``."""
    axes, groups = len(op.stride), op.groups
    windows = x.windows(op.padding, op.kernel, op.stride, op.dilation, y.shape[1:-1])
    c, o = windows.shape[-1] // groups, y.shape[-1] // groups
    if not windows.size:
        return [partial(out.fill, 0)], "windows"
    if groups > 1:
        calls: list[Call] = []
        for g in range(groups):
            part, grad = windows[..., g * c : (g + 1) * c], y[..., g * o : (g + 1) * o]
            calls += weight_by_windows(part, axes, grad, out[..., g * o : (g + 1) * o], scratch)
        return calls, "windows"
    name, band = pick(windows, axes, op.stride, op.dilation, o, wish)
    if name == "winograd":
        tiles = x.tiles.get((_view_of(op), o)) or winograd.Tiles(windows, o)
        return winograd.weight_products(tiles, y, out, scratch), name
    if band is not None:
        return weight_strips(windows, axes, band, y, out, scratch), name
    if name == "fft":
        return weight_fft(windows, axes, y, out, scratch), name
    return weight_by_windows(windows, axes, y, out, scratch), name

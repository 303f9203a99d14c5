"""Convolutions with few channels, several neighbouring pixels at a time.

A convolution along a strip of a row is a product with a banded matrix, whose columns hold the kernel at one place after
the other. Part of the matrix is zero, and yet for few channels it is quicker to multiply by it than to copy each window
into a row of its own: less is copied, and the product is wide, which processors like.

Legend as in ``windows.py``, with Q for the last axis of the map, X for that of the image, L for the other axes, and q
for the places of a strip.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.lib.stride_tricks import as_strided

from ...ops.conv import ConvTranspose
from ...ops.window import Sizes, meeting
from .maps import Call
from .scratch import Scratch, copy_runs, side_by_side
from .windows import Tail, chunks

LARGEST_BAND = 1 << 21
"""How many bytes a banded matrix has at most: it is read again and again."""


@dataclass(frozen=True)
class Band:
    """The banded matrix of a kernel: ``(cells along L, pixels of the strip * C, q * O)``."""

    places: int
    """q."""
    stride: int
    dilation: int
    kernel: tuple[int, ...]
    """``(*K, C, O)``."""

    @property
    def pixels(self) -> int:
        """How many pixels the windows of a strip reach."""
        return (self.places - 1) * self.stride + self.dilation * (self.kernel[-3] - 1) + 1

    @property
    def shape(self) -> tuple[int, int, int]:
        *lead, _, c, o = self.kernel
        return math.prod(lead), self.pixels * c, self.places * o

    def diagonals(self, matrix: np.ndarray) -> np.ndarray:
        """``(q, cells along L, K, C, O)``: where in the matrix the kernel stands, once for each place."""
        *_, k, c, o = self.kernel
        block, row, number = matrix.strides
        return as_strided(
            matrix,
            (self.places, matrix.shape[0], k, c, o),
            (self.stride * c * row + o * number, block, self.dilation * c * row, row, number),
        )

    def filled(self, weight: np.ndarray, scratch: Scratch) -> tuple[Call, np.ndarray]:
        """The call that writes the kernel into the matrix, and the matrix."""
        matrix = scratch.own(self.shape, weight.dtype)
        cells = weight.reshape(self.shape[0], *self.kernel[-3:])
        return partial(np.copyto, self.diagonals(matrix), cells), matrix


def strips_of(windows: np.ndarray, axes: int, band: Band) -> np.ndarray:
    """The strips that windows ``(N, *L, Q, *K, C)`` are taken of: ``(N, *L, Q / q, *K but the last, pixels * C)``."""
    lead, cells = range(axes), range(1 + axes, 2 * axes)
    count = windows.shape[axes] // band.places
    return as_strided(
        windows,
        (*[windows.shape[axis] for axis in lead], count, *[windows.shape[axis] for axis in cells], band.shape[1]),
        (
            *[windows.strides[axis] for axis in lead],
            band.places * windows.strides[axes],
            *[windows.strides[axis] for axis in cells],
            windows.itemsize,
        ),
    )


def correlate_strips(
    windows: np.ndarray, axes: int, band: Band, weight: np.ndarray, out: np.ndarray, tail: Tail | None,
    scratch: Scratch,
) -> list[Call]:  # fmt: skip
    """``(N, *L, Q, *K, C) x (*K, C, O) -> (N, *L, Q, O)``."""
    strips = strips_of(windows, axes, band)
    fill, matrix = band.filled(weight, scratch)
    matrix = matrix.reshape(-1, matrix.shape[-1])
    calls: list[Call] = [fill]
    for images in chunks(len(strips), strips[:1].size * strips.itemsize + 2 * out[:1].nbytes):
        scratch.reset()
        copied = scratch.take(strips[images].shape, strips.dtype)
        target = out[images]
        product = target if target.flags.c_contiguous else scratch.take(target.shape, out.dtype)
        calls.append(copy_runs(copied, strips[images]))
        calls.append(partial(np.matmul, copied.reshape(-1, len(matrix)), matrix, product.reshape(-1, matrix.shape[1])))
        if tail is not None:
            calls += tail(images, product)
        elif product is not target:
            calls.append(partial(np.copyto, target, product))
    return calls


def weight_strips(
    windows: np.ndarray, axes: int, band: Band, y: np.ndarray, out: np.ndarray, scratch: Scratch
) -> list[Call]:
    """The gradient in the kernel: that in the banded matrix, added up along its diagonals."""
    strips = strips_of(windows, axes, band)
    total, part = scratch.keep(band.shape, out.dtype), scratch.keep(band.shape, out.dtype)
    flat = (band.shape[0] * band.shape[1], band.shape[2])
    calls: list[Call] = []
    for images in chunks(len(strips), strips[:1].size * strips.itemsize + y[:1].nbytes):
        scratch.reset()
        copied = scratch.take(strips[images].shape, strips.dtype)
        copies, grad = side_by_side(y[images], scratch.take)
        calls += [copy_runs(copied, strips[images]), *copies]
        target = total if images.start == 0 else part
        matrix = copied.reshape(-1, flat[0])
        calls.append(partial(np.matmul, matrix.T, grad.reshape(len(matrix), flat[1]), target.reshape(flat)))
        if target is part:
            calls.append(partial(np.add, total, part, total))
    cells = out.reshape(band.shape[0], *band.kernel[-3:])
    calls.append(partial(np.add.reduce, band.diagonals(total), 0, None, cells))
    return calls


def transposed_rows(
    op: ConvTranspose, band: Band, y: np.ndarray, weight: np.ndarray, out: np.ndarray, tail: Tail | None,
    scratch: Scratch,
) -> list[Call]:  # fmt: skip
    """Transposed convolution ``(N, *L, Q, O) -> (N, *S, X, C)``: rows of the map times the band, added up."""
    axes = len(op.stride)
    c, before = band.kernel[-2], op.padding[-1][0]
    start, stop = max(before, 0), min(band.pixels, before + op.size[-1])
    fill, matrix = band.filled(weight, scratch)
    calls: list[Call] = [fill]
    lead = [range(k) for k in band.kernel[: axes - 1]]
    row = out.shape[-2] * c
    flat_out = as_strided(out, (*out.shape[:-2], row), (*out.strides[:-2], out.itemsize))
    columns = slice((start - before) * c, (stop - before) * c)
    for images in chunks(len(y), y[:1].nbytes + out[:1].nbytes):
        scratch.reset()
        copies, grad = side_by_side(y[images], scratch.take)
        calls += copies
        product = scratch.take((*grad.shape[:-2], (stop - start) * c), out.dtype)
        target = flat_out[images]
        calls.append(partial(target.fill, 0))
        for number, offset in enumerate(itertools.product(*lead)):
            inside, place = meeting(
                out.shape[1:-2], y.shape[1:-2], offset, op.stride[:-1], op.padding[:-1], op.dilation[:-1]
            )
            cells = matrix[number, start * c : stop * c].T
            calls.append(partial(np.matmul, grad.reshape(-1, len(cells)), cells, product.reshape(-1, cells.shape[1])))
            to = target[(slice(None), *inside, columns)]
            calls.append(partial(np.add, to, product[(slice(None), *place)], to))
        if tail is not None:
            calls += tail(images, out[images])
    return calls


def bands_of(windows: np.ndarray, axes: int, stride: Sizes, dilation: Sizes, out_channels: int) -> list[Band]:
    """The bands for windows ``(N, *P, *K, C)``: strips of all lengths that rows can be divided into.

    There are none where the pixels of a row do not lie one after the other.
    """
    steps = (windows.strides[axes], windows.strides[2 * axes])
    pixel = windows.shape[-1] * windows.itemsize
    if steps != (stride[-1] * pixel, dilation[-1] * pixel) or windows.strides[-1] != windows.itemsize:
        return []
    row, kernel = windows.shape[axes], (*windows.shape[1 + axes :], out_channels)
    bands = [Band(q, stride[-1], dilation[-1], kernel) for q in range(1, row + 1) if row % q == 0]
    return [band for band in bands if band.places > 1 and math.prod(band.shape) * windows.itemsize <= LARGEST_BAND]

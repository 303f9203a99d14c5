"""Convolutions with large kernels as products of spectra.

A correlation in space is a product in frequency, with one factor conjugated: ``Y = X * conj(W)``, summed over channels.
Its cost does not grow with the kernel. (The convolution theorem; for networks Mathieu, Henaff and LeCun, 2014)

The transforms are scaled by ``1 / sqrt(n)`` each way. (NumPy computes transforms of ``float32`` in that type, and in
the memory that it is given, only where there is a scale.)
"""

from __future__ import annotations

import math
from functools import partial

import numpy as np
from numpy.lib.stride_tricks import as_strided

from .maps import Call
from .scratch import Scratch
from .windows import Tail, chunks


def fits(windows: np.ndarray, axes: int) -> bool:
    """Whether windows ``(N, *P, *K, C)`` are those of neighbouring pixels."""
    return windows.strides[1 : 1 + axes] == windows.strides[1 + axes : 1 + 2 * axes] and windows.size > 0


def image_of(windows: np.ndarray, axes: int) -> np.ndarray:
    """The image ``(N, *P + *K - 1, C)`` that the windows are taken of."""
    pairs = zip(windows.shape[1 : 1 + axes], windows.shape[1 + axes :], strict=False)
    shape = (windows.shape[0], *[p + k - 1 for p, k in pairs], windows.shape[-1])
    return as_strided(windows, shape, (*windows.strides[: 1 + axes], windows.strides[-1]))


def good_length(length: int) -> int:
    """The next length whose transform is quick: a product of powers of 2, 3 and 5."""
    while True:
        rest = length
        for prime in (2, 3, 5):
            while rest % prime == 0:
                rest //= prime
        if rest == 1:
            return length
        length += 1


class _Spectra:
    """Transforms over the spatial axes, all of one size."""

    def __init__(self, image: np.ndarray, axes: int) -> None:
        self.size = tuple([good_length(length) for length in image.shape[1 : 1 + axes]])
        self.half = (*self.size[:-1], self.size[-1] // 2 + 1)
        self.dtype = np.result_type(image.dtype, 1j)
        self.bytes_each = 4 * math.prod(self.size) * image.itemsize

    def of(self, images: np.ndarray, out: np.ndarray, scratch: Scratch) -> list[Call]:
        """``(N, *S, C) -> (frequencies, N, C)``."""
        n, *lengths, c = images.shape
        last = len(lengths)
        with scratch.marked():
            cells = scratch.take((n, *self.half, c), self.dtype)
            inside = cells[(slice(None), *[slice(length) for length in lengths[:-1]])]
            calls: list[Call] = [partial(cells.fill, 0)] if last > 1 else []
            calls.append(partial(np.fft.rfft, images, self.size[-1], last, "ortho", inside))
            calls += [partial(np.fft.fft, cells, None, axis, "ortho", cells) for axis in range(1, last)]
            calls.append(partial(np.copyto, out, cells.reshape(n, -1, c).swapaxes(0, 1)))
        return calls

    def back(self, spectrum: np.ndarray, out: np.ndarray, scratch: Scratch) -> list[Call]:
        """``(frequencies, N, C) -> (N, *S, C)``: the numbers with the lowest coordinates, as many as ``out`` holds."""
        n, *lengths, c = out.shape
        last = len(lengths)
        with scratch.marked():
            cells = scratch.take((n, *self.half, c), self.dtype)
            numbers = scratch.take((n, *lengths[:-1], self.size[-1], c), out.dtype)
            inside = cells[(slice(None), *[slice(length) for length in lengths[:-1]])]
            return [
                partial(np.copyto, cells.reshape(n, -1, c), spectrum.swapaxes(0, 1)),
                *[partial(np.fft.ifft, cells, None, axis, "ortho", cells) for axis in range(1, last)],
                partial(np.fft.irfft, inside, self.size[-1], last, "ortho", numbers),
                partial(
                    np.multiply, numbers[..., : lengths[-1], :], out.dtype.type(math.sqrt(math.prod(self.size))), out
                ),
            ]

    def room(self, n: int, c: int) -> tuple[tuple[int, int, int], np.dtype]:
        """Shape and type of the spectra of ``n`` images of ``c`` channels."""
        return (math.prod(self.half), n, c), self.dtype


def correlate_fft(
    windows: np.ndarray, axes: int, weight: np.ndarray, out: np.ndarray, tail: Tail | None, scratch: Scratch
) -> list[Call]:
    """``(N, *P, *K, C) x (*K, C, O) -> (N, *P, O)``."""
    image = image_of(windows, axes)
    spectra = _Spectra(image, axes)
    c, o = weight.shape[-2:]
    kernel = scratch.keep(*spectra.room(1, c * o))
    scratch.reset()
    calls = spectra.of(weight.reshape(1, *weight.shape[:-2], c * o), kernel, scratch)
    calls.append(partial(np.conjugate, kernel, kernel))
    for images in chunks(len(image), spectra.bytes_each * max(c, o) // 32):
        scratch.reset()
        count = images.stop - images.start
        spectrum, product = scratch.take(*spectra.room(count, c)), scratch.take(*spectra.room(count, o))
        calls += spectra.of(image[images], spectrum, scratch)
        calls.append(partial(np.matmul, spectrum, kernel.reshape(-1, c, o), product))
        calls += spectra.back(product, out[images], scratch)
        if tail is not None:
            scratch.reset()
            calls += tail(images, out[images])
    return calls


def weight_fft(windows: np.ndarray, axes: int, y: np.ndarray, out: np.ndarray, scratch: Scratch) -> list[Call]:
    """``(N, *P, *K, C), (N, *P, O) -> (*K, C, O)``: the image correlated with the gradient."""
    image = image_of(windows, axes)
    spectra = _Spectra(image, axes)
    c, o = out.shape[-2:]
    total, part = [scratch.keep(*spectra.room(c, o)) for _ in range(2)]
    calls: list[Call] = []
    for images in chunks(len(image), spectra.bytes_each * max(c, o) // 32):
        scratch.reset()
        count = images.stop - images.start
        ours, theirs = scratch.take(*spectra.room(count, c)), scratch.take(*spectra.room(count, o))
        calls += [*spectra.of(image[images], ours, scratch), *spectra.of(y[images], theirs, scratch)]
        calls.append(partial(np.conjugate, theirs, theirs))
        calls.append(partial(np.matmul, ours.swapaxes(1, 2), theirs, part if images.start else total))
        if images.start:
            calls.append(partial(np.add, total, part, total))
    scratch.reset()
    return calls + spectra.back(total.reshape(-1, 1, c * o), out.reshape(1, *out.shape[:-2], c * o), scratch)

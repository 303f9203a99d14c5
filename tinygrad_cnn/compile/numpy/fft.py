"""Convolutions with large kernels as products of spectra.

A correlation in space is a product in frequency, with one factor conjugated: ``Y = X * conj(W)``, summed over channels.
Its cost does not grow with the kernel. (The convolution theorem; for networks Mathieu, Henaff and LeCun, 2014)

NumPy's transforms make arrays of their own, so this is the one algorithm that needs memory while it runs.
"""

from __future__ import annotations

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
        self.axes = tuple(range(1, 1 + axes))
        self.bytes_each = 4 * int(np.prod(self.size)) * image.itemsize

    def of(self, images: np.ndarray) -> np.ndarray:
        """``(N, *S, C) -> (frequencies, N, C)``."""
        spectrum = np.fft.rfftn(images, self.size, self.axes)
        n, c = images.shape[0], images.shape[-1]
        return np.ascontiguousarray(spectrum.reshape(n, -1, c).swapaxes(0, 1))

    def back(self, spectrum: np.ndarray) -> np.ndarray:
        """``(frequencies, N, C) -> (N, *S, C)``."""
        half = (*self.size[:-1], self.size[-1] // 2 + 1)
        cells = spectrum.swapaxes(0, 1).reshape(spectrum.shape[1], *half, spectrum.shape[2])
        return np.fft.irfftn(cells, self.size, self.axes)


def correlate_fft(
    windows: np.ndarray, axes: int, weight: np.ndarray, out: np.ndarray, tail: Tail | None, scratch: Scratch
) -> list[Call]:
    """``(N, *P, *K, C) x (*K, C, O) -> (N, *P, O)``."""
    image = image_of(windows, axes)
    spectra = _Spectra(image, axes)
    c, o = weight.shape[-2:]
    part = (slice(None), *[slice(p) for p in out.shape[1:-1]])
    kernels: list[np.ndarray] = [np.empty(0)]

    def transform_kernel() -> None:
        flat = weight.reshape(1, *weight.shape[:-2], c * o)
        kernels[0] = spectra.of(flat).reshape(-1, c, o).conj()

    def compute(images: slice) -> None:
        np.copyto(out[images], spectra.back(spectra.of(image[images]) @ kernels[0])[part])

    calls: list[Call] = [transform_kernel]
    for images in chunks(len(image), spectra.bytes_each * max(c, o) // 32):
        scratch.reset()
        calls.append(partial(compute, images))
        if tail is not None:
            calls += tail(images, out[images])
    return calls


def weight_fft(windows: np.ndarray, axes: int, y: np.ndarray, out: np.ndarray) -> list[Call]:
    """``(N, *P, *K, C), (N, *P, O) -> (*K, C, O)``: the image correlated with the gradient."""
    image = image_of(windows, axes)
    spectra = _Spectra(image, axes)
    c, o = out.shape[-2:]
    part = tuple([slice(k) for k in out.shape[:axes]])

    def compute() -> None:
        total = spectra.of(image).swapaxes(1, 2) @ spectra.of(y).conj()  # (frequencies, C, O)
        cells = spectra.back(total.reshape(len(total), 1, c * o))[0]
        np.copyto(out, cells[part].reshape(out.shape))

    return [compute]

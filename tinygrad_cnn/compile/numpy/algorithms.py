"""Which algorithm computes a convolution.

Each has an estimate of its time. They rest on how quickly one core copies runs of numbers and multiplies matrices: only
the proportions matter, and they differ little between processors. Measuring instead would make results depend on what
else the machine was doing, in their last digits.

- ``"windows"``: windows are copied into the rows of a matrix, which is multiplied by the kernel. Always possible.
- ``"strips"``: several pixels times a banded matrix, for few channels (``strips.py``).
- ``"winograd"``: 3x3 kernels with many channels (``winograd.py``).
- ``"fft"``: products of spectra, for large kernels (``fft.py``).
"""

from __future__ import annotations

import math

import numpy as np

from ...ops.conv import ConvTranspose
from ...ops.window import Sizes
from . import fft, winograd
from .strips import LARGEST_BAND, Band, bands_of

RUN, COPY, ADD = 3.0, 0.25, 0.6
"""Nanoseconds for a run of neighbouring numbers, for each number in it, and for adding a number to another."""
SPECTRUM, FREQUENCY = 1.5, 30.0
"""Nanoseconds for a number and a doubling of the size in a Fourier transform, and for a frequency's matrix product."""


def _product(macs: float, columns: int) -> float:
    """Nanoseconds for a matrix product: narrow ones are slow."""
    return 2 * macs * (columns + 28) / (100 * columns)


def _copy(runs: float, length: float) -> float:
    return runs * (RUN + COPY * length)


def pick(
    windows: np.ndarray, axes: int, stride: Sizes, dilation: Sizes, out_channels: int, wish: str
) -> tuple[str, Band | None]:
    """The algorithm for a convolution with windows ``(N, *P, *K, C)``, or for its gradient in the kernel.

    With it comes the banded matrix for strips.
    """
    if (wish == "winograd" and winograd.fits(windows)) or (wish == "auto" and winograd.suits(windows, out_channels)):
        return "winograd", None
    n, *places = windows.shape[: 1 + axes]
    c = windows.shape[-1]
    *lead, last = windows.shape[1 + axes : -1]
    total, cells = n * math.prod(places), math.prod(lead)
    macs = total * cells * last * c * out_channels
    times: dict[tuple[str, Band | None], float] = {}
    times["windows", None] = _copy(total * cells, last * c) + _product(macs, out_channels)
    for band in bands_of(windows, axes, stride, dilation, out_channels):
        length, wide = band.shape[1:]
        strips = total // band.places * cells
        fill = _copy(band.places * cells * last * c, out_channels)
        times["strips", band] = _copy(strips, length) + _product(strips * length * wide, wide) + fill
    if fft.fits(windows, axes):
        size = math.prod([p + k - 1 for p, k in zip(places, windows.shape[1 + axes :], strict=False)])
        spectra = n * c + n * out_channels + c * out_channels
        transforms = SPECTRUM * spectra * math.log2(size + 1)
        times["fft", None] = size * (transforms + FREQUENCY * (1 + n * c * out_channels / 16))
    wished = {found: time for found, time in times.items() if found[0] == wish} or times
    return min(wished, key=wished.__getitem__)


def pick_transposed(
    op: ConvTranspose, places: tuple[int, ...], kernel: tuple[int, ...], batch: int, itemsize: int, wish: str
) -> str:
    """The algorithm for a transposed convolution of a map ``(N, *P, O)`` with a kernel ``(*K, C, O)``."""
    *lead, last, c, o = kernel
    band = Band(places[-1], op.stride[-1], op.dilation[-1], kernel)
    if op.groups > 1 or math.prod(band.shape) * itemsize > LARGEST_BAND:
        return "windows"
    if wish in ("windows", "strips"):
        return wish
    pixels = batch * math.prod(op.size)
    share = math.prod(lead) * last / math.prod(op.stride)
    by_windows = _copy(pixels * share / max(1, last / op.stride[-1]), o * max(1, last / op.stride[-1]))
    by_windows += _product(pixels * share * o * c, c)
    row = op.size[-1] * c
    numbers = batch * math.prod(places[:-1]) * math.prod(lead) * row
    by_rows = (
        _product(numbers * places[-1] * o, row) + ADD * numbers + _copy(places[-1] * math.prod(lead) * last * c, o)
    )
    return "strips" if by_rows < by_windows else "windows"

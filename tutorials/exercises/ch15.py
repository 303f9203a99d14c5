"""Exercises of chapter 15, convolution as a matrix."""

import numpy as np


def doubly_blocked(kernel: np.ndarray, height: int, width: int) -> np.ndarray:
    """The matrix of a convolution without padding, for images (height, width) put row behind row.

    For a kernel ``(kH, kW)`` it is ``((height - kH + 1) * (width - kW + 1), height * width)``. The kernel is not
    flipped.
    """
    raise NotImplementedError


def col2im(columns: np.ndarray, shape: tuple[int, int, int], k: int) -> np.ndarray:
    """Add every column back to its window: ``(C * k * k, places)`` to an image of ``shape = (C, H, W)``.

    Rows are in the order channel, row of the kernel, column of the kernel; columns in the order of places, row by row.
    """
    raise NotImplementedError


def circulant(kernel: np.ndarray, n: int) -> np.ndarray:
    """The matrix ``(n, n)`` of a convolution on a ring: weight k of row i stands in column ``(i + k) % n``."""
    raise NotImplementedError

"""Exercises of chapter 11, correlation and convolution: write them, then ``pytest tutorials/exercises -m ch11``."""

from __future__ import annotations

import numpy as np


def sum_of_dice(count: int, faces: int) -> np.ndarray:
    """The chances of the sums ``count`` to ``count * faces`` of so many fair dice."""
    raise NotImplementedError


def correlate_fourier(x: np.ndarray, w: np.ndarray) -> np.ndarray:
    """The valid correlation of an image with a kernel that is not larger, through the Fourier transform."""
    raise NotImplementedError


def combine(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """The kernel whose correlation does what the correlation with ``a``, then with ``b``, does."""
    raise NotImplementedError

"""Exercises of chapter 16, transposed convolution."""

import numpy as np


def paintings(n: int, k: int, s: int) -> np.ndarray:
    """How often a transposed convolution of ``n`` numbers paints each of its ``(n - 1) * s + k`` outputs.

    The kernel has ``k`` weights, the stride is ``s``, and nothing is cut away.
    """
    raise NotImplementedError


def linear_kernel(s: int) -> np.ndarray:
    """The kernel with which a transposed convolution of stride ``s`` interpolates linearly: ``2s - s % 2`` weights."""
    raise NotImplementedError

"""Exercises of chapter 12, classic kernels: write the functions, then ``pytest tutorials/exercises -m ch12``."""

from __future__ import annotations

import numpy as np


def noise_gain(kernel: np.ndarray) -> float:
    """By which factor the standard deviation of independent noise changes."""
    raise NotImplementedError


def separate(kernel: np.ndarray) -> tuple[np.ndarray, np.ndarray] | None:
    """The column and the row whose product the kernel is, or ``None``."""
    raise NotImplementedError


def kirsch() -> np.ndarray:
    """Kirsch's eight kernels, ``(8, 3, 3)``, clockwise from the one with its fives at the top."""
    raise NotImplementedError

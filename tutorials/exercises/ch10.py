"""Exercises of chapter 10, why not an MLP: write the functions, then ``pytest tutorials/exercises -m ch10``."""

from __future__ import annotations

import numpy as np


def dense_parameters(inputs: int, outputs: int) -> int:
    """The weights and biases of a dense layer."""
    raise NotImplementedError


def conv_parameters(kernel: int, channels: int, kernels: int) -> int:
    """The weights and biases of a convolution with so many square kernels, ``kernel`` pixels high and wide."""
    raise NotImplementedError


def weights_from_pairs(images: np.ndarray, maps: np.ndarray) -> np.ndarray:
    """The smallest weights ``(m, n)`` that take each of the images ``(pairs, n)`` to its map ``(pairs, m)``."""
    raise NotImplementedError


def shift(images: np.ndarray, down: int, right: int) -> np.ndarray:
    """Images ``(N, C, H, W)``, moved by whole pixels in either direction; zeros come in."""
    raise NotImplementedError

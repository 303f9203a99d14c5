"""Exercises of chapter 14, the gradient of a convolution: write them, then ``pytest tutorials/exercises -m ch14``."""

from __future__ import annotations

import numpy as np

import tinygrad_cnn as tg


def weight_gradient(
    x: np.ndarray, g: np.ndarray, kernel: int, stride: int = 1, padding: int = 0, dilation: int = 1
) -> np.ndarray:
    """The gradient in the ``kernel`` weights, for a signal ``x`` and the gradient ``g`` in its map."""
    raise NotImplementedError


def image_gradient(
    g: np.ndarray, w: np.ndarray, n: int, stride: int = 1, padding: int = 0, dilation: int = 1
) -> np.ndarray:
    """The gradient in the ``n`` numbers of the signal, for the kernel ``w`` and the gradient ``g`` in the map."""
    raise NotImplementedError


def slide(x: tg.Tensor, w: tg.Tensor) -> tg.Tensor:
    """Each signal of ``(N, L)`` correlated with ``(K,)``: one operation of your own, to be differentiated twice."""
    raise NotImplementedError

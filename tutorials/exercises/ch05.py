"""Tensors and broadcasting: write the functions, then run ``pytest tutorials/exercises -m ch05``."""

from __future__ import annotations

import numpy as np

import tinygrad_cnn as tg


def mean_gradient(grad: np.ndarray, shape: tuple[int, ...], axis: int) -> np.ndarray:
    """The gradient in an array of ``shape``, given the gradient in its mean along ``axis``."""
    raise NotImplementedError


def broadcast_shape(a: tuple[int, ...], b: tuple[int, ...]) -> tuple[int, ...]:
    """The common shape of two shapes. Raises ``ValueError`` where they do not broadcast."""
    raise NotImplementedError


def unbroadcast(grad: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """The gradient in an array of ``shape`` that was broadcast to the shape of ``grad``."""
    raise NotImplementedError


def distances(a: tg.Tensor, b: tg.Tensor) -> tg.Tensor:
    """The squared distance of each point of ``a`` (n, d) from each of ``b`` (m, d), as a table (n, m)."""
    raise NotImplementedError

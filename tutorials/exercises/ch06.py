"""Products, sums and positions: write the functions, then run ``pytest tutorials/exercises -m ch06``."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

import tinygrad_cnn as tg


def logsumexp(x: np.ndarray, axis: int) -> np.ndarray:
    """``log(sum(exp(x)))`` along an axis, right for numbers of any size and for infinities."""
    raise NotImplementedError


def scatter_rows(values: np.ndarray, places: Sequence[int], count: int) -> np.ndarray:
    """Zeros of ``count`` rows, with row i of ``values`` added in at ``places[i]``, as a matrix product."""
    raise NotImplementedError


def softmax_vjp(p: np.ndarray, g: np.ndarray) -> np.ndarray:
    """The gradient in the inputs of a softmax with result ``p``, given ``g`` in the result; both (n,)."""
    raise NotImplementedError


def distances(a: tg.Tensor, b: tg.Tensor) -> tg.Tensor:
    """The squared distance of each point of ``a`` (n, d) from each of ``b`` (m, d), by one matrix product."""
    raise NotImplementedError

"""The formula first, the numbers later: write the functions, then run ``pytest tutorials/exercises -m ch07``."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

import tinygrad_cnn as tg


def power(x: tg.Tensor, n: int) -> tg.Tensor:
    """``x`` to the power ``n``, a whole number from 1 up, by squaring: few products, no other operation."""
    raise NotImplementedError


def run_graph(output: tg.Tensor, values: Mapping[tg.Tensor, np.ndarray]) -> np.ndarray:
    """The numbers of ``output``, given those of its symbols, by a loop over the nodes."""
    raise NotImplementedError


def matmul_macs(output: tg.Tensor) -> int:
    """The multiply-adds of all matrix products that ``output`` rests on."""
    raise NotImplementedError


def step_graph(n: int) -> tuple[tg.Tensor, tg.Tensor, tg.Tensor, tg.Tensor, tg.Tensor]:
    """A step of gradient descent on the mean of ``(w * x - y)**2`` over ``n`` points.

    Returns the symbols ``w``, ``x``, ``y`` and the rate, and the new ``w``.
    """
    raise NotImplementedError

"""The gradient is a graph: write the functions, then run ``pytest tutorials/exercises -m ch08``."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

import tinygrad_cnn as tg


def hvp(function: Callable[[tg.Tensor], tg.Tensor], x: np.ndarray, v: np.ndarray) -> np.ndarray:
    """The Hessian of ``function`` (a tensor to one number) at ``x``, times ``v``; both of any one shape."""
    raise NotImplementedError


def newton_step(gradient: np.ndarray, hessian: np.ndarray) -> np.ndarray:
    """Newton's step, with the absolute values of the Hessian's eigenvalues: (n,) and (n, n) to (n,)."""
    raise NotImplementedError


def jvp(function: Callable[[tg.Tensor], tg.Tensor], x: np.ndarray, v: np.ndarray) -> np.ndarray:
    """The Jacobian of ``function`` at ``x``, times ``v``: how its result moves when ``x`` moves along ``v``."""
    raise NotImplementedError

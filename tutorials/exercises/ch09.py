"""Losses, optimisers, modules: write the functions, then run ``pytest tutorials/exercises -m ch09``."""

from __future__ import annotations

from typing import Any

import numpy as np

import tinygrad_cnn as tg


def cross_entropy(scores: np.ndarray, classes: np.ndarray) -> tuple[float, np.ndarray]:
    """The mean loss of scores (n, classes), and its gradient in them; right for scores of any size."""
    raise NotImplementedError


def adam_step(
    theta: np.ndarray, g: np.ndarray, m: np.ndarray, v: np.ndarray, t: int, rate: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The new ``theta``, ``m`` and ``v`` after step ``t`` = 1, 2, ... of Adam with its usual constants."""
    raise NotImplementedError


def save_point(model: tg.nn.Module, optimiser: tg.optim.Optimizer) -> Any:
    """All that is needed to go on with a training later."""
    raise NotImplementedError


def go_on(model: tg.nn.Module, optimiser: tg.optim.Optimizer, point: Any) -> None:
    """Restore what :func:`save_point` gave."""
    raise NotImplementedError

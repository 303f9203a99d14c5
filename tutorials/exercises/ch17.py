"""Exercises of chapter 17, pooling."""

import numpy as np


def max_pool_gradient(image: np.ndarray, grad: np.ndarray, k: int) -> np.ndarray:
    """The gradient in an image ``(H, W)`` of maximum pooling, given the gradient ``(H / k, W / k)`` in the outputs.

    Windows of ``k`` by ``k`` do not overlap. Of several largest pixels, the first in row-major order gets all.
    """
    raise NotImplementedError


def stochastic_mean(image: np.ndarray, k: int) -> np.ndarray:
    """What stochastic pooling of an image ``(H, W)`` gives on average: ``(H / k, W / k)``; 0 for a window of zeros."""
    raise NotImplementedError

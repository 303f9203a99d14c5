"""Exercises of chapter 18: 1x1, grouped and local convolutions."""

import numpy as np


def separable_error(weight: np.ndarray) -> float:
    """How near a depthwise convolution with a 1x1 after it comes to a full one with the weight ``(O, C, k, k)``.

    Returns the smallest possible sum of squared differences between ``weight`` and the weight of such a pair.
    """
    raise NotImplementedError


def grouped(x: np.ndarray, weight: np.ndarray, groups: int) -> np.ndarray:
    """A convolution in groups, made of convolutions without: ``(N, C, H, W), (O, C / groups, k, k) -> (N, O, ...)``."""
    raise NotImplementedError

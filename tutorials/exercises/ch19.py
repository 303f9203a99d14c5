"""Exercises of chapter 19: signals, images, volumes."""

import numpy as np

import tinygrad_cnn as tg


def separable(x: np.ndarray, line: np.ndarray) -> np.ndarray:
    """Correlate an array of any number of axes with ``line`` along each axis in turn, without padding."""
    raise NotImplementedError


def causal(x: tg.Tensor, w: tg.Tensor, dilation: int = 1) -> tg.Tensor:
    """A correlation of a signal ``(L,)`` with a kernel ``(k,)`` that never looks ahead.

    Output t is the sum over j of ``w[j] * x[t - (k - 1 - j) * dilation]``; before the signal there are zeros.
    """
    raise NotImplementedError

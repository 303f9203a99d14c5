"""Chapter 21, normalise and regularise: fill in the functions, then run ``pytest tutorials/exercises -m ch21``."""

import numpy as np


def layer_norm_gradient(grad: np.ndarray, x: np.ndarray, eps: float = 1e-5) -> np.ndarray:
    """The gradient in ``x`` (samples, features) of normalising each sample over its features, from that above."""
    raise NotImplementedError


def folded(
    weight: np.ndarray,
    bias: np.ndarray,
    gamma: np.ndarray,
    beta: np.ndarray,
    mean: np.ndarray,
    var: np.ndarray,
    eps: float = 1e-5,
) -> tuple[np.ndarray, np.ndarray]:
    """Weight (outputs, inputs) and bias of the one layer that does what a dense layer and a batch normalisation do."""
    raise NotImplementedError


def dropout_variance(x: float, p: float) -> float:
    """The variance of the number ``x`` behind a dropout with probability ``p``."""
    raise NotImplementedError

"""Chapter 20, LeNet: fill in the functions, then run ``pytest tutorials/exercises -m ch20``."""

import numpy as np

from tinygrad_cnn import nn


def last_bias_gradient(logits: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """The gradient of the mean cross entropy in the last bias: logits (N, K) and labels (N,) to (K,)."""
    raise NotImplementedError


def precision_and_recall(counts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Precision and recall of each class, (K,) each, from the confusion matrix ``counts[label, guess]``.

    A class that was never guessed has precision 0.
    """
    raise NotImplementedError


def lenet_without(layer: str | None) -> nn.Sequential:
    """LeNet-5 for images (N, 1, 28, 28) without one layer; a convolution or dense layer takes its ReLU along.

    The layer is ``"conv1"``, ``"pool1"``, ``"conv2"``, ``"pool2"``, ``"fc1"`` or ``"fc2"``; with ``None`` all stay.
    """
    raise NotImplementedError

"""Chapter 23, deeper networks: fill in the functions, then run ``pytest tutorials/exercises -m ch23``."""

import numpy as np

from tinygrad_cnn import nn


def split_in_four(kernel: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Weights (4, 1, 3, 3) and (1, 4, 3, 3) of two convolutions that together are the one with this kernel (5, 5)."""
    raise NotImplementedError


def conv_work(
    shape: tuple[int, int, int], filters: int, kernel: int, stride: int = 1, padding: int = 0, groups: int = 1
) -> int:
    """The multiply-adds of a convolution of an image (C, H, W) with square kernels."""
    raise NotImplementedError


def slim_vgg(num_classes: int = 1000) -> nn.Sequential:
    """The convolutions of VGG-16, the mean over each map, and one dense layer."""
    raise NotImplementedError

"""Adam on NumPy arrays, for frameworks that leave the optimiser to their users."""

from __future__ import annotations

import numpy as np
from nets import RATE


class Adam:
    """Changes the arrays in place. (Kingma and Ba, 2015, algorithm 1)"""

    def __init__(self, arrays: list[np.ndarray]) -> None:
        self.arrays = arrays
        self.means = [np.zeros_like(each) for each in arrays]
        self.squares = [np.zeros_like(each) for each in arrays]
        self.count = 0

    def step(self, slopes: list[np.ndarray]) -> None:
        self.count += 1
        rate, root = RATE / (1 - 0.9**self.count), (1 - 0.999**self.count) ** 0.5
        for array, mean, square, slope in zip(self.arrays, self.means, self.squares, slopes, strict=True):
            mean *= 0.9
            mean += 0.1 * slope
            square *= 0.999
            square += 0.001 * slope * slope
            array -= rate * mean / (np.sqrt(square) / root + 1e-8)

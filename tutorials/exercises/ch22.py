"""Chapter 22, augmentation: fill in the functions, then run ``pytest tutorials/exercises -m ch22``."""

import numpy as np


def kernel_of_shifts(f: float, times: int) -> np.ndarray:
    """The kernel that equals so many shifts by ``f`` of a pixel, with linear interpolation, one after the other."""
    raise NotImplementedError


def half_turned(images: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Digits (N, 1, H, W) turned by half a turn, with the labels they then have; what is no digit then is left out.

    0, 1 and 8 keep their label, 6 and 9 change places.
    """
    raise NotImplementedError


def random_crop(images: np.ndarray, padding: int, random: np.random.Generator) -> np.ndarray:
    """Windows of the size of the images (N, C, H, W), each at a random place of its image with zeros around it."""
    raise NotImplementedError

from __future__ import annotations

from collections import Counter
from itertools import product

import ch11
import numpy as np
import pytest

from tinygrad_cnn.nn import functional as F


@pytest.mark.parametrize(("count", "faces"), [(1, 6), (2, 6), (3, 4), (5, 2)])
def test_sum_of_dice(count: int, faces: int) -> None:
    throws = Counter(map(sum, product(range(1, faces + 1), repeat=count)))
    expected = [throws[total] / faces**count for total in range(count, count * faces + 1)]
    assert np.allclose(ch11.sum_of_dice(count, faces), expected)


@pytest.mark.parametrize(("x", "w"), [((5, 5), (3, 3)), ((6, 9), (1, 4)), ((4, 4), (4, 4)), ((7, 5), (2, 1))])
def test_correlate_fourier(x: tuple[int, int], w: tuple[int, int]) -> None:
    random = np.random.default_rng(0)
    image, kernel = random.standard_normal(x), random.standard_normal(w)
    found = ch11.correlate_fourier(image, kernel)
    expected = F.correlate2d(image, kernel).numpy()
    assert found.shape == expected.shape
    assert np.allclose(found, expected)


@pytest.mark.parametrize(("a", "b"), [((3, 3), (3, 3)), ((1, 4), (2, 1)), ((2, 3), (1, 1))])
def test_combine(a: tuple[int, int], b: tuple[int, int]) -> None:
    random = np.random.default_rng(0)
    first, second, image = random.standard_normal(a), random.standard_normal(b), random.standard_normal((9, 9))
    expected = F.correlate2d(F.correlate2d(image, first), second).numpy()
    assert np.allclose(F.correlate2d(image, ch11.combine(first, second)).numpy(), expected)

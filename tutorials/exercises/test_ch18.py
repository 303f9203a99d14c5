"""Checks for the exercises of chapter 18."""

import ch18
import numpy as np
import pytest

import tinygrad_cnn.nn.functional as F

pytestmark = pytest.mark.ch18


def test_separable_error_of_a_pair() -> None:
    """What is separable has no error; what is added at right angles to it is all error."""
    random = np.random.default_rng(18)
    pair = random.standard_normal((3, 3, 3)) * random.standard_normal((5, 3, 1, 1))
    assert ch18.separable_error(pair) < 1e-20
    two = np.zeros((2, 1, 2, 2))
    two[0, 0, 0, 0], two[1, 0, 1, 1] = 3, 2  # two filters that share no cell
    np.testing.assert_allclose(ch18.separable_error(two), 4)


def test_no_pair_is_nearer() -> None:
    """Random pairs, each scaled as well as can be, are never nearer."""
    random = np.random.default_rng(18)
    weight = random.standard_normal((4, 1, 3, 3))
    best = ch18.separable_error(weight)
    assert best > 0
    for _ in range(200):
        pair = random.standard_normal((1, 3, 3)) * random.standard_normal((4, 1, 1, 1))
        scale = (pair * weight).sum() / (pair**2).sum()
        assert ((weight - scale * pair) ** 2).sum() >= best - 1e-9


@pytest.mark.parametrize(("channels", "filters", "groups"), [(6, 9, 3), (4, 4, 4), (4, 8, 4), (3, 2, 1)])
def test_grouped(channels: int, filters: int, groups: int) -> None:
    """It gives what the package gives with ``groups``."""
    random = np.random.default_rng(18)
    x, weight = random.standard_normal((2, channels, 5, 6)), random.standard_normal((filters, channels // groups, 3, 2))
    expected = F.conv2d(x, weight, groups=groups).numpy()
    np.testing.assert_allclose(np.asarray(ch18.grouped(x, weight, groups)), expected, atol=1e-12)

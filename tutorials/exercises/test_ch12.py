from __future__ import annotations

import ch12
import numpy as np
import pytest

import tinygrad_cnn as tg


@pytest.mark.parametrize(("name", "expected"), [("identity", 1), ("sharpen", 29**0.5), ("box_blur_9", 1 / 9)])
def test_noise_gain(name: str, expected: float) -> None:
    assert np.isclose(ch12.noise_gain(tg.filters.get_filter(name)), expected)


@pytest.mark.parametrize("shape", [(3, 3), (2, 5), (4, 1), (1, 1)])
def test_separate(shape: tuple[int, int]) -> None:
    random = np.random.default_rng(0)
    kernel = np.outer(random.standard_normal(shape[0]), random.standard_normal(shape[1]))
    found = ch12.separate(kernel)
    assert found is not None
    column, row = found
    assert (column.shape, row.shape) == (shape[:1], shape[1:])
    assert np.allclose(np.outer(column, row), kernel)


@pytest.mark.parametrize("name", ["laplacian", "sharpen", "emboss", "outline", "kirsch_n"])
def test_what_does_not_come_apart(name: str) -> None:
    assert ch12.separate(tg.filters.get_filter(name)) is None


def test_kirsch() -> None:
    ways = ("n", "ne", "e", "se", "s", "sw", "w", "nw")
    assert np.array_equal(ch12.kirsch(), [tg.filters.get_filter(f"kirsch_{way}") for way in ways])

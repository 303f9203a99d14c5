from __future__ import annotations

import ch10
import numpy as np
import pytest

from tinygrad_cnn import nn


def parameters(layer: nn.Module) -> int:
    return sum(each.numel() for each in layer.parameters())


@pytest.mark.parametrize(("inputs", "outputs"), [(1, 1), (64, 10), (25_088, 4096)])
def test_dense_parameters(inputs: int, outputs: int) -> None:
    assert ch10.dense_parameters(inputs, outputs) == parameters(nn.Linear(inputs, outputs))


@pytest.mark.parametrize(("kernel", "channels", "kernels"), [(1, 64, 32), (3, 1, 1), (5, 3, 10)])
def test_conv_parameters(kernel: int, channels: int, kernels: int) -> None:
    assert ch10.conv_parameters(kernel, channels, kernels) == parameters(nn.Conv2d(channels, kernels, kernel))


def test_weights_from_pairs() -> None:
    random = np.random.default_rng(0)
    weights, images = random.standard_normal((9, 25)), random.standard_normal((25, 25))
    assert np.allclose(ch10.weights_from_pairs(images, images @ weights.T), weights, atol=1e-6)
    few = images[:5]
    found = ch10.weights_from_pairs(few, few @ weights.T)
    assert found.shape == (9, 25)
    assert np.allclose(few @ found.T, few @ weights.T)
    assert np.linalg.norm(found) < np.linalg.norm(weights)


@pytest.mark.parametrize("down", [-5, -3, -1, 0, 2, 4])
@pytest.mark.parametrize("right", [-4, -1, 0, 1, 5])
def test_shift(down: int, right: int) -> None:
    images = np.arange(1.0, 25.0).reshape(1, 2, 4, 3)
    before = images.copy()
    found = ch10.shift(images, down, right)
    for c, i, j in np.ndindex(2, 4, 3):
        inside = 0 <= i - down < 4 and 0 <= j - right < 3
        assert found[0, c, i, j] == (images[0, c, i - down, j - right] if inside else 0)
    assert (images == before).all()

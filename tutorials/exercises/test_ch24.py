"""Checks of the exercises of chapter 24."""

from itertools import product

import ch24
import numpy as np
import pytest

import tinygrad_cnn as tg
from tinygrad_cnn import nn

pytestmark = pytest.mark.ch24


@pytest.mark.parametrize(("depth", "growth"), [(1, 2.0), (10, 2.0), (40, 5.0)])
def test_brake(depth: int, growth: float) -> None:
    assert np.isclose((1 + ch24.brake(depth, growth) ** 2) ** depth, growth)


def test_ways_left() -> None:
    ways = list(product((0, 1), repeat=6))
    for removed in range(7):
        assert np.isclose(ch24.ways_left(6, removed), np.mean([not any(way[:removed]) for way in ways]))


def test_share_of_ways() -> None:
    lengths = [sum(way) for way in product((0, 1), repeat=7)]
    for low, high in ((0, 7), (2, 4), (3, 3), (6, 7)):
        assert np.isclose(ch24.share_of_ways(7, low, high), np.mean([low <= length <= high for length in lengths]))


def test_start_at_zero() -> None:
    given = nn.Sequential(nn.BasicBlock(4, 4), nn.BasicBlock(4, 4))
    network = ch24.start_at_zero(given)
    assert network is given
    image = tg.Tensor(np.random.default_rng(0).uniform(0, 1, (2, 4, 5, 5)).astype("float32"))
    output = network(image)
    assert np.array_equal(output.numpy(), image.numpy())
    (output * output).sum().backward()
    for block in given:
        assert any(np.abs(each.grad.numpy()).max() > 0 for each in block.parameters() if each.grad is not None)


def test_shortcut_a() -> None:
    x = np.random.default_rng(0).standard_normal((2, 3, 5, 8))
    for channels, stride in ((3, 1), (4, 2), (7, 3)):
        y = ch24.shortcut_a(x, channels, stride)
        assert y.shape == (2, channels, -(-5 // stride), -(-8 // stride))
        assert np.array_equal(y[:, :3], x[:, :, ::stride, ::stride])
        assert not y[:, 3:].any()

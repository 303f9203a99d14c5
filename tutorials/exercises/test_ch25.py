"""Checks of the exercises of chapter 25."""

import ch25
import numpy as np
import pytest

import tinygrad_cnn as tg
import tinygrad_cnn.nn.functional as F
from tinygrad_cnn import nn

pytestmark = pytest.mark.ch25

STACKS = [
    [(3, 1, 0, 1), (3, 1, 0, 1)],
    [(3, 2, 0, 1), (4, 1, 0, 2), (3, 1, 0, 1)],
    [(2, 1, 0, 3), (3, 3, 0, 2), (2, 2, 0, 1)],
    [(1, 3, 0, 1), (3, 1, 0, 1)],
]


def ways(layers: list[tuple[int, int, int, int]]) -> np.ndarray:
    """The gradient of one unit in the pixels of its field, for weights of 1."""
    length = 1
    for kernel, stride, _, dilation in reversed(layers):
        length = (length - 1) * stride + dilation * (kernel - 1) + 1
    x = tg.Tensor(np.zeros((1, 1, length)), requires_grad=True)
    y = x
    for kernel, stride, _, dilation in layers:
        y = F.conv1d(y, tg.Tensor(np.ones((1, 1, kernel))), stride=stride, dilation=dilation)
    assert y.shape == (1, 1, 1)
    return tg.grad(y.sum(), x).numpy()[0, 0]


@pytest.mark.parametrize(("size", "kernel"), [(1, 3), (3, 3), (10, 3), (1024, 2), (30, 5)])
def test_dilations_for(size: int, kernel: int) -> None:
    found = ch25.dilations_for(size, kernel)
    reached = ways([(kernel, 1, 0, d) for d in found]) if found else np.ones(1)
    assert (reached == 1).all()
    assert len(reached) >= size > len(reached) // kernel


@pytest.mark.parametrize("layers", STACKS)
def test_width(layers: list[tuple[int, int, int, int]]) -> None:
    share = ways(layers) / ways(layers).sum()
    places = np.arange(len(share))
    assert np.isclose(ch25.width(layers) ** 2, (share * places**2).sum() - (share * places).sum() ** 2)


@pytest.mark.parametrize("layers", STACKS)
def test_holes(layers: list[tuple[int, int, int, int]]) -> None:
    assert ch25.holes(layers) == int((ways(layers) == 0).sum())


@pytest.mark.parametrize("unit", [0, 2])
def test_centre(unit: int) -> None:
    layers = [(3, 2, 1, 1), (4, 1, 0, 2), (2, 2, 1, 1)]
    model = nn.Sequential(*[nn.Conv1d(1, 1, k, s, p, d) for k, s, p, d in layers])
    seen = tg.inspect.receptive_field(model, (1, 1, 40), unit=(unit,))
    assert ch25.centre(layers, unit) == (seen.first[0] + seen.last[0]) / 2

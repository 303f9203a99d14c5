from __future__ import annotations

import ch14
import numpy as np
import pytest

import tinygrad_cnn as tg
from tinygrad_cnn.graph import topological_order
from tinygrad_cnn.nn import functional as F

SETTINGS = [(1, 0, 1), (2, 0, 1), (2, 1, 1), (1, 2, 2), (3, 1, 2), (4, 0, 1)]


@pytest.mark.parametrize("settings", SETTINGS)
@pytest.mark.parametrize("n", [9, 10])
@pytest.mark.parametrize("kernel", [1, 2, 3])
def test_both_gradients(n: int, kernel: int, settings: tuple[int, int, int]) -> None:
    random = np.random.default_rng(0)
    x, w = (tg.Tensor(random.standard_normal(each), requires_grad=True) for each in (n, kernel))
    y = F.correlate1d(x, w, *settings)
    g = random.standard_normal(y.shape)
    in_x, in_w = (each.numpy() for each in tg.grad((y * g).sum(), [x, w]))
    assert np.allclose(ch14.weight_gradient(x.numpy(), g, kernel, *settings), in_w)
    assert np.allclose(ch14.image_gradient(g, w.numpy(), n, *settings), in_x)


def test_slide() -> None:
    random = np.random.default_rng(0)
    x, w = random.standard_normal((3, 7)), random.standard_normal(4)
    y = ch14.slide(tg.Tensor(x, requires_grad=True), tg.Tensor(w))
    assert np.allclose(y.numpy(), [np.correlate(each, w, "valid") for each in x])
    assert len([node for node in topological_order([y.node]) if node.inputs]) == 1
    tg.testing.check_grad(ch14.slide, [x, w], order=2)

from __future__ import annotations

from itertools import product

import ch13
import numpy as np
import pytest

import tinygrad_cnn as tg
from tinygrad_cnn.nn import functional as F


def places(n: int, kernel: int, stride: int, padding: int, dilation: int) -> int:
    y = F.conv1d(tg.symbol((1, 1, n)), tg.symbol((1, 1, kernel)), None, stride, padding, dilation)
    return y.shape[2]


def test_chain() -> None:
    assert ch13.chain(32, [(5, 1, 0), (2, 2, 0), (5, 1, 0), (2, 2, 0)]) == [28, 14, 10, 5]
    assert ch13.chain(224, [(7, 2, 3), (3, 2, 1), (3, 2, 1), (3, 2, 1), (3, 2, 1)]) == [112, 56, 28, 14, 7]
    assert ch13.chain(9, []) == []


@pytest.mark.parametrize("stride", [1, 2, 3])
def test_zeros_for(stride: int) -> None:
    for wanted, n, kernel, dilation in product(range(1, 6), range(1, 8), range(1, 4), (1, 2)):
        extent = dilation * (kernel - 1) + 1
        counts = [(n + zeros - extent) // stride + 1 for zeros in range(40)]
        expected = counts.index(wanted) if wanted in counts else None
        assert ch13.zeros_for(wanted, n, kernel, stride, dilation) == expected


def test_refute() -> None:
    def right(n: int, kernel: int, stride: int, padding: int, dilation: int) -> int:
        return (n + 2 * padding - dilation * (kernel - 1) - 1) // stride + 1

    assert ch13.refute(right) is None
    for wrong in (
        lambda n, k, s, p, d: right(n, k, s, p, d) - 1,
        lambda n, k, s, p, d: (n + 2 * p - d * k) // s + 1,
        lambda n, k, s, p, d: right(n, k, s, p, 1),
        lambda n, k, s, p, d: round((n + 2 * p - d * (k - 1) - 1) / s + 1),
    ):
        setting = ch13.refute(wrong)
        assert setting is not None
        assert wrong(*setting) != places(*setting)


@pytest.mark.parametrize(("stride", "padding", "dilation"), [(1, 0, 1), (3, 0, 1), (4, 1, 1), (5, 2, 2), (2, 0, 3)])
def test_unseen(stride: int, padding: int, dilation: int) -> None:
    for n, kernel in product(range(8, 13), (1, 2, 3)):
        x = tg.Tensor(np.zeros((1, 1, n)), requires_grad=True)
        y = F.conv1d(x, np.ones((1, 1, kernel)), None, stride, padding, dilation)
        expected = np.nonzero(tg.grad(y.sum(), x).numpy()[0, 0] == 0)[0].tolist()
        assert ch13.unseen(n, kernel, stride, padding, dilation) == expected

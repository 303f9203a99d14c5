from __future__ import annotations

from collections import Counter

import ch07
import numpy as np
import pytest

import tinygrad_cnn as tg
from tinygrad_cnn.graph import topological_order

pytestmark = pytest.mark.ch07


@pytest.mark.parametrize("n", [1, 2, 3, 7, 8, 31, 100])
def test_power(n: int) -> None:
    x = tg.symbol((), dtype="float64")
    y = ch07.power(x, n)
    assert np.isclose(tg.evaluate(y, {x: 1.1}).item(), 1.1**n)
    count = Counter(node.op.name for node in topological_order([y.node]))
    assert count["mul"] + count["square"] <= n.bit_length() + n.bit_count() - 2
    assert count["pow"] == 0


def test_run_graph_on_symbols_and_numbers() -> None:
    a, b = tg.symbol((2, 3)), tg.symbol((3, 2))
    bias = tg.Tensor([[1.0, 2.0], [3.0, 4.0]], requires_grad=True)
    values = {a: np.ones((2, 3), np.float32), b: np.arange(6, dtype=np.float32).reshape(3, 2)}
    y = (a @ b + bias).tanh().sum(0) * 2.0
    assert np.allclose(ch07.run_graph(y, values), tg.evaluate(y, values).numpy())


def test_run_graph_on_a_network() -> None:
    model = tg.models.lenet5()
    x = tg.symbol((2, 1, 32, 32))
    y = model(x)
    values = {x: np.random.default_rng(0).standard_normal(x.shape).astype(np.float32)}
    assert np.allclose(ch07.run_graph(y, values), tg.evaluate(y, values).numpy(), atol=1e-6)


def test_run_graph_computes_shared_nodes_once() -> None:
    x = tg.symbol((), dtype="float64")
    y = x
    for _ in range(40):  # 2**40 paths
        y = y + y
    assert ch07.run_graph(y, {x: np.array(1.0)}) == 2.0**40


def test_matmul_macs() -> None:
    a, b, c = tg.symbol((5, 7)), tg.symbol((7, 11)), tg.symbol((3, 11, 2))
    assert ch07.matmul_macs(a @ b) == 5 * 7 * 11
    assert ch07.matmul_macs((a @ b).relu() @ c) == 5 * 7 * 11 + 3 * 5 * 11 * 2


def test_step_graph() -> None:
    w, x, y, rate, new_w = ch07.step_graph(4)
    xs, ys = [1.0, 2.0, 3.0, 4.0], [1.0, 0.0, 2.0, -1.0]
    expected = 0.5 - 0.1 * sum(2 * (0.5 * a - b) * a for a, b in zip(xs, ys, strict=True)) / 4
    found = tg.evaluate(new_w, {w: 0.5, x: xs, y: ys, rate: 0.1})
    assert np.isclose(found.item(), expected)

"""Random numbers: their distribution, and that a seed repeats them."""

from __future__ import annotations

import numpy as np
import pytest

import tinygrad_cnn as tg
from tinygrad_cnn import ops
from tinygrad_cnn.backend.random import Generator
from tinygrad_cnn.errors import ArgumentError, DTypeError
from tinygrad_cnn.ops.random import uniform_like

MANY = 100_000


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_uniform_numbers(dtype):
    numbers = uniform_like(tg.Tensor(np.zeros(MANY, dtype))).numpy()
    assert numbers.dtype == dtype
    assert numbers.min() >= 0.0
    assert numbers.max() < 1.0
    counts, _ = np.histogram(numbers, bins=10, range=(0, 1))
    assert np.abs(counts - MANY / 10).max() < 5 * np.sqrt(MANY * 0.1 * 0.9)  # five standard deviations


@pytest.mark.parametrize("p", [0.1, 0.5, 0.9])
def test_dropout_zeroes_a_share_of_p_and_keeps_the_mean(p):
    x = np.random.default_rng(0).uniform(1.0, 2.0, MANY).astype(np.float32)
    y = ops.dropout(tg.Tensor(x), p)
    assert y.dtype == np.float32
    dropped = y.numpy() == 0
    assert abs(dropped.mean() - p) < 5 * np.sqrt(p * (1 - p) / MANY)
    np.testing.assert_allclose(y.numpy()[~dropped], x[~dropped] / (1 - p), rtol=1e-6)
    assert abs(y.numpy().mean() - x.mean()) < 5 * 2.0 * np.sqrt(p / (1 - p) / MANY)


def test_each_element_is_dropped_on_its_own():
    kept = ops.dropout(tg.Tensor(np.ones((1000, 100), np.float32)), 0.5).numpy() > 0
    assert abs(np.mean(kept[:, :-1] == kept[:, 1:]) - 0.5) < 0.01
    assert abs(np.mean(kept[:-1] == kept[1:]) - 0.5) < 0.01


def test_the_ends_of_the_scale():
    x = tg.Tensor(np.array([1.0, -2.0, 3.0]), requires_grad=True)
    assert ops.dropout(x, 0.0).tolist() == [1.0, -2.0, 3.0]
    everything = ops.dropout(x, 1.0)
    assert everything.numpy().tolist() == [0.0, 0.0, 0.0]
    assert tg.grad(everything.sum(), x).tolist() == [0.0, 0.0, 0.0]


def test_without_training_nothing_happens():
    x = tg.Tensor([1.0, 2.0])
    assert ops.dropout(x, 0.5, training=False) is x


@pytest.mark.parametrize("p", [-0.1, 1.1, float("nan")])
def test_a_p_that_is_no_probability_is_an_error(p):
    with pytest.raises(ArgumentError, match="no probability"):
        ops.dropout(tg.Tensor([1.0]), p)


def test_dropout_of_integers_is_an_error():
    with pytest.raises(DTypeError):
        ops.dropout(tg.Tensor([1, 2]))


def test_a_seed_repeats_the_numbers():
    x = tg.Tensor(np.ones(100))
    tg.seed(7)
    first, second = ops.dropout(x).numpy(), ops.dropout(x).numpy()
    assert (first != second).any()
    tg.seed(7)
    np.testing.assert_array_equal(ops.dropout(x).numpy(), first)
    np.testing.assert_array_equal(ops.dropout(x).numpy(), second)
    tg.seed(8)
    assert (ops.dropout(x).numpy() != first).any()


def test_a_generator_of_ones_own_leaves_the_default_one_alone():
    x = tg.Tensor(np.ones(100))
    tg.seed(7)
    first = ops.dropout(x).numpy()
    tg.seed(7)
    own = ops.dropout(x, generator=Generator(3)).numpy()
    np.testing.assert_array_equal(ops.dropout(x).numpy(), first)
    np.testing.assert_array_equal(ops.dropout(x, generator=Generator(3)).numpy(), own)


def test_the_gradient_flows_where_the_numbers_did():
    x = tg.Tensor(np.ones(100), requires_grad=True)
    y = ops.dropout(x, 0.3)
    np.testing.assert_array_equal(tg.grad(y.sum(), x).numpy(), y.numpy())


def test_second_order():
    def function(x):
        tg.seed(1)
        return ops.dropout(x, 0.4) ** 3

    tg.testing.check_grad(function, [np.linspace(-1.0, 1.0, 6)], order=2)


def test_a_symbolic_graph_draws_anew_each_time_it_runs():
    x = tg.symbol((100,))
    y = ops.dropout(x)
    ones = np.ones(100, np.float32)
    tg.seed(7)
    first, second = [tg.evaluate(y, {x: ones}).numpy() for _ in range(2)]
    assert (first != second).any()
    tg.seed(7)
    np.testing.assert_array_equal(ops.dropout(tg.Tensor(ones)).numpy(), first)


def test_one_draw_serves_the_output_and_its_gradient():
    x = tg.symbol((100,))
    y = ops.dropout(x, 0.3)
    slopes = tg.grad(y.sum(), x)
    out, slope = tg.evaluate([y, slopes], {x: np.ones(100, np.float32)})
    np.testing.assert_array_equal(out.numpy(), slope.numpy())

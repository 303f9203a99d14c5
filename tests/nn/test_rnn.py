"""Recurrent layers: the formulas in plain loops, layouts, symbols, scopes, time in the length of the sequence."""

from __future__ import annotations

import re

import numpy as np
import pytest

import tinygrad_cnn as tg
from tinygrad_cnn import nn
from tinygrad_cnn.errors import ArgumentError, ShapeError
from tinygrad_cnn.graph import topological_order

CELLS = {nn.RNN: nn.RNNCell, nn.GRU: nn.GRUCell, nn.LSTM: nn.LSTMCell}


def normal(*shape, dtype="float32"):
    return tg.Tensor(np.random.default_rng(0).standard_normal(shape).astype(dtype))


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def by_hand(kind, x, state, w_ih, w_hh, b_ih, b_hh):
    """One step for one sequence, number by number."""
    h = state[0]
    given = [sum(w_ih[row, i] * x[i] for i in range(len(x))) + b_ih[row] for row in range(len(w_ih))]
    kept = [sum(w_hh[row, i] * h[i] for i in range(len(h))) + b_hh[row] for row in range(len(w_hh))]
    size, new, cell = len(h), [], []
    for k in range(size):
        if kind is nn.RNN:
            new.append(np.tanh(given[k] + kept[k]))
        elif kind is nn.GRU:
            r = sigmoid(given[k] + kept[k])
            z = sigmoid(given[size + k] + kept[size + k])
            n = np.tanh(given[2 * size + k] + r * kept[2 * size + k])
            new.append((1 - z) * n + z * h[k])
        else:
            i, f, g, o = (given[gate * size + k] + kept[gate * size + k] for gate in range(4))
            cell.append(sigmoid(f) * state[1][k] + sigmoid(i) * np.tanh(g))
            new.append(sigmoid(o) * np.tanh(cell[-1]))
    return [np.array(new), np.array(cell)] if cell else [np.array(new)]


@pytest.mark.parametrize("kind", CELLS)
def test_the_formula(kind):
    layer = kind(3, 2).to("float64")
    x = normal(4, 2, 3, dtype="float64")
    outputs, last = layer(x)
    numbers = [leaf.numpy() for leaf in layer.parameters()]
    for sequence in range(2):
        state = [np.zeros(2)] * (2 if kind is nn.LSTM else 1)
        for step in range(4):
            state = by_hand(kind, x.numpy()[step, sequence], state, *numbers)
            np.testing.assert_allclose(outputs.numpy()[step, sequence], state[0], rtol=1e-12)
        for one, other in zip(last if kind is nn.LSTM else [last], state, strict=True):
            np.testing.assert_allclose(one.numpy()[0, sequence], other, rtol=1e-12)


@pytest.mark.parametrize("kind", CELLS)
def test_a_layer_is_its_cell_step_by_step(kind):
    layer, cell = kind(3, 4), CELLS[kind](3, 4)
    cell.load_state_dict({name: layer.state_dict()[f"{name}_l0"] for name in cell.state_dict()})
    x, state = normal(5, 2, 3), None
    outputs, last = layer(x)
    for step in range(5):
        state = cell(x[step], state)
        h = state[0] if kind is nn.LSTM else state
        np.testing.assert_allclose(h.numpy(), outputs[step].numpy(), rtol=1e-4, atol=1e-6)
    assert (last[0] if kind is nn.LSTM else last).shape == (1, 2, 4)


@pytest.mark.parametrize("kind", CELLS)
def test_gradients(kind):
    layer = kind(2, 2, num_layers=2, bidirectional=True).to("float64")
    x, memory = normal(3, 1, 2, dtype="float64"), normal(4, 1, 2, dtype="float64")
    tg.testing.check_grad(lambda x, h: layer(x, (h, h) if kind is nn.LSTM else h)[0], [x, memory])


@pytest.mark.parametrize("kind", CELLS)
def test_the_second_direction_reads_from_the_end(kind):
    both, one = kind(3, 4, bidirectional=True), kind(3, 4)
    one.load_state_dict({name: both.state_dict()[f"{name}_reverse"] for name in one.state_dict()})
    x = normal(5, 2, 3)
    backwards = one(x.flip(0))[0].flip(0)
    np.testing.assert_allclose(both(x)[0].numpy()[..., 4:], backwards.numpy(), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("kind", CELLS)
def test_symbols_have_the_shapes_and_a_box_for_each_step(kind):
    layer = kind(3, 4, 2, batch_first=True, bidirectional=True)
    outputs, last = layer(tg.symbol((2, 5, 3)))
    assert outputs.shape == (2, 5, 8)
    assert (last[1] if kind is nn.LSTM else last).shape == (4, 2, 4)
    assert all(leaf._array is None for leaf in layer.parameters())
    scopes = {node.scope for node in topological_order([outputs.node]) if node.inputs}
    name = kind.__name__.lower()
    assert {f"{name}/layer{k}/{d}/step{t}" for k in (0, 1) for d in ("forward", "reverse") for t in range(5)} <= scopes
    x = normal(2, 5, 3)
    symbol = tg.symbol((2, 5, 3))
    found = tg.evaluate(layer(symbol)[0], {symbol: x.numpy()})
    np.testing.assert_allclose(np.asarray(found), layer(x)[0].numpy(), rtol=1e-5, atol=1e-6)
    single = kind(3, 4)(tg.symbol((5, 2, 3)))[0]
    assert f"{name}/layer0/step3" in {node.scope for node in topological_order([single.node])}


def test_dropout_lies_between_the_layers_in_training_only():
    layer = nn.GRU(3, 4, 2, dropout=1.0)
    x = normal(5, 2, 3)
    trained = layer(x)[0].numpy()
    assert np.allclose(trained, layer(x + 1)[0].numpy())  # the second layer gets nothing of the first
    assert not np.allclose(layer.eval()(x)[0].numpy(), trained)
    one = nn.GRU(3, 4, 1, dropout=1.0)
    assert not np.allclose(one(x)[0].numpy(), one(x + 1)[0].numpy())  # there is no layer after it


def test_the_gradient_takes_time_in_proportion_to_the_length():
    """No step's gradient is padded to the whole length: all arrays together grow by little more than it."""

    def elements(length):
        x = tg.symbol((length, 2, 3))
        output = nn.GRU(3, 4)(x)[0].sum()
        return sum(node.spec.size for node in topological_order([tg.grad(output, x).node]))

    assert elements(128) < 1.4 * 4 * elements(32)


def test_float32_stays_float32():
    outputs, (h, c) = nn.LSTM(3, 4)(normal(2, 1, 3))
    assert outputs.dtype == h.dtype == c.dtype == np.float32


def test_text_form():
    assert repr(nn.RNN(3, 4, 2, "relu", batch_first=True)) == (
        "RNN(3, 4, num_layers=2, nonlinearity='relu', batch_first=True)"
    )
    assert repr(nn.LSTMCell(3, 4, bias=False)) == "LSTMCell(3, 4, bias=False)"


@pytest.mark.parametrize(
    ("call", "kind", "says"),
    [
        (lambda: nn.GRU(3, 4)(normal(5, 2, 4)), ShapeError, "(L, N, input_size) with input_size = 3"),
        (lambda: nn.GRU(1, 4)(normal(5)), ShapeError, "x.unsqueeze(-1)"),
        (lambda: nn.GRU(3, 4, batch_first=True)(normal(0, 2, 3)), ShapeError, "no axis of length 0"),
        (lambda: nn.GRU(3, 4)(normal(5, 2, 3), normal(2, 4)), ShapeError, "(1, 2, 4)"),
        (lambda: nn.LSTM(3, 4)(normal(5, 2, 3), normal(1, 2, 4)), ShapeError, "(1, 2, 4) and (1, 2, 4)"),
        (lambda: nn.GRUCell(3, 4)(normal(5, 2, 3)), ShapeError, "without 'Cell' takes whole sequences"),
        (lambda: nn.GRUCell(3, 4)(normal(2, 3), normal(3, 4)), ShapeError, "(2, 4)"),
        (lambda: nn.RNN(3, 4, nonlinearity="sigmoid"), ArgumentError, "'tanh' or 'relu'"),
        (lambda: nn.GRU(3, 0), ArgumentError, "counted from 1"),
        (lambda: nn.GRU(3, 4, 0), ArgumentError, "num_layers >= 1"),
    ],
)
def test_errors_teach(call, kind, says):
    with pytest.raises(kind, match=re.escape(says)):
        call()

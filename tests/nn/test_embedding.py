"""Embedding: rows, padding, gradients that add up, errors."""

from __future__ import annotations

import re

import numpy as np
import pytest

import tinygrad_cnn as tg
from tinygrad_cnn import nn
from tinygrad_cnn.errors import ArgumentError, DTypeError, PositionError, ShapeError
from tinygrad_cnn.graph import topological_order
from tinygrad_cnn.nn import functional as F


def test_rows_are_looked_up_and_their_gradients_add_up():
    layer = nn.Embedding(5, 3)
    numbers = tg.Tensor([[1, 4, 1], [0, 1, 4]])
    weights = np.random.default_rng(0).standard_normal((2, 3, 3)).astype("float32")
    output = layer(numbers)
    (output * tg.Tensor(weights)).sum().backward()
    expected = np.zeros((5, 3), "float32")
    for row in range(2):
        for column in range(3):
            assert (output.numpy()[row, column] == layer.weight.numpy()[numbers.numpy()[row, column]]).all()
            expected[numbers.numpy()[row, column]] += weights[row, column]
    np.testing.assert_allclose(layer.weight.grad.numpy(), expected, rtol=1e-6)


@pytest.mark.parametrize("padding", [2, -3])
def test_the_padding_row_starts_at_0_and_learns_nothing(padding):
    layer = nn.Embedding(5, 3, padding)
    assert (layer.weight.numpy()[2] == 0).all()
    assert (layer.weight.numpy()[[0, 1, 3, 4]] != 0).all()
    layer(tg.Tensor([2, 1, 2])).sum().backward()
    assert layer.weight.grad.numpy().tolist() == [[0.0] * 3, [1.0] * 3, *[[0.0] * 3] * 3]
    assert repr(layer) == "Embedding(5, 3, padding_idx=2)"


def test_the_gradient_is_added_in_place_by_place():
    """No one-hot matrix (numbers times table) is made: the largest array is the table or the output."""
    table = tg.symbol((1000, 4))
    numbers = tg.symbol((300,), "int64")
    gradient = tg.grad(F.embedding(numbers, table, 0).sum(), table)
    nodes = topological_order([gradient.node])
    assert max(node.spec.size for node in nodes) == 4000
    assert "index_add" in {node.op.name for node in nodes}


@pytest.mark.parametrize(
    ("call", "kind", "says"),
    [
        (lambda: nn.Embedding(5, 3)(tg.Tensor([5])), PositionError, "0 <= number < num_embeddings = 5"),
        (lambda: nn.Embedding(5, 3)(tg.Tensor([-1])), PositionError, "numbers from -1 to -1"),
        (lambda: nn.Embedding(5, 3)(tg.Tensor([1.0])), DTypeError, 'tensor.to("int64")'),
        (lambda: F.embedding([1], tg.Tensor([1.0])), ShapeError, "(num_embeddings, embedding_dim)"),
        (lambda: nn.Embedding(5, 3, 5), ArgumentError, "no row 5"),
        (lambda: nn.Embedding(0, 3), ArgumentError, "rows and columns"),
    ],
)
def test_errors_teach(call, kind, says):
    with pytest.raises(kind, match=re.escape(says)):
        call()

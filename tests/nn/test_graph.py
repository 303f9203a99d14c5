"""Graph convolution: neighbours in plain loops, batches of graphs, order of the nodes, errors."""

from __future__ import annotations

import math
import re

import numpy as np
import pytest

import tinygrad_cnn as tg
from tinygrad_cnn import nn
from tinygrad_cnn.errors import DTypeError, ShapeError
from tinygrad_cnn.nn import functional as F

EDGES = [(0, 1), (0, 2), (2, 3), (2, 4)]  # node 5 is alone


def adjacency(count=6):
    matrix = np.zeros((count, count))
    for one, other in EDGES:
        matrix[one, other] = matrix[other, one] = 1
    return matrix


def neighbours(node):
    return [node] + [b if a == node else a for a, b in EDGES if node in (a, b)]


def test_sums_over_neighbours_by_hand():
    layer = nn.GraphConv(2, 3).to("float64")
    layer.bias.assign(np.arange(3.0))
    x = np.random.default_rng(0).standard_normal((6, 2))
    found = layer(tg.Tensor(x), F.normalize_adjacency(adjacency())).numpy()
    weight = layer.weight.numpy()
    for node in range(6):
        total = np.arange(3.0)
        for other in neighbours(node):
            total = total + weight @ x[other] / math.sqrt(len(neighbours(node)) * len(neighbours(other)))
        np.testing.assert_allclose(found[node], total, rtol=1e-12)


def test_without_loops_a_lonely_node_has_zeros_and_no_nan():
    edges = tg.Tensor(adjacency(), requires_grad=True)
    graph = F.normalize_adjacency(edges, self_loops=False)
    assert (graph.numpy()[5] == 0).all()
    assert graph.numpy()[0, 1] == pytest.approx(1 / math.sqrt(2))
    graph.sum().backward()
    assert np.isfinite(edges.grad.numpy()).all()


def test_gradients():
    layer, graph = nn.GraphConv(2, 3).to("float64"), tg.Tensor(adjacency() + 0.5)
    x = tg.Tensor(np.random.default_rng(0).standard_normal((6, 2)))
    tg.testing.check_grad(lambda x, graph: layer(x, F.normalize_adjacency(graph)), [x, graph])


def test_a_batch_of_graphs_is_each_graph_alone():
    graphs = np.stack([adjacency(), adjacency()[::-1, ::-1]])
    x = np.random.default_rng(0).standard_normal((2, 6, 4))
    layer = nn.GraphConv(4, 3).to("float64")
    together = layer(tg.Tensor(x), F.normalize_adjacency(graphs)).numpy()
    for number in range(2):
        alone = layer(tg.Tensor(x[number]), F.normalize_adjacency(graphs[number].copy())).numpy()
        np.testing.assert_allclose(together[number], alone, rtol=1e-12)


def test_the_order_of_the_nodes_does_not_matter():
    order = np.array([3, 0, 5, 1, 4, 2])
    layer = nn.GraphConv(4, 3).to("float64")
    x = np.random.default_rng(0).standard_normal((6, 4))
    one = layer(tg.Tensor(x), F.normalize_adjacency(adjacency())).numpy()[order]
    other = layer(tg.Tensor(x[order]), F.normalize_adjacency(adjacency()[order][:, order])).numpy()
    np.testing.assert_allclose(one, other, rtol=1e-12)


def test_symbols_allocate_nothing():
    layer = nn.GraphConv(4, 3)
    assert layer(tg.symbol((2, 6, 4)), F.normalize_adjacency(tg.symbol((6, 6)))).shape == (2, 6, 3)
    assert layer.weight._array is None


@pytest.mark.parametrize(
    ("call", "kind", "says"),
    [
        (lambda: F.normalize_adjacency(np.zeros((2, 3))), ShapeError, "(..., n, n)"),
        (lambda: F.normalize_adjacency(np.zeros((2, 2), int)), DTypeError, "floating-point"),
        (lambda: nn.GraphConv(2, 3)(tg.symbol((5, 2)), tg.symbol((6, 6))), ShapeError, "with one n"),
        (lambda: nn.GraphConv(2, 3)(tg.symbol((6, 4)), tg.symbol((6, 6))), ShapeError, "in_features"),
    ],
)
def test_errors_teach(call, kind, says):
    with pytest.raises(kind, match=re.escape(says)):
        call()

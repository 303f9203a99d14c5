"""The graph convolutional network: how far it sees, and that labels spread."""

from __future__ import annotations

import numpy as np

import tinygrad_cnn as tg
from tinygrad_cnn import models
from tinygrad_cnn.nn import functional as F


def chain(count):
    matrix = np.zeros((count, count), "float32")
    for node in range(count - 1):
        matrix[node, node + 1] = matrix[node + 1, node] = 1
    return F.normalize_adjacency(matrix)


def test_it_sees_two_edges_far():
    model = models.gcn(3, 2).eval()
    x = np.random.default_rng(0).random((6, 3), "float32")
    before = model(tg.Tensor(x), chain(6)).numpy()
    x[0] += 5
    changed = (model(tg.Tensor(x), chain(6)).numpy() != before).any(1)
    assert changed.tolist() == [True, True, True, False, False, False]


def test_two_labels_spread_over_two_halves():
    model, graph = models.gcn(6, 2, dropout=0.0), chain(6)
    x = tg.Tensor(np.eye(6, dtype="float32"))
    optimizer = tg.optim.Adam(model.parameters(), lr=0.05)
    for _ in range(40):
        optimizer.zero_grad()
        F.cross_entropy(model(x, graph)[[0, 5]], tg.Tensor([0, 1])).backward()
        optimizer.step()
    assert model(x, graph).argmax(1).tolist() == [0, 0, 0, 1, 1, 1]


def test_in_training_features_are_dropped():
    model, x = models.gcn(3, 2), tg.Tensor(np.ones((6, 3), "float32"))
    assert not np.allclose(model(x, chain(6)).numpy(), model(x, chain(6)).numpy())

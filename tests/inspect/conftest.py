"""A network that can tell a bright square on the left from one on the right."""

from __future__ import annotations

import functools

import numpy as np
import pytest

import tinygrad_cnn as tg
from tinygrad_cnn import nn
from tinygrad_cnn.nn import functional as F


def squares(count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Grey noise with a bright 3x3 square in the left or the right half."""
    random = np.random.default_rng(seed)
    images = random.uniform(0.0, 0.3, (count, 1, 12, 12)).astype(np.float32)
    labels = random.integers(0, 2, count)
    for image, label in zip(images, labels, strict=True):
        row, column = random.integers(0, 10), random.integers(0, 4) + 6 * label
        image[0, row : row + 3, column : column + 3] = 1.0
    return images, labels


@pytest.fixture
def trained() -> nn.Module:
    """The network on the device of the test, with the numbers that one training gave."""
    model = network()
    model.load_state_dict({name: tg.Tensor(numbers) for name, numbers in learned().items()})
    return model


@functools.cache
def learned() -> dict[str, np.ndarray]:
    with tg.device("cpu"):
        tg.seed(0)
        model = network()
        optimizer = tg.optim.Adam(model.parameters(), lr=0.01)
        images, labels = squares(128, 1)
        for _ in range(25):
            optimizer.zero_grad()
            F.cross_entropy(model(tg.Tensor(images)), tg.Tensor(labels)).backward()
            optimizer.step()
        return {name: each.numpy() for name, each in model.state_dict().items()}


def network() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(1, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 8, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Linear(288, 2),
    )  # fmt: skip

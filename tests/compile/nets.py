"""Small networks that hold everything a compiled training step meets."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

import tinygrad_cnn as tg
from tinygrad_cnn import nn

F = nn.functional


class Residual(nn.Module):
    """Two branches that meet, with strides, normalisation and channels that are padded."""

    def __init__(self) -> None:
        self.first = nn.Conv2d(2, 4, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(4)
        self.second = nn.Conv2d(4, 6, 3, stride=2, padding=1)
        self.head = nn.Linear(6, 5)

    def forward(self, x: tg.Tensor) -> tg.Tensor:
        y = tg.relu(self.norm(self.first(x)))
        z = self.second(y) + tg.pad(y[:, :, ::2, ::2], (0, 0, 0, 0, 1, 1))
        return self.head(tg.relu(z).mean((2, 3)))


class Shared(nn.Module):
    """One layer that is used twice."""

    def __init__(self) -> None:
        self.layer = nn.Linear(8, 8)
        self.head = nn.Linear(8, 5)

    def forward(self, x: tg.Tensor) -> tg.Tensor:
        return self.head(tg.tanh(self.layer(tg.tanh(self.layer(x)))))


def convolutional() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(2, 4, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(4, 6, 3), nn.ReLU(), nn.AvgPool2d(2),
        nn.Flatten(), nn.Linear(6, 5),
    )  # fmt: skip


def with_dropout() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(2, 4, 3, bias=False),
        nn.BatchNorm2d(4),
        nn.ReLU(),
        nn.Dropout(0.4),
        nn.Flatten(),
        nn.Dropout(0.2),
        nn.Linear(144, 5),
    )


def autoencoder() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(2, 4, 3, stride=2, padding=1),
        nn.ReLU(),
        nn.ConvTranspose2d(4, 2, 4, stride=2, padding=1),
        nn.Sigmoid(),
    )


def grouped() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(2, 4, 3, groups=2, dilation=2, padding=2), nn.GroupNorm(2, 4), nn.GELU(),
        nn.Conv2d(4, 4, 3, groups=4), nn.MaxPool2d(3, 2, 1), nn.Flatten(), nn.Linear(36, 5),
    )  # fmt: skip


def wide() -> nn.Module:
    """Weights that are large enough for native code to divide them among the threads."""
    return nn.Sequential(
        nn.Linear(128, 144), nn.Tanh(), nn.Linear(144, 120), nn.ReLU(), nn.Linear(120, 144), nn.Sigmoid(),
        nn.Linear(144, 5),
    )  # fmt: skip


IMAGES, ROWS, LONG_ROWS = (6, 2, 8, 8), (6, 8), (6, 128)
NETS: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...]]] = {
    "convolutional": (convolutional, IMAGES),
    "residual": (Residual, IMAGES),
    "shared weights": (Shared, ROWS),
    "dropout": (with_dropout, IMAGES),
    "autoencoder": (autoencoder, IMAGES),
    "grouped": (grouped, IMAGES),
    "wide": (wide, LONG_ROWS),
}

OPTIMIZERS: dict[str, Callable[[Any], Any]] = {
    "sgd": lambda parameters: tg.optim.SGD(parameters, lr=0.05),
    "momentum": lambda parameters: tg.optim.SGD(parameters, lr=0.05, momentum=0.9, weight_decay=0.01, nesterov=True),
    "adam": lambda parameters: tg.optim.Adam(parameters, lr=0.01),
    "adamw": lambda parameters: tg.optim.AdamW(parameters, lr=0.01, weight_decay=0.1),
}


class Task:
    """A network with its optimiser, its batch and its step."""

    def __init__(self, net: str, optimizer: str = "adam", dtype: str = "float64", batch: int = 6) -> None:
        tg.seed(3)
        make, shape = NETS[net]
        shape = (batch, *shape[1:])
        self.model = make().to(dtype)
        self.optimizer = OPTIMIZERS[optimizer](self.model.parameters())
        random = np.random.default_rng(0)
        self.inputs = tg.Tensor(random.standard_normal(shape).astype(dtype))
        self.labels = tg.Tensor(random.integers(0, 5, shape[0]))
        tg.seed(4)

    def step(self, inputs: tg.Tensor, labels: tg.Tensor) -> tg.Tensor:
        self.optimizer.zero_grad()
        outputs = self.model(inputs)
        loss = F.mse_loss(outputs, inputs) if outputs.shape == inputs.shape else F.cross_entropy(outputs, labels)
        loss.backward()
        self.optimizer.step()
        return loss

    def numbers(self) -> dict[str, np.ndarray]:
        """All that is left behind."""
        states = {f"optimizer.{name}": tensor for name, tensor in self.optimizer.state_dict().items()}
        return {name: tensor.numpy() for name, tensor in {**self.model.state_dict(), **states}.items()}


def native(function: object) -> tg.compile.Compiled:  # type: ignore[name-defined]
    """A function as native code."""
    return tg.compile(function, executor="native")  # type: ignore[call-overload]

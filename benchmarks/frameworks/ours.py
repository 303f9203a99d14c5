"""tinygrad_cnn: eager, or compiled for one of its executors."""

from __future__ import annotations

import nets
import numpy as np
from nets import RATE, Case, Task

import tinygrad_cnn as tg
from tinygrad_cnn import nn

F = nn.functional
VERSION = tg.__version__


class Residual(nn.Module):
    def __init__(self, body: nn.Module, shortcut: nn.Module) -> None:
        self.body, self.shortcut = body, shortcut

    def forward(self, x: tg.Tensor) -> tg.Tensor:
        return self.body(x) + self.shortcut(x)


class Halve(nn.Module):
    def __init__(self, added: int) -> None:
        self.added = added

    def forward(self, x: tg.Tensor) -> tg.Tensor:
        half = self.added // 2
        return tg.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, half, self.added - half))


class Chain(nn.Module):
    def __init__(self, chain: nets.Chain) -> None:
        self.chain = chain

    def forward(self, x: tg.Tensor) -> tg.Tensor:
        for _ in range(self.chain.length // 2):
            x = x * self.chain.factor
            x = x + self.chain.term
        return x


def build(layer: nets.Layer) -> nn.Module:
    match layer:
        case nets.Conv():
            return nn.Conv2d(layer.inputs, layer.outputs, layer.size, layer.stride, layer.padding, bias=layer.bias)
        case nets.ConvTranspose():
            return nn.ConvTranspose2d(layer.inputs, layer.outputs, layer.size, layer.stride, layer.padding)
        case nets.BatchNorm():
            return nn.BatchNorm2d(layer.channels)
        case nets.Linear():
            return nn.Linear(layer.inputs, layer.outputs)
        case nets.ReLU():
            return nn.ReLU()
        case nets.MaxPool():
            return nn.MaxPool2d(layer.size, layer.stride, layer.padding)
        case nets.GlobalAverage():
            return nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())
        case nets.Flatten():
            return nn.Flatten()
        case nets.Halve():
            return Halve(layer.added)
        case nets.Chain():
            return Chain(layer)
        case nets.Residual():
            return Residual(sequence(layer.body), sequence(layer.shortcut))


def sequence(layers: tuple[nets.Layer, ...]) -> nn.Sequential:
    return nn.Sequential(*[build(layer) for layer in layers])


def make(case: Case, variant: str) -> Task:
    model = sequence(case.net.layers).train(case.training)
    names = [name for name in model.state_dict() if not name.endswith("num_batches_tracked")]
    images, labels = tg.Tensor(case.images), tg.Tensor(case.labels)

    def load() -> None:
        weights = case.weights()
        for name in names:  # one at a time, so that no process pays for two copies of all
            model.load_state_dict({name: next(weights)}, strict=False)

    load()
    if not case.training:

        def infer(images: tg.Tensor) -> tg.Tensor:
            with tg.no_grad():
                return model(images)

        outputs_of = infer if variant == "eager" else tg.compile(infer, executor=variant)
        return Task(lambda: outputs_of(images), tg.Tensor.numpy)
    if case.net.loss == "sum":
        return without_parameters(model, case.images, variant)

    optimizer = tg.optim.Adam(model.parameters(), lr=RATE)

    def train(images: tg.Tensor, labels: tg.Tensor) -> tg.Tensor:
        optimizer.zero_grad()
        outputs = model(images)
        loss = F.cross_entropy(outputs, labels) if case.net.loss == "classes" else F.mse_loss(outputs, images)
        loss.backward()
        optimizer.step()
        return loss.detach()

    step = train if variant == "eager" else tg.compile(train, executor=variant)

    def reset() -> None:
        load()
        for each in optimizer.state.values():
            each.assign(0)

    return Task(lambda: step(images, labels), tg.Tensor.numpy, reset)


def without_parameters(model: nn.Module, numbers: np.ndarray, variant: str) -> Task:
    """Forward and backward to the input."""

    def slope(x: tg.Tensor) -> tuple[tg.Tensor, tg.Tensor]:
        y = model(x).sum()
        return y, tg.grad(y, [x])[0]

    if variant != "eager":
        compiled, x = tg.compile(slope, executor=variant), tg.Tensor(numbers, requires_grad=True)
        return Task(lambda: compiled(x)[0], tg.Tensor.numpy)

    def step() -> tg.Tensor:
        x = tg.Tensor(numbers, requires_grad=True)
        y = model(x).sum()
        y.backward()
        return y

    return Task(step, tg.Tensor.numpy)

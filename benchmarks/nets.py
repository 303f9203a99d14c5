"""The nets that are timed, as data: every framework builds them from the same description and the same numbers.

A net is a sequence of layers. What a layer is made of, in the order in which :func:`initial_numbers` lists it, is
written beside it: O, I, k are output channels, input channels and kernel size.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import NamedTuple

import numpy as np


@dataclass(frozen=True)
class Conv:
    """Weight (O, I, k, k), bias (O) where there is one."""

    inputs: int
    outputs: int
    size: int
    stride: int = 1
    padding: int = 0
    bias: bool = True


@dataclass(frozen=True)
class ConvTranspose:
    """Weight (I, O, k, k), bias (O)."""

    inputs: int
    outputs: int
    size: int
    stride: int
    padding: int


@dataclass(frozen=True)
class BatchNorm:
    """Scale, shift, running mean and running variance, each (O). Epsilon is 1e-5, a step's share in the running 0.1."""

    channels: int


@dataclass(frozen=True)
class Linear:
    """Weight (O, I), bias (O)."""

    inputs: int
    outputs: int


@dataclass(frozen=True)
class ReLU:
    """max(x, 0)."""


@dataclass(frozen=True)
class MaxPool:
    """Maxima of size x size pixels; nothing outside the image is larger."""

    size: int
    stride: int
    padding: int = 0


@dataclass(frozen=True)
class GlobalAverage:
    """The mean of each channel: (N, C, H, W) to (N, C)."""


@dataclass(frozen=True)
class Flatten:
    """(N, C, H, W) to (N, C * H * W)."""


@dataclass(frozen=True)
class Halve:
    """A shortcut without parameters: every second row and column, ``added`` channels of zeros, half of them first."""

    added: int


@dataclass(frozen=True)
class Residual:
    """What ``body`` gives plus what ``shortcut`` gives; an empty shortcut gives the input."""

    body: tuple[Layer, ...]
    shortcut: tuple[Layer, ...] = ()


@dataclass(frozen=True)
class Chain:
    """``x = x * factor`` and ``x = x + term``, in turn, ``length`` operations in all."""

    length: int
    factor: float
    term: float


Layer = (
    Conv | ConvTranspose | BatchNorm | Linear | ReLU | MaxPool | GlobalAverage | Flatten | Halve | Residual | Chain
)  # fmt: skip


@dataclass(frozen=True)
class Net:
    """A net and what it is fed with.

    ``loss`` says what is trained for: ``"classes"`` (mean cross entropy with labels), ``"images"`` (mean squared
    distance from the input), or ``"sum"`` of the output, where there is nothing to train and the gradient of the
    input is taken.
    """

    name: str
    title: str
    batch: int
    shape: tuple[int, ...]
    layers: tuple[Layer, ...]
    loss: str = "classes"
    classes: int = 10


def _vgg() -> Iterator[Layer]:
    inputs = 3
    for outputs in (32, 64, 128):
        yield from (Conv(inputs, outputs, 3, 1, 1), ReLU(), Conv(outputs, outputs, 3, 1, 1), ReLU(), MaxPool(2, 2))
        inputs = outputs
    yield from (Flatten(), Linear(128 * 4 * 4, 10))


def _resnet(widths: tuple[int, ...], count: int, shortcut: Callable[[int, int], tuple[Layer, ...]]) -> Iterator[Layer]:
    """Stages of ``count`` blocks; each but the first begins with half the image and more channels."""
    inputs = widths[0]
    for outputs in widths:
        for _ in range(count):
            stride = 1 if inputs == outputs else 2
            body = (
                Conv(inputs, outputs, 3, stride, 1, bias=False), BatchNorm(outputs), ReLU(),
                Conv(outputs, outputs, 3, 1, 1, bias=False), BatchNorm(outputs),
            )  # fmt: skip
            yield from (Residual(body, shortcut(inputs, outputs) if stride == 2 else ()), ReLU())
            inputs = outputs
    yield GlobalAverage()


def _project(inputs: int, outputs: int) -> tuple[Layer, ...]:
    return Conv(inputs, outputs, 1, 2, bias=False), BatchNorm(outputs)


def _halve(inputs: int, outputs: int) -> tuple[Layer, ...]:
    return (Halve(outputs - inputs),)


LENET = (
    Conv(1, 6, 5, padding=2), ReLU(), MaxPool(2, 2), Conv(6, 16, 5), ReLU(), MaxPool(2, 2), Flatten(),
    Linear(400, 120), ReLU(), Linear(120, 84), ReLU(), Linear(84, 10),
)  # fmt: skip
RESNET20 = (
    Conv(3, 16, 3, 1, 1, bias=False), BatchNorm(16), ReLU(), *_resnet((16, 32, 64), 3, _halve), Linear(64, 10),
)  # fmt: skip
RESNET18 = (
    Conv(3, 64, 7, 2, 3, bias=False), BatchNorm(64), ReLU(), MaxPool(3, 2, 1),
    *_resnet((64, 128, 256, 512), 2, _project), Linear(512, 1000),
)  # fmt: skip
AUTOENCODER = (
    Conv(1, 16, 3, 2, 1), ReLU(), Conv(16, 32, 3, 2, 1), ReLU(),
    ConvTranspose(32, 16, 4, 2, 1), ReLU(), ConvTranspose(16, 1, 4, 2, 1),
)  # fmt: skip

_ALL = (
    Net("lenet", "LeNet", 64, (1, 28, 28), LENET),
    Net("vgg", "VGG-like", 32, (3, 32, 32), tuple(_vgg())),
    Net("resnet20", "ResNet-20", 32, (3, 32, 32), RESNET20),
    Net("autoencoder", "autoencoder", 64, (1, 28, 28), AUTOENCODER, loss="images"),
    Net("mlp", "MLP 784-128-10", 32, (784,), (Linear(784, 128), ReLU(), Linear(128, 10))),
    Net("chain", "200 operations in a row", 1, (), (Chain(200, 1.001, 0.001),), loss="sum"),
    Net("resnet18", "ResNet-18", 4, (3, 224, 224), RESNET18, classes=1000),
)
RATE = 1e-4
"""Adam's learning rate. It is small, for the first steps of Adam enlarge differences in rounding."""

NETS = {net.name: net for net in _ALL}


def initial_numbers(layers: tuple[Layer, ...], random: np.random.Generator) -> Iterator[np.ndarray]:
    """The first weights, biases and statistics of each layer in turn. (He et al., 2015, for the weights)"""

    def uniform(low: float, high: float, *shape: int) -> np.ndarray:
        return random.uniform(low, high, shape).astype(np.float32)

    def weight(inputs: int, *shape: int) -> np.ndarray:
        bound = (6 / inputs) ** 0.5
        return uniform(-bound, bound, *shape)

    for layer in layers:
        match layer:
            case Conv(inputs=inputs, outputs=outputs, size=size):
                yield weight(inputs * size * size, outputs, inputs, size, size)
                if layer.bias:
                    yield uniform(-0.1, 0.1, outputs)
            case ConvTranspose(inputs=inputs, outputs=outputs, size=size):
                yield weight(inputs * size * size // layer.stride**2, inputs, outputs, size, size)
                yield uniform(-0.1, 0.1, outputs)
            case BatchNorm(channels=channels):
                yield from (uniform(0.5, 1.0, channels), uniform(-0.1, 0.1, channels))
                yield from (uniform(-0.1, 0.1, channels), uniform(0.8, 1.2, channels))
            case Linear(inputs=inputs, outputs=outputs):
                yield weight(inputs, outputs, inputs)
                yield uniform(-0.1, 0.1, outputs)
            case Residual():
                yield from initial_numbers(layer.body, random)
                yield from initial_numbers(layer.shortcut, random)


def write_numbers(net: Net, batch: int, path: Path) -> None:
    """Inputs, labels and initial numbers, drawn once and handed to every framework."""
    random = np.random.default_rng(0)
    arrays = {f"{position}": array for position, array in enumerate(initial_numbers(net.layers, random))}
    images = random.random((batch, *net.shape), np.float32)
    np.savez(path, images=images, labels=random.integers(0, net.classes, batch), **arrays)


@dataclass
class Case:
    """What a framework is asked to do: a net, whether to train it, and where its numbers lie."""

    net: Net
    training: bool
    numbers: Path

    # All numbers are read each time, so that no process pays for keeping what it has made arrays of its own from.

    @property
    def images(self) -> np.ndarray:
        """The inputs of a step."""
        return self._read("images")

    @property
    def labels(self) -> np.ndarray:
        """A class for each input."""
        return self._read("labels")

    def weights(self) -> Iterator[np.ndarray]:
        """The initial numbers in their order."""
        with np.load(self.numbers) as arrays:
            for position in range(len(arrays.files) - 2):
                yield arrays[f"{position}"]

    def _read(self, name: str) -> np.ndarray:
        with np.load(self.numbers) as arrays:
            array: np.ndarray = arrays[name]
        return array


class NotForThisError(Exception):
    """A framework, or this way of using it, cannot do this net; the message says why."""


class Task(NamedTuple):
    """What a framework does in a turn."""

    step: Callable[[], object]
    """Train one step and give its loss, or give the outputs. When it returns, the work is done."""

    read: Callable[[object], np.ndarray]
    """What ``step`` gave, as NumPy numbers; images of any layout in the order N, C, H, W."""

    reset: Callable[[], None] = lambda: None
    """Go back to the initial numbers and an optimiser without memory; nothing, where a step changes no number."""


Shape = tuple[int, ...]


def walk(layers: tuple[Layer, ...], shape: Shape) -> Iterator[tuple[Layer, Shape, Shape]]:
    """Each layer with the shapes of one sample before and after it."""
    for layer in layers:
        before = shape
        match layer:
            case Conv() | MaxPool():
                channels = layer.outputs if isinstance(layer, Conv) else shape[0]
                sides = [(side + 2 * layer.padding - layer.size) // layer.stride + 1 for side in shape[1:]]
                shape = (channels, *sides)
            case ConvTranspose():
                sides = [(side - 1) * layer.stride - 2 * layer.padding + layer.size for side in shape[1:]]
                shape = (layer.outputs, *sides)
            case Linear():
                shape = (layer.outputs,)
            case GlobalAverage():
                shape = shape[:1]
            case Flatten():
                shape = (prod(shape),)
            case Residual():
                yield from walk(layer.shortcut, shape)
                for inner in walk(layer.body, shape):
                    yield inner
                    shape = inner[2]
        yield layer, before, shape


def work(net: Net, batch: int) -> tuple[int, int]:
    """What convolutions and dense layers have to do in a forward pass.

    Returns how often they multiply and add, and the bytes that they must move at the least: every input, output and
    weight once.
    """
    multiply_adds = moved = 0
    for layer, before, after in walk(net.layers, net.shape):
        match layer:
            case Conv() | ConvTranspose():
                weights = layer.inputs * layer.outputs * layer.size**2
            case Linear():
                weights = layer.inputs * layer.outputs
            case _:
                continue
        places = before[1:] if isinstance(layer, ConvTranspose) else after[1:]
        multiply_adds += batch * weights * prod(places)
        moved += 4 * (weights + batch * (prod(before) + prod(after)))
    return multiply_adds, moved

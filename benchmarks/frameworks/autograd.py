"""HIPS autograd.

It has no convolution with strides, and sums the one that it has by ``einsum``. Here convolutions are one matrix product
with shifted copies of the image, which is faster.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib.metadata import version
from typing import Any

import autograd.numpy as anp
import nets
import numpy as np
from autograd import value_and_grad
from autograd.tracer import getval
from frameworks.optimise import Adam
from nets import Case, Task

VERSION = version("autograd")

Apply = Callable[[list[Any], Any], Any]
"""A layer: ``(parameters, x)`` to its output."""


def shifted(x: Any, size: int, stride: int, padding: int, filling: float) -> Any:
    """For each place of the kernel the pixels that it meets: (N, C, H, W) to (size * size, N, C, rows, columns)."""
    if padding:
        x = anp.pad(x, ((0, 0), (0, 0), (padding, padding), (padding, padding)), "constant", constant_values=filling)
    rows, columns = [(side - size) // stride + 1 for side in x.shape[2:]]
    return anp.stack(
        [
            x[:, :, i : i + rows * stride : stride, j : j + columns * stride : stride]
            for i in range(size)
            for j in range(size)
        ]
    )


def correlate(x: Any, weight: Any, stride: int, padding: int) -> Any:
    outputs, inputs, size, _ = weight.shape
    windows = shifted(x, size, stride, padding, 0.0)
    places, count, _, rows, columns = windows.shape
    matrix = anp.reshape(anp.transpose(windows, (2, 0, 1, 3, 4)), (inputs * places, count * rows * columns))
    y = anp.reshape(anp.dot(anp.reshape(weight, (outputs, -1)), matrix), (outputs, count, rows, columns))
    return anp.transpose(y, (1, 0, 2, 3))


def spaced(x: Any, stride: int) -> Any:
    """Zeros between the pixels."""
    count, channels, rows, columns = x.shape
    margins = ((0, 0), (0, 0), (0, 0), (0, stride - 1), (0, 0), (0, stride - 1))
    wide = anp.pad(anp.reshape(x, (count, channels, rows, 1, columns, 1)), margins, "constant")
    wide = anp.reshape(wide, (count, channels, rows * stride, columns * stride))
    return wide[:, :, : 1 - stride, : 1 - stride]


class Model:
    """What a net computes, its parameters, and its running statistics."""

    def __init__(self, case: Case) -> None:
        self.training = case.training
        self.take = case.weights().__next__
        self.trained: list[np.ndarray] = []
        self.apply = self.sequence(case.net.layers)

    def keep(self, array: np.ndarray) -> int:
        self.trained.append(np.ascontiguousarray(array))
        return len(self.trained) - 1

    def build(self, layer: nets.Layer) -> Apply:
        match layer:
            case nets.Conv(stride=stride, padding=padding):
                weight = self.keep(self.take())
                if not layer.bias:
                    return lambda p, x: correlate(x, p[weight], stride, padding)
                bias = self.keep(self.take().reshape(-1, 1, 1))
                return lambda p, x: correlate(x, p[weight], stride, padding) + p[bias]
            case nets.ConvTranspose(stride=stride):
                weight = self.keep(self.take().transpose(1, 0, 2, 3)[:, :, ::-1, ::-1])
                bias = self.keep(self.take().reshape(-1, 1, 1))
                margin = layer.size - 1 - layer.padding
                return lambda p, x: correlate(spaced(x, stride), p[weight], 1, margin) + p[bias]
            case nets.BatchNorm():
                scale, shift = self.keep(self.take().reshape(-1, 1, 1)), self.keep(self.take().reshape(-1, 1, 1))
                mean, variance = self.take().reshape(-1, 1, 1), self.take().reshape(-1, 1, 1)

                def normalise(p: list[Any], x: Any) -> Any:
                    m, v = mean, variance
                    if self.training:
                        m = anp.mean(x, (0, 2, 3), keepdims=True)
                        v = anp.mean((x - m) ** 2, (0, 2, 3), keepdims=True)
                        count = x.size // mean.size
                        mean[:] = 0.9 * mean + 0.1 * getval(m)[0]
                        variance[:] = 0.9 * variance + 0.1 * getval(v)[0] * (count / (count - 1))
                    return (x - m) * (p[scale] / anp.sqrt(v + np.float32(1e-5))) + p[shift]

                return normalise
            case nets.Linear():
                weight, bias = self.keep(self.take().T), self.keep(self.take())
                return lambda p, x: anp.dot(x, p[weight]) + p[bias]
            case nets.ReLU():
                return lambda p, x: anp.maximum(x, 0)
            case nets.MaxPool(size=size, stride=stride, padding=padding):
                if size == stride and not padding:

                    def pool(p: list[Any], x: Any) -> Any:
                        count, channels, rows, columns = x.shape
                        blocks = anp.reshape(x, (count, channels, rows // size, size, columns // size, size))
                        return anp.max(anp.max(blocks, 5), 3)

                    return pool
                return lambda p, x: anp.max(shifted(x, size, stride, padding, -np.inf), 0)
            case nets.GlobalAverage():
                return lambda p, x: anp.mean(x, (2, 3))
            case nets.Flatten():
                return lambda p, x: anp.reshape(x, (len(x), -1))
            case nets.Halve(added=added):
                margins = ((0, 0), (added // 2, added - added // 2), (0, 0), (0, 0))
                return lambda p, x: anp.pad(x[:, :, ::2, ::2], margins, "constant")
            case nets.Chain(length=length, factor=factor, term=term):

                def repeat(p: list[Any], x: Any) -> Any:
                    for _ in range(length // 2):
                        x = x * factor
                        x = x + term
                    return x

                return repeat
            case nets.Residual():
                body, shortcut = self.sequence(layer.body), self.sequence(layer.shortcut)
                return lambda p, x: body(p, x) + shortcut(p, x)

    def sequence(self, layers: tuple[nets.Layer, ...]) -> Apply:
        steps = [self.build(layer) for layer in layers]

        def apply(p: list[Any], x: Any) -> Any:
            for step in steps:
                x = step(p, x)
            return x

        return apply


def make(case: Case, variant: str) -> Task:
    images, labels = case.images, case.labels
    model = Model(case)
    if not case.training:
        return Task(lambda: model.apply(model.trained, images), np.asarray)
    if case.net.loss == "sum":
        slope = value_and_grad(lambda x: anp.sum(model.apply([], x)))
        return Task(lambda: slope(images)[0], np.asarray)

    def loss_of(trained: list[Any]) -> Any:
        outputs = model.apply(trained, images)
        if case.net.loss == "images":
            return anp.mean((outputs - images) ** 2)
        outputs = outputs - anp.max(outputs, 1, keepdims=True)
        logarithms = outputs - anp.log(anp.sum(anp.exp(outputs), 1, keepdims=True))
        return -anp.mean(logarithms[np.arange(len(labels)), labels])

    slopes_of = value_and_grad(loss_of)
    optimizer: Adam

    def reset() -> None:
        nonlocal model, optimizer
        model = Model(case)
        optimizer = Adam(model.trained)

    def train() -> np.ndarray:
        loss, slopes = slopes_of(model.trained)
        optimizer.step(slopes)
        return loss

    reset()
    return Task(train, np.asarray, reset)

"""MyGrad.

It accepts strides only where windows tile the image exactly. So images are padded less, or cropped, at their far edges,
where no window looks anyhow; that and transposed convolutions are made of its joining of arrays.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import mygrad as mg
import nets
import numpy as np
from frameworks.optimise import Adam
from mygrad.nnet.activations import relu
from mygrad.nnet.layers import batchnorm, conv_nd, max_pool
from mygrad.nnet.losses import softmax_crossentropy
from nets import Case, Task

VERSION = mg.__version__


class Model:
    """What a net computes, its parameters, and its running statistics."""

    def __init__(self, case: Case) -> None:
        self.training = case.training
        self.take = case.weights().__next__
        self.trained: list[Any] = []
        self.apply = self.sequence(case.net.layers)

    def keep(self, array: np.ndarray) -> Any:
        self.trained.append(mg.tensor(array))
        return self.trained[-1]

    def build(self, layer: nets.Layer) -> Callable[[Any], Any]:
        match layer:
            case nets.Conv(size=size, stride=stride, padding=padding):
                weight = self.keep(self.take())
                bias = self.keep(self.take().reshape(-1, 1, 1)) if layer.bias else None

                def convolve(x: Any) -> Any:
                    if stride == 1:
                        y = conv_nd(x, weight, stride=1, padding=padding)
                    else:
                        y = conv_nd(fitted(x, size, stride, padding, 0.0), weight, stride=stride)
                    return y if bias is None else y + bias

                return convolve
            case nets.ConvTranspose(size=size, stride=stride, padding=padding):
                flipped = np.ascontiguousarray(self.take().transpose(1, 0, 2, 3)[:, :, ::-1, ::-1])
                weight, bias = self.keep(flipped), self.keep(self.take().reshape(-1, 1, 1))
                margin = size - 1 - padding

                def spread(x: Any) -> Any:
                    for axis in (2, 3):
                        x = padded(spaced(x, axis, stride), axis, margin, margin - stride + 1, 0.0)
                    return conv_nd(x, weight, stride=1) + bias

                return spread
            case nets.BatchNorm():
                scale, shift = self.keep(self.take()), self.keep(self.take())
                mean, variance = self.take(), self.take()

                def normalise(x: Any) -> Any:
                    if not self.training:
                        factor = (scale / np.sqrt(variance + np.float32(1e-5))).reshape(-1, 1, 1)
                        return (x - mean.reshape(-1, 1, 1)) * factor + shift.reshape(-1, 1, 1)
                    y = batchnorm(x, gamma=scale, beta=shift, eps=1e-5)
                    count = x.size // len(mean)
                    mean[:] = 0.9 * mean + 0.1 * y.creator.mean
                    variance[:] = 0.9 * variance + 0.1 * y.creator.var * (count / (count - 1))
                    return y

                return normalise
            case nets.Linear():
                weight, bias = self.keep(np.ascontiguousarray(self.take().T)), self.keep(self.take())
                return lambda x: mg.matmul(x, weight) + bias
            case nets.ReLU():
                return relu
            case nets.MaxPool(size=size, stride=stride, padding=padding):

                def pool(x: Any) -> Any:
                    return max_pool(fitted(x, size, stride, padding, -np.inf), (size, size), stride)

                return pool
            case nets.GlobalAverage():
                return lambda x: x.mean((2, 3))
            case nets.Flatten():
                return lambda x: x.reshape(len(x), -1)
            case nets.Halve(added=added):
                return lambda x: padded(x[:, :, ::2, ::2], 1, added // 2, added - added // 2, 0.0)
            case nets.Chain(length=length, factor=factor, term=term):

                def repeat(x: Any) -> Any:
                    for _ in range(length // 2):
                        x = x * factor
                        x = x + term
                    return x

                return repeat
            case nets.Residual():
                body, shortcut = self.sequence(layer.body), self.sequence(layer.shortcut)
                return lambda x: body(x) + shortcut(x)

    def sequence(self, layers: tuple[nets.Layer, ...]) -> Callable[[Any], Any]:
        steps = [self.build(layer) for layer in layers]

        def apply(x: Any) -> Any:
            for step in steps:
                x = step(x)
            return x

        return apply


def fitted(x: Any, size: int, stride: int, padding: int, filling: float) -> Any:
    """The padded image without the rows and columns at its end that no window reaches."""
    for axis in (2, 3):
        behind = padding - (x.shape[axis] + 2 * padding - size) % stride
        x = padded(x, axis, padding, behind, filling)
    return x


def padded(x: Any, axis: int, front: int, behind: int, filling: float) -> Any:
    """More numbers along an axis, or fewer where ``behind`` is negative."""
    if behind < 0:
        places = [slice(None)] * x.ndim
        places[axis] = slice(behind)
        x = x[tuple(places)]

    def margin(width: int) -> np.ndarray:
        shape = list(x.shape)
        shape[axis] = width
        return np.full(shape, filling, np.float32)

    parts = [margin(front)] * (front > 0) + [x] + [margin(behind)] * (behind > 0)
    return mg.concatenate(parts, axis=axis) if len(parts) > 1 else x


def spaced(x: Any, axis: int, stride: int) -> Any:
    """Zeros behind each number along an axis, so that it is ``stride`` times as long."""
    shape = list(x.shape)
    shape[axis] *= stride
    zeros = np.zeros((*x.shape[: axis + 1], stride - 1, *x.shape[axis + 1 :]), np.float32)
    unit = x.reshape(*x.shape[: axis + 1], 1, *x.shape[axis + 1 :])
    return mg.concatenate([unit, zeros], axis=axis + 1).reshape(*shape)


def make(case: Case, variant: str) -> Task:
    mg.turn_memory_guarding_off()
    numbers, labels = case.images, case.labels
    images = mg.tensor(numbers, constant=True)
    model = Model(case)
    if not case.training:

        def infer() -> Any:
            with mg.no_autodiff:
                return model.apply(images)

        return Task(infer, lambda y: y.data)
    if case.net.loss == "sum":

        def slope() -> Any:
            y = model.apply(mg.tensor(numbers)).sum()
            y.backward()
            return y

        return Task(slope, lambda y: y.data)

    optimizer: Adam

    def reset() -> None:
        nonlocal model, optimizer
        model = Model(case)
        optimizer = Adam([each.data for each in model.trained])

    def train() -> Any:
        outputs = model.apply(images)
        of_classes = case.net.loss == "classes"
        loss = softmax_crossentropy(outputs, labels) if of_classes else ((outputs - images) ** 2).mean()
        loss.backward()
        optimizer.step([each.grad for each in model.trained])
        for each in model.trained:
            each.null_grad()
        return loss

    reset()
    return Task(train, lambda loss: loss.data, reset)

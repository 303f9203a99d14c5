"""DeZero."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from importlib.metadata import version
from typing import Any

import nets
import numpy as np
from nets import RATE, Case, Task

warnings.simplefilter("ignore")

import dezero  # noqa: E402
import dezero.functions as F  # noqa: E402
import dezero.layers as L  # noqa: E402

VERSION = f"{version('dezero')} (NumPy {np.__version__})"


class Widen(dezero.Function):
    """Channels of zeros in front and behind: DeZero has no padding of its own."""

    def __init__(self, added: int) -> None:
        self.front, self.behind = added // 2, added - added // 2

    def forward(self, x: np.ndarray) -> np.ndarray:
        return np.pad(x, ((0, 0), (self.front, self.behind), (0, 0), (0, 0)))

    def backward(self, gy: dezero.Variable) -> dezero.Variable:
        return gy[:, self.front : gy.shape[1] - self.behind]


def build(layer: nets.Layer, own: dezero.Model) -> Callable[[Any], Any]:
    """What the layer computes; its parts become attributes of the model."""

    def keep(part: L.Layer) -> L.Layer:
        setattr(own, f"part{len(vars(own))}", part)
        own.parts.append(part)
        return part

    match layer:
        case nets.Conv():
            return keep(
                L.Conv2d(
                    layer.outputs, layer.size, layer.stride, layer.padding, not layer.bias, np.float32, layer.inputs
                )
            )
        case nets.ConvTranspose():
            return keep(
                L.Deconv2d(layer.outputs, layer.size, layer.stride, layer.padding, in_channels=layer.inputs)
            )  # fmt: skip
        case nets.BatchNorm():
            part = keep(L.BatchNorm())
            return lambda x: F.batch_nrom(x, part.gamma, part.beta, part.avg_mean.data, part.avg_var.data, eps=1e-5)
        case nets.Linear():
            return keep(L.Linear(layer.outputs, in_size=layer.inputs))
        case nets.ReLU():
            return F.relu
        case nets.MaxPool():  # pads with 0, which is right after ReLU
            return lambda x: F.pooling(x, layer.size, layer.stride, layer.padding)
        case nets.GlobalAverage():
            return lambda x: F.sum(F.reshape(x, (*x.shape[:2], -1)), axis=2) / (x.shape[2] * x.shape[3])
        case nets.Flatten():
            return F.flatten
        case nets.Halve():
            return lambda x: Widen(layer.added)(x[:, :, ::2, ::2])
        case nets.Chain():

            def repeat(x: Any) -> Any:
                for _ in range(layer.length // 2):
                    x = x * layer.factor
                    x = x + layer.term
                return x

            return repeat
        case nets.Residual():
            body, shortcut = sequence(layer.body, own), sequence(layer.shortcut, own)
            return lambda x: body(x) + shortcut(x)


def sequence(layers: tuple[nets.Layer, ...], own: dezero.Model) -> Callable[[Any], Any]:
    steps = [build(layer, own) for layer in layers]

    def apply(x: Any) -> Any:
        for step in steps:
            x = step(x)
        return x

    return apply


class Net(dezero.Model):
    def __init__(self, layers: tuple[nets.Layer, ...]) -> None:
        super().__init__()
        self.parts: list[L.Layer] = []
        self.apply = sequence(layers, self)

    def load(self, weights: Iterator[np.ndarray]) -> None:
        for part in self.parts:
            if isinstance(part, L.BatchNorm):
                for each in (part.gamma, part.beta, part.avg_mean, part.avg_var):
                    each.data = next(weights)
                continue
            weight = next(weights)
            part.W.data = np.ascontiguousarray(weight.T) if isinstance(part, L.Linear) else weight
            if part.b is not None:
                part.b.data = next(weights)


def make(case: Case, variant: str) -> Task:
    model = Net(case.net.layers)
    images, labels = case.images, case.labels

    def load() -> None:
        model.load(case.weights())

    load()
    if not case.training:

        def infer() -> dezero.Variable:
            with dezero.no_grad(), dezero.test_mode():
                return model.apply(dezero.Variable(images))

        return Task(infer, lambda y: y.data)
    if case.net.loss == "sum":

        def slope() -> dezero.Variable:
            y = F.sum(model.apply(dezero.Variable(images)))
            y.backward()
            return y

        return Task(slope, lambda y: y.data)

    optimizer = dezero.optimizers.Adam(alpha=RATE).setup(model)
    flat = images.ravel()  # DeZero divides the squares by the length of the first axis

    def train() -> dezero.Variable:
        y = model.apply(images)
        if case.net.loss == "classes":
            loss = F.softmax_cross_entropy(y, labels)
        else:
            loss = F.mean_squared_error(F.reshape(y, flat.shape), flat)
        model.cleargrads()
        loss.backward()
        optimizer.update()
        return loss

    def reset() -> None:
        load()
        optimizer.t = 0
        optimizer.ms.clear()
        optimizer.vs.clear()

    return Task(train, lambda loss: loss.data, reset)

"""Chainer, on NumPy."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from typing import Any

import nets
import numpy as np
from nets import RATE, Case, Task

warnings.simplefilter("ignore")

import chainer  # noqa: E402
import chainer.functions as F  # noqa: E402
import chainer.links as L  # noqa: E402

VERSION = f"{chainer.__version__} (NumPy {np.__version__})"


class Net(chainer.ChainList):
    """The links of a net, and what they compute together."""

    def __init__(self, layers: tuple[nets.Layer, ...]) -> None:
        super().__init__()
        self.apply = self.sequence(layers)

    def keep(self, link: chainer.Link) -> chainer.Link:
        self.add_link(link)
        return link

    def build(self, layer: nets.Layer) -> Callable[[Any], Any]:
        match layer:
            case nets.Conv(inputs=inputs, outputs=outputs):
                link = L.Convolution2D(inputs, outputs, layer.size, layer.stride, layer.padding, not layer.bias)
                return self.keep(link)
            case nets.ConvTranspose(inputs=inputs, outputs=outputs):
                return self.keep(L.Deconvolution2D(inputs, outputs, layer.size, layer.stride, layer.padding))
            case nets.BatchNorm():
                return self.keep(L.BatchNormalization(layer.channels, decay=0.9, eps=1e-5))
            case nets.Linear():
                return self.keep(L.Linear(layer.inputs, layer.outputs))
            case nets.ReLU():
                return F.relu
            case nets.MaxPool():
                return lambda x: F.max_pooling_2d(x, layer.size, layer.stride, layer.padding, cover_all=False)
            case nets.GlobalAverage():
                return lambda x: F.mean(x, axis=(2, 3))
            case nets.Flatten():
                return lambda x: x.reshape(len(x), -1)
            case nets.Halve(added=added):
                margins = ((0, 0), (added // 2, added - added // 2), (0, 0), (0, 0))
                return lambda x: F.pad(x[:, :, ::2, ::2], margins, "constant")
            case nets.Chain():

                def repeat(x: Any) -> Any:
                    for _ in range(layer.length // 2):
                        x = x * layer.factor
                        x = x + layer.term
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

    def load(self, weights: Iterator[np.ndarray]) -> None:
        for link in self.children():
            if isinstance(link, L.BatchNormalization):
                link.gamma.array[...], link.beta.array[...] = next(weights), next(weights)
                link.avg_mean[...], link.avg_var[...] = next(weights), next(weights)
            else:
                link.W.array[...] = next(weights)
                if link.b is not None:
                    link.b.array[...] = next(weights)


def make(case: Case, variant: str) -> Task:
    chainer.config.type_check = False
    model = Net(case.net.layers)
    images, labels = case.images, case.labels.astype(np.int32)

    def load() -> None:
        model.load(case.weights())

    load()
    if not case.training:

        def infer() -> chainer.Variable:
            with chainer.no_backprop_mode(), chainer.using_config("train", False):
                return model.apply(chainer.Variable(images))

        return Task(infer, lambda y: y.array)
    if case.net.loss == "sum":

        def slope() -> chainer.Variable:
            y = F.sum(model.apply(chainer.Variable(images)))
            y.backward()
            return y

        return Task(slope, lambda y: y.array)

    optimizer = chainer.optimizers.Adam(alpha=RATE).setup(model)

    def train() -> chainer.Variable:
        model.cleargrads()
        y = model.apply(images)
        loss = F.softmax_cross_entropy(y, labels) if case.net.loss == "classes" else F.mean_squared_error(y, images)
        loss.backward()
        optimizer.update()
        return loss

    def reset() -> None:
        load()
        optimizer.setup(model)

    return Task(train, lambda loss: loss.array, reset)

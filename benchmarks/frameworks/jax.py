"""JAX: one jitted function for a training step, channels last."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
import nets
import numpy as np
from jax import lax
from nets import RATE, Case, Task

VERSION = jax.__version__
IMAGES = ("NHWC", "HWIO", "NHWC")

Numbers = dict[str, list[Any]]
"""What is trained, and the running statistics."""

Apply = Callable[[Numbers, Any, list[Any] | None], Any]
"""A layer: ``(numbers, x, new)`` to its output; in training ``new`` takes the new running statistics."""


def build(layer: nets.Layer, take: Callable[[], np.ndarray], numbers: Numbers) -> Apply:
    def keep(array: np.ndarray, kind: str = "trained") -> int:
        numbers[kind].append(jnp.asarray(array))
        return len(numbers[kind]) - 1

    match layer:
        case nets.Conv(stride=stride, padding=padding):
            weight = keep(take().transpose(2, 3, 1, 0))
            bias = keep(take()) if layer.bias else None

            def convolve(numbers: Numbers, x: Any, new: list[Any] | None) -> Any:
                kernel = numbers["trained"][weight]
                y = lax.conv_general_dilated(x, kernel, (stride,) * 2, [(padding,) * 2] * 2, dimension_numbers=IMAGES)
                return y if bias is None else y + numbers["trained"][bias]

            return convolve
        case nets.ConvTranspose(stride=stride):
            weight = keep(take().transpose(2, 3, 0, 1)[::-1, ::-1])  # as a convolution of the spread input
            bias = keep(take())
            margin = layer.size - 1 - layer.padding

            def spread(numbers: Numbers, x: Any, new: list[Any] | None) -> Any:
                kernel = numbers["trained"][weight]
                y = lax.conv_general_dilated(
                    x, kernel, (1, 1), [(margin,) * 2] * 2, lhs_dilation=(stride,) * 2, dimension_numbers=IMAGES
                )
                return y + numbers["trained"][bias]

            return spread
        case nets.BatchNorm():
            scale, shift = keep(take()), keep(take())
            mean, variance = keep(take(), "running"), keep(take(), "running")

            def normalise(numbers: Numbers, x: Any, new: list[Any] | None) -> Any:
                if new is None:
                    m, v = numbers["running"][mean], numbers["running"][variance]
                else:
                    m, v = x.mean((0, 1, 2)), x.var((0, 1, 2))
                    count = x.size // x.shape[-1]
                    new.append(0.9 * numbers["running"][mean] + 0.1 * m)
                    new.append(0.9 * numbers["running"][variance] + 0.1 * v * (count / (count - 1)))
                return (x - m) * (lax.rsqrt(v + 1e-5) * numbers["trained"][scale]) + numbers["trained"][shift]

            return normalise
        case nets.Linear():
            weight, bias = keep(take().T), keep(take())
            return lambda numbers, x, new: x @ numbers["trained"][weight] + numbers["trained"][bias]
        case nets.ReLU():
            return lambda numbers, x, new: jax.nn.relu(x)
        case nets.MaxPool(size=size, stride=stride, padding=padding):
            margins = [(0, 0), (padding, padding), (padding, padding), (0, 0)]
            window, strides = (1, size, size, 1), (1, stride, stride, 1)
            return lambda numbers, x, new: lax.reduce_window(x, -jnp.inf, lax.max, window, strides, margins)
        case nets.GlobalAverage():
            return lambda numbers, x, new: x.mean((1, 2))
        case nets.Flatten():  # in the order that the dense weights expect
            return lambda numbers, x, new: x.transpose(0, 3, 1, 2).reshape(len(x), -1)
        case nets.Halve(added=added):
            margins = [(0, 0), (0, 0), (0, 0), (added // 2, added - added // 2)]
            return lambda numbers, x, new: jnp.pad(x[:, ::2, ::2], margins)
        case nets.Chain(length=length, factor=factor, term=term):

            def repeat(numbers: Numbers, x: Any, new: list[Any] | None) -> Any:
                for _ in range(length // 2):
                    x = x * factor
                    x = x + term
                return x

            return repeat
        case nets.Residual():
            body, shortcut = sequence(layer.body, take, numbers), sequence(layer.shortcut, take, numbers)
            return lambda numbers, x, new: body(numbers, x, new) + shortcut(numbers, x, new)


def sequence(layers: tuple[nets.Layer, ...], take: Callable[[], np.ndarray], numbers: Numbers) -> Apply:
    steps = [build(layer, take, numbers) for layer in layers]

    def apply(numbers: Numbers, x: Any, new: list[Any] | None) -> Any:
        for step in steps:
            x = step(numbers, x, new)
        return x

    return apply


def read(output: Any) -> np.ndarray:
    array = np.asarray(output)
    return array.transpose(0, 3, 1, 2) if array.ndim == 4 else array


def make(case: Case, variant: str) -> Task:
    def initial() -> tuple[Numbers, Apply]:
        numbers: Numbers = {"trained": [], "running": []}
        weights: Iterator[np.ndarray] = case.weights()
        return numbers, sequence(case.net.layers, weights.__next__, numbers)

    numbers, apply = initial()
    images = jnp.asarray(case.images.transpose(0, 2, 3, 1) if case.images.ndim == 4 else case.images)
    labels = jnp.asarray(case.labels)
    if not case.training:
        infer = jax.jit(lambda numbers, x: apply(numbers, x, None))
        return Task(lambda: jax.block_until_ready(infer(numbers, images)), read)
    if case.net.loss == "sum":
        slope = jax.jit(jax.value_and_grad(lambda x: apply(numbers, x, None).sum()))
        return Task(lambda: jax.block_until_ready(slope(images))[0], np.asarray)

    def loss_of(trained: list[Any], running: list[Any], images: Any, labels: Any) -> tuple[Any, list[Any]]:
        new: list[Any] = []
        outputs = apply({"trained": trained, "running": running}, images, new)
        if case.net.loss == "images":
            return ((outputs - images) ** 2).mean(), new
        chosen = jnp.take_along_axis(jax.nn.log_softmax(outputs), labels[:, None], 1)
        return -chosen.mean(), new

    def train(trained, running, means, squares, count, images, labels):
        (loss, running), slopes = jax.value_and_grad(loss_of, has_aux=True)(trained, running, images, labels)
        count = count + 1
        means = [0.9 * m + 0.1 * g for m, g in zip(means, slopes, strict=True)]
        squares = [0.999 * v + 0.001 * g * g for v, g in zip(squares, slopes, strict=True)]
        rate, root = RATE / (1 - 0.9**count), jnp.sqrt(1 - 0.999**count)
        trained = [
            p - rate * m / (jnp.sqrt(v) / root + 1e-8) for p, m, v in zip(trained, means, squares, strict=True)
        ]  # fmt: skip
        return loss, (trained, running, means, squares, count)

    compiled = jax.jit(train, donate_argnums=(0, 1, 2, 3))
    state: tuple[Any, ...] = ()

    def reset() -> None:
        nonlocal state
        numbers, _ = initial()
        zeros = [[jnp.zeros_like(each) for each in numbers["trained"]] for _ in range(2)]
        state = (numbers["trained"], numbers["running"], *zeros, jnp.float32(0))

    def step() -> Any:
        nonlocal state
        loss, state = compiled(*state, images, labels)
        return jax.block_until_ready(loss)

    reset()
    return Task(step, np.asarray, reset)

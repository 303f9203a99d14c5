"""Random numbers, and dropout."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..backend import Array
from ..backend.random import Generator, default_generator
from ..errors import ArgumentError
from ..graph import Spec
from ..mode import current_mode
from ..tensor import Tensor, TensorLike
from .base import Deferred, Gradient, Operation, apply, as_tensor, require_float

Scheme = Callable[["np.random.Generator", tuple[int, ...]], np.ndarray]
"""How a parameter is initialised: a random stream and a shape give the numbers."""


@dataclass(frozen=True)
class Uniform(Operation):
    """Numbers of [0, 1), drawn anew each time the operation runs."""

    shape: tuple[int, ...]
    dtype: np.dtype
    generator: Generator = field(default=default_generator, repr=False)
    name = "uniform"
    differentiable = False

    def infer(self) -> Spec:
        return Spec(self.shape, self.dtype)

    def forward(self, xp: Any) -> Array:
        return xp.asarray(self.generator.uniform(self.shape, self.dtype))


@dataclass(frozen=True)
class Dropout(Operation):
    """``x / (1 - p)`` where the noise is at least ``p``, else 0. Gradient: the same of ``grad``."""

    p: float
    name = "dropout"

    def infer(self, x: Spec, noise: Spec) -> Spec:
        require_float(self.name, x)
        return x

    def forward(self, xp: Any, x: Array, noise: Array) -> Array:
        scale = 1 / (1 - self.p) if self.p < 1 else 0.0
        return xp.where(noise >= self.p, x * scale, xp.asarray(0, dtype=x.dtype))

    def vjp(self, grad: Tensor, output: Tensor, x: Tensor, noise: Tensor) -> tuple[Gradient, ...]:
        return apply(Dropout(self.p), grad, noise), None


def uniform_like(x: Tensor, generator: Generator = default_generator) -> Tensor:
    """Numbers of [0, 1) in the shape and type of ``x``; symbolic where ``x`` is."""
    tracer = current_mode().tracer
    if tracer is not None:  # a compiled function draws them in every call, in the order in which it asks here
        return tracer.draw(lambda out=None: generator.uniform(x.shape, x.dtype, out), x.spec)
    return apply(Uniform(x.shape, x.dtype, generator), like=x)


def dropout(x: TensorLike, p: float = 0.5, training: bool = True, generator: Generator = default_generator) -> Tensor:
    """Each element is 0 with probability ``p``; the others grow by ``1 / (1 - p)``. (Srivastava et al., 2014)

    Args:
        x: any shape, floating-point.
        p: the probability, from 0 to 1.
        training: ``False`` gives ``x`` itself.
        generator: where the random numbers come from; :func:`tinygrad_cnn.seed` makes them repeat.

    Raises :class:`ArgumentError` for a ``p`` outside 0 to 1.

    >>> dropout(Tensor([1.0, 2.0]), training=False)
    Tensor([1., 2.])
    """
    x = as_tensor(x)
    if not 0 <= p <= 1:
        raise ArgumentError("dropout", "p is no probability", got=f"p={p}", expected="0 <= p <= 1")
    return apply(Dropout(float(p)), x, uniform_like(x, generator)) if training else x


@dataclass(frozen=True)
class Initial(Deferred):
    """A parameter's first numbers, drawn when they are first needed from a stream of their own."""

    shape: tuple[int, ...]
    dtype: np.dtype
    scheme: Scheme
    seed: tuple[int, int]
    device: str = field(repr=False)
    name = "initial"

    def infer(self) -> Spec:
        return Spec(self.shape, self.dtype)

    def forward(self, xp: Any) -> Array:
        return xp.asarray(self.scheme(np.random.default_rng(self.seed), self.shape).astype(self.dtype))

"""Initial numbers of parameters.

The functions have PyTorch's names. Each tells a parameter how to draw its numbers; they are drawn when first needed,
from a stream of the parameter's own, so that the order of first use does not change them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from ..errors import ArgumentError, ShapeError
from .module import Parameter


@dataclass(frozen=True)
class Uniform:
    """Each number of the interval [low, high) equally likely."""

    low: float
    high: float

    def __call__(self, rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
        return rng.uniform(self.low, self.high, shape)


@dataclass(frozen=True)
class Normal:
    """The normal distribution."""

    mean: float
    std: float

    def __call__(self, rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
        return rng.normal(self.mean, self.std, shape)


@dataclass(frozen=True)
class Constant:
    """One number everywhere."""

    value: float

    def __call__(self, rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
        return np.full(shape, self.value)


def fans(shape: tuple[int, ...]) -> tuple[int, int]:
    """How many inputs each output of a layer rests on, and how many outputs each input reaches.

    Args:
        shape: of the weight, ``(outputs, inputs, *kernel)``.

    Raises :class:`ShapeError` for fewer than two axes.

    >>> fans((6, 1, 5, 5))
    (25, 150)
    """
    if len(shape) < 2:
        raise ShapeError("init", "fan-in and fan-out need a weight of two or more axes", got=str(shape))
    kernel = math.prod(shape[2:])
    return shape[1] * kernel, shape[0] * kernel


def gain(nonlinearity: str, slope: float = 0.0) -> float:
    """The factor that keeps the variance of activations steady through a nonlinearity, as PyTorch tabulates it.

    Raises :class:`ArgumentError` for a nonlinearity that is not in the table.

    >>> round(gain("relu"), 4)
    1.4142
    """
    table = {
        "linear": 1.0,
        "sigmoid": 1.0,
        "tanh": 5 / 3,
        "relu": math.sqrt(2),
        "leaky_relu": math.sqrt(2 / (1 + slope**2)),
    }
    if nonlinearity not in table:
        raise ArgumentError("init", "no such nonlinearity", got=repr(nonlinearity), expected=f"one of {list(table)}")
    return table[nonlinearity]


def uniform_(parameter: Parameter, a: float = 0.0, b: float = 1.0) -> Parameter:
    """Numbers of [a, b), each equally likely.

    >>> 2 <= uniform_(Parameter([0.0]), 2, 3).item() < 3
    True
    """
    return parameter.initialise(Uniform(a, b))


def normal_(parameter: Parameter, mean: float = 0.0, std: float = 1.0) -> Parameter:
    """Numbers of the normal distribution.

    >>> normal_(Parameter([0.0]), mean=5, std=0)
    Parameter([5.], requires_grad=True)
    """
    return parameter.initialise(Normal(mean, std))


def constant_(parameter: Parameter, val: float) -> Parameter:
    """One number everywhere.

    >>> constant_(Parameter([0.0]), 2)
    Parameter([2.], requires_grad=True)
    """
    return parameter.initialise(Constant(val))


def zeros_(parameter: Parameter) -> Parameter:
    """0 everywhere."""
    return constant_(parameter, 0.0)


def ones_(parameter: Parameter) -> Parameter:
    """1 everywhere."""
    return constant_(parameter, 1.0)


def xavier_uniform_(parameter: Parameter, gain: float = 1.0) -> Parameter:
    """Uniform with variance ``gain^2 * 2 / (fan_in + fan_out)``. (Glorot and Bengio, 2010, equation 16)

    >>> bool(abs(xavier_uniform_(Parameter([[0.0]])).item()) <= 3**0.5)
    True
    """
    bound = gain * math.sqrt(6 / sum(fans(parameter.shape)))
    return uniform_(parameter, -bound, bound)


def xavier_normal_(parameter: Parameter, gain: float = 1.0) -> Parameter:
    """Normal with variance ``gain^2 * 2 / (fan_in + fan_out)``. (Glorot and Bengio, 2010)"""
    return normal_(parameter, 0.0, gain * math.sqrt(2 / sum(fans(parameter.shape))))


def kaiming_uniform_(
    parameter: Parameter, a: float = 0.0, mode: str = "fan_in", nonlinearity: str = "leaky_relu"
) -> Parameter:
    """Uniform with variance ``gain^2 / fan``. (He et al., 2015, equations 10 and 14)

    Args:
        parameter: a weight ``(outputs, inputs, *kernel)``.
        a: the slope of the leaky relu that follows.
        mode: ``"fan_in"`` keeps the variance in the forward pass, ``"fan_out"`` in the backward pass.
        nonlinearity: what follows the layer, see :func:`gain`.
    """
    bound = math.sqrt(3) * _kaiming_std(parameter, a, mode, nonlinearity)
    return uniform_(parameter, -bound, bound)


def kaiming_normal_(
    parameter: Parameter, a: float = 0.0, mode: str = "fan_in", nonlinearity: str = "leaky_relu"
) -> Parameter:
    """Normal with variance ``gain^2 / fan``; arguments as for :func:`kaiming_uniform_`. (He et al., 2015)"""
    return normal_(parameter, 0.0, _kaiming_std(parameter, a, mode, nonlinearity))


def _kaiming_std(parameter: Parameter, a: float, mode: str, nonlinearity: str) -> float:
    if mode not in ("fan_in", "fan_out"):
        raise ArgumentError("init", "no such mode", got=repr(mode), expected="'fan_in' or 'fan_out'")
    fan = fans(parameter.shape)[mode == "fan_out"]
    return gain(nonlinearity, a) / math.sqrt(fan)


def default_weight(shape: tuple[int, ...], fan_in: int) -> Parameter:
    """What layers start with, as in PyTorch: uniform within ``1 / sqrt(fan_in)``."""
    bound = 1 / math.sqrt(fan_in) if fan_in else 0.0
    return Parameter.initialised(shape, Uniform(-bound, bound))

"""Activation functions that are made of other operations: a few element-wise steps each.

Each is one formula; its gradient is that of its steps. Where a formula has two branches, both are computed from
numbers that cannot overflow, so that neither the result nor a gradient becomes infinity times zero.
"""

from __future__ import annotations

from ..errors import ArgumentError, ShapeError
from ..tensor import Tensor, TensorLike
from .base import as_tensor, full_like
from .elementwise import abs, clip, expm1, mul, neg, sigmoid, softplus, tanh, where
from .reduce import softmax
from .shape import normalize_dim, reshape, split


def elu(input: TensorLike, alpha: float = 1.0) -> Tensor:
    """``x`` where positive, else ``alpha * (exp(x) - 1)``. (Clevert et al., 2016)

    >>> elu(Tensor([-100.0, 2.0]))
    Tensor([-1.,  2.])
    """
    x = as_tensor(input)
    return where(x > 0.0, x, mul(expm1(clip(x, max=0.0)), alpha))


def celu(input: TensorLike, alpha: float = 1.0) -> Tensor:
    """``x`` where positive, else ``alpha * (exp(x / alpha) - 1)``: smooth for every ``alpha``. (Barron, 2017)

    Raises :class:`ArgumentError` for an ``alpha`` of 0.

    >>> celu(Tensor([-100.0, 2.0]), alpha=0.5)
    Tensor([-0.5,  2. ])
    """
    if not alpha:
        raise ArgumentError("celu", "alpha divides", got="alpha=0", expected="another number")
    x = as_tensor(input)
    return where(x > 0.0, x, mul(expm1(mul(clip(x, max=0.0), 1 / alpha)), alpha))


SELU_ALPHA, SELU_SCALE = 1.6732632423543772, 1.0507009873554805
"""With these numbers mean 0 and variance 1 are a fixed point. (Klambauer et al., 2017, equation 14)"""


def selu(input: TensorLike) -> Tensor:
    """``scale * elu(x, alpha)``, which keeps mean 0 and variance 1. (Klambauer et al., 2017)

    >>> selu(Tensor([1.0]))
    Tensor([1.050701])
    """
    return mul(elu(input, SELU_ALPHA), SELU_SCALE)


def silu(input: TensorLike) -> Tensor:
    """``x * sigmoid(x)``, also known as swish. (Elfwing et al., 2018)

    >>> silu(Tensor([0.0, 100.0]))
    Tensor([  0., 100.])
    """
    x = as_tensor(input)
    return mul(x, sigmoid(x))


def mish(input: TensorLike) -> Tensor:
    """``x * tanh(softplus(x))``. (Misra, 2020)

    >>> mish(Tensor([0.0, 100.0]))
    Tensor([  0., 100.])
    """
    x = as_tensor(input)
    return mul(x, tanh(softplus(x)))


def hardtanh(input: TensorLike, min_val: float = -1.0, max_val: float = 1.0) -> Tensor:
    """``x`` cut off at both ends; no gradient at the ends themselves, as in PyTorch. (Collobert, 2004)

    Raises :class:`ArgumentError` unless ``min_val < max_val``.

    >>> hardtanh(Tensor([-3.0, 0.5, 3.0]))
    Tensor([-1. ,  0.5,  1. ])
    """
    if not min_val < max_val:
        raise ArgumentError(
            "hardtanh", "the ends are not in order", got=f"min_val={min_val}, max_val={max_val}",
            expected="min_val < max_val",
        )  # fmt: skip
    x = as_tensor(input)
    return where(x <= min_val, min_val, where(x >= max_val, max_val, x))


def relu6(input: TensorLike) -> Tensor:
    """``min(max(x, 0), 6)``. (Krizhevsky, 2010)

    >>> relu6(Tensor([-1.0, 3.0, 9.0]))
    Tensor([0., 3., 6.])
    """
    return hardtanh(input, 0.0, 6.0)


def hardsigmoid(input: TensorLike) -> Tensor:
    """``relu6(x + 3) / 6``: a sigmoid of three straight lines. (Courbariaux et al., 2015)

    >>> hardsigmoid(Tensor([-4.0, 0.0, 4.0]))
    Tensor([0. , 0.5, 1. ])
    """
    return mul(relu6(as_tensor(input) + 3.0), 1 / 6)


def hardswish(input: TensorLike) -> Tensor:
    """``x * hardsigmoid(x)``. (Howard et al., 2019)

    >>> hardswish(Tensor([-4.0, 3.0]))
    Tensor([-0.,  3.])
    """
    x = as_tensor(input)
    return mul(x, hardsigmoid(x))


def softsign(input: TensorLike) -> Tensor:
    """``x / (1 + |x|)``. (Bergstra et al., 2009)

    >>> softsign(Tensor([1.0, -3.0]))
    Tensor([ 0.5 , -0.75])
    """
    x = as_tensor(input)
    return x / (1.0 + abs(x))


def tanhshrink(input: TensorLike) -> Tensor:
    """``x - tanh(x)``.

    >>> tanhshrink(Tensor([0.0]))
    Tensor([0.])
    """
    x = as_tensor(input)
    return x - tanh(x)


def logsigmoid(input: TensorLike) -> Tensor:
    """``log(sigmoid(x))``, exact for very negative ``x``.

    >>> logsigmoid(Tensor([-1000.0]))
    Tensor([-1000.])
    """
    return neg(softplus(neg(as_tensor(input))))


def softmin(input: TensorLike, dim: int = -1) -> Tensor:
    """``softmax(-x)`` along an axis: the smallest number gets the most.

    >>> softmin(Tensor([0.0, 0.0]))
    Tensor([0.5, 0.5])
    """
    return softmax(neg(as_tensor(input)), dim)


def glu(input: TensorLike, dim: int = -1) -> Tensor:
    """``a * sigmoid(b)`` for the two halves along an axis: the gated linear unit. (Dauphin et al., 2017)

    Raises :class:`ShapeError` for an axis of odd length.

    >>> glu(Tensor([2.0, 0.0]))
    Tensor([1.])
    """
    x = as_tensor(input)
    length = x.shape[normalize_dim("glu", dim, x.ndim)]
    if length % 2:
        raise ShapeError(
            "glu", f"axis {dim} has no two halves", got=repr(x.spec), expected=f"an even length, but {length} % 2 = 1",
            fix="give the layer before twice as many features as are wanted",
        )  # fmt: skip
    value, gate = split(x, length // 2, dim) if length else (x, x)
    return mul(value, sigmoid(gate))


def prelu(input: TensorLike, weight: TensorLike) -> Tensor:
    """``x`` where positive, else ``weight * x`` with a learned ``weight``. (He et al., 2015, equation 1)

    Args:
        input: ``(N, C, ...)``, or any shape for a single weight.
        weight: ``(1,)``, or ``(C,)`` with a slope for each channel on axis 1.

    Raises :class:`ShapeError` where there are neither one nor C weights.

    >>> prelu(Tensor([-2.0, 2.0]), Tensor([0.5]))
    Tensor([-1.,  2.])
    """
    x, slope = as_tensor(input), as_tensor(weight)
    channels = x.shape[1] if x.ndim > 1 else 1
    if slope.ndim != 1 or slope.shape[0] not in (1, channels):
        raise ShapeError(
            "prelu", f"{slope.shape} weights for {channels} channels", got=f"input {x.spec!r}, weight {slope.spec!r}",
            expected=f"weight.shape = (1,) or ({channels},)", fix=f"make the layer with num_parameters={channels}",
        )  # fmt: skip
    if x.ndim > 1:
        slope = reshape(slope, (1, slope.shape[0], *[1] * (x.ndim - 2)))
    elif not x.ndim:
        slope = reshape(slope, ())
    zero = full_like(x, 0.0)
    return where(x > zero, x, mul(slope, x))

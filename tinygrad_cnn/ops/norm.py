"""Normalisation: numbers shifted and scaled so that groups of them have mean 0 and variance 1.

The kinds differ in what belongs to one group: a channel over the whole batch (batch), all features of one sample
(layer), some channels of one sample (group), one channel of one sample (instance), or neighbouring channels at one
place (local response).

Legend: N batch, C channels, S the other axes.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ..backend import Array
from ..errors import ArgumentError, ShapeError
from ..graph import Spec
from ..mode import no_grad, scope
from ..tensor import Tensor, TensorLike
from .base import OUTPUT, Gradient, Operation, apply, as_tensor
from .elementwise import add, div, mul, pow, sqrt, square, sub
from .pool import avg_pool2d
from .reduce import mean
from .shape import pad, reshape


@dataclass(frozen=True)
class Standardise(Operation):
    """``(x - center) / scale``, where these are the mean of ``x`` over some axes and the root of its variance.

    Gradient: ``(grad - mean(grad) - y * mean(grad * y)) / scale``. That is the whole gradient in ``x``, what flows
    through mean and variance included, so these two get none. (Ioffe and Szegedy, 2015, section 3, collected)
    """

    dims: tuple[int, ...]
    name = "standardise"
    keeps = ((2, OUTPUT),)

    def infer(self, x: Spec, center: Spec, scale: Spec) -> Spec:
        return x

    def forward(self, xp: Any, x: Array, center: Array, scale: Array) -> Array:
        return (x - center) / scale

    def vjp(self, grad: Tensor, output: Tensor, x: Tensor, center: Tensor, scale: Tensor) -> tuple[Gradient, ...]:
        along = mean(grad, self.dims, keepdim=True)
        tilt = mean(mul(grad, output), self.dims, keepdim=True)
        return div(sub(sub(grad, along), mul(output, tilt)), scale), None, None


def batch_norm(
    input: TensorLike,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    training: bool = False,
    momentum: float | Tensor = 0.1,
    eps: float = 1e-5,
) -> Tensor:
    """``(x - mean) / sqrt(var + eps) * weight + bias``, for each channel. (Ioffe and Szegedy, 2015, algorithm 1)

    Args:
        input: ``(N, C)`` or ``(N, C, ...)``.
        running_mean: ``(C,)``, averaged over the batches of the training; used when not training.
        running_var: ``(C,)``, likewise.
        weight: ``(C,)`` or none.
        bias: ``(C,)`` or none.
        training: whether mean and variance are the batch's own; then the running ones move towards them.
        momentum: how far they move: ``running = (1 - momentum) * running + momentum * batch``. The variance that is
            averaged is the unbiased one.
        eps: keeps the root away from 0.

    Raises :class:`ShapeError` for a wrong number of channels, :class:`ArgumentError` in training for a single value
    per channel, whose variance is 0.

    >>> batch_norm(Tensor([[1.0], [3.0]]), None, None, training=True, eps=0.0)
    Tensor([[-1.],
            [ 1.]])
    """
    x = as_tensor(input)
    _check_channels("batch_norm", x, running_mean=running_mean, running_var=running_var, weight=weight, bias=bias)
    channels = x.shape[1]
    dims = [axis for axis in range(x.ndim) if axis != 1]
    per_channel = (1, channels, *[1] * (x.ndim - 2))
    batch = training or running_mean is None or running_var is None
    if batch:
        count = x.numel() // channels if channels else 0
        if count == 1:
            raise ArgumentError(
                "batch_norm",
                "1 value per channel has no variance to normalise by",
                got=repr(x.spec),
                expected="two or more values for each channel in training",
                fix="use a larger batch, or model.eval() for single examples",
            )
        center = mean(x, dims, keepdim=True)
        variance = mean(square(sub(x, center)), dims, keepdim=True)
        if training and count and running_mean is not None and running_var is not None:
            with no_grad(), scope("statistics"):
                unbiased = mul(variance.detach(), count / (count - 1))
                for running, now in ((running_mean, center.detach()), (running_var, unbiased)):
                    running.assign(add(mul(running, 1 - momentum), mul(reshape(now, (channels,)), momentum)))
    else:
        assert running_mean is not None
        assert running_var is not None
        distance = sub(x, reshape(running_mean, per_channel))
        return _scaled(div(distance, sqrt(add(reshape(running_var, per_channel), eps))), weight, bias)
    return _scaled(apply(Standardise(tuple(dims)), x, center, sqrt(add(variance, eps))), weight, bias)


def layer_norm(
    input: TensorLike,
    normalized_shape: int | Sequence[int],
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-5,
) -> Tensor:
    """``(x - mean) / sqrt(var + eps) * weight + bias`` over the last axes, for each sample. (Ba et al., 2016)

    Args:
        input: ``(..., *normalized_shape)``.
        normalized_shape: the last axes, which are normalised together.
        weight: of that shape, or none.
        bias: of that shape, or none.
        eps: keeps the root away from 0.

    Raises :class:`ShapeError` where the last axes of the input, the weight or the bias have another shape.

    >>> layer_norm(Tensor([[1.0, 3.0]]), 2, eps=0.0)
    Tensor([[-1.,  1.]])
    """
    x = as_tensor(input)
    shape = (normalized_shape,) if isinstance(normalized_shape, int) else tuple(normalized_shape)
    for name, each in {"weight": weight, "bias": bias}.items():
        if each is not None and each.shape != shape:
            raise ShapeError(
                "layer_norm", f"{name} does not have the shape that is normalised", got=f"{name} {each.spec!r}",
                expected=f"{name}.shape = {shape}",
            )  # fmt: skip
    if not shape or x.shape[-len(shape) :] != shape:
        raise ShapeError(
            "layer_norm", f"the input does not end in {shape}", got=repr(x.spec),
            expected=f"(..., {', '.join(map(str, shape))})",
            fix=f"make the layer with normalized_shape={x.shape[-max(len(shape), 1) :]}",
        )  # fmt: skip
    output = _standardised(x, range(x.ndim - len(shape), x.ndim), eps)
    output = output if weight is None else mul(output, weight)
    return output if bias is None else add(output, bias)


def group_norm(
    input: TensorLike, num_groups: int, weight: Tensor | None = None, bias: Tensor | None = None, eps: float = 1e-5
) -> Tensor:
    """``(x - mean) / sqrt(var + eps) * weight + bias`` over groups of channels, for each sample. (Wu and He, 2018)

    Args:
        input: ``(N, C, *S)``.
        num_groups: how many groups the channels are divided into: 1 for layer, C for instance normalisation.
        weight: ``(C,)`` or none.
        bias: ``(C,)`` or none.
        eps: keeps the root away from 0.

    Raises :class:`ShapeError` where C is not divisible by the number of groups or does not fit weight and bias.

    >>> group_norm(Tensor([[[1.0], [3.0]]]), 1, eps=0.0)
    Tensor([[[-1.],
             [ 1.]]])
    """
    x = as_tensor(input)
    _check_channels("group_norm", x, weight=weight, bias=bias)
    channels = x.shape[1]
    if num_groups < 1 or channels % num_groups:
        raise ShapeError(
            "group_norm", f"{channels} channels cannot be divided into {num_groups} equal groups", got=repr(x.spec),
            expected=f"{channels} % num_groups = 0", fix="choose a num_groups that divides the number of channels",
        )  # fmt: skip
    groups = reshape(x, (x.shape[0], num_groups, math.prod(x.shape[1:]) // num_groups))
    return _scaled(reshape(_standardised(groups, [2], eps), x.shape), weight, bias)


def instance_norm(
    input: TensorLike,
    running_mean: Tensor | None = None,
    running_var: Tensor | None = None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    use_input_stats: bool = True,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Tensor:
    """``(x - mean) / sqrt(var + eps) * weight + bias`` for each channel of each sample. (Ulyanov et al., 2016)

    Args:
        input: ``(N, C, *S)``.
        running_mean: ``(C,)``; used when not ``use_input_stats``, else the mean over the batch is averaged into it.
        running_var: ``(C,)``, likewise.
        weight: ``(C,)`` or none.
        bias: ``(C,)`` or none.
        use_input_stats: whether mean and variance are those of the input.
        momentum: as for :func:`batch_norm`.
        eps: keeps the root away from 0.

    Raises :class:`ShapeError` for a wrong number of channels, :class:`ArgumentError` for channels of a single value.

    >>> instance_norm(Tensor([[[1.0, 3.0]]]), eps=0.0)
    Tensor([[[-1.,  1.]]])
    """
    x = as_tensor(input)
    _check_channels("instance_norm", x, running_mean=running_mean, running_var=running_var, weight=weight, bias=bias)
    if not use_input_stats:
        return batch_norm(x, running_mean, running_var, weight, bias, eps=eps)
    dims = list(range(2, x.ndim))
    count = math.prod(x.shape[2:])
    if count == 1:
        raise ArgumentError(
            "instance_norm", "a single value has no variance to normalise by", got=repr(x.spec),
            expected="two or more values in each channel of a sample", fix="use a larger image, or batch_norm",
        )  # fmt: skip
    center = mean(x, dims, keepdim=True)
    variance = mean(square(sub(x, center)), dims, keepdim=True)
    if running_mean is not None and running_var is not None and x.numel():
        with no_grad(), scope("statistics"):
            unbiased = mul(variance.detach(), count / (count - 1))
            for running, now in ((running_mean, center.detach()), (running_var, unbiased)):
                average = mean(reshape(now, x.shape[:2]), 0)
                running.assign(add(mul(running, 1 - momentum), mul(average, momentum)))
    return _scaled(apply(Standardise(tuple(dims)), x, center, sqrt(add(variance, eps))), weight, bias)


def local_response_norm(
    input: TensorLike, size: int, alpha: float = 1e-4, beta: float = 0.75, k: float = 1.0
) -> Tensor:
    """``x / (k + alpha * average of x^2 over neighbouring channels) ** beta``. (Krizhevsky et al., 2012, section 3.3)

    Args:
        input: ``(N, C, *S)``.
        size: how many neighbouring channels are averaged; those outside count as 0.
        alpha: the weight of the average. In the paper it is that of the sum, so ``size`` times smaller.
        beta: the power.
        k: keeps the divisor away from 0.

    Raises :class:`ShapeError` for an input without channels, :class:`ArgumentError` for a size below 1.

    >>> local_response_norm(Tensor([[[3.0], [4.0]]]), 1, alpha=1.0, beta=0.5, k=0.0)
    Tensor([[[1.],
             [1.]]])
    """
    x = as_tensor(input)
    _check_channels("local_response_norm", x)
    if size < 1:
        raise ArgumentError("local_response_norm", "channels are counted from 1", got=f"size={size}")
    squares = reshape(square(x), (x.shape[0], 1, x.shape[1], math.prod(x.shape[2:])))
    squares = pad(squares, (0, 0, size // 2, (size - 1) // 2))
    average = reshape(avg_pool2d(squares, (size, 1), 1), x.shape)
    return div(x, pow(add(mul(average, alpha), k), beta))


def _check_channels(name: str, x: Tensor, **leaves: Tensor | None) -> None:
    if x.ndim < 2:
        raise ShapeError(name, "the input has no channel axis", got=repr(x.spec), expected="(N, C, ...)")
    channels = x.shape[1]
    for leaf, each in leaves.items():
        if each is not None and each.shape != (channels,):
            raise ShapeError(
                name,
                f"the input has {channels} channels, {leaf} has {each.shape}",
                got=f"input {x.spec!r}, {leaf} {each.spec!r}",
                expected=f"{leaf}.shape = (input.shape[1],) = ({channels},)",
                fix=f"make the layer with num_features={channels}",
            )


def _standardised(x: Tensor, dims: Sequence[int], eps: float) -> Tensor:
    """With mean 0 and variance 1 over the axes ``dims``."""
    center = mean(x, list(dims), keepdim=True)
    variance = mean(square(sub(x, center)), list(dims), keepdim=True)
    return apply(Standardise(tuple(dims)), x, center, sqrt(add(variance, eps)))


def _scaled(x: Tensor, weight: Tensor | None, bias: Tensor | None) -> Tensor:
    """Times a number for each channel, plus another."""
    per_channel = (1, x.shape[1], *[1] * (x.ndim - 2))
    x = x if weight is None else mul(x, reshape(weight, per_channel))
    return x if bias is None else add(x, reshape(bias, per_channel))

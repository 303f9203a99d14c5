"""Layers and losses as functions, with PyTorch's names, argument order and defaults."""

from __future__ import annotations

from ..errors import ArgumentError, ShapeError
from ..mode import no_grad, scope
from ..ops.base import as_tensor
from ..ops.conv import conv1d, conv2d, conv3d, conv_transpose1d, conv_transpose2d, conv_transpose3d
from ..ops.elementwise import (
    add,
    div,
    gelu,
    leaky_relu,
    mul,
    neg,
    relu,
    sigmoid,
    softplus,
    sqrt,
    square,
    sub,
    tanh,
)  # fmt: skip
from ..ops.index import one_hot, take_along_dim
from ..ops.linalg import matmul
from ..ops.pool import avg_pool1d, avg_pool2d, avg_pool3d, max_pool1d, max_pool2d, max_pool3d
from ..ops.random import dropout
from ..ops.reduce import log_softmax, mean, softmax, sum
from ..ops.shape import pad, reshape, squeeze, unsqueeze
from ..ops.window import fold, unfold
from ..tensor import Tensor, TensorLike

__all__ = [
    "avg_pool1d",
    "avg_pool2d",
    "avg_pool3d",
    "batch_norm",
    "binary_cross_entropy_with_logits",
    "conv1d",
    "conv2d",
    "conv3d",
    "conv_transpose1d",
    "conv_transpose2d",
    "conv_transpose3d",
    "cross_entropy",
    "dropout",
    "fold",
    "gelu",
    "leaky_relu",
    "linear",
    "log_softmax",
    "max_pool1d",
    "max_pool2d",
    "max_pool3d",
    "mse_loss",
    "one_hot",
    "pad",
    "relu",
    "sigmoid",
    "softmax",
    "softplus",
    "tanh",
    "unfold",
]


def linear(input: TensorLike, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """``input @ weight.T + bias``: each output is a weighted sum of all inputs.

    Args:
        input: ``(..., in_features)``.
        weight: ``(out_features, in_features)``.
        bias: ``(out_features,)`` or none.

    Returns ``(..., out_features)``.

    Raises :class:`ShapeError` where the last axis of the input is not ``in_features`` long, or weight and bias do not
    fit together.

    >>> linear(Tensor([[1.0, 2.0]]), Tensor([[3.0, 4.0]]), Tensor([0.5]))
    Tensor([[11.5]])
    """
    input = as_tensor(input)
    if weight.ndim != 2 or (bias is not None and bias.shape != weight.shape[:1]):
        raise ShapeError(
            "linear",
            "weight and bias do not make a layer",
            got=f"weight {weight.spec!r}" + (f", bias {bias.spec!r}" if bias is not None else ""),
            expected="weight (out_features, in_features), bias (out_features,)",
        )
    if not input.ndim or input.shape[-1] != weight.shape[1]:
        raise ShapeError(
            "linear",
            f"the input has {input.shape[-1] if input.ndim else 'no'} features, the weight takes {weight.shape[1]}",
            got=f"input {input.spec!r}, weight {weight.spec!r}",
            expected=f"input.shape[-1] = weight.shape[1] = {weight.shape[1]}",
            fix="flatten the input to (N, features) first, or make the layer with that many in_features",
        )
    output = matmul(input, weight.T)
    return output if bias is None else add(output, bias)


def batch_norm(
    input: TensorLike,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    training: bool = False,
    momentum: float = 0.1,
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
    if x.ndim < 2:
        raise ShapeError("batch_norm", "the input has no channel axis", got=repr(x.spec), expected="(N, C, ...)")
    channels = x.shape[1]
    leaves = {"running_mean": running_mean, "running_var": running_var, "weight": weight, "bias": bias}
    for name, each in leaves.items():
        if each is not None and each.shape != (channels,):
            raise ShapeError(
                "batch_norm",
                f"the input has {channels} channels, {name} has {each.shape}",
                got=f"input {x.spec!r}, {name} {each.spec!r}",
                expected=f"{name}.shape = (input.shape[1],) = ({channels},)",
                fix=f"make the layer with num_features={channels}",
            )
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
        distance = sub(x, center)
        variance = mean(square(distance), dims, keepdim=True)
        if training and count and running_mean is not None and running_var is not None:
            with no_grad(), scope("statistics"):
                unbiased = mul(variance.detach(), count / (count - 1))
                for running, now in ((running_mean, center.detach()), (running_var, unbiased)):
                    running.assign(add(mul(running, 1 - momentum), mul(reshape(now, (channels,)), momentum)))
    else:
        assert running_mean is not None
        assert running_var is not None
        distance = sub(x, reshape(running_mean, per_channel))
        variance = reshape(running_var, per_channel)
    scale = sqrt(add(variance, eps))
    output = div(distance, scale)
    if weight is not None:
        output = mul(output, reshape(weight, per_channel))
    return output if bias is None else add(output, reshape(bias, per_channel))


def cross_entropy(
    input: TensorLike, target: TensorLike, reduction: str = "mean", label_smoothing: float = 0.0
) -> Tensor:
    """``-log softmax(input)[target]``: how surprised the model is by the right class, in nats.

    Args:
        input: logits ``(N, C)``, or ``(N, C, ...)`` with one prediction at each place, or ``(C,)``.
        target: class numbers ``(N,)`` or ``(N, ...)``, or probabilities of the shape of ``input``.
        reduction: ``"mean"``, ``"sum"`` or ``"none"``.
        label_smoothing: the share of the probability that is spread over all classes, from 0 to 1. (Szegedy et al.,
            2016, section 7)

    Raises :class:`ShapeError` where the shapes do not fit, :class:`ArgumentError` for a class that does not exist.

    >>> cross_entropy(Tensor([[0.0, 0.0]]), Tensor([1]))
    Tensor(0.6931472)
    """
    logits, target = as_tensor(input), as_tensor(target)
    if logits.ndim == 0:
        raise ShapeError("cross_entropy", "the input has no class axis", got=repr(logits.spec), expected="(N, C, ...)")
    class_dim = 0 if logits.ndim == 1 else 1
    without_classes = (*logits.shape[:class_dim], *logits.shape[class_dim + 1 :])
    if target.dtype.kind == "f":
        if target.shape != logits.shape:
            raise ShapeError(
                "cross_entropy", "the probabilities do not fit the logits",
                got=f"input {logits.spec!r}, target {target.spec!r}", expected=f"target.shape = {logits.shape}",
                fix="class numbers need an integer type: target.to('int64')",
            )  # fmt: skip
    elif target.shape != without_classes:
        raise ShapeError(
            "cross_entropy",
            "the class numbers do not fit the logits",
            got=f"input {logits.spec!r}, target {target.spec!r}",
            expected=f"one class number for each prediction: target.shape = {without_classes}",
            fix="the classes are on axis 1 of the input: move them there with permute, or squeeze the target",
        )
    log_probability = log_softmax(logits, class_dim)
    if target.dtype.kind == "f":
        chosen = sum(mul(target, log_probability), class_dim)
    else:
        chosen = squeeze(take_along_dim(log_probability, unsqueeze(target, class_dim), class_dim), class_dim)
    if label_smoothing:
        chosen = add(mul(chosen, 1 - label_smoothing), mul(mean(log_probability, class_dim), label_smoothing))
    return _reduced("cross_entropy", neg(chosen), reduction)


def binary_cross_entropy_with_logits(input: TensorLike, target: TensorLike, reduction: str = "mean") -> Tensor:
    """``-t log sigmoid(x) - (1 - t) log sigmoid(-x)``, as ``t softplus(-x) + (1 - t) softplus(x)``: exact.

    Args:
        input: logits, any shape.
        target: probabilities from 0 to 1, of the same shape and type.
        reduction: ``"mean"``, ``"sum"`` or ``"none"``.

    Raises :class:`ShapeError` where the shapes differ.

    >>> binary_cross_entropy_with_logits(Tensor([-40.0, 40.0]), Tensor([1.0, 1.0]), reduction="none")
    Tensor([4.000000e+01, 4.248354e-18])
    """
    x, target = _same_shape("binary_cross_entropy_with_logits", input, target)
    loss = add(mul(target, softplus(neg(x))), mul(sub(1.0, target), softplus(x)))
    return _reduced("binary_cross_entropy_with_logits", loss, reduction)


def mse_loss(input: TensorLike, target: TensorLike, reduction: str = "mean") -> Tensor:
    """``(input - target)^2``.

    Args:
        input: any shape.
        target: of the same shape and type: broadcasting here is almost always a mistake.
        reduction: ``"mean"``, ``"sum"`` or ``"none"``.

    Raises :class:`ShapeError` where the shapes differ.

    >>> mse_loss(Tensor([1.0, 2.0]), Tensor([1.0, 4.0]))
    Tensor(2.)
    """
    x, target = _same_shape("mse_loss", input, target)
    return _reduced("mse_loss", square(sub(x, target)), reduction)


def _same_shape(name: str, input: TensorLike, target: TensorLike) -> tuple[Tensor, Tensor]:
    x, target = as_tensor(input), as_tensor(target)
    if x.shape != target.shape:
        raise ShapeError(
            name, "input and target have different shapes", got=f"input {x.spec!r}, target {target.spec!r}",
            expected="one shape", fix="reshape one of them; a missing axis of length 1 is the usual cause",
        )  # fmt: skip
    return x, target


def _reduced(name: str, losses: Tensor, reduction: str) -> Tensor:
    if reduction not in ("mean", "sum", "none"):
        raise ArgumentError(name, "no such reduction", got=repr(reduction), expected="'mean', 'sum' or 'none'")
    return mean(losses) if reduction == "mean" else sum(losses) if reduction == "sum" else losses

"""Layers, activations and losses as functions, with PyTorch's names, argument order and defaults.

They are defined in :mod:`tinygrad_cnn.ops`, one file for each family, and gathered here.
"""

from __future__ import annotations

from ..errors import ShapeError
from ..ops.activation import (
    celu,
    elu,
    glu,
    hardsigmoid,
    hardswish,
    hardtanh,
    logsigmoid,
    mish,
    prelu,
    relu6,
    selu,
    silu,
    softmin,
    softsign,
    tanhshrink,
)  # fmt: skip
from ..ops.adaptive import (
    adaptive_avg_pool1d,
    adaptive_avg_pool2d,
    adaptive_avg_pool3d,
    adaptive_max_pool1d,
    adaptive_max_pool2d,
    adaptive_max_pool3d,
    global_avg_pool1d,
    global_avg_pool2d,
    global_avg_pool3d,
    global_max_pool1d,
    global_max_pool2d,
    global_max_pool3d,
)  # fmt: skip
from ..ops.adjacency import normalize_adjacency
from ..ops.attention import attention_weights, causal_mask, scaled_dot_product_attention
from ..ops.base import as_tensor
from ..ops.conv import conv1d, conv2d, conv3d, conv_transpose1d, conv_transpose2d, conv_transpose3d
from ..ops.conv_forms import (
    convolution_matrix,
    convolve1d,
    convolve2d,
    convolve3d,
    correlate1d,
    correlate2d,
    correlate3d,
    locally_connected1d,
    locally_connected2d,
)  # fmt: skip
from ..ops.elementwise import add, gelu, leaky_relu, relu, sigmoid, softplus, tanh
from ..ops.embedding import embedding
from ..ops.index import one_hot
from ..ops.linalg import matmul
from ..ops.loss import (
    binary_cross_entropy,
    binary_cross_entropy_with_logits,
    cross_entropy,
    huber_loss,
    kl_div,
    l1_loss,
    mse_loss,
    nll_loss,
    smooth_l1_loss,
)  # fmt: skip
from ..ops.norm import batch_norm, group_norm, instance_norm, layer_norm, local_response_norm
from ..ops.pool import (
    avg_pool1d,
    avg_pool2d,
    avg_pool3d,
    max_pool1d,
    max_pool2d,
    max_pool3d,
    max_unpool1d,
    max_unpool2d,
    max_unpool3d,
    sum_pool1d,
    sum_pool2d,
    sum_pool3d,
)  # fmt: skip
from ..ops.pool_forms import (
    distance_weights,
    lp_pool1d,
    lp_pool2d,
    lp_pool3d,
    maxout,
    weighted_pool1d,
    weighted_pool2d,
    weighted_pool3d,
)  # fmt: skip
from ..ops.random import dropout
from ..ops.reduce import log_softmax, softmax
from ..ops.resample import interpolate, pixel_shuffle, pixel_unshuffle
from ..ops.shape import pad
from ..ops.window import fold, unfold
from ..tensor import Tensor, TensorLike

__all__ = [
    "adaptive_avg_pool1d",
    "adaptive_avg_pool2d",
    "adaptive_avg_pool3d",
    "adaptive_max_pool1d",
    "adaptive_max_pool2d",
    "adaptive_max_pool3d",
    "attention_weights",
    "avg_pool1d",
    "avg_pool2d",
    "avg_pool3d",
    "batch_norm",
    "binary_cross_entropy",
    "binary_cross_entropy_with_logits",
    "causal_mask",
    "celu",
    "conv1d",
    "conv2d",
    "conv3d",
    "conv_transpose1d",
    "conv_transpose2d",
    "conv_transpose3d",
    "convolution_matrix",
    "convolve1d",
    "convolve2d",
    "convolve3d",
    "correlate1d",
    "correlate2d",
    "correlate3d",
    "cross_entropy",
    "distance_weights",
    "dropout",
    "elu",
    "embedding",
    "fold",
    "gelu",
    "global_avg_pool1d",
    "global_avg_pool2d",
    "global_avg_pool3d",
    "global_max_pool1d",
    "global_max_pool2d",
    "global_max_pool3d",
    "glu",
    "group_norm",
    "hardsigmoid",
    "hardswish",
    "hardtanh",
    "huber_loss",
    "instance_norm",
    "interpolate",
    "kl_div",
    "l1_loss",
    "layer_norm",
    "leaky_relu",
    "linear",
    "local_response_norm",
    "locally_connected1d",
    "locally_connected2d",
    "log_softmax",
    "logsigmoid",
    "lp_pool1d",
    "lp_pool2d",
    "lp_pool3d",
    "max_pool1d",
    "max_pool2d",
    "max_pool3d",
    "max_unpool1d",
    "max_unpool2d",
    "max_unpool3d",
    "maxout",
    "mish",
    "mse_loss",
    "nll_loss",
    "normalize_adjacency",
    "one_hot",
    "pad",
    "pixel_shuffle",
    "pixel_unshuffle",
    "prelu",
    "relu",
    "relu6",
    "scaled_dot_product_attention",
    "selu",
    "sigmoid",
    "silu",
    "smooth_l1_loss",
    "softmax",
    "softmin",
    "softplus",
    "softsign",
    "sum_pool1d",
    "sum_pool2d",
    "sum_pool3d",
    "tanh",
    "tanhshrink",
    "unfold",
    "weighted_pool1d",
    "weighted_pool2d",
    "weighted_pool3d",
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

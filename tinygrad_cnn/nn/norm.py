"""Normalisation layers: which numbers are brought to mean 0 and variance 1 together."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import numpy as np

from ..errors import ArgumentError, ShapeError
from ..tensor import Tensor
from . import functional as F
from .init import Constant
from .module import Buffer, Module, Parameter


class _BatchNorm(Module):
    """Batch normalisation for inputs of given numbers of axes."""

    axes: ClassVar[tuple[int, ...]]

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        affine: bool = True,
        track_running_stats: bool = True,
    ) -> None:
        self.num_features, self.eps, self.momentum = num_features, eps, momentum
        shape = (num_features,)
        self.weight = Parameter.initialised(shape, Constant(1.0)) if affine else None
        self.bias = Parameter.initialised(shape, Constant(0.0)) if affine else None
        self.running_mean = Buffer.initialised(shape, Constant(0.0)) if track_running_stats else None
        self.running_var = Buffer.initialised(shape, Constant(1.0)) if track_running_stats else None
        self.num_batches_tracked = (
            Buffer.initialised((), Constant(0), np.int64) if track_running_stats else None
        )  # fmt: skip

    def forward(self, input: Tensor) -> Tensor:
        """``(N, C, ...)`` to the same shape."""
        if input.ndim not in self.axes:
            raise ShapeError(
                type(self).__name__,
                f"the input has {input.ndim} axes",
                got=repr(input.spec),
                expected=" or ".join(f"{axes} axes" for axes in self.axes),
            )
        momentum: float | Tensor = 0.0 if self.momentum is None else self.momentum
        if self.training and self.num_batches_tracked is not None:
            self.num_batches_tracked.assign(self.num_batches_tracked + 1)
            if self.momentum is None:
                momentum = 1.0 / self.num_batches_tracked.to(input.dtype)
        return F.batch_norm(
            input, self.running_mean, self.running_var, self.weight, self.bias, self.training, momentum, self.eps
        )  # fmt: skip

    def extra_repr(self) -> str:
        """The settings that differ from the defaults."""
        parts = [str(self.num_features)]
        parts += [f"eps={self.eps}"] if self.eps != 1e-5 else []
        parts += [f"momentum={self.momentum}"] if self.momentum != 0.1 else []
        parts += ["affine=False"] if self.weight is None else []
        parts += ["track_running_stats=False"] if self.running_mean is None else []
        return ", ".join(parts)


class BatchNorm1d(_BatchNorm):
    """Batch normalisation of ``(N, C)`` or ``(N, C, L)``; arguments as for :class:`BatchNorm2d`.

    >>> BatchNorm1d(2)(Tensor([[1.0, 5.0], [3.0, 5.0]])).shape
    (2, 2)
    """

    axes = (2, 3)


class BatchNorm2d(_BatchNorm):
    """Each channel of ``(N, C, H, W)`` shifted and scaled to mean 0 and variance 1, then by a learned scale and shift.

    In training mean and variance are those of the batch, and running averages follow them; in evaluation
    (``module.eval()``) the running averages are used. (Ioffe and Szegedy, 2015)

    Args:
        num_features: the number of channels ``C``.
        eps: keeps the root of the variance away from 0.
        momentum: the share of the new batch in the running averages; with ``None`` they are averages over all batches.
        affine: whether a scale (``weight``) and a shift (``bias``) are learned.
        track_running_stats: whether running averages are kept; without them evaluation uses the batch, too.

    Raises :class:`ShapeError` for a wrong number of axes or channels.

    >>> BatchNorm2d(16)
    BatchNorm2d(16)
    """

    axes = (4,)


class BatchNorm3d(_BatchNorm):
    """Batch normalisation of ``(N, C, D, H, W)``; arguments as for :class:`BatchNorm2d`.

    >>> BatchNorm3d(4, affine=False)
    BatchNorm3d(4, affine=False)
    """

    axes = (5,)


class LayerNorm(Module):
    """The last axes of each sample normalised together, then scaled and shifted. (Ba et al., 2016)

    Args:
        normalized_shape: the lengths of the last axes.
        eps: keeps the root of the variance away from 0.
        elementwise_affine: whether a scale and a shift for each place are learned.
        bias: whether there is the shift.

    Raises :class:`ShapeError` for an input that does not end in ``normalized_shape``.

    >>> LayerNorm(2)(Tensor([[1.0, 3.0]])).shape
    (1, 2)
    """

    def __init__(
        self,
        normalized_shape: int | Sequence[int],
        eps: float = 1e-5,
        elementwise_affine: bool = True,
        bias: bool = True,
    ) -> None:
        self.normalized_shape = (
            (normalized_shape,) if isinstance(normalized_shape, int) else tuple(normalized_shape)
        )  # fmt: skip
        self.eps = eps
        scaled = elementwise_affine
        self.weight = Parameter.initialised(self.normalized_shape, Constant(1.0)) if scaled else None
        self.bias = Parameter.initialised(self.normalized_shape, Constant(0.0)) if scaled and bias else None

    def forward(self, input: Tensor) -> Tensor:
        """``(..., *normalized_shape)`` to the same shape."""
        return F.layer_norm(input, self.normalized_shape, self.weight, self.bias, self.eps)

    def extra_repr(self) -> str:
        """The axes and the settings that differ from the defaults."""
        parts = [str(self.normalized_shape)]
        parts += [f"eps={self.eps}"] if self.eps != 1e-5 else []
        parts += ["elementwise_affine=False"] if self.weight is None else ["bias=False"] if self.bias is None else []
        return ", ".join(parts)


class GroupNorm(Module):
    """Groups of channels of each sample normalised together, then each channel scaled and shifted. (Wu and He, 2018)

    Args:
        num_groups: how many groups the channels are divided into.
        num_channels: the number of channels.
        eps: keeps the root of the variance away from 0.
        affine: whether a scale and a shift for each channel are learned.

    Raises :class:`ArgumentError` where the channels cannot be divided, :class:`ShapeError` for other inputs.

    >>> GroupNorm(2, 4)
    GroupNorm(2, 4)
    """

    def __init__(self, num_groups: int, num_channels: int, eps: float = 1e-5, affine: bool = True) -> None:
        if num_groups < 1 or num_channels % num_groups:
            raise ArgumentError(
                "GroupNorm", f"{num_channels} channels cannot be divided into {num_groups} equal groups",
                got=f"num_groups={num_groups}, num_channels={num_channels}", expected="num_channels % num_groups = 0",
            )  # fmt: skip
        self.num_groups, self.num_channels, self.eps = num_groups, num_channels, eps
        self.weight = Parameter.initialised((num_channels,), Constant(1.0)) if affine else None
        self.bias = Parameter.initialised((num_channels,), Constant(0.0)) if affine else None

    def forward(self, input: Tensor) -> Tensor:
        """``(N, C, ...)`` to the same shape."""
        return F.group_norm(input, self.num_groups, self.weight, self.bias, self.eps)

    def extra_repr(self) -> str:
        """The numbers and the settings that differ from the defaults."""
        parts = [str(self.num_groups), str(self.num_channels)]
        parts += [f"eps={self.eps}"] if self.eps != 1e-5 else []
        return ", ".join(parts + (["affine=False"] if self.weight is None else []))


class _InstanceNorm(Module):
    """Instance normalisation for inputs of a given number of axes."""

    axes: ClassVar[int]

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float = 0.1,
        affine: bool = False,
        track_running_stats: bool = False,
    ) -> None:
        self.num_features, self.eps, self.momentum = num_features, eps, momentum
        shape = (num_features,)
        self.weight = Parameter.initialised(shape, Constant(1.0)) if affine else None
        self.bias = Parameter.initialised(shape, Constant(0.0)) if affine else None
        self.running_mean = Buffer.initialised(shape, Constant(0.0)) if track_running_stats else None
        self.running_var = Buffer.initialised(shape, Constant(1.0)) if track_running_stats else None
        self.num_batches_tracked = (
            Buffer.initialised((), Constant(0), np.int64) if track_running_stats else None
        )  # fmt: skip

    def forward(self, input: Tensor) -> Tensor:
        """``(N, C, ...)`` or a single sample ``(C, ...)`` to the same shape."""
        if input.ndim not in (self.axes, self.axes - 1):
            raise ShapeError(
                type(self).__name__, f"the input has {input.ndim} axes", got=repr(input.spec),
                expected=f"{self.axes} axes, or {self.axes - 1} for a single sample",
            )  # fmt: skip
        single = input.ndim < self.axes
        output = F.instance_norm(
            input.unsqueeze(0) if single else input, self.running_mean, self.running_var, self.weight, self.bias,
            self.training or self.running_mean is None, self.momentum, self.eps,
        )  # fmt: skip
        return output.squeeze(0) if single else output

    def extra_repr(self) -> str:
        """The number of channels and the settings that differ from the defaults."""
        parts = [str(self.num_features)]
        parts += [f"eps={self.eps}"] if self.eps != 1e-5 else []
        parts += [f"momentum={self.momentum}"] if self.momentum != 0.1 else []
        parts += ["affine=True"] if self.weight is not None else []
        parts += ["track_running_stats=True"] if self.running_mean is not None else []
        return ", ".join(parts)


class InstanceNorm1d(_InstanceNorm):
    """Instance normalisation of ``(N, C, L)``; arguments as for :class:`InstanceNorm2d`.

    >>> InstanceNorm1d(2)(Tensor([[[1.0, 3.0], [0.0, 2.0]]])).shape
    (1, 2, 2)
    """

    axes = 3


class InstanceNorm2d(_InstanceNorm):
    """Each channel of each image shifted and scaled to mean 0 and variance 1. (Ulyanov et al., 2016)

    Args:
        num_features: the number of channels ``C``.
        eps: keeps the root of the variance away from 0.
        momentum: the share of the new batch in the running averages.
        affine: whether a scale (``weight``) and a shift (``bias``) for each channel are learned.
        track_running_stats: whether running averages are kept, and used in evaluation.

    Raises :class:`ShapeError` for a wrong number of axes or channels.

    >>> InstanceNorm2d(16)
    InstanceNorm2d(16)
    """

    axes = 4


class InstanceNorm3d(_InstanceNorm):
    """Instance normalisation of ``(N, C, D, H, W)``; arguments as for :class:`InstanceNorm2d`.

    >>> InstanceNorm3d(4, affine=True)
    InstanceNorm3d(4, affine=True)
    """

    axes = 5


class LocalResponseNorm(Module):
    """Each number divided by what neighbouring channels hold at its place. (Krizhevsky et al., 2012, section 3.3)

    The arguments are those of :func:`tinygrad_cnn.nn.functional.local_response_norm`.

    >>> LocalResponseNorm(5)
    LocalResponseNorm(5, alpha=0.0001, beta=0.75, k=1.0)
    """

    def __init__(self, size: int, alpha: float = 1e-4, beta: float = 0.75, k: float = 1.0) -> None:
        self.size, self.alpha, self.beta, self.k = size, alpha, beta, k

    def forward(self, input: Tensor) -> Tensor:
        """``(N, C, ...)`` to the same shape."""
        return F.local_response_norm(input, self.size, self.alpha, self.beta, self.k)

    def extra_repr(self) -> str:
        """The settings."""
        return f"{self.size}, alpha={self.alpha}, beta={self.beta}, k={self.k}"

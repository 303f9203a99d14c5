"""Normalisation layers."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from ..errors import ShapeError
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
        momentum: float = 0.1,
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
        if self.training and self.num_batches_tracked is not None:
            self.num_batches_tracked.assign(self.num_batches_tracked + 1)
        return F.batch_norm(
            input, self.running_mean, self.running_var, self.weight, self.bias, self.training, self.momentum, self.eps
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
        momentum: the share of the new batch in the running averages.
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

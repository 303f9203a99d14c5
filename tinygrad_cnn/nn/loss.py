"""Losses as modules; each is the function of :mod:`tinygrad_cnn.nn.functional` with its settings."""

from __future__ import annotations

from ..tensor import Tensor
from . import functional as F
from .module import Module


class CrossEntropyLoss(Module):
    """See :func:`tinygrad_cnn.nn.functional.cross_entropy`.

    >>> CrossEntropyLoss()(Tensor([[0.0, 0.0]]), Tensor([1]))
    Tensor(0.6931472)
    """

    def __init__(self, reduction: str = "mean", label_smoothing: float = 0.0) -> None:
        self.reduction, self.label_smoothing = reduction, label_smoothing

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        """Logits ``(N, C, ...)`` and class numbers ``(N, ...)`` to a loss."""
        return F.cross_entropy(input, target, self.reduction, self.label_smoothing)


class BCEWithLogitsLoss(Module):
    """See :func:`tinygrad_cnn.nn.functional.binary_cross_entropy_with_logits`.

    >>> BCEWithLogitsLoss()(Tensor([0.0]), Tensor([1.0]))
    Tensor(0.6931472)
    """

    def __init__(self, reduction: str = "mean") -> None:
        self.reduction = reduction

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        """Logits and probabilities of one shape to a loss."""
        return F.binary_cross_entropy_with_logits(input, target, self.reduction)


class MSELoss(Module):
    """See :func:`tinygrad_cnn.nn.functional.mse_loss`.

    >>> MSELoss()(Tensor([1.0, 2.0]), Tensor([1.0, 4.0]))
    Tensor(2.)
    """

    def __init__(self, reduction: str = "mean") -> None:
        self.reduction = reduction

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        """Two tensors of one shape to a loss."""
        return F.mse_loss(input, target, self.reduction)

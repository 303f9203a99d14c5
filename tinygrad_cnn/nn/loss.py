"""Losses as modules; each is the function of :mod:`tinygrad_cnn.nn.functional` with its settings."""

from __future__ import annotations

from ..tensor import Tensor
from . import functional as F
from .module import Buffer, Module


def _buffer(weight: Tensor | None) -> Buffer | None:
    """Weights move to a device with the module, but are not trained."""
    return None if weight is None else Buffer(weight)


class CrossEntropyLoss(Module):
    """See :func:`tinygrad_cnn.nn.functional.cross_entropy`.

    >>> CrossEntropyLoss()(Tensor([[0.0, 0.0]]), Tensor([1]))
    Tensor(0.6931472)
    """

    def __init__(
        self,
        weight: Tensor | None = None,
        ignore_index: int | None = None,
        reduction: str = "mean",
        label_smoothing: float = 0.0,
    ) -> None:
        self.weight = _buffer(weight)
        self.ignore_index, self.reduction, self.label_smoothing = ignore_index, reduction, label_smoothing

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        """Logits ``(N, C, ...)`` and class numbers ``(N, ...)`` to a loss."""
        return F.cross_entropy(
            input, target, self.weight, self.ignore_index, self.reduction, self.label_smoothing
        )  # fmt: skip


class NLLLoss(Module):
    """See :func:`tinygrad_cnn.nn.functional.nll_loss`.

    >>> NLLLoss()(Tensor([[-0.5, -2.0]]), Tensor([1]))
    Tensor(2.)
    """

    def __init__(self, weight: Tensor | None = None, ignore_index: int | None = None, reduction: str = "mean") -> None:
        self.weight = _buffer(weight)
        self.ignore_index, self.reduction = ignore_index, reduction

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        """Log-probabilities ``(N, C, ...)`` and class numbers ``(N, ...)`` to a loss."""
        return F.nll_loss(input, target, self.weight, self.ignore_index, self.reduction)


class BCEWithLogitsLoss(Module):
    """See :func:`tinygrad_cnn.nn.functional.binary_cross_entropy_with_logits`.

    >>> BCEWithLogitsLoss()(Tensor([0.0]), Tensor([1.0]))
    Tensor(0.6931472)
    """

    def __init__(self, weight: Tensor | None = None, reduction: str = "mean", pos_weight: Tensor | None = None) -> None:
        self.weight, self.pos_weight = _buffer(weight), _buffer(pos_weight)
        self.reduction = reduction

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        """Logits and probabilities of one shape to a loss."""
        return F.binary_cross_entropy_with_logits(input, target, self.weight, self.reduction, self.pos_weight)


class BCELoss(Module):
    """See :func:`tinygrad_cnn.nn.functional.binary_cross_entropy`.

    >>> BCELoss()(Tensor([0.5]), Tensor([1.0]))
    Tensor(0.6931472)
    """

    def __init__(self, weight: Tensor | None = None, reduction: str = "mean") -> None:
        self.weight = _buffer(weight)
        self.reduction = reduction

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        """Two tensors of probabilities of one shape to a loss."""
        return F.binary_cross_entropy(input, target, self.weight, self.reduction)


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


class L1Loss(Module):
    """See :func:`tinygrad_cnn.nn.functional.l1_loss`.

    >>> L1Loss()(Tensor([1.0, 2.0]), Tensor([1.0, 4.0]))
    Tensor(1.)
    """

    def __init__(self, reduction: str = "mean") -> None:
        self.reduction = reduction

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        """Two tensors of one shape to a loss."""
        return F.l1_loss(input, target, self.reduction)


class SmoothL1Loss(Module):
    """See :func:`tinygrad_cnn.nn.functional.smooth_l1_loss`.

    >>> SmoothL1Loss()(Tensor([0.0]), Tensor([3.0]))
    Tensor(2.5)
    """

    def __init__(self, reduction: str = "mean", beta: float = 1.0) -> None:
        self.reduction, self.beta = reduction, beta

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        """Two tensors of one shape to a loss."""
        return F.smooth_l1_loss(input, target, self.reduction, self.beta)


class HuberLoss(Module):
    """See :func:`tinygrad_cnn.nn.functional.huber_loss`.

    >>> HuberLoss()(Tensor([0.0]), Tensor([3.0]))
    Tensor(2.5)
    """

    def __init__(self, reduction: str = "mean", delta: float = 1.0) -> None:
        self.reduction, self.delta = reduction, delta

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        """Two tensors of one shape to a loss."""
        return F.huber_loss(input, target, self.reduction, self.delta)


class KLDivLoss(Module):
    """See :func:`tinygrad_cnn.nn.functional.kl_div`.

    >>> KLDivLoss("batchmean")(Tensor([[0.0, 0.0]]), Tensor([[1.0, 0.0]]))
    Tensor(0.)
    """

    def __init__(self, reduction: str = "mean", log_target: bool = False) -> None:
        self.reduction, self.log_target = reduction, log_target

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        """Log-probabilities and probabilities of one shape to a loss."""
        return F.kl_div(input, target, self.reduction, self.log_target)

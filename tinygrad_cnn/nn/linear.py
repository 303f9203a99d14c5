"""The fully connected layer."""

from __future__ import annotations

from ..errors import ArgumentError
from ..tensor import Tensor
from . import functional as F
from .init import default_weight
from .module import Module


class Linear(Module):
    """Each output is a weighted sum of all inputs: ``(..., in_features)`` to ``(..., out_features)``.

    Args:
        in_features: inputs.
        out_features: outputs.
        bias: whether a number is added to each output.

    The weight has shape ``(out_features, in_features)`` and starts uniform within ``1 / sqrt(in_features)``.

    Raises :class:`ArgumentError` for negative numbers of features.

    >>> Linear(3, 2)(Tensor([[1.0, 2.0, 3.0]])).shape
    (1, 2)
    """

    def __init__(self, in_features: int, out_features: int, bias: bool = True) -> None:
        if min(in_features, out_features) < 0:
            raise ArgumentError("Linear", "features are counted from 0", got=f"{in_features} to {out_features}")
        self.in_features, self.out_features = in_features, out_features
        self.weight = default_weight((out_features, in_features), in_features)
        self.bias = default_weight((out_features,), in_features) if bias else None

    def forward(self, input: Tensor) -> Tensor:
        """``(..., in_features)`` to ``(..., out_features)``."""
        return F.linear(input, self.weight, self.bias)

    def extra_repr(self) -> str:
        """The settings."""
        bias = "" if self.bias is not None else ", bias=False"
        return f"in_features={self.in_features}, out_features={self.out_features}{bias}"

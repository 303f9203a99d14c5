"""Networks on graphs."""

from __future__ import annotations

from typing import Any

from .. import nn
from ..ops.elementwise import relu
from ..tensor import Tensor


class GCN(nn.Module):
    """Two graph convolutions: a class for each node from its features and those of nodes up to two edges away.

    (Kipf and Welling, 2017, equation 9)

    Args:
        in_features: features of a node.
        num_classes: classes.
        hidden_features: features between the two convolutions.
        dropout: before each of them, in training.

    Raises :class:`ShapeError` where features and graph do not fit together.

    >>> graph = nn.functional.normalize_adjacency(Tensor([[0.0, 1.0], [1.0, 0.0]]))
    >>> GCN(3, 4)(Tensor([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]), graph).shape
    (2, 4)
    """

    def __init__(self, in_features: int, num_classes: int, hidden_features: int = 16, dropout: float = 0.5) -> None:
        self.dropout1 = nn.Dropout(dropout)
        self.conv1 = nn.GraphConv(in_features, hidden_features)
        self.dropout2 = nn.Dropout(dropout)
        self.conv2 = nn.GraphConv(hidden_features, num_classes)

    def forward(self, features: Tensor, adjacency: Tensor) -> Tensor:
        """Features ``(..., n, in_features)`` and the normalised graph ``(..., n, n)`` to ``(..., n, num_classes)``."""
        logits: Tensor = self.conv2(self.dropout2(self.embed(features, adjacency)), adjacency)
        return logits

    def embed(self, features: Tensor, adjacency: Tensor) -> Tensor:
        """What the first convolution makes of each node, ``(..., n, hidden_features)``."""
        return relu(self.conv1(self.dropout1(features), adjacency))


def gcn(in_features: int = 34, num_classes: int = 2, **settings: Any) -> GCN:
    """A :class:`GCN`, by default for the 34 members of Zachary's karate club, who have no features but themselves."""
    return GCN(in_features, num_classes, **settings)

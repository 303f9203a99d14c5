"""Networks on graphs: nodes that take over features from their neighbours."""

from __future__ import annotations

from ..errors import ShapeError
from ..ops.elementwise import add
from ..ops.linalg import matmul
from ..tensor import Tensor
from . import functional as F
from .init import Constant, xavier_uniform_
from .module import Module, Parameter


class GraphConv(Module):
    """Each node's new features are a weighted sum of its neighbours': ``S X W^T + b``. (Kipf and Welling, 2017)

    A convolution takes the sum over the pixels around a pixel; here the neighbours are those of a graph, and all have
    the same ``W``: ``S`` says who is a neighbour, and how near.

    Args:
        in_features: features of a node before.
        out_features: features of a node after.
        bias: whether a number is added to each new feature.

    The weight has shape ``(out_features, in_features)`` and starts as Glorot and Bengio (2010) have it, the bias at 0.

    Raises :class:`ShapeError` where features and graph do not fit together.

    >>> two_nodes = F.normalize_adjacency(Tensor([[0.0, 1.0], [1.0, 0.0]]))
    >>> GraphConv(3, 4)(Tensor([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]), two_nodes).shape
    (2, 4)
    """

    def __init__(self, in_features: int, out_features: int, bias: bool = True) -> None:
        self.in_features, self.out_features = in_features, out_features
        self.weight = xavier_uniform_(Parameter.initialised((out_features, in_features), Constant(0.0)))
        self.bias = Parameter.initialised((out_features,), Constant(0.0)) if bias else None

    def forward(self, input: Tensor, adjacency: Tensor) -> Tensor:
        """Features ``(..., n, in_features)`` and the graph ``(..., n, n)`` to ``(..., n, out_features)``.

        The graph is normalised already, by :func:`tinygrad_cnn.nn.functional.normalize_adjacency`.
        """
        nodes = input.shape[-2] if input.ndim > 1 else None
        if nodes is None or adjacency.ndim < 2 or adjacency.shape[-2:] != (nodes, nodes):
            raise ShapeError(
                "GraphConv", "features and graph have different nodes",
                got=f"input {input.spec!r}, adjacency {adjacency.spec!r}",
                expected=f"input (..., n, {self.in_features}), adjacency (..., n, n) with one n",
                fix="the nodes are the last axis but one of the features: transpose them if they come first",
            )  # fmt: skip
        output = matmul(adjacency, F.linear(input, self.weight))  # (n, in) -> (n, out), then over the neighbours
        return output if self.bias is None else add(output, self.bias)

    def extra_repr(self) -> str:
        """The settings."""
        bias = "" if self.bias is not None else ", bias=False"
        return f"in_features={self.in_features}, out_features={self.out_features}{bias}"

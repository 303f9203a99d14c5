"""Graphs of the other kind: who is a neighbour of whom, as a matrix."""

from __future__ import annotations

import numpy as np

from ..errors import ShapeError
from ..mode import scope
from ..tensor import Tensor, TensorLike
from .base import as_tensor, require_float
from .elementwise import add, div, gt, mul, sqrt, where
from .reduce import sum
from .shape import transpose


def normalize_adjacency(adjacency: TensorLike, self_loops: bool = True) -> Tensor:
    """``D^(-1/2) (A + I) D^(-1/2)``, where D holds the row sums of ``A + I``. (Kipf and Welling, 2017, equation 2)

    Each edge is divided by the roots of the degrees of its two ends, so that sums over neighbours, repeated layer after
    layer, neither grow nor vanish.

    Args:
        adjacency: ``(..., n, n)``: weights of the edges, 0 where there is none; one graph or a batch of them.
        self_loops: whether each node becomes a neighbour of its own first (the ``+ I``).

    Returns the same shape. A node without edges keeps a row of zeros.

    Raises :class:`ShapeError` for what is not square, :class:`DTypeError` for numbers that are not floating-point.

    >>> normalize_adjacency(Tensor([[0.0, 1.0], [1.0, 0.0]]))
    Tensor([[0.5, 0.5],
            [0.5, 0.5]])
    """
    edges = as_tensor(adjacency)
    require_float("normalize_adjacency", edges.spec)
    if edges.ndim < 2 or edges.shape[-1] != edges.shape[-2]:
        raise ShapeError(
            "normalize_adjacency", "the matrix is not square", got=repr(edges.spec),
            expected="(..., n, n): one row and one column for each node",
            fix="a list of edges becomes a matrix by adjacency[i, j] = adjacency[j, i] = 1 for each",
        )  # fmt: skip
    with scope("normalize_adjacency"):
        if self_loops:
            own = Tensor(np.eye(edges.shape[-1]), edges.dtype, None if edges.symbolic else edges.device)
            edges = add(edges, own)
        degree = sum(edges, -1, keepdim=True)
        product = mul(degree, transpose(degree, -1, -2))
        return div(edges, sqrt(where(gt(product, 0), product, 1.0)))  # where it is 0 there are no edges either

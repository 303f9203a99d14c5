"""Dense layers on sequences: their products keep the axis of the batch.

A dense layer on ``(N, T, I)`` is written as one product of ``N * T`` rows, in which examples and places are one axis.
Here it becomes what it also is, a convolution with a kernel of one cell over the T places of each example; and the
gradient in its weight becomes that of such a kernel. Recurrent layers hold ``(T, N, I)``: there the examples are
brought to the front first, which moves nothing, since each block of examples has an array of its own.
"""

from __future__ import annotations

import math
from typing import NamedTuple

from ...graph import Node
from ...ops.conv import Conv, ConvWeight
from ...ops.linalg import MatMul
from ...ops.shape import Permute, Reshape
from ..graph import Graph, like, rewrite
from ..layout import Arranged, image_dims, inverse, kernel_dims
from ..split import Batch, Follower

CONV = Conv((1,), ((0, 0),), (1,), 1)
GRADIENT = ConvWeight((1,), ((0, 0),), (1,), 1, kernel=(1,))
IMAGE, KERNEL = image_dims(3), kernel_dims(3)


def keep_batch(graph: Graph, batch: Batch) -> list[Node]:
    """The results, with products of examples and places as convolutions."""
    return rewrite(graph.results, _Keeper(graph, batch).rule)


class _Rows(NamedTuple):
    """What the rows of a matrix are."""

    x: Node
    """``(N, places, C)``"""
    lead: tuple[int, ...]
    """The axes that the rows were made of, in their order."""
    axis: int
    """Which of them is that of the examples."""


class _Keeper:
    """Rewrites products, while it follows the axis of the batch."""

    def __init__(self, graph: Graph, batch: Batch) -> None:
        self.follower = Follower(graph, batch)

    def rule(self, node: Node) -> Node:
        if isinstance(node.op, Reshape) and isinstance(node.inputs[0].op, Reshape):
            (x,) = node.inputs[0].inputs
            return x if x.spec.shape == node.spec.shape else like(node, node.op, (x,), node.spec)
        if isinstance(node.op, MatMul) and len(node.spec.shape) == 2:
            return self._product(node)
        return node

    def _product(self, node: Node) -> Node:
        left, right = node.inputs
        rows = self._rows(left)
        if rows is not None:
            result = like(node, Arranged(CONV, (IMAGE, KERNEL), IMAGE), [rows.x, _kernel(right)])
            return like(node, Reshape(node.spec.shape), [_put_back(result, rows)])
        matrix = _turned_back(left)
        rows = self._rows(matrix) if matrix is not None else None
        others = self._rows(right, rows.axis) if rows is not None else None
        if rows is None or others is None or rows.x.spec.shape[:2] != others.x.spec.shape[:2]:
            return node
        if rows.axis and rows.lead != others.lead:
            return node
        gradient = Arranged(GRADIENT, (IMAGE, IMAGE), KERNEL)
        return like(node, Reshape(node.spec.shape), [like(node, gradient, [rows.x, others.x])])

    def _rows(self, node: Node, axis: int | None = None) -> _Rows | None:
        """What the rows of a node are, if they are examples and places; channels may be several axes before."""
        if not isinstance(node.op, Reshape) or len(node.spec.shape) != 2:
            return None
        (x,) = node.inputs
        shape, channels = x.spec.shape, node.spec.shape[1]
        if axis is None:
            axis = self.follower.axis(x) or 0
        for end in range(2, len(shape)):
            places = math.prod(shape[:end]) // shape[axis] if shape[axis] else 0
            if (
                axis < end
                and places > 1
                and math.prod(shape[end:]) == channels
                and shape[axis] * places == node.spec.shape[0]
            ):
                if axis:
                    x = like(node, Permute(_to_front(axis, len(shape))), (x,))
                wanted = (shape[axis], places, channels)
                return _Rows(x if x.spec.shape == wanted else like(node, Reshape(wanted), (x,)), shape[:end], axis)
        return None


def _to_front(axis: int, rank: int) -> tuple[int, ...]:
    """The order of axes that brings one to the front."""
    return (axis, *[each for each in range(rank) if each != axis])


def _put_back(result: Node, rows: _Rows) -> Node:
    """``(N, places, O)`` with the axes that the rows were made of."""
    if not rows.axis:
        return result
    dims = _to_front(rows.axis, len(rows.lead) + 1)
    shape = (*rows.lead, result.spec.shape[-1])
    whole = like(result, Reshape(tuple([shape[dim] for dim in dims])), (result,))
    return like(result, Permute(inverse(dims)), (whole,))


def _turned_back(node: Node) -> Node | None:
    """The matrix that a node is the transpose of. A single row is written as a reshape of a column."""
    if _is_turned(node):
        return node.inputs[0]
    if isinstance(node.op, Reshape) and node.spec.shape[0] == 1:
        return like(node, Reshape((node.spec.shape[1], 1)), node.inputs)
    return None


def _is_turned(node: Node) -> bool:
    return isinstance(node.op, Permute) and node.op.dims == (1, 0)


def _kernel(weight: Node) -> Node:
    """A weight ``(I, O)`` as a kernel of one cell; a view of it, also where it is turned."""
    if _is_turned(weight):
        (own,) = weight.inputs
        cell = like(own, Reshape((1, *own.spec.shape)), (own,))
        return like(weight, Permute((0, 2, 1)), (cell,))
    return like(weight, Reshape((1, *weight.spec.shape)), (weight,))

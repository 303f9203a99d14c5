"""Dense layers on sequences: their products keep the axis of the batch.

A dense layer on ``(N, T, I)`` is written as one product of ``N * T`` rows, in which examples and places are one axis.
Here it becomes what it also is, a convolution with a kernel of one cell over the T places of each example; and the
gradient in its weight becomes that of such a kernel.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from ...graph import Node
from ...ops.conv import Conv, ConvWeight
from ...ops.linalg import MatMul
from ...ops.shape import Permute, Reshape
from ..graph import like, rewrite
from ..layout import Arranged, image_dims, kernel_dims

CONV = Conv((1,), ((0, 0),), (1,), 1)
GRADIENT = ConvWeight((1,), ((0, 0),), (1,), 1, kernel=(1,))
IMAGE, KERNEL = image_dims(3), kernel_dims(3)


def keep_batch(results: Sequence[Node]) -> list[Node]:
    """Products of examples and places as convolutions."""
    return rewrite(results, _keep)


def _keep(node: Node) -> Node:
    if not isinstance(node.op, MatMul) or len(node.spec.shape) != 2:
        return node
    left, right = node.inputs
    x = _places(left)
    if x is not None:
        conv = Arranged(CONV, (IMAGE, KERNEL), IMAGE)
        return like(node, Reshape(node.spec.shape), [like(node, conv, [x, _kernel(right)])])
    x, y = _places(left.inputs[0]) if _is_turned(left) else None, _places(right)
    if x is None or y is None or x.spec.shape[:2] != y.spec.shape[:2]:
        return node
    gradient = Arranged(GRADIENT, (IMAGE, IMAGE), KERNEL)
    return like(node, Reshape(node.spec.shape), [like(node, gradient, [x, y])])


def _places(node: Node) -> Node | None:
    """The array ``(N, T, C)`` of which a node shows the rows; places, and channels, may be several axes before."""
    if not isinstance(node.op, Reshape) or len(node.spec.shape) != 2:
        return None
    (x,) = node.inputs
    shape, channels = x.spec.shape, node.spec.shape[1]
    for end in range(2, len(shape)):
        places = math.prod(shape[1:end])
        if places > 1 and math.prod(shape[end:]) == channels and shape[0] * places == node.spec.shape[0]:
            wanted = (shape[0], places, channels)
            return x if shape == wanted else like(node, Reshape(wanted), (x,))
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

"""Folding: numbers for each channel go into the kernel and the bias of the convolution before them.

In inference, batch normalisation is ``(x - mean) / deviation * weight + bias`` with numbers that do not depend on the
image. So ``conv(x, W)`` with all this behind it is ``conv(x, W * weight / deviation) + number``: four passes over the
image become one. In training the mean depends on the convolution's result, which therefore has more than one reader,
and is left alone.

This pass rounds differently than the program as it was written, by a few units in the last place.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from ..graph import Node, topological_order
from ..ops.conv import Conv
from ..ops.elementwise import Add, Div, Mul, Neg, Sub
from ..ops.shape import BroadcastTo, Reshape
from .graph import like


def fold_scales(results: Sequence[Node]) -> list[Node]:
    """Products and sums of a convolution's result with one number for each channel go into kernel and bias."""
    order = topological_order(results)
    readers = Counter(parent for node in order for parent in node.inputs)
    readers.update(results)
    new: dict[Node, Node] = {}
    alone: set[Node] = set()  # new nodes with one reader
    for node in order:
        changed = like(node, node.op, [new[each] for each in node.inputs], node.spec) if node.inputs else node
        new[node] = _fold(changed, alone)
        if readers[node] == 1:
            alone.add(new[node])
    return [new[node] for node in results]


def _fold(node: Node, alone: set[Node]) -> Node:
    if isinstance(node.op, Mul | Div | Add | Sub):
        pairs = [node.inputs, node.inputs[::-1]] if isinstance(node.op, Mul) else [node.inputs]
        for x, factor in pairs:
            vector = _per_channel(factor)
            if vector is not None:
                return (_scale if isinstance(node.op, Mul | Div) else _shift)(node, x, vector, alone)
    return node


def _per_channel(node: Node) -> Node | None:
    """What a node repeats, if that is one number for each channel."""
    shape = node.spec.shape
    if not isinstance(node.op, BroadcastTo) or len(shape) < 3:
        return None
    return node.inputs[0] if node.inputs[0].spec.shape == (1, shape[1], *[1] * (len(shape) - 2)) else None


def _over_conv(x: Node, alone: set[Node]) -> tuple[Node, Node | None] | None:
    """A convolution and the vector that is added to it, if nobody else reads either."""
    vector = None
    if x in alone and isinstance(x.op, Add | Sub):
        vector = _per_channel(x.inputs[1])
        if vector is None:
            return None
        vector = vector if isinstance(x.op, Add) else like(x, Neg(), (vector,))
        x = x.inputs[0]
    return (x, vector) if x in alone and isinstance(x.op, Conv) else None


def _scale(node: Node, x: Node, factor: Node, alone: set[Node]) -> Node:
    """``(conv(x, W) + v) * f`` is ``conv(x, W * f) + v * f``."""
    found = _over_conv(x, alone)
    if found is None or found[0].inputs[1].spec.size > node.spec.size:
        return node
    conv, vector = found
    image, kernel = conv.inputs
    column = like(node, Reshape((kernel.spec.shape[0], *[1] * (len(kernel.spec.shape) - 1))), (factor,))
    wide = like(node, BroadcastTo(kernel.spec.shape), (column,))
    scaled = like(conv, conv.op, (image, like(node, node.op, (kernel, wide))))
    alone.add(scaled)
    return scaled if vector is None else _plus(node, scaled, like(node, node.op, (vector, factor)))


def _shift(node: Node, x: Node, term: Node, alone: set[Node]) -> Node:
    """``(conv(x, W) + v) + t`` is ``conv(x, W) + (v + t)``."""
    found = _over_conv(x, alone)
    if found is None:
        return node
    conv, vector = found
    return node if vector is None else _plus(node, conv, like(node, node.op, (vector, term)))


def _plus(node: Node, x: Node, vector: Node) -> Node:
    return like(node, Add(), (x, like(node, BroadcastTo(x.spec.shape), (vector,))))

"""Lanes: where the numbers of a plan lie, when several examples are computed side by side.

A graph is written for a batch. Here it becomes a program for *one* example, in which every number is a vector: its
lanes are the examples. The batch is cut into **blocks** of as many examples as a vector has lanes, and an array
``(N, H, W, C)`` is stored as ``[block][H][W][C][lane]``. So nothing ever moves from lane to lane, whatever the sizes of
the other axes are, except in sums over the batch. There are three kinds of arrays:

- *lanes*: one vector for each number of an example, for each block;
- *partial*: a sum over the examples of one block, for each block, on its way to an ``all_reduce``;
- *whole*: the same for all examples, such as parameters.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from ...graph import Node
from ...ops.conv import ConvWeight
from ...ops.index import IndexAdd
from ...ops.linalg import MatMul
from ...ops.reduce import ArgExtremum, Reduction
from ...ops.shape import Permute, Reshape
from ..fuse import Fused
from ..layout import Arranged
from ..split import AllReduce, ReshapeRows, Rows, picks_rows

PARTIAL = -1
"""What stands for the axis of the batch in an array that holds a sum over the examples of one block."""


class NotLanesError(Exception):
    """Why a graph cannot be computed with examples in lanes."""


def batch_axes(order: Sequence[Node], arguments: dict[Node, int | None]) -> dict[Node, int | None]:
    """For each node the axis on which examples lie, ``PARTIAL``, or ``None`` for whole arrays."""
    axes: dict[Node, int | None] = dict(arguments)
    for node in order:
        if node not in axes:
            axes[node] = _axis(node, [axes[each] for each in node.inputs])
    return axes


def _axis(node: Node, given: Sequence[int | None]) -> int | None:
    op = node.op
    if isinstance(op, Rows):
        return op.axis
    cut = [axis for axis in given if axis is not None]
    if not cut or isinstance(op, AllReduce):
        return None
    axis = cut[0]
    if isinstance(op, Fused):
        return _fused_axis(op, given)
    if picks_rows(node):
        return PARTIAL if isinstance(op, IndexAdd) else axis
    if isinstance(op, Reshape):
        return op.axis if isinstance(op, ReshapeRows) else PARTIAL
    if isinstance(op, Permute):
        return PARTIAL if axis == PARTIAL else op.dims.index(axis)
    if isinstance(op, Reduction):
        return _reduced(op, axis)
    if isinstance(op, ArgExtremum):
        return axis - (axis > op.dim)
    if PARTIAL in cut or len(set(cut)) > 1:
        raise NotLanesError(f"{op.name} of arrays that are cut in different ways")
    return axis


def _reduced(op: Reduction, axis: int) -> int:
    if axis in op.dims:
        return PARTIAL
    return axis if op.keepdim else axis - sum(dim < axis for dim in op.dims)


def _fused_axis(op: Fused, given: Sequence[int | None]) -> int | None:
    axes: dict[Node, int | None] = dict(zip(op.parameters, given, strict=True))
    for node in op.body:
        inputs = [axes[each] for each in node.inputs]
        cut = [axis for axis in inputs if axis is not None]
        if not cut:
            axes[node] = None
        elif isinstance(node.op, MatMul):
            axes[node] = _product_axis(inputs, len(node.spec.shape))
        elif isinstance(node.op, Arranged):
            axes[node] = PARTIAL if isinstance(node.op.op, ConvWeight) else 0
        elif isinstance(node.op, Reduction):
            axes[node] = _reduced(node.op, cut[0])
        elif len(set(cut)) > 1:
            raise NotLanesError(f"{node.op.name} of arrays that are cut in different ways")
        else:
            axes[node] = cut[0]
    return axes[op.body[-1]]


def _product_axis(inputs: Sequence[int | None], axes: int) -> int:
    a, b = inputs
    if (a, b) == (axes - 1, axes - 2):
        return PARTIAL
    if a == axes - 2 and b is None:
        return axes - 2
    if b == axes - 1 and a is None:
        return axes - 1
    cut = {axis for axis in inputs if axis is not None}
    if len(cut) == 1 and min(cut) >= 0 and max(cut) < axes - 2:
        return cut.pop()
    raise NotLanesError("a product in which examples meet")


# Where numbers lie


@dataclass(eq=False)
class Buffer:
    """Memory for the numbers of one array."""

    dtype: np.dtype
    size: int
    """How many numbers, for one block where there is one for each."""
    per_block: bool
    keeps: bool = False
    """Whether its numbers outlive the call, or were written once for all."""
    address: int = -1
    """In bytes: from the beginning of the arena, or of the block's memory."""
    argument: int = -1
    """Which of the user's arrays this is, where its examples are read where they lie."""
    per_thread: bool = False
    """Whether the blocks that one thread computes use the same memory for it, one after the other."""
    apart: int = 0
    """How many bytes one example lies behind the one before, where they lie together and not in the blocks' memory; or
    what each thread has behind what the one before has."""

    @property
    def nbytes(self) -> int:
        """In one block, where there is one for each."""
        return self.size * self.dtype.itemsize


@dataclass(frozen=True)
class View:
    """How a node's array lies in a buffer."""

    buffer: Buffer
    shape: tuple[int, ...]
    """The axes of one example; all axes of a whole or partial array."""
    strides: tuple[int, ...]
    """In vectors where examples lie in lanes, else in numbers."""
    offset: int = 0
    lanes: bool = False
    margin: tuple[tuple[int, int], ...] = field(default=(), compare=False)
    """How many zeros lie around it on each axis."""

    @property
    def contiguous(self) -> bool:
        """Whether the numbers lie one after the other."""
        return self.strides == row_major(self.shape) or math.prod(self.shape) <= 1


def row_major(shape: Sequence[int]) -> tuple[int, ...]:
    """The strides of an array whose numbers lie one after the other."""
    strides, step = [], 1
    for length in reversed(shape):
        strides.append(step)
        step *= length
    return tuple(reversed(strides))


def example(shape: Sequence[int], axis: int | None) -> tuple[int, ...]:
    """The axes without that of the batch."""
    return tuple(shape) if axis is None or axis == PARTIAL else (*shape[:axis], *shape[axis + 1 :])

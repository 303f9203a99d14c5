"""Splitting the batch: the same function of a part of the examples, for each core one.

Examples do not look at each other but for sums over the batch: the loss, the gradients of parameters, the statistics of
batch normalisation. There the parts meet: each adds up its own examples, and ``all_reduce`` adds the parts. Everything
else is computed by every core on its own rows, in memory of its own.

An array is either **whole** (the same in every part) or **cut** along one axis. The pass follows the cut through each
operation; where an operation would mix examples in a way that it does not know, the function is not split.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Any, NamedTuple

from ..backend import Array
from ..graph import Node, Spec, order_within
from ..ops.base import Full, Operation
from ..ops.conv import Conv, ConvTranspose, ConvWeight
from ..ops.elementwise import Cast, LogicalNot, Mul
from ..ops.index import AddAlongDim, Index, IndexAdd, Picked, Range, TakeAlongDim
from ..ops.linalg import MatMul
from ..ops.reduce import AMax, AMin, ArgExtremum, ArgMax, ArgMin, LogSoftmax, LogSumExp, Mean, Reduction, Sum
from ..ops.resample import Resample, ResampleAdjoint
from ..ops.shape import BroadcastTo, Cat, Flip, Pad, Permute, Reshape
from ..ops.window import Fold, Unfold
from .graph import Graph, like
from .layout import MAPS, Arranged
from .recompute import Hold


@dataclass(frozen=True)
class AllReduce(Operation):
    """The sum of what all parts have: every part has it then."""

    name = "all_reduce"
    differentiable = False

    def infer(self, x: Spec) -> Spec:
        return x


@dataclass(frozen=True)
class Rows(Operation):
    """The rows of a whole array that belong to one part."""

    axis: int
    start: int
    stop: int
    name = "rows"
    differentiable = False

    def infer(self, x: Spec) -> Spec:
        return Spec(_with_length(x.shape, self.axis, self.stop - self.start), x.dtype)

    def forward(self, xp: Any, x: Array) -> Array:
        return x[(slice(None),) * self.axis + (slice(self.start, self.stop),)]


@dataclass(frozen=True)
class ReshapeRows(Reshape):
    """A reshape of some of the examples."""

    axis: int = field(repr=False)
    """Where the examples lie afterwards."""


class NotSplitError(Exception):
    """Why a function cannot be split."""


@dataclass(frozen=True)
class Part:
    """One part of a split function."""

    graph: Graph
    start: int
    stop: int
    arguments: tuple[int | None, ...]
    """For each argument the axis that is cut, or ``None`` where the part sees the whole."""
    results: tuple[int | None, ...]
    """For each result likewise."""


class Batch(NamedTuple):
    """Where the examples are."""

    total: int
    """How many there are."""
    place: int = 0
    """Which axis of an argument is theirs, if it is so long; else the first one."""

    def axis(self, spec: Spec) -> int | None:
        """The examples' axis of an argument; ``None`` where the argument is the same for all."""
        places = [each for each in (self.place, 0) if len(spec.shape) > each and spec.shape[each] == self.total]
        return places[0] if places else None


def batches(graph: Graph) -> list[Batch]:
    """Where the examples may be: on the first axis of the largest argument, or on the second of sequences."""
    specs = [node.spec for node in graph.arguments if node.spec.shape]
    if not specs:
        return []
    largest = max(specs, key=lambda spec: spec.size)
    sequences = len(largest.shape) == 3 or (len(largest.shape) == 2 and largest.dtype.kind in "iu")
    return [Batch(length, place) for place, length in enumerate(largest.shape[: 1 + sequences]) if length]


def split(graph: Graph, count: int) -> list[Part]:
    """The function for ``count`` parts of the batch, as equal as can be.

    Raises :class:`NotSplitError` with the reason where that is not possible.
    """
    batch = next(iter(batches(graph)), Batch(0))
    if batch.total < 2 * count:
        raise NotSplitError(f"a batch of {batch.total} is too small for {count} parts")
    edges = [batch.total * index // count for index in range(count + 1)]
    return [part_of(graph, batch, start, stop) for start, stop in pairwise(edges)]


def _with_length(shape: tuple[int, ...], axis: int, length: int) -> tuple[int, ...]:
    return (*shape[:axis], length, *shape[axis + 1 :])


class _Cutter:
    """Walks through the graph and cuts every array that depends on the batch."""

    def __init__(self, total: int, start: int, stop: int) -> None:
        self.total, self.start, self.stop = total, start, stop
        self.new: dict[Node, Node] = {}
        self.axis: dict[Node, int | None] = {}

    @property
    def length(self) -> int:
        return self.stop - self.start

    def shape(self, shape: tuple[int, ...], axis: int) -> tuple[int, ...]:
        return _with_length(shape, axis, self.length)

    def cut(self, node: Node, axis: int) -> Node:
        """The part's rows of a node, whether it is cut already or whole."""
        have = self.axis[node]
        if have == axis:
            return self.new[node]
        if have is not None or node.spec.shape[axis] != self.total:
            raise NotSplitError(f"{node.op} is read along another axis than the batch")
        whole = self.new[node]
        shape = self.shape(node.spec.shape, axis)
        if isinstance(node.op, Full):
            return like(node, Full(node.op.value, shape, node.op.dtype), (), Spec(shape, node.spec.dtype))
        if isinstance(node.op, BroadcastTo) and whole.inputs[0].spec.shape[axis] == 1:
            return like(node, BroadcastTo(shape), whole.inputs)
        return like(node, Rows(axis, self.start, self.stop), (whole,))

    def visit(self, node: Node) -> None:
        """Rewrite one node whose inputs are done."""
        if not node.inputs:
            self.new[node], self.axis[node] = node, None
            return
        axes = [self.axis[each] for each in node.inputs]
        if all(axis is None for axis in axes):
            inputs = [self.new[each] for each in node.inputs]
            self.new[node], self.axis[node] = like(node, node.op, inputs, node.spec), None
            return
        rule = _RULES.get(type(node.op)) or (_map if isinstance(node.op, MAPS) else None)
        if rule is None:
            raise NotSplitError(f"{node.op.name} may mix examples")
        self.new[node], self.axis[node] = rule(self, node, axes)


class Follower:
    """Says on which axis of a node's array the examples lie, as far as that can be told."""

    def __init__(self, graph: Graph, batch: Batch) -> None:
        self._cutter = _Cutter(batch.total, 0, batch.total)
        for node in graph.arguments:
            self._cutter.new[node], self._cutter.axis[node] = node, batch.axis(node.spec)

    def axis(self, node: Node) -> int | None:
        """The axis; ``None`` for arrays that do not depend on the examples, or in a way that is not understood."""
        cutter = self._cutter
        for each in order_within([node], lambda each: each not in cutter.axis):
            if each not in cutter.axis:
                try:
                    cutter.visit(each)
                except NotSplitError:
                    cutter.axis[each] = None
                cutter.new[each] = each
        return cutter.axis[node]


Rewritten = tuple[Node, int | None]


def _first(axes: Sequence[int | None]) -> int:
    return next(axis for axis in axes if axis is not None)


def _map(cutter: _Cutter, node: Node, axes: Sequence[int | None]) -> Rewritten:
    axis = _first(axes)
    return like(node, node.op, [cutter.cut(each, axis) for each in node.inputs]), axis


def _hold(cutter: _Cutter, node: Node, axes: Sequence[int | None]) -> Rewritten:
    return like(node, node.op, [cutter.new[each] for each in node.inputs]), axes[0]


def _broadcast_to(cutter: _Cutter, node: Node, axes: Sequence[int | None]) -> Rewritten:
    axis = _first(axes)
    if len(node.spec.shape) != len(node.inputs[0].spec.shape) or node.spec.shape[axis] != cutter.total:
        raise NotSplitError("an array that depends on the batch is repeated")
    return like(node, BroadcastTo(cutter.shape(node.spec.shape, axis)), [cutter.new[node.inputs[0]]]), axis


def _reshape(cutter: _Cutter, node: Node, axes: Sequence[int | None]) -> Rewritten:
    axis, (x,) = _first(axes), node.inputs
    try:
        place = _reshaped_axis(axis, x.spec.shape, node.spec.shape, cutter.total)
    except NotSplitError:
        if cutter.total > 1 or cutter.length > 1:
            raise
        if node.spec.shape.count(1) == 1:
            place = node.spec.shape.index(1)
            return like(node, ReshapeRows(node.spec.shape, place), [cutter.new[x]]), place
        return like(node, AllReduce(), [like(node, node.op, [cutter.new[x]])]), None  # a sum over the only example
    return like(node, ReshapeRows(cutter.shape(node.spec.shape, place), place), [cutter.new[x]]), place


def _reshaped_axis(axis: int, before: Sequence[int], after: Sequence[int], length: int) -> int:
    """Where an axis of a certain length comes to lie in a reshape. Raises :class:`NotSplitError` if it is joined."""
    lead, place, wanted = 1, 0, math.prod(before[:axis])
    while place < len(after) and lead < wanted:
        lead *= after[place]
        place += 1
    while place < len(after) and after[place] == 1 != length:
        place += 1
    if lead != wanted or place == len(after) or after[place] != length:
        raise NotSplitError("a reshape joins the batch with another axis")
    return place


def _permute(cutter: _Cutter, node: Node, axes: Sequence[int | None]) -> Rewritten:
    assert isinstance(node.op, Permute)
    return like(node, node.op, [cutter.new[node.inputs[0]]]), node.op.dims.index(_first(axes))


def _reduction(cutter: _Cutter, node: Node, axes: Sequence[int | None]) -> Rewritten:
    op, axis, (x,) = node.op, _first(axes), node.inputs
    assert isinstance(op, Reduction)
    if axis not in op.dims:
        if not op.keepdim:
            axis -= sum(dim < axis for dim in op.dims)
        return like(node, op, [cutter.new[x]]), axis
    if not isinstance(op, Sum | Mean):
        raise NotSplitError(f"{op.name} over the batch")
    total = like(node, AllReduce(), [like(node, Sum(op.dims, op.keepdim), [cutter.new[x]])])
    if isinstance(op, Sum):
        return total, None
    share = Full(1 / op.count(x.spec.shape), node.spec.shape, node.spec.dtype)
    return like(node, Mul(), [total, like(node, share, (), node.spec)]), None


def _matmul(cutter: _Cutter, node: Node, axes: Sequence[int | None]) -> Rewritten:
    (a, b), last = axes, len(node.spec.shape) - 1
    left, right = node.inputs
    if a == last - 1 and b is None:
        return like(node, node.op, [cutter.new[left], cutter.new[right]]), last - 1
    if b == last and a is None:
        return like(node, node.op, [cutter.new[left], cutter.new[right]]), last
    if a == last and b == last - 1:
        return like(node, AllReduce(), [like(node, node.op, [cutter.new[left], cutter.new[right]])]), None
    axis = _first(axes)
    if axis < last - 1 and all(each in (None, axis) for each in axes):
        inputs = [new if cutter.axis[each] is None and each.spec.shape[axis] == 1 else cutter.cut(each, axis)
                  for each, new in ((left, cutter.new[left]), (right, cutter.new[right]))]  # fmt: skip
        return like(node, node.op, inputs), axis
    raise NotSplitError("a product in which examples meet")


def _arranged(cutter: _Cutter, node: Node, axes: Sequence[int | None]) -> Rewritten:
    assert isinstance(node.op, Arranged)
    inputs = [cutter.new[each] for each in node.inputs]
    if isinstance(node.op.op, Conv | ConvTranspose):
        if axes[1] is not None:
            raise NotSplitError("a convolution whose kernel depends on the batch")
        if axes[0]:
            raise NotSplitError("a convolution along the batch")
        return like(node, node.op, inputs), 0
    inputs = [cutter.cut(each, 0) for each in node.inputs]
    if isinstance(node.op.op, ConvWeight):
        return like(node, AllReduce(), [like(node, node.op, inputs)]), None
    return like(node, node.op, inputs), 0


def _along(cutter: _Cutter, node: Node, axes: Sequence[int | None]) -> Rewritten:
    axis, op = _first(axes), node.op
    dims = op.dims if isinstance(op, Reduction | Flip) else (op.dim,)  # type: ignore[attr-defined]
    if axis in dims:
        raise NotSplitError(f"{op.name} along the batch")
    if isinstance(op, AddAlongDim):
        op = replace(op, shape=cutter.shape(op.shape, axis))
    return like(node, op, [cutter.cut(each, axis) for each in node.inputs]), axis


def _images(cutter: _Cutter, node: Node, axes: Sequence[int | None]) -> Rewritten:
    if axes[0] != 0:
        raise NotSplitError(f"{node.op.name} along the batch")
    return like(node, node.op, [cutter.new[node.inputs[0]]]), 0


def _place_of_extremum(cutter: _Cutter, node: Node, axes: Sequence[int | None]) -> Rewritten:
    op, axis = node.op, _first(axes)
    assert isinstance(op, ArgExtremum)
    if axis == op.dim:
        raise NotSplitError(f"{op.name} along the batch")
    return like(node, op, [cutter.new[node.inputs[0]]]), axis - (axis > op.dim)


def _pad(cutter: _Cutter, node: Node, axes: Sequence[int | None]) -> Rewritten:
    assert isinstance(node.op, Pad)
    axis = _first(axes)
    if any(node.op.widths[axis]):
        raise NotSplitError("the batch is padded")
    return like(node, node.op, [cutter.new[node.inputs[0]]]), axis


def picks_rows(node: Node) -> bool:
    """Whether a node picks whole rows of a table by labels, or adds numbers into such rows."""
    if not isinstance(node.op, Index | IndexAdd) or len(node.inputs) != 2:
        return False
    shape = node.op.shape if isinstance(node.op, IndexAdd) else node.inputs[0].spec.shape
    first, *rest = node.op.key
    return isinstance(first, Picked) and rest == [Range(0, n, 1) for n in shape[1:]]


def _index(cutter: _Cutter, node: Node, axes: Sequence[int | None]) -> Rewritten:
    op, axis = node.op, _first(axes)
    if picks_rows(node) and axes[1] is not None:
        if isinstance(op, Index) and axes[0] is None:
            return like(node, op, [cutter.new[each] for each in node.inputs]), axis
        if isinstance(op, IndexAdd):
            return like(node, AllReduce(), [like(node, op, [cutter.cut(each, axes[1]) for each in node.inputs])]), None
    assert isinstance(op, Index | IndexAdd)
    every = Range(0, cutter.total, 1)
    if len(node.inputs) > 1 or not all(isinstance(each, Range) for each in op.key) or op.key[axis] != every:
        raise NotSplitError("examples are picked out of the batch")
    key = (*op.key[:axis], Range(0, cutter.length, 1), *op.key[axis + 1 :])
    new = Index(key) if isinstance(op, Index) else IndexAdd(key, cutter.shape(op.shape, axis))
    return like(node, new, [cutter.new[node.inputs[0]]]), axis


_RULES: dict[type[Operation], Callable[[_Cutter, Node, Sequence[int | None]], Rewritten]] = {
    AMax: _reduction, AMin: _reduction, AddAlongDim: _along, ArgMax: _place_of_extremum, ArgMin: _place_of_extremum,
    Arranged: _arranged, BroadcastTo: _broadcast_to, Cast: _map, Cat: _along, Flip: _along, Fold: _images, Hold: _hold,
    Index: _index, IndexAdd: _index, LogSoftmax: _along, LogSumExp: _along, LogicalNot: _map, MatMul: _matmul,
    Mean: _reduction, Pad: _pad, Permute: _permute, Resample: _images, ResampleAdjoint: _images, Reshape: _reshape,
    Sum: _reduction, TakeAlongDim: _along, Unfold: _images,
}  # fmt: skip


def part_of(graph: Graph, batch: Batch, start: int, stop: int) -> Part:
    """The function for some of the examples. Raises :class:`NotSplitError` with the reason where that cannot be."""
    cutter = _Cutter(batch.total, start, stop)
    cut = [batch.axis(node.spec) for node in graph.arguments]
    for node, axis in zip(graph.arguments, cut, strict=True):
        if axis is not None:
            shape = cutter.shape(node.spec.shape, axis)
            cutter.new[node], cutter.axis[node] = like(node, node.op, (), Spec(shape, node.spec.dtype)), axis
    for node in graph.nodes:
        if node not in cutter.new:
            cutter.visit(node)
    for effect in graph.effects:
        if effect.kind == "assign" and cutter.axis[graph.results[effect.position]] is not None:
            raise NotSplitError("a leaf takes numbers that depend on single examples")
    local = replace(
        graph,
        arguments=tuple([cutter.new.get(node, node) for node in graph.arguments]),
        results=tuple([cutter.new[node] for node in graph.results]),
    )
    return Part(local, start, stop, tuple(cut), tuple([cutter.axis[node] for node in graph.results]))

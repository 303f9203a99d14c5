"""Which kernel computes a node that is not fused: parts of arrays, softmax, picking by labels.

Each function takes the planner, a node, and the first level on which its inputs are there. It adds steps, and returns
whether there is a kernel.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ...graph import Node
from ...ops.base import Full, Operation
from ...ops.index import AddAlongDim, Index, IndexAdd, Range, TakeAlongDim
from ...ops.reduce import LogSoftmax
from ...ops.shape import Cat, Pad
from ..split import ReshapeRows, picks_rows
from .heads import Constant
from .ir import SCALARS, Type
from .lanes import View, example, row_major
from .loops import Earlier, Operand
from .rows import AlongRows, LogSoftmaxRows
from .steps import Apart, Draft, Given, Input, LoopStep, Step
from .tables import AddRows, PickRows

if TYPE_CHECKING:
    from .planner import Planner


def copy(planner: Planner, node: Node, level: int) -> bool:
    """The same numbers in an array of their own, one after the other."""
    source = planner.views[node.inputs[0]]
    view = planner.own(node, level, None)
    shape = source.shape
    into = View(view.buffer, shape, row_major(shape), view.offset, True)
    step = LoopStep([node], level, "block", space=shape, lanes=planner.lanes, wide=planner.wide, open=False)
    step.members.append(Draft(node, (), (), [source], into))
    planner.add(step)
    return True


def pad(planner: Planner, node: Node, level: int) -> bool:
    """An array in the middle of zeros."""
    op = node.op
    assert isinstance(op, Pad)
    if any(min(pair) < 0 for pair in op.widths) or op.value != 0:
        return False
    return _inside(planner, node, level, [(node.inputs[0], [before for before, _ in op.widths], None)])


def pick_rows(planner: Planner, node: Node, level: int) -> bool:
    """Rows of a table, picked by labels."""
    table, label = node.inputs
    view, labels = planner.views.get(table), planner.views[label]
    if planner.axes[table] is not None or view is None or not view.contiguous or len(view.shape) != 2:
        return False
    if label.spec.dtype != np.int64:
        return False
    out = planner.own(node, level, None)
    kernel = PickRows(
        labels.shape, *view.shape, view.offset,
        Operand(1, labels.offset, labels.strides, Type("i64", planner.lanes)),
        Operand(2, out.offset, out.strides, Type(SCALARS[node.spec.dtype], planner.lanes)),
    )  # fmt: skip
    planner.checked.add((label, view.shape[0]))
    planner.add(Step([node], level, "block", kernel, [view.buffer, labels.buffer, out.buffer, Given("wrong")]))
    return True


def add_rows(planner: Planner, node: Node, level: int) -> bool:
    """The gradient of that: all threads look at all examples, each for some columns of the table."""
    source, label = node.inputs
    if isinstance(source.op, Full) or label.spec.dtype != np.int64 or len(node.spec.shape) != 2:
        return False
    grad, labels = planner.views[source], planner.views[label]
    checks = (label, node.spec.shape[0]) not in planner.checked
    planner.axes[node] = None
    out = planner.own(node, level + 1, None)
    kernel = AddRows(
        labels.shape, *node.spec.shape,
        Operand(0, grad.offset, grad.strides, Type(SCALARS[node.spec.dtype], planner.lanes)),
        Operand(1, labels.offset, labels.strides, Type("i64", planner.lanes)),
        planner.blocks, planner.total, checks,
    )  # fmt: skip
    inputs: list[Input] = [grad.buffer, labels.buffer, out.buffer, Given("low"), Given("high")]
    inputs += [Apart(grad.buffer), Apart(labels.buffer), *[Given("wrong")] * checks]
    planner.add(Step([node], level + 1, "share", kernel, inputs, rounds=kernel.rounds))
    return True


def index(planner: Planner, node: Node, level: int) -> bool:
    """Rows of a table; ranges are views."""
    return picks_rows(node) and pick_rows(planner, node, level)


def index_add(planner: Planner, node: Node, level: int) -> bool:
    """Rows added up, or numbers at equal distances in the middle of zeros."""
    op = node.op
    assert isinstance(op, IndexAdd)
    if picks_rows(node):
        return add_rows(planner, node, level)
    if len(node.inputs) > 1 or not all(isinstance(each, Range) for each in op.key):
        return False
    ranges: list[Any] = [*op.key, *[Range(0, n, 1) for n in node.spec.shape[len(op.key) :]]]
    firsts, steps = [each.start for each in ranges], [each.step for each in ranges]
    return _inside(planner, node, level, [(node.inputs[0], firsts, steps)])


def cat(planner: Planner, node: Node, level: int) -> bool:
    """Arrays one behind the other."""
    op = node.op
    assert isinstance(op, Cat)
    if any(isinstance(each.op, Full) for each in node.inputs):
        return False
    parts, start = [], 0
    for each in node.inputs:
        first = [0] * len(node.spec.shape)
        first[op.dim] = start
        start += each.spec.shape[op.dim]
        parts.append((each, first, None))
    return _inside(planner, node, level, parts, covers=True)


def _inside(
    planner: Planner, node: Node, level: int, parts: Sequence[tuple[Node, Any, Any]], covers: bool = False
) -> bool:
    """Arrays written into parts of another, which is zero elsewhere."""
    axis = planner.axes[node]
    assert axis is not None
    view = planner.own(node, level, None)
    if not covers:
        zero = Constant(SCALARS[node.spec.dtype])
        step = LoopStep([node], level, "block", space=view.shape, lanes=planner.lanes, wide=planner.wide, open=False,
                        head=lambda step, layout: zero)  # fmt: skip
        step.members.append(Draft(node, (), (), [Earlier(-1)], view))
        planner.steps.append(step)
    for source, first, apart in parts:
        own = planner.seen(source, len(node.spec.shape), axis)
        if own is None:
            return False
        starts = example(first, axis)
        steps = example(apart, axis) if apart else (1,) * len(starts)
        offset = view.offset + sum(at * stride for at, stride in zip(starts, view.strides, strict=True))
        strides = tuple([stride * step for stride, step in zip(view.strides, steps, strict=True)])
        into = View(view.buffer, own.shape, strides, offset, True)
        step = LoopStep([node], level, "block", space=own.shape, lanes=planner.lanes, wide=planner.wide, open=False)
        step.members.append(Draft(node, (), (), [own], into))
        planner.add(step)
    return True


def _last(view: View, dim: int, axis: int) -> View:
    """The same with one axis, of those with the batch, brought to the end."""
    place = dim - (dim > axis)
    dims = [*[each for each in range(len(view.shape)) if each != place], place]
    shape, strides = [tuple([numbers[each] for each in dims]) for numbers in (view.shape, view.strides)]
    return View(view.buffer, shape, strides, view.offset, view.lanes)


def log_softmax(planner: Planner, node: Node, level: int) -> bool:
    """``x - log(sum(exp(x)))`` along an axis."""
    op, axis = node.op, planner.axes[node]
    assert isinstance(op, LogSoftmax)
    assert axis is not None
    if op.dim == axis or not node.spec.shape[op.dim]:
        return False
    x = _last(planner.views[node.inputs[0]], op.dim, axis)
    out = _last(planner.own(node, level, None), op.dim, axis)
    kind = Type(SCALARS[node.spec.dtype], planner.lanes)
    kernel = LogSoftmaxRows(x.shape, Operand(0, x.offset, x.strides, kind), Operand(1, out.offset, out.strides, kind))
    planner.add(Step([node], level, "block", kernel, [x.buffer, out.buffer]))
    return True


def along(planner: Planner, node: Node, level: int) -> bool:
    """Elements picked along an axis, or added in there, by labels."""
    op, axis = node.op, planner.axes[node]
    assert isinstance(op, TakeAlongDim | AddAlongDim)
    assert axis is not None
    source, label = node.inputs
    if op.dim == axis or planner.axes.get(label) != axis or label.spec.dtype != np.int64:
        return False
    if not isinstance(source.op, Full) and planner.axes.get(source) != axis:
        return False
    labels = _last(planner.views[label], op.dim, axis)
    if labels.shape[-1] > 4:
        return False
    kind = Type(SCALARS[node.spec.dtype], planner.lanes)
    given: Operand | float
    buffers: list[Input] = []
    if isinstance(source.op, Full):
        given = float(source.op.value)
        buffers.append(labels.buffer)
    else:
        view = _last(planner.views[source], op.dim, axis)
        given = Operand(0, view.offset, view.strides, kind)
        buffers.append(view.buffer)
    adds = isinstance(op, AddAlongDim)
    out = _last(planner.own(node, level, None), op.dim, axis)
    length = node.spec.shape[op.dim] if adds else source.spec.shape[op.dim]
    kernel = AlongRows(
        labels.shape[:-1], length, labels.shape[-1], given,
        Operand(1, labels.offset, labels.strides, Type("i64", planner.lanes)),
        Operand(2, out.offset, out.strides, kind), adds, planner.masked,
    )  # fmt: skip
    planner.add(
        Step([node], level, "block", kernel, [*buffers, labels.buffer, out.buffer, Given("wrong"), *planner.mask])
    )
    return True


OTHERS: dict[type[Operation], Callable[[Planner, Node, int], bool]] = {
    AddAlongDim: along, Cat: cat, Index: index, IndexAdd: index_add, LogSoftmax: log_softmax, Pad: pad,
    ReshapeRows: copy, TakeAlongDim: along,
}  # fmt: skip
"""Operations, and what computes them."""

"""Which kernel computes a fused node that begins with a matrix product, and weights in the form that kernels read.

Each function takes the planner and a :class:`~.groups.Group`, adds steps, and returns whether there is a kernel.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from ...graph import Node
from ...ops.shape import Permute, Reshape
from .channels import ChannelGradient, Panels
from .dense import MANY, DenseByDots, DenseByRows, Joined, parts_of
from .gradients import Turn, WeightGradient
from .groups import Group, start, tile_of
from .heads import Contract, Reach
from .ir import SCALARS, Type
from .lanes import PARTIAL, Buffer, View, example, row_major
from .loops import Operand
from .steps import Apart, Given, Input, Layout, LoopStep, Step

if TYPE_CHECKING:
    from .planner import Planner

HEAVY = 1 << 17
"""Weights of more bytes are cut into panels, where the channels of an example lie side by side."""
SEVERAL = 4
"""So many examples are multiplied with a dense layer's weight together, however small that is."""


def product(planner: Planner, group: Group) -> bool:
    """A matrix product, or the gradient in a dense layer's weight."""
    node = group.node
    if planner.axes[node] == PARTIAL:
        return not group.rest and _weight_gradient(planner, group)
    axis, rank = planner.axes[node], len(node.spec.shape)
    if axis is None or group.head.spec.shape != node.spec.shape:
        return False
    result = [dim for dim in range(rank) if dim != axis]
    views = []
    for source, own in zip(group.sources, (rank - 2, rank - 1), strict=True):
        view, cut = planner.views[source], planner.axes.get(source)
        strides: list[int | None] = [0] * (rank - len(source.spec.shape))
        at = 0
        for dim in range(len(source.spec.shape)):
            if dim == cut:
                strides.append(None)
            else:
                strides.append(0 if view.shape[at] == 1 else view.strides[at])
                at += 1
        reduced = rank - 1 if own == rank - 2 else rank - 2
        out = tuple([0 if dim == reduced else (strides[dim] or 0) for dim in result])
        views.append((view, out, strides[reduced] or 0))
    level, weight = group.level, group.sources[1]
    together = planner.wide > 1 and rank == 2 and (planner.blocks >= SEVERAL or is_dense_heavy(weight))
    if together and _dense(planner, group, views):
        return True
    if planner.axes.get(weight) is None and len(weight.spec.shape) == 2:
        view, ready = side_by_side(planner, weight, 1)
        if ready:
            views[1] = view, (*views[1][1][:-1], 1), view.strides[0]
            level = max(level, ready)
    length = group.sources[0].spec.shape[-1]

    def make(step: LoopStep, layout: Layout) -> Contract:
        reaches = []
        for view, out, along in views:
            operand = step.operand(View(view.buffer, (2,) * len(out), out, view.offset, view.lanes), layout)
            reaches.append(Reach(operand, (along,)))
        return Contract((length,), reaches[0], reaches[1])

    space = example(node.spec.shape, axis)
    wide = 16 if planner.registers > 16 and space[-1] % 16 == 0 else 12  # 16 numbers of a weight are a cache line
    tile = (planner.registers // 6, 6) if len(space) > 1 else (1, wide)
    if planner.wide > 1:
        tile = tile_of(planner, space[-1]) if len(space) > 1 else (1, 8)
    elif len(space) == 1 and planner.blocks > 1 and is_dense_heavy(weight) and space[0] >= planner.registers:
        made = [planner.levels.get(each, -1) for each in group.outside.values()]
        rows = min(planner.blocks, 4)
        tile = rows, planner.registers // rows
        group = replace(group, level=max(level, 1 + max(made)))
        return start(planner, group, [(make, None)], tile, rows_first=False, together=planner.blocks)
    return start(planner, replace(group, level=level), [(make, None)], tile)


def _dense(planner: Planner, group: Group, views: Sequence[tuple[View, tuple[int, ...], int]]) -> bool:
    """A dense layer of several examples, where the numbers of an example lie side by side."""
    (x, out, along), (w, (column,), row) = views
    node, weight = group.node, group.sources[1]
    (outs,) = example(node.spec.shape, planner.axes[node])
    length, dtype = group.sources[0].spec.shape[-1], node.spec.dtype
    if not x.lanes or w.lanes or w.buffer.per_block or any(out):
        return False
    shared = is_dense_heavy(weight)
    about = (planner.blocks, length, outs, Operand(0, x.offset, (along,), Type(SCALARS[dtype])), w.offset)
    how = (planner.wide, planner.registers, shared)
    kernel: DenseByRows | DenseByDots
    if column == 1:
        kernel = DenseByRows(*about, row, *how, parts_of(length, outs) if shared else 1)
    elif row == along == 1 and length >= planner.wide:
        kernel = DenseByDots(*about, column, *how)
    else:
        return False
    made = Buffer(dtype, kernel.parts * planner.blocks * outs, False, apart=outs * dtype.itemsize)
    inputs: list[Input] = [x.buffer, w.buffer, made, Given("low"), Given("high"), Apart(x.buffer), Apart(made)]
    levels = [planner.levels[each] + 1 for each in group.sources if shared and each in planner.levels]
    level = max([group.level, *levels])
    place = "share" if shared else "blocks"
    planner.add(Step([], level, place, kernel, inputs, rounds=kernel.rounds, part_of=node))

    def make(step: LoopStep, layout: Layout) -> Joined:
        return Joined(step.operand(View(made, (2,), (1,), 0, True), layout), kernel.parts, planner.blocks * outs)

    return start(planner, replace(group, level=level + shared), [(make, None)], (1, 4))


def is_dense_heavy(weight: Node) -> bool:
    """Whether a dense layer's weight is read by one thread for all examples: half of it by each of two."""
    return weight.spec.size >= MANY


def _weight_gradient(planner: Planner, group: Group) -> bool:
    node, sources = group.node, group.sources
    x, y = planner.views[sources[0]], planner.views[sources[1]]
    if len(x.shape) != 1 or len(y.shape) != 1 or not x.lanes or not y.lanes:
        return False
    if planner.lanes == 1:
        return gradient_by_channels(planner, group, (), (), 1, (x.offset, x.strides))
    kind = Type(SCALARS[node.spec.dtype], planner.lanes)
    key = _origin_of_view(planner, sources[1])
    if key not in planner.turned:
        turn = Turn(y.shape[0], Operand(0, y.offset, y.strides, kind), planner.lanes, planner.masked)
        buffer = Buffer(node.spec.dtype, turn.width * planner.lanes, True)
        planner.add(Step([], group.level, "block", turn, [y.buffer, buffer, *planner.mask]))
        planner.turned[key] = buffer
    buffer = planner.turned[key]
    kernel = WeightGradient(
        x.shape[0], y.shape[0], Operand(0, x.offset, x.strides, kind), planner.lanes, planner.blocks, planner.registers
    )
    return _shared(planner, group, kernel, x.buffer, buffer)


def _shared(
    planner: Planner, group: Group, kernel: WeightGradient | ChannelGradient, image: Buffer, grad: Buffer
) -> bool:
    """A gradient in weights that the threads share, each for all examples."""
    node = group.node
    planner.axes[node] = None
    out = planner.own(node, group.level + 1, None)
    inputs: list[Input] = [image, grad, out.buffer, Given("low"), Given("high")]
    inputs += [Apart(image), Apart(grad)]
    scratch = kernel.scratch * node.spec.dtype.itemsize if isinstance(kernel, ChannelGradient) else 0
    inputs += [Given("scratch")] * (scratch > 0)
    planner.add(Step([node], group.level + 1, "share", kernel, inputs, scratch, rounds=kernel.rounds))
    return True


def gradient_by_channels(
    planner: Planner, group: Group, kernel: tuple[int, ...], places: tuple[int, ...], groups: int,
    image: tuple[int, tuple[int, ...]],
) -> bool:  # fmt: skip
    """A gradient in weights, where the channels of an example lie side by side."""
    x, y = [planner.views[each] for each in group.sources]
    kind = Type(SCALARS[group.node.spec.dtype])
    wide = planner.wide if x.strides[-1] == y.strides[-1] == 1 else 1
    gradient = ChannelGradient(
        kernel, places, groups, x.shape[-1] // groups, y.shape[-1] // groups, Operand(0, *image, kind),
        Operand(1, y.offset, y.strides, kind), planner.blocks, wide, planner.registers,
    )  # fmt: skip
    return _shared(planner, group, gradient, x.buffer, y.buffer)


def side_by_side(planner: Planner, weight: Node, axis: int, panel: int = 0) -> tuple[View, int]:
    """Whole weights with the numbers of one of the last two axes side by side, and when they may be read.

    Where they are read across, they are turned: once for all readers. With ``panel``, they are cut along that axis into
    panels of so many numbers: the view gets an axis more in front, for the panels.
    """
    view = planner.views[weight]
    other = 2 * len(view.shape) - 3 - axis  # the other one of the two
    flat = axis if view.strides[axis] == 1 else other
    plain = tuple([view.shape[each] for each in range(len(view.shape)) if each not in (axis, other)])
    rows, columns = view.shape[axis + other - flat], view.shape[flat]
    matrices = tuple([stride * rows * columns for stride in row_major(plain)])
    known = view.strides[flat] == 1 and view.strides[axis + other - flat] == columns and view.strides[:-2] == matrices
    if planner.wide == 1 or view.lanes or not known or (flat == axis and not panel):
        return view, 0
    side, others, count = view.shape[axis], view.shape[other], math.prod(plain)
    key = view.buffer, view.offset, axis, panel
    if key not in planner.side_by_side:
        kernel = Panels(
            count, rows, columns, flat == other, panel or side, view.offset, SCALARS[view.buffer.dtype],
            planner.wide,
        )  # fmt: skip
        made = Buffer(view.buffer.dtype, math.prod(view.shape), False)
        ready = planner.levels.get(weight, -1) + 1
        inputs: list[Input] = [view.buffer, made, Given("low"), Given("high")]
        planner.add(Step([], ready, "share", kernel, inputs, rounds=kernel.rounds, made=made))
        planner.side_by_side[key] = made, ready + 1
    made, ready = planner.side_by_side[key]
    width = panel or side
    strides = [stride * others * width for stride in row_major(plain)] + [0, 0]
    strides[axis], strides[other] = 1, width
    shape = list(view.shape)
    if panel:
        shape[axis] = panel
        return View(made, (side // panel, *shape), (count * others * panel, *strides)), ready
    return View(made, tuple(shape), tuple(strides)), ready


def panel_of_weights(planner: Planner, weight: Node, axis: int) -> int:
    """How many numbers of an axis of weights lie side by side in a panel; 0 where the weights are not cut."""
    view = planner.views[weight]
    heavy = math.prod(view.shape) * view.buffer.dtype.itemsize > HEAVY
    width = 2 * planner.wide
    return width if planner.wide > 1 and heavy and view.shape[axis] % width == 0 and view.shape[axis] > width else 0


def _origin_of_view(planner: Planner, node: Node) -> Node:
    while isinstance(node.op, Permute | Reshape) and planner.views[node] == planner.views[node.inputs[0]]:
        node = node.inputs[0]
    return node

"""Which kernel computes a fused node that begins with a product, a convolution or a pool.

Each function takes the planner and a :class:`Group`, adds steps, and returns whether there is a kernel.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from ...graph import Node
from ...ops.base import Full, Operation
from ...ops.conv import Conv, ConvTranspose, ConvWeight
from ...ops.linalg import MatMul
from ...ops.pool import AvgPool, AvgPoolAdjoint, MaxPool, MaxPoolScatter
from ...ops.shape import Permute, Reshape
from ..fuse import Fused
from ..layout import Arranged
from ..numpy.convolve import has_phases, phases_of
from .channels import ChannelGradient, Panels
from .dense import MANY, DenseByDots, DenseByRows, Joined, parts_of
from .gradients import KernelGradient, Turn, WeightGradient
from .heads import Constant, Contract, Reach
from .ir import SCALARS, Type
from .lanes import PARTIAL, Buffer, NotLanesError, View, example, row_major
from .loops import Head, Operand, Row
from .pools import Region, Scatter, Spread, Window, Winner, runs
from .steps import Apart, Given, Input, Lattice, Layout, LoopStep, Step
from .winograd import Weights, Winograd, WinogradGradient, can, gradient_pays, pays, scratch_numbers, width_of

if TYPE_CHECKING:
    from .planner import Planner


@dataclass(frozen=True)
class Group:
    """A fused node, taken apart."""

    node: Node
    head: Node
    rest: tuple[Node, ...]
    """What follows the head."""
    outside: dict[Node, Node]
    """What the parameters stand for."""
    level: int
    """The first on which all inputs are there."""

    @property
    def sources(self) -> list[Node]:
        """What the head reads."""
        return [self.outside[each] for each in self.head.inputs]

    @property
    def op(self) -> Any:
        """What the head does."""
        return self.head.op.op if isinstance(self.head.op, Arranged) else self.head.op


HEAVY = 1 << 17
"""Weights of more bytes are cut into panels, where the channels of an example lie side by side."""
SEVERAL = 4
"""So many examples are multiplied with a dense layer's weight together, however small that is."""
MOST_REGIONS = 27
"""So many loops are written for a pool at most: three runs of windows along each of three axes."""
Make = Callable[[LoopStep, Layout], Head]


def take_apart(node: Node, level: int) -> Group:
    """A fused node that has a head."""
    op = node.op
    assert isinstance(op, Fused)
    assert op.head is not None
    rest = tuple([each for each in op.body if each is not op.head])
    return Group(node, op.head, rest, dict(zip(op.parameters, node.inputs, strict=True)), level)


def start(
    planner: Planner, group: Group, makers: Sequence[tuple[Make, Lattice | None]], tile: tuple[int, int],
    groups: int = 1, rows_first: bool = True, together: int = 0,
) -> bool:  # fmt: skip
    """Loops that begin with a head. ``makers`` makes it, for each lattice of places one.

    With ``together`` each thread takes some channels of all blocks: see :class:`LoopStep`.
    """
    axis = planner.axes[group.node]
    if axis is None or axis == PARTIAL or any(isinstance(each.op, Full) for each in group.outside.values()):
        return False
    space = example(group.node.spec.shape, axis)
    for make, lattice in makers:
        size = space if lattice is None else lattice.counts(space)
        if 0 in size:
            continue
        step = LoopStep([], group.level, "share" if together else "block", space=size, lanes=planner.lanes,
                        wide=planner.wide, masked=planner.masked, head=make, tile=tile, lattice=lattice, groups=groups,
                        rows_first=rows_first, open=len(makers) == 1 and (groups == 1 or not rows_first),
                        together=together)  # fmt: skip
        planner.steps.append(step)
        if not planner.maps(group.node, group.level, group.rest, group.outside, step, group.head):
            raise NotLanesError(f"{group.node.op} cannot follow its head")
        planner.maker[group.node] = step
    return True


def _tile(planner: Planner, columns: int) -> tuple[int, int]:
    """How many places and channels at once."""
    if planner.wide > 1:
        vectors = -(-columns // planner.wide)
        width = next(each for each in (4, 3, 2, 1) if vectors % each == 0 or (each <= vectors and each < 3))
        return max(1, planner.registers // width), width
    width = max(each for each in range(1, 7) if columns % each == 0 or each == min(6, columns))
    if columns % 4 == 0 and columns % 6:
        width = 4
    return max(1, planner.registers // width), width


# Matrix products


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
        view, ready = _side_by_side(planner, weight, 1)
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
        tile = _tile(planner, space[-1]) if len(space) > 1 else (1, 8)
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
    planner.add(Step([], level, "share" if shared else "blocks", kernel, inputs, rounds=kernel.rounds))

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
        return _by_channels(planner, group, (), (), 1, (x.offset, x.strides))
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


def _by_channels(
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


def _side_by_side(planner: Planner, weight: Node, axis: int, panel: int = 0) -> tuple[View, int]:
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


def _panel(planner: Planner, weight: Node, axis: int) -> int:
    """How many numbers of an axis of weights lie side by side in a panel; 0 where the weights are not cut."""
    view = planner.views[weight]
    heavy = math.prod(view.shape) * view.buffer.dtype.itemsize > HEAVY
    width = 2 * planner.wide
    return width if planner.wide > 1 and heavy and view.shape[axis] % width == 0 and view.shape[axis] > width else 0


def _origin_of_view(planner: Planner, node: Node) -> Node:
    while isinstance(node.op, Permute | Reshape) and planner.views[node] == planner.views[node.inputs[0]]:
        node = node.inputs[0]
    return node


# Convolutions


def convolution(planner: Planner, group: Group) -> bool:
    """A convolution: a product over the cells of the kernel and the channels."""
    op, (image, weight) = group.op, group.sources
    x, w = planner.views[image], planner.views[weight]
    if not x.lanes or w.lanes:
        return False
    axes, groups = len(op.stride), op.groups
    kernel, channels, outs = w.shape[:axes], w.shape[axes], w.shape[-1]
    if planner.wide > 1 and channels == 1 and groups == outs:
        return _depthwise(planner, group, x, w)
    if kernel == (3, 3) and set(op.stride) == {1} and set(op.dilation) == {1} and groups == 1:
        view = View(x.buffer, (2, 2, 2), x.strides, _first(x, op.padding), True)
        if _winograd(planner, group, view, (w.offset, w.strides), channels):
            return True
    w, cuts, ready = _cut(planner, weight, axes + 1, groups)

    def make(step: LoopStep, layout: Layout) -> Contract:
        steps, taps = _steps(op, x)
        a = step.operand(View(x.buffer, (2,) * (axes + 1), (*steps, 0), _first(x, op.padding), True), layout)
        b = step.operand(View(w.buffer, (2,) * (axes + 1), (*[0] * axes, w.strides[-1]), w.offset), layout)
        if groups > 1:  # the channels of a group
            a = replace(a, strides=(*a.strides[:-2], channels * x.strides[-1], 0))
        elif cuts:
            b = replace(b, strides=(*b.strides[:-2], cuts.apart, 1))
        return Contract(
            (*kernel, channels), Reach(a, (*taps, x.strides[-1])), Reach(b, (*w.strides[:axes], w.strides[axes]))
        )

    several = cuts.count if cuts else groups
    group = replace(group, level=max(group.level, ready))
    return start(planner, group, [(make, None)], _tile(planner, outs // several), several, not cuts)


@dataclass(frozen=True)
class _Cuts:
    """Panels that an axis of weights is cut into."""

    count: int
    apart: int
    """How far one lies behind the one before."""


def _cut(planner: Planner, weight: Node, axis: int, groups: int) -> tuple[View, _Cuts | None, int]:
    """Weights as a convolution reads them, the panels of one of their axes, and when they may be read."""
    panel = _panel(planner, weight, axis) if groups == 1 else 0
    view, ready = _side_by_side(planner, weight, axis, panel)
    if len(view.shape) == len(weight.spec.shape):
        return view, None, ready
    cuts = _Cuts(view.shape[0], view.strides[0])
    return View(view.buffer, view.shape[1:], view.strides[1:], view.offset), cuts, ready


def _depthwise(planner: Planner, group: Group, x: View, w: View) -> bool:
    """A convolution with a kernel for each channel, where the channels lie side by side."""
    op, axes = group.op, len(group.op.stride)

    def make(step: LoopStep, layout: Layout) -> Contract:
        steps, taps = _steps(op, x)
        image = View(x.buffer, (2,) * (axes + 1), (*steps, x.strides[-1]), _first(x, op.padding), True)
        a = step.operand(image, layout)
        b = step.operand(View(w.buffer, (2,) * (axes + 1), (*[0] * axes, w.strides[-1]), w.offset), layout)
        return Contract(w.shape[:axes], Reach(a, taps), Reach(b, w.strides[:axes]))

    return start(planner, group, [(make, None)], _tile(planner, w.shape[-1]))


def _steps(op: Conv | ConvWeight, x: View) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """How far it is from one window to the next, and from one cell of a window to the next, on each axis."""
    steps = tuple([s * stride for s, stride in zip(op.stride, x.strides, strict=False)])
    return steps, tuple([d * stride for d, stride in zip(op.dilation, x.strides, strict=False)])


def _first(x: View, padding: Sequence[tuple[int, int]]) -> int:
    """Where the first window of an image with a margin begins."""
    return x.offset - sum(before * stride for (before, _), stride in zip(padding, x.strides, strict=False))


def transposed(planner: Planner, group: Group) -> bool:
    """A transposed convolution: for each phase of the stride a convolution of its own."""
    op, (source, weight) = group.op, group.sources
    y, w = planner.views[source], planner.views[weight]
    if not y.lanes or w.lanes or not has_phases(op):
        return False
    axes, groups = len(op.stride), op.groups
    outs, channels = w.shape[axes], w.shape[-1] // groups
    kernel, size = w.shape[:axes], source.spec.shape[1:-1]
    per_axis = [phases_of(op, size, kernel, axis) for axis in range(axes)]
    whole = all(len(each) == 1 and each[0].count == n for each, n in zip(per_axis, op.size, strict=True))
    if kernel == (3, 3) and whole and set(op.stride) == {1} and set(op.dilation) == {1} and groups == 1:
        pads = [each[0].pad * stride for each, stride in zip(per_axis, y.strides[:axes], strict=True)]
        view = View(y.buffer, (2, 2, 2), y.strides, y.offset - sum(pads), True)
        weights = (w.offset + 2 * w.strides[0] + 2 * w.strides[1],
                   (-w.strides[0], -w.strides[1], w.strides[3], w.strides[2]))  # fmt: skip
        if _winograd(planner, group, view, weights, w.shape[-1]):
            return True
    depthwise = planner.wide > 1 and groups > 1 and outs == channels == 1
    cuts: _Cuts | None = None
    if not depthwise:
        w, cuts, ready = _cut(planner, weight, axes, groups)
        group = replace(group, level=max(group.level, ready))
    makers: list[tuple[Make, Lattice | None]] = []
    for phases in itertools.product(*per_axis):
        picked = [range(n)[phase.taps] for n, phase in zip(kernel, phases, strict=True)]
        lattice = Lattice((*[each.first for each in phases], 0), (*op.stride, 1))

        def make(step: LoopStep, layout: Layout, phases: Any = phases, picked: Any = picked) -> Contract | Constant:
            if any(not len(each) for each in picked):
                return Constant(SCALARS[y.buffer.dtype])
            strides = y.strides[:axes]
            offset = y.offset - sum(p.pad * stride for p, stride in zip(phases, strides, strict=True))
            first = w.offset + sum(each[0] * s for each, s in zip(picked, w.strides[:axes], strict=True))
            last = (y.strides[-1], w.strides[-1]) if depthwise else (0, w.strides[axes])
            with step.everywhere():
                a = step.operand(View(y.buffer, (2,) * (axes + 1), (*strides, last[0]), offset, True), layout)
                b = step.operand(View(w.buffer, (2,) * (axes + 1), (*[0] * axes, last[1]), first), layout)
            if groups > 1 and not depthwise:  # the channels of a group
                a = replace(a, strides=(*a.strides[:-2], channels * y.strides[-1], 0))
                b = replace(b, strides=(*b.strides[:-2], channels * w.strides[-1], last[1]))
            elif cuts:
                b = replace(b, strides=(*b.strides[:-2], cuts.apart, 1))
            apart = tuple([p.step * s for p, s in zip(phases, strides, strict=True)])
            taps = tuple([each.step * s for each, s in zip(picked, w.strides[:axes], strict=True)])
            trips = (*[len(each) for each in picked], channels)
            return Contract(trips, Reach(a, (*apart, y.strides[-1])), Reach(b, (*taps, w.strides[-1])))

        makers.append((make, None if whole else lattice))
    if not whole and any(sum(len(range(p.first, n, s)) for p in each) != n
                         for each, n, s in zip(per_axis, op.size, op.stride, strict=True)):  # fmt: skip
        return False
    several = cuts.count if cuts else 1 if depthwise else groups
    columns = groups if depthwise else outs // (cuts.count if cuts else 1)
    return start(planner, group, makers, _tile(planner, columns), several, not cuts)


def _winograd(planner: Planner, group: Group, image: View, weights: tuple[int, tuple[int, ...]], channels: int) -> bool:
    """A convolution with a kernel of 3x3, of stride 1, with fewer products."""
    kernel = group.sources[1]
    *size, outs = group.head.spec.shape[1:]
    dtype, (offset, strides), source = group.head.spec.dtype, weights, planner.views[kernel].buffer
    scalar = SCALARS[dtype]
    if not can(size, channels, outs, scalar, planner.wide) or 1 not in strides[2:]:
        return False
    if planner.wide > 1 and image.strides[-1] != 1:
        return False
    estimate = pays(size, channels, outs, planner.wide)
    if not planner.ways.takes_winograd("convolution", size, channels, outs, estimate):
        return False
    lanes, width = (planner.wide,) * 2 if planner.wide > 1 else (planner.lanes, width_of(planner.registers))
    along = (strides[0], strides[1], strides[2], strides[3])
    transform = Weights(channels, outs, offset, along, scalar, lanes, width)
    if (source, transform) not in planner.transformed:
        made = Buffer(dtype, 36 * transform.plane, False)
        ready = planner.levels.get(kernel, -1) + 1
        inputs: list[Input] = [source, made, Given("low"), Given("high")]
        inputs += [Given("number", size) for size in transform.sizes]
        planner.add(Step([], ready, "share", transform, inputs, rounds=transform.rounds, made=made))
        planner.transformed[source, transform] = made, ready + 1
    buffer, first = planner.transformed[source, transform]

    def make(step: LoopStep, layout: Layout) -> Winograd:
        operand = step.operand(image, layout)
        step.inputs += [buffer, Given("scratch")]
        step.scratch = scratch_numbers(channels, outs, planner.lanes, size, dtype.itemsize) * dtype.itemsize
        last = len(step.inputs) - 1
        return Winograd(operand, channels, last - 1, last, planner.registers)

    return start(planner, replace(group, level=max(group.level, first)), [(make, None)], (4, 1))


def kernel_gradient(planner: Planner, group: Group) -> bool:
    """The gradient in a convolution's kernel."""
    node, op = group.node, group.op
    x, y = [planner.views[each] for each in group.sources]
    if group.rest or not x.lanes or not y.lanes:
        return False
    steps, taps = _steps(op, x)
    if planner.lanes == 1:
        image_at = _first(x, op.padding), (*steps, *taps, x.strides[-1])
        return _by_channels(planner, group, op.kernel, y.shape[:-1], op.groups, image_at)
    kind = Type(SCALARS[node.spec.dtype], planner.lanes)
    image = Operand(0, _first(x, op.padding), (*steps, *taps, x.strides[-1]), kind)
    grad = Operand(1, y.offset, y.strides, kind)
    kernel: KernelGradient | WinogradGradient = KernelGradient(
        op.kernel, y.shape[:-1], op.groups, node.spec.shape[-2], y.shape[-1] // op.groups, image, grad, planner.lanes,
        planner.masked, planner.registers,
    )  # fmt: skip
    plain = op.kernel == (3, 3) and set(op.stride) == {1} and set(op.dilation) == {1} and op.groups == 1
    size, channels, outs = y.shape[:-1], x.shape[-1], y.shape[-1]
    plain = plain and can(size, channels, outs, kind.scalar, 1) and outs % planner.lanes == 0
    estimate = plain and gradient_pays(size, channels, outs)
    if plain and planner.ways.takes_winograd("gradient", size, channels, outs, estimate):
        kernel = WinogradGradient(
            (y.shape[0], y.shape[1]), x.shape[-1], y.shape[-1], replace(image, strides=x.strides), grad,
            planner.lanes, planner.masked, planner.registers,
        )  # fmt: skip
    out = planner.own(node, group.level, None)
    inputs: list[Input] = [x.buffer, y.buffer, out.buffer, Given("scratch"), *planner.mask]
    planner.add(Step([node], group.level, "block", kernel, inputs, scratch=kernel.scratch * node.spec.dtype.itemsize))
    return True


# Pools


def _regions(group: Group, size: Sequence[int], count: Sequence[int]) -> list[Region]:
    """The windows of a pool, in sets that have the same cells."""
    op = group.op
    average = isinstance(op, AvgPool | AvgPoolAdjoint)
    counted = average and op.count_include_pad
    per_axis = [
        runs(n, m, k, s, d, p, counted)
        for n, m, k, s, d, p in zip(size, count, op.kernel, op.stride, op.dilation, op.padding, strict=True)
    ]
    found = []
    for several in itertools.product(*per_axis):
        divisor = math.prod([run.length for run in several]) if average else 1
        found.append(
            Region(
                tuple([run.first for run in several]), tuple([run.count for run in several]),
                tuple(itertools.product(*[run.cells for run in several])),
                float(op.divisor_override or divisor) if average else 1.0,
            )
        )  # fmt: skip
    return found


def pool(planner: Planner, group: Group) -> bool:
    """The largest number or the mean of each window."""
    op, (source,) = group.op, group.sources
    x = planner.views[source]
    if not x.lanes:
        return False
    axes, count = len(op.stride), group.head.spec.shape[1:-1]
    regions = _regions(group, source.spec.shape[1:-1], count)
    if not all(region.cells for region in regions) or len(regions) > MOST_REGIONS:
        return False
    makers: list[tuple[Make, Lattice | None]] = []
    for region in regions:

        def make(step: LoopStep, layout: Layout, region: Region = region) -> Window:
            strides = (*[s * stride for s, stride in zip(op.stride, x.strides, strict=False)], x.strides[-1])
            of = step.operand(View(x.buffer, (2,) * (axes + 1), strides, _first(x, op.padding), True), layout)
            taps = [
                sum(cell * d * s for cell, d, s in zip(cells, op.dilation, x.strides, strict=False))
                for cells in region.cells
            ]
            return Window(of, tuple(taps), isinstance(op, MaxPool), region.divisor)

        every = Lattice((*region.first, 0), (1,) * (axes + 1), (*region.count, x.shape[-1]))
        makers.append((make, None if len(regions) == 1 else every))
    return start(planner, group, makers, (2, 4))


def unpool(planner: Planner, group: Group) -> bool:
    """The gradient of a pool."""
    op, sources = group.op, group.sources
    views = [planner.views[each] for each in sources]
    axes = len(op.stride)
    size, count = group.head.spec.shape[1:-1], sources[0].spec.shape[1:-1]
    if not all(view.lanes for view in views):
        return False
    exact = op.kernel == op.stride and set(op.dilation) == {1} and not any(map(any, op.padding))
    if not exact or any(m * s != n for m, s, n in zip(count, op.stride, size, strict=True)):
        regions = _regions(group, size, count)
        return len(regions) <= MOST_REGIONS and _scatter(planner, group, regions)
    cells = list(itertools.product(*map(range, op.kernel)))
    makers: list[tuple[Make, Lattice | None]] = []
    for place, cell in enumerate(cells):

        def make(step: LoopStep, layout: Layout, place: int = place) -> Winner | Spread:
            y, *others = views
            with step.everywhere():
                grad = step.operand(View(y.buffer, (2,) * (axes + 1), y.strides, y.offset, True), layout)
                if isinstance(op, AvgPoolAdjoint):
                    return Spread(grad, float(op.divisor_override or math.prod(op.kernel)))
                x, top = others
                strides = (*[s * stride for s, stride in zip(op.stride, x.strides, strict=False)], x.strides[-1])
                image = step.operand(View(x.buffer, (2,) * (axes + 1), strides, x.offset, True), layout)
                largest = step.operand(View(top.buffer, (2,) * (axes + 1), top.strides, top.offset, True), layout)
            taps = [sum(t * s for t, s in zip(each, x.strides, strict=False)) for each in cells[: place + 1]]
            return Winner(grad, image, largest, tuple(taps))

        makers.append((make, Lattice((*cell, 0), (*op.stride, 1))))
    return start(planner, group, makers, (2, 4))


def _scatter(planner: Planner, group: Group, regions: Sequence[Region]) -> bool:
    """The gradient of a pool whose windows overlap or hang over the edge; what follows is a loop of its own."""
    op, node, head = group.op, group.node, group.head
    views = [planner.views[each] for each in group.sources]
    result = head if group.rest else node
    planner.axes[result] = planner.axes[node]
    out = planner.own(result, group.level, None)
    views.insert(1, out)
    steep = any(view.strides[-1] != 1 for view in views)
    kind = Type(SCALARS[node.spec.dtype], planner.lanes)
    form = Operand if planner.wide == 1 else Row
    operands = [form(place, view.offset, view.strides, kind) for place, view in enumerate(views)]
    image, top = operands[2:] if len(operands) == 4 else (None, None)
    kernel = Scatter(
        head.spec.shape[1:-1], tuple(regions), op.stride, op.dilation, tuple([before for before, _ in op.padding]),
        head.spec.shape[-1], operands[0], operands[1], image, top, planner.lanes, 1 if steep else planner.wide,
    )  # fmt: skip
    planner.add(Step([result], group.level, "block", kernel, [view.buffer for view in views]))
    if not group.rest:
        return True
    used = {each for member in group.rest for each in member.inputs}
    outside = {parameter: source for parameter, source in group.outside.items() if parameter in used}
    return planner.maps(node, group.level, group.rest, {**outside, head: head})


HEADS: dict[type[Operation], Callable[[Planner, Group], bool]] = {
    MatMul: product, Conv: convolution, ConvTranspose: transposed, ConvWeight: kernel_gradient, MaxPool: pool,
    AvgPool: pool, MaxPoolScatter: unpool, AvgPoolAdjoint: unpool,
}  # fmt: skip
"""What a fused node begins with, and what computes it."""

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
from ..numpy.convolve import phases_of
from .gradients import KernelGradient, Turn, WeightGradient
from .heads import Contract, Nothing, Reach, Spread, Window, Winner
from .ir import SCALARS, Type
from .lanes import PARTIAL, Buffer, NotLanesError, View, example
from .loops import Head, Operand
from .steps import Given, Lattice, Layout, LoopStep, Step
from .winograd import Weights, Winograd, WinogradGradient, scratch_numbers, suits, suits_gradient, width_of

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
    groups: int = 1,
) -> bool:  # fmt: skip
    """Loops that begin with a head. ``makers`` makes it, for each lattice of places one."""
    axis = planner.axes[group.node]
    if axis is None or axis == PARTIAL or any(isinstance(each.op, Full) for each in group.outside.values()):
        return False
    space = example(group.node.spec.shape, axis)
    for make, lattice in makers:
        size = space if lattice is None else lattice.counts(space)
        if 0 in size:
            continue
        step = LoopStep([], group.level, "block", space=size, lanes=planner.lanes, masked=planner.masked, head=make,
                        tile=tile, lattice=lattice, groups=groups, open=len(makers) == 1 and groups == 1)  # fmt: skip
        planner.steps.append(step)
        if not planner.maps(group.node, group.level, group.rest, group.outside, step, group.head):
            raise NotLanesError(f"{group.node.op} cannot follow its head")
        planner.maker[group.node] = step
    return True


def _tile(planner: Planner, columns: int) -> tuple[int, int]:
    """How many places and channels at once."""
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
    length = group.sources[0].spec.shape[-1]

    def make(step: LoopStep, layout: Layout) -> Contract:
        reaches = []
        for view, out, along in views:
            operand = step.operand(View(view.buffer, (2,) * len(out), out, view.offset, view.lanes), layout)
            reaches.append(Reach(operand, (along,)))
        return Contract((length,), reaches[0], reaches[1], planner.lanes)

    space = example(node.spec.shape, axis)
    wide = 16 if planner.registers > 16 and space[-1] % 16 == 0 else 12  # 16 numbers of a weight are a cache line
    tile = (planner.registers // 6, 6) if len(space) > 1 else (1, wide)
    return start(planner, group, [(make, None)], tile)


def _weight_gradient(planner: Planner, group: Group) -> bool:
    node, sources = group.node, group.sources
    x, y = planner.views[sources[0]], planner.views[sources[1]]
    if len(x.shape) != 1 or len(y.shape) != 1 or not x.lanes or not y.lanes:
        return False
    kind = Type(SCALARS[node.spec.dtype.name], planner.lanes)
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
    planner.axes[node] = None
    out = planner.own(node, group.level + 1, None)
    inputs: list[Buffer | Given] = [x.buffer, buffer, out.buffer, Given("low"), Given("high")]
    inputs += [Given("step", node.spec.dtype.itemsize)] * 2
    planner.add(Step([node], group.level + 1, "share", kernel, inputs, rounds=kernel.rounds))
    return True


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
    kernel, channels = w.shape[:axes], w.shape[axes]
    outs = group.head.spec.shape[-1]
    if kernel == (3, 3) and set(op.stride) == {1} and set(op.dilation) == {1} and groups == 1:
        view = View(x.buffer, (2, 2, 2), x.strides, _first(x, op.padding), True)
        if _winograd(planner, group, view, (w.offset, w.strides), channels):
            return True

    def make(step: LoopStep, layout: Layout) -> Contract:
        steps = tuple([s * stride for s, stride in zip(op.stride, x.strides[:axes], strict=True)])
        taps = tuple([d * stride for d, stride in zip(op.dilation, x.strides[:axes], strict=True)])
        a = step.operand(View(x.buffer, (2,) * (axes + 1), (*steps, 0), _first(x, op.padding), True), layout)
        b = step.operand(View(w.buffer, (2,) * (axes + 1), (*[0] * axes, w.strides[-1]), w.offset), layout)
        if groups > 1:  # the channels of a group
            a = replace(a, strides=(*a.strides[:-2], channels * x.strides[-1], 0))
        return Contract(
            (*kernel, channels), Reach(a, (*taps, x.strides[-1])), Reach(b, (*w.strides[:axes], w.strides[axes])),
            planner.lanes,
        )  # fmt: skip

    return start(planner, group, [(make, None)], _tile(planner, outs // groups), groups)


def _first(x: View, padding: Sequence[tuple[int, int]]) -> int:
    """Where the first window of an image with a margin begins."""
    return x.offset - sum(before * stride for (before, _), stride in zip(padding, x.strides, strict=False))


def transposed(planner: Planner, group: Group) -> bool:
    """A transposed convolution: for each phase of the stride a convolution of its own."""
    op, (source, weight) = group.op, group.sources
    y, w = planner.views[source], planner.views[weight]
    apart = all(s == 1 or d == 1 for s, d in zip(op.stride, op.dilation, strict=True))
    if not y.lanes or w.lanes or op.groups > 1 or not apart:
        return False
    axes = len(op.stride)
    kernel, size = w.shape[:axes], source.spec.shape[1:-1]
    per_axis = [phases_of(op, size, kernel, axis) for axis in range(axes)]
    whole = all(len(each) == 1 and each[0].count == n for each, n in zip(per_axis, op.size, strict=True))
    if kernel == (3, 3) and whole and set(op.stride) == {1} and set(op.dilation) == {1}:
        pads = [each[0].pad * stride for each, stride in zip(per_axis, y.strides[:axes], strict=True)]
        view = View(y.buffer, (2, 2, 2), y.strides, y.offset - sum(pads), True)
        weights = (w.offset + 2 * w.strides[0] + 2 * w.strides[1],
                   (-w.strides[0], -w.strides[1], w.strides[3], w.strides[2]))  # fmt: skip
        if _winograd(planner, group, view, weights, w.shape[-1]):
            return True
    makers: list[tuple[Make, Lattice | None]] = []
    for phases in itertools.product(*per_axis):
        picked = [range(n)[phase.taps] for n, phase in zip(kernel, phases, strict=True)]
        lattice = Lattice((*[each.first for each in phases], 0), (*op.stride, 1))

        def make(step: LoopStep, layout: Layout, phases: Any = phases, picked: Any = picked) -> Contract | Nothing:
            if any(not len(each) for each in picked):
                return Nothing(Type(SCALARS[y.buffer.dtype.name], planner.lanes))
            strides = y.strides[:axes]
            offset = y.offset - sum(p.pad * stride for p, stride in zip(phases, strides, strict=True))
            first = w.offset + sum(each[0] * s for each, s in zip(picked, w.strides[:axes], strict=True))
            with step.everywhere():
                a = step.operand(View(y.buffer, (2,) * (axes + 1), (*strides, 0), offset, True), layout)
                b = step.operand(View(w.buffer, (2,) * (axes + 1), (*[0] * axes, w.strides[axes]), first), layout)
            apart = tuple([p.step * s for p, s in zip(phases, strides, strict=True)])
            taps = tuple([each.step * s for each, s in zip(picked, w.strides[:axes], strict=True)])
            return Contract(
                (*[len(each) for each in picked], w.shape[-1]), Reach(a, (*apart, y.strides[-1])),
                Reach(b, (*taps, w.strides[-1])), planner.lanes,
            )  # fmt: skip

        makers.append((make, None if whole else lattice))
    if not whole and any(sum(len(range(p.first, n, s)) for p in each) != n
                         for each, n, s in zip(per_axis, op.size, op.stride, strict=True)):  # fmt: skip
        return False
    return start(planner, group, makers, _tile(planner, w.shape[axes]))


def _winograd(planner: Planner, group: Group, image: View, weights: tuple[int, tuple[int, ...]], channels: int) -> bool:
    """A convolution with a kernel of 3x3, of stride 1, with fewer products."""
    kernel = group.sources[1]
    *size, outs = group.head.spec.shape[1:]
    dtype, (offset, strides), source = group.head.spec.dtype, weights, planner.views[kernel].buffer
    scalar = SCALARS[dtype.name]
    if not suits(size, channels, outs, scalar) or 1 not in strides[2:]:
        return False
    transform = Weights(
        channels, outs, offset, (strides[0], strides[1], strides[2], strides[3]), scalar, planner.lanes,
        width_of(planner.registers),
    )  # fmt: skip
    if (source, transform) not in planner.transformed:
        made = Buffer(dtype, 36 * transform.plane, False)
        ready = planner.levels.get(kernel, -1) + 1
        inputs: list[Buffer | Given] = [source, made, Given("low"), Given("high")]
        planner.add(Step([], ready, "share", transform, inputs, rounds=transform.rounds))
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
    axes = len(op.stride)
    steps = [s * stride for s, stride in zip(op.stride, x.strides[:axes], strict=True)]
    taps = [d * stride for d, stride in zip(op.dilation, x.strides[:axes], strict=True)]
    kind = Type(SCALARS[node.spec.dtype.name], planner.lanes)
    image = Operand(0, _first(x, op.padding), (*steps, *taps, x.strides[-1]), kind)
    grad = Operand(1, y.offset, y.strides, kind)
    kernel: KernelGradient | WinogradGradient = KernelGradient(
        op.kernel, y.shape[:-1], op.groups, node.spec.shape[-2], y.shape[-1] // op.groups, image, grad, planner.lanes,
        planner.masked, planner.registers,
    )  # fmt: skip
    plain = op.kernel == (3, 3) and set(op.stride) == {1} and set(op.dilation) == {1} and op.groups == 1
    if plain and suits_gradient(y.shape[:-1], x.shape[-1], y.shape[-1], planner.lanes, kind.scalar):
        kernel = WinogradGradient(
            (y.shape[0], y.shape[1]), x.shape[-1], y.shape[-1], replace(image, strides=x.strides), grad,
            planner.lanes, planner.masked, planner.registers,
        )  # fmt: skip
    out = planner.own(node, group.level, None)
    inputs: list[Buffer | Given] = [x.buffer, y.buffer, out.buffer, Given("scratch"), *planner.mask]
    planner.add(Step([node], group.level, "block", kernel, inputs, scratch=kernel.scratch * node.spec.dtype.itemsize))
    return True


# Pools


def pool(planner: Planner, group: Group) -> bool:
    """The largest number or the mean of each window."""
    op, (source,) = group.op, group.sources
    x = planner.views[source]
    axes = len(op.stride)
    size, count = source.spec.shape[1:-1], group.head.spec.shape[1:-1]
    inside = all(
        (m - 1) * s + d * (k - 1) < n
        for m, s, d, k, n in zip(count, op.stride, op.dilation, op.kernel, size, strict=True)
    )
    if any(map(any, op.padding)) or not inside or not x.lanes:
        return False
    divisor = float(op.divisor_override or math.prod(op.kernel)) if isinstance(op, AvgPool) else 1.0
    taps = tuple(
        [
            sum(t * d * s for t, d, s in zip(tap, op.dilation, x.strides, strict=False))
            for tap in itertools.product(*map(range, op.kernel))
        ]
    )

    def make(step: LoopStep, layout: Layout) -> Window:
        strides = (*[s * stride for s, stride in zip(op.stride, x.strides, strict=False)], x.strides[-1])
        of = step.operand(View(x.buffer, (2,) * (axes + 1), strides, x.offset, True), layout)
        return Window(of, taps, isinstance(op, MaxPool), divisor)

    return start(planner, group, [(make, None)], (2, 4))


def unpool(planner: Planner, group: Group) -> bool:
    """The gradient of a pool whose windows tile the image."""
    op, sources = group.op, group.sources
    y = planner.views[sources[0]]
    axes = len(op.stride)
    size, count = group.head.spec.shape[1:-1], sources[0].spec.shape[1:-1]
    exact = op.kernel == op.stride and set(op.dilation) == {1} and not any(map(any, op.padding))
    if not exact or any(m * s != n for m, s, n in zip(count, op.stride, size, strict=True)) or not y.lanes:
        return False
    cells = list(itertools.product(*map(range, op.kernel)))
    makers: list[tuple[Make, Lattice | None]] = []
    for place, cell in enumerate(cells):

        def make(step: LoopStep, layout: Layout, place: int = place) -> Winner | Spread:
            with step.everywhere():
                grad = step.operand(View(y.buffer, (2,) * (axes + 1), y.strides, y.offset, True), layout)
                if isinstance(op, AvgPoolAdjoint):
                    return Spread(grad, float(op.divisor_override or math.prod(op.kernel)))
                x, top = planner.views[sources[1]], planner.views[sources[2]]
                strides = (*[s * stride for s, stride in zip(op.stride, x.strides, strict=False)], x.strides[-1])
                image = step.operand(View(x.buffer, (2,) * (axes + 1), strides, x.offset, True), layout)
                largest = step.operand(View(top.buffer, (2,) * (axes + 1), top.strides, top.offset, True), layout)
            taps = [sum(t * s for t, s in zip(each, x.strides, strict=False)) for each in cells[: place + 1]]
            return Winner(grad, image, largest, tuple(taps))

        makers.append((make, Lattice((*cell, 0), (*op.stride, 1))))
    return start(planner, group, makers, (2, 4))


HEADS: dict[type[Operation], Callable[[Planner, Group], bool]] = {
    MatMul: product, Conv: convolution, ConvTranspose: transposed, ConvWeight: kernel_gradient, MaxPool: pool,
    AvgPool: pool, MaxPoolScatter: unpool, AvgPoolAdjoint: unpool,
}  # fmt: skip
"""What a fused node begins with, and what computes it."""

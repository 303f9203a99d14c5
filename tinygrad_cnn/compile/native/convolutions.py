"""Which kernel computes a fused node that begins with a convolution, or a gradient in its kernel.

Each function takes the planner and a :class:`~.groups.Group`, adds steps, and returns whether there is a kernel.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from ...graph import Node
from ...ops.conv import Conv, ConvWeight
from ..numpy.convolve import has_phases, phases_of
from . import planes
from .gradients import KernelGradient
from .groups import Group, Make, start, tile_of
from .heads import Constant, Contract, Reach
from .ir import SCALARS, Type
from .lanes import Buffer, View
from .loops import Operand, Row
from .planes import tiles_of
from .products import gradient_by_channels, panel_of_weights, side_by_side
from .steps import Given, Input, Lattice, Layout, LoopStep, Step
from .tiles import CELLS, plane
from .weights import Weights
from .winograd import Winograd, WinogradGradient, can, gradient_pays, pays, scratch_numbers, width_of

if TYPE_CHECKING:
    from .planner import Planner


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
        view = View(x.buffer, (2, 2, 2), x.strides, first_window(x, op.padding), True)
        if _winograd(planner, group, view, (w.offset, w.strides), channels):
            return True
    w, cuts, ready = _cut(planner, weight, axes + 1, groups)

    def make(step: LoopStep, layout: Layout) -> Contract:
        steps, taps = _steps(op, x)
        a = step.operand(View(x.buffer, (2,) * (axes + 1), (*steps, 0), first_window(x, op.padding), True), layout)
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
    return start(planner, group, [(make, None)], tile_of(planner, outs // several), several, not cuts)


@dataclass(frozen=True)
class _Cuts:
    """Panels that an axis of weights is cut into."""

    count: int
    apart: int
    """How far one lies behind the one before."""


def _cut(planner: Planner, weight: Node, axis: int, groups: int) -> tuple[View, _Cuts | None, int]:
    """Weights as a convolution reads them, the panels of one of their axes, and when they may be read."""
    panel = panel_of_weights(planner, weight, axis) if groups == 1 else 0
    view, ready = side_by_side(planner, weight, axis, panel)
    if len(view.shape) == len(weight.spec.shape):
        return view, None, ready
    cuts = _Cuts(view.shape[0], view.strides[0])
    return View(view.buffer, view.shape[1:], view.strides[1:], view.offset), cuts, ready


def _depthwise(planner: Planner, group: Group, x: View, w: View) -> bool:
    """A convolution with a kernel for each channel, where the channels lie side by side."""
    op, axes = group.op, len(group.op.stride)

    def make(step: LoopStep, layout: Layout) -> Contract:
        steps, taps = _steps(op, x)
        image = View(x.buffer, (2,) * (axes + 1), (*steps, x.strides[-1]), first_window(x, op.padding), True)
        a = step.operand(image, layout)
        b = step.operand(View(w.buffer, (2,) * (axes + 1), (*[0] * axes, w.strides[-1]), w.offset), layout)
        return Contract(w.shape[:axes], Reach(a, taps), Reach(b, w.strides[:axes]))

    return start(planner, group, [(make, None)], tile_of(planner, w.shape[-1]))


def _steps(op: Conv | ConvWeight, x: View) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """How far it is from one window to the next, and from one cell of a window to the next, on each axis."""
    steps = tuple([s * stride for s, stride in zip(op.stride, x.strides, strict=False)])
    return steps, tuple([d * stride for d, stride in zip(op.dilation, x.strides, strict=False)])


def first_window(x: View, padding: Sequence[tuple[int, int]]) -> int:
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
    return start(planner, group, makers, tile_of(planner, columns), several, not cuts)


def kernel_gradient(planner: Planner, group: Group) -> bool:
    """The gradient in a convolution's kernel."""
    node, op = group.node, group.op
    x, y = [planner.views[each] for each in group.sources]
    if group.rest or not x.lanes or not y.lanes:
        return False
    steps, taps = _steps(op, x)
    plain = op.kernel == (3, 3) and set(op.stride) == {1} and set(op.dilation) == {1} and op.groups == 1
    size, channels, outs = y.shape[:-1], x.shape[-1], y.shape[-1]
    scalar = SCALARS[node.spec.dtype]
    if planner.lanes == 1:
        if plain and _gradient_in_planes(planner, group, x, y):
            return True
        image_at = first_window(x, op.padding), (*steps, *taps, x.strides[-1])
        return gradient_by_channels(planner, group, op.kernel, y.shape[:-1], op.groups, image_at)
    kind = Type(scalar, planner.lanes)
    image = Operand(0, first_window(x, op.padding), (*steps, *taps, x.strides[-1]), kind)
    grad = Operand(1, y.offset, y.strides, kind)
    kernel: KernelGradient | WinogradGradient = KernelGradient(
        op.kernel, y.shape[:-1], op.groups, node.spec.shape[-2], y.shape[-1] // op.groups, image, grad, planner.lanes,
        planner.masked, planner.registers,
    )  # fmt: skip
    plain = plain and can(size, channels, outs, scalar, 1) and outs % planner.lanes == 0
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


# Winograd's way


def _winograd(planner: Planner, group: Group, image: View, weights: tuple[int, tuple[int, ...]], channels: int) -> bool:
    """A convolution with a kernel of 3x3, of stride 1, with fewer products."""
    *size, outs = group.head.spec.shape[1:]
    offset, strides = weights
    scalar, wide = SCALARS[group.head.spec.dtype], planner.wide
    if not can(size, channels, outs, scalar, wide) or 1 not in strides[2:]:
        return False
    if wide > 1 and image.strides[-1] != 1:
        return False
    together = wide > 1 and planes.suit(size, channels, outs)
    estimate = planes.pay(size, channels, outs, planner.blocks) if together else pays(size, channels, outs, wide)
    name = f"convolution of {planner.blocks}" if together else "convolution"
    if not planner.ways.takes_winograd(name, size, channels, outs, estimate):
        return False
    if together and planes.are_large(channels, outs) and _in_planes(planner, group, image, channels, strides[0] < 0):
        return True
    lanes, width = (wide, wide) if wide > 1 else (planner.lanes, width_of(planner.registers))
    along = (strides[0], strides[1], strides[2], strides[3])
    buffer, ready = _transformed(
        planner, group.sources[1], Weights(channels, outs, offset, along, scalar, lanes, width)
    )
    if together:
        return _in_planes(planner, group, image, channels, weights=(buffer, ready))
    itemsize = buffer.dtype.itemsize

    def make(step: LoopStep, layout: Layout) -> Winograd:
        operand = step.operand(image, layout)
        step.inputs += [buffer, Given("scratch")]
        step.scratch = scratch_numbers(channels, outs, planner.lanes, size, itemsize) * itemsize
        last = len(step.inputs) - 1
        return Winograd(operand, channels, last - 1, last, planner.registers)

    return start(planner, replace(group, level=max(group.level, ready)), [(make, None)], (4, 1))


def _transformed(planner: Planner, kernel: Node, form: Weights) -> tuple[Buffer, int]:
    """A kernel, transformed, and the level from which on it may be read."""
    source = planner.views[kernel].buffer
    if (source, form) not in planner.transformed:
        made = Buffer(source.dtype, CELLS * form.plane, False)
        ready = planner.levels.get(kernel, -1) + 1
        inputs: list[Input] = [source, made, Given("low"), Given("high")]
        inputs += [Given("number", size) for size in form.sizes]
        planner.add(Step([], ready, "share", form, inputs, rounds=form.rounds, made=made))
        planner.transformed[source, form] = made, ready + 1
    return planner.transformed[source, form]


def _in_planes(
    planner: Planner, group: Group, image: View, channels: int, turned: bool = False,
    weights: tuple[Buffer, int] | None = None,
) -> bool:  # fmt: skip
    """A convolution of all examples at once.

    With kernels that are ``turned`` or not; or with transformed ``weights`` and the level on which they may be read.
    """
    height, width, outs = group.head.spec.shape[1:]
    dtype, wide = group.head.spec.dtype, planner.wide
    tiles, level = tiles_of((height, width)) * planner.blocks, group.level
    about = (SCALARS[dtype], wide, planner.registers)
    kernel: planes.PlaneProducts | planes.KernelProducts
    if weights:
        kernel, panels, scratch = planes.PlaneProducts(tiles, channels, outs, *about), (channels, outs), 0
    else:
        cut, cuts, ready = _cut(planner, group.sources[1], 2 if turned else 3, 1)
        if cuts is None or channels % planes.DEPTH:
            return False
        weights, panel = (cut.buffer, ready), outs // cuts.count
        kernel = planes.KernelProducts(tiles, channels, outs, *about, panel, turned)
        panels, scratch = (planes.DEPTH, panel), kernel.scratch * dtype.itemsize
    buffer = _planes(planner, group, image, (height, width), channels, panels[0])
    made = _for_tiles(planner, buffer, (height, width), outs, panels[1])
    inputs: list[Input] = [buffer, weights[0], made, *[Given("scratch")] * (scratch > 0), Given("low"), Given("high")]
    level = max(level + 1, weights[1])
    planner.add(Step([], level, "share", kernel, inputs, scratch, rounds=kernel.rounds, part_of=group.node))

    def make(step: LoopStep, layout: Layout) -> planes.FromPlanes:
        operand = step.operand(View(made, (2, 2, 2), (1, 1, 1), 0, True), layout)
        return planes.FromPlanes(operand, tiles, panels[1])

    return start(planner, replace(group, level=level + 1), [(make, None)], (4, 1))


def _for_tiles(planner: Planner, like: Buffer, size: tuple[int, int], channels: int, panel: int) -> Buffer:
    """Memory for transformed tiles of all examples, with so many channels in a panel."""
    tiles = tiles_of(size)
    numbers = CELLS * plane(tiles * planner.blocks * channels, SCALARS[like.dtype])
    return Buffer(like.dtype, numbers, False, apart=tiles * panel * like.dtype.itemsize)


def _planes(
    planner: Planner, group: Group, image: View, size: tuple[int, int], channels: int, panel: int,
    backward: bool = False,
) -> Buffer:  # fmt: skip
    """Where the transformed tiles of an image, or of a gradient, are after the group's level."""
    operand = Row(0, image.offset, image.strides, Type(SCALARS[image.buffer.dtype]))
    kernel = planes.Planes(size, channels, panel, operand, backward, tiles_of(size) * planner.blocks, planner.wide)
    made = _for_tiles(planner, image.buffer, size, channels, panel)
    planner.add(Step([], group.level, "block", kernel, [image.buffer, made], part_of=group.node))
    return made


def _gradient_in_planes(planner: Planner, group: Group, x: View, y: View) -> bool:
    """The gradient in a kernel of 3x3 with fewer products, where channels lie side by side."""
    node, op = group.node, group.op
    size, channels, outs = (y.shape[0], y.shape[1]), x.shape[-1], y.shape[-1]
    dtype, wide = node.spec.dtype, planner.wide
    scalar = SCALARS[dtype]
    if not can(size, channels, outs, scalar, wide) or not x.strides[-1] == y.strides[-1] == 1:
        return False
    estimate = planes.gradient_pays(size, channels, outs, planner.blocks)
    if not planner.ways.takes_winograd(f"gradient of {planner.blocks}", size, channels, outs, estimate):
        return False
    image = View(x.buffer, x.shape, x.strides, first_window(x, op.padding), True)
    made = [
        _planes(planner, group, view, size, count, planes.panel_of(count, wide), backward)
        for view, count, backward in ((image, channels, False), (y, outs, True))
    ]
    about = (tiles_of(size) * planner.blocks, channels, outs, scalar, wide, planner.registers)
    share: list[Input] = [Given("low"), Given("high")]
    planner.axes[node] = None
    if planes.are_large(channels, outs):
        panels = planes.PanelGradient(*about)
        out, room = planner.own(node, group.level + 1, None), panels.scratch * dtype.itemsize
        inputs = [*made, out.buffer, Given("scratch"), *share]
        planner.add(Step([node], group.level + 1, "share", panels, inputs, room, rounds=panels.rounds))
        return True
    products = planes.PlaneGradient(*about)
    sums = Buffer(dtype, CELLS * plane(channels * outs, scalar), False)
    inputs = [*made, sums, *share]
    planner.add(Step([], group.level + 1, "share", products, inputs, rounds=products.rounds, part_of=node))
    out = planner.own(node, group.level + 2, None)
    last = planes.FromPlaneGradient(channels, outs, scalar, wide)
    planner.add(Step([node], group.level + 2, "share", last, [sums, out.buffer, *share], rounds=last.rounds))
    return True

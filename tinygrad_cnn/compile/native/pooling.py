"""Which kernel computes a fused node that begins with a pool, or with its gradient.

Each function takes the planner and a :class:`~.groups.Group`, adds steps, and returns whether there is a kernel.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from ...ops.pool import AvgPool, AvgPoolAdjoint, MaxPool
from .convolutions import first_window
from .groups import Group, Make, start
from .ir import SCALARS, Type
from .lanes import View
from .loops import Operand, Row
from .pools import Region, Scatter, Spread, Window, Winner, runs
from .steps import Lattice, Layout, LoopStep, Step

if TYPE_CHECKING:
    from .planner import Planner

MOST_REGIONS = 27
"""So many loops are written for a pool at most: three runs of windows along each of three axes."""


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
            of = step.operand(View(x.buffer, (2,) * (axes + 1), strides, first_window(x, op.padding), True), layout)
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

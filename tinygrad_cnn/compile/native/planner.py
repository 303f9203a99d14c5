"""From a planned graph to steps: which kernel computes each node, where its numbers lie, and on which level it runs."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from ...graph import Node, Spec
from ...ops.base import SYMBOL, Full
from ...ops.conv import Conv, ConvTranspose, ConvWeight
from ...ops.index import AddAlongDim, Index, IndexAdd, Range, TakeAlongDim
from ...ops.linalg import MatMul
from ...ops.pool import AvgPool, AvgPoolAdjoint, MaxPool, MaxPoolScatter
from ...ops.reduce import LogSoftmax, Mean
from ...ops.shape import BroadcastTo, Cat, Pad, Permute, Reshape
from ..fuse import Copy, Fused
from ..layout import Arranged
from ..numpy.convolve import phases_of
from ..numpy.executor import margins_of
from ..recompute import Hold
from ..schedule import VIEWS, schedule
from ..split import AllReduce, Part, Rows
from . import numbers
from .gradients import KernelGradient, Turn, WeightGradient
from .heads import Contract, Nothing, Reach, Spread, Window, Winner
from .ir import SCALARS, Type
from .lanes import PARTIAL, Buffer, NotLanesError, View, batch_axes, example, row_major
from .loops import Earlier, Operand, Total
from .rows import AlongRows, Load, LogSoftmaxRows
from .steps import Draft, Given, Lattice, Layout, LoopStep, Source, Step, WholeStep, is_flat
from .winograd import Weights, Winograd, WinogradGradient, scratch_numbers, suits, suits_gradient, width_of

LITTLE = 2048
"""Whole arrays with fewer numbers are computed by one thread."""


class Planner:
    """Makes the steps of one graph.

    Args:
        part: the graph for the examples of one block.
        total: how many examples there are.
        lanes: how many of them a block has.
        argument_dims: the order in which the axes of each argument are stored.
        registers: how many vectors a kernel may hold in registers.
    """

    def __init__(
        self, part: Part, total: int, lanes: int, argument_dims: Sequence[tuple[int, ...] | None], registers: int
    ) -> None:
        self.part, self.graph, self.total, self.lanes, self.registers = part, part.graph, total, lanes, registers
        self.argument_dims = argument_dims
        self.blocks = -(-total // lanes)
        self.masked = total % lanes > 0
        planned = schedule(self.graph)
        self.order = planned.order
        self.late = set(planned.phases[-1])
        given = dict(zip(self.graph.arguments, part.arguments, strict=True))
        self.axes = batch_axes(self.order, given, lanes)
        self.margins = margins_of(self.order, "windows")
        self.users: dict[Node, list[Node]] = {node: [] for node in self.order}
        for node in self.order:
            for each in node.inputs:
                self.users[each].append(node)
        self.views: dict[Node, View] = {}
        self.levels: dict[Node, int] = {}
        self.maker: dict[Node, Step] = {}
        self.steps: list[Step] = []
        self.turned: dict[Node, tuple[Buffer, Turn]] = {}
        self.transformed: dict[tuple[Buffer, Weights], tuple[Buffer, int]] = {}
        """Kernels for Winograd's convolutions, and the first level on which they may be read."""
        self.states: dict[Node, Buffer] = {}
        self.arguments: dict[Node, Buffer] = {}
        self.in_place = self._in_place()
        self.copied: set[Node] = set()
        """States that are copied at the end."""
        self.plan()

    def _in_place(self) -> dict[Node, Node]:
        """Results that may be written where the state that they replace is kept: nobody else reads that so late."""
        kept = {id(state.leaf): state.node for state in self.graph.states if state.leaf is not None}
        found: dict[Node, Node] = {}
        for effect in self.graph.effects:
            node = self.graph.results[effect.position]
            state = kept.get(id(effect.leaf)) if effect.kind == "assign" else None
            plain = isinstance(node.op, Fused) and node.op.head is None and node.op.tail is None
            if state is None or not plain or node not in self.late or node.spec != state.spec or node in found:
                continue
            if {each for each in self._readers(state) if each in self.late} <= {node}:
                found[node] = state
        moved = set(self.graph.results) & set(found.values())  # leaves that change places
        return {node: state for node, state in found.items() if state not in moved}

    def _readers(self, node: Node) -> set[Node]:
        """The nodes that read a node's numbers, whatever views lie between."""
        found = set()
        for user in self.users.get(node, ()):
            found |= self._readers(user) if isinstance(user.op, VIEWS) else {user}
        return found

    # Nodes

    def plan(self) -> None:
        for state in self.graph.states:
            self.states[state.node] = self._whole(state.node, keeps=True).buffer
        for number, node in enumerate(self.graph.arguments):
            if self.axes.get(node, self.part.arguments[number]) is None:
                self.arguments[node] = self._whole(node, keeps=True).buffer
            else:
                self._argument(node, number)
        first_late = 0
        for node in self.order:
            if node in self.late and not first_late:
                first_late = 1 + max([step.level for step in self.steps], default=0)
            self._node(node, first_late if node in self.late else 0)
        self.first_late = first_late or 1 + max([step.level for step in self.steps], default=0)
        self._copy_states()

    def _copy_states(self) -> None:
        """Copies at the very end, for states whose new numbers could not be written where they are kept."""
        last = 1 + max([self.first_late, *[step.level for step in self.steps]])
        kept = {id(state.leaf): state.node for state in self.graph.states if state.leaf is not None}
        given = {id(buffer) for buffer in [*self.states.values(), *self.arguments.values()]}
        for effect in self.graph.effects:
            result, state = self.graph.results[effect.position], kept.get(id(effect.leaf))
            if effect.kind != "assign" or state is None or result in self.in_place or isinstance(result.op, Full):
                continue
            view, target = self.views[result], self.views[state]
            if id(view.buffer) in given or view.buffer.per_block or not view.contiguous:
                continue  # such as leaves that change places
            step = WholeStep([state], last, "one", space=target.shape, width=self.lanes)
            step.members.append(Draft(state, (), (), [view], target))
            rest = WholeStep([state], last, "one", space=target.shape, width=self.lanes, rest=True)
            rest.members = step.members
            self.steps += [step, rest]
            self.copied.add(state)

    def _node(self, node: Node, least: int) -> None:
        op = node.op
        if node in self.views or isinstance(op, Full):
            return
        if not node.inputs:
            if op is not SYMBOL:
                self._whole(node, keeps=True)
            return
        level = max([least, *[self._after(each, node) for each in node.inputs]])
        view = self._alias(node)
        if view is not None:
            self.views[node], self.levels[node] = view, level
            self.maker[node] = self.maker.get(node.inputs[0])  # type: ignore[assignment]
            return
        axis = self.axes[node]
        if isinstance(op, AllReduce) or (axis is None and (isinstance(op, Fused) or type(op) in numbers.RULES)):
            done = self._on_whole(node, level)
        elif axis is None:
            done = False
        elif isinstance(op, Rows):
            done = self._rows(node, level)
        elif isinstance(op, Fused):
            done = self._fused(node, level)
        else:
            done = self._other(node, level)
        if not done:
            self._by_numpy(node, level)

    def _after(self, source: Node, node: Node) -> int:
        """The first level on which ``node`` may read ``source``."""
        if source not in self.levels:
            return 0
        level, axis = self.levels[source], self.axes.get(source)
        maker = self.maker.get(source)
        if maker is not None and maker.place == "python":
            return level + 1
        if axis is None:  # whole: its reader waits, unless it is the same thread
            return level if self._same_thread(maker, node) else level + 1
        if self.axes[node] is None or isinstance(node.op, AllReduce):
            return level + 1
        return level

    def _same_thread(self, maker: Step | None, node: Node) -> bool:
        """Whether what reads a whole array is surely done by the thread that has made it."""
        if maker is None or self.axes[node] is not None or maker.place == "block":
            return False
        return maker.place == self._place(node.spec) and (
            maker.place == "one" or (isinstance(maker, WholeStep) and math.prod(maker.space) == node.spec.size)
        )

    def _place(self, spec: Spec) -> str:
        return "one" if spec.size < LITTLE else "share"

    # Views

    def view(self, node: Node) -> View:
        """Where a node's numbers lie."""
        return self.views[node]

    def _whole(self, node: Node, keeps: bool = False) -> View:
        buffer = Buffer(node.spec.dtype, node.spec.size, False, keeps)
        self.views[node] = View(buffer, node.spec.shape, row_major(node.spec.shape))
        return self.views[node]

    def _own(self, node: Node, level: int, step: Step | None) -> View:
        """An array of its own."""
        axis = self.axes[node]
        self.levels[node] = level
        if step is not None:
            self.maker[node] = step
        if node in self.in_place:
            self.views[node] = self.views[self.in_place[node]]
            return self.views[node]
        if axis is None:
            return self._whole(node)
        shape = example(node.spec.shape, axis)
        if axis == PARTIAL:
            buffer = Buffer(node.spec.dtype, node.spec.size, True)
            self.views[node] = View(buffer, shape, row_major(shape))
            return self.views[node]
        margin = self.margins.get(node, ())
        pairs = (*margin, (0, 0)) if any(map(any, margin)) else ((0, 0),) * len(shape)
        padded = tuple([before + n + after for n, (before, after) in zip(shape, pairs, strict=True)])
        strides = row_major(padded)
        offset = sum(before * stride for (before, _), stride in zip(pairs, strides, strict=True))
        buffer = Buffer(node.spec.dtype, math.prod(padded) * self.lanes, True, keeps=any(map(any, pairs)))
        self.views[node] = View(buffer, shape, strides, offset, True, pairs)
        return self.views[node]

    def _alias(self, node: Node) -> View | None:
        """The view of a node that shows the array of its first input."""
        op, source = node.op, node.inputs[0]
        if isinstance(op, AllReduce):
            return self.views[source] if self.axes[source] is None else None
        if isinstance(source.op, Full) or not isinstance(op, Hold | Reshape | Permute | BroadcastTo | Index):
            return None
        view, axis = self.views[source], self.axes[source]
        if isinstance(op, Hold):
            return view
        lanes = axis is not None and axis != PARTIAL
        if isinstance(op, Reshape):
            shape = example(node.spec.shape, self.axes[node])
            if not view.contiguous:
                return None
            return View(view.buffer, shape, row_major(shape), view.offset, view.lanes)
        if isinstance(op, Permute):
            kept = [dim for dim in op.dims if not (lanes and dim == axis)]
            own = [dim - (lanes and dim > axis) for dim in kept]  # type: ignore[operator]
            shape = tuple([view.shape[dim] for dim in own])
            return View(view.buffer, shape, tuple([view.strides[dim] for dim in own]), view.offset, view.lanes)
        if isinstance(op, BroadcastTo):
            shape = example(op.shape, self.axes[node])
            if lanes and len(op.shape) != len(source.spec.shape):
                return None
            more = len(shape) - len(view.shape)
            strides = (0,) * more + tuple([0 if n == 1 else s for n, s in zip(view.shape, view.strides, strict=True)])
            return View(view.buffer, shape, strides, view.offset, view.lanes)
        assert isinstance(op, Index)
        if len(node.inputs) > 1 or not all(isinstance(each, Range) for each in op.key):
            return None
        entries = list(op.key) + [Range(0, n, 1) for n in source.spec.shape[len(op.key) :]]
        if lanes:
            entries.pop(axis)  # type: ignore[arg-type]
        ranges: list[Any] = entries
        offset = view.offset + sum(each.start * s for each, s in zip(ranges, view.strides, strict=True))
        strides = tuple([each.step * s for each, s in zip(ranges, view.strides, strict=True)])
        return View(view.buffer, tuple([each.length for each in ranges]), strides, offset, view.lanes)

    def _seen(self, source: Node, rank: int, axis: int | None) -> View | None:
        """An operand of element-wise work on arrays of so many axes whose examples lie on ``axis``."""
        if isinstance(source.op, Full):
            return None
        view, own = self.views[source], self.axes.get(source)
        shape = (1,) * (rank - len(source.spec.shape)) + tuple(source.spec.shape)
        more = rank - len(source.spec.shape)
        if own is not None and own != PARTIAL:
            lead = (1,) * more
            return View(view.buffer, lead + view.shape, (0,) * more + view.strides, view.offset, True)
        strides = (0,) * more + view.strides
        if axis is not None and axis != PARTIAL:
            if shape[axis] != 1 and strides[axis] != 0:
                raise NotLanesError(f"{source.op.name} holds all examples")
            shape, strides = example(shape, axis), example(strides, axis)
        return View(view.buffer, shape, strides, view.offset)

    # Whole arrays

    def _on_whole(self, node: Node, level: int) -> bool:
        op = node.op
        place = self._place(node.spec)
        sums = isinstance(op, AllReduce)
        if sums:
            body: tuple[Node, ...] = ()
            parameters: tuple[Node, ...] = ()
        elif isinstance(op, Fused):
            if op.head is not None or op.tail is not None or not _all_can(op.body):
                return False
            body, parameters = op.body, op.parameters
        else:
            if not numbers.can(op, [*[each.spec.dtype for each in node.inputs], node.spec.dtype]):
                return False
            parameters = tuple([Node(SYMBOL, (), each.spec, symbolic=True) for each in node.inputs])
            body = (Node(op, parameters, node.spec, symbolic=True),)
        views = [self._seen(each, len(node.spec.shape), None) for each in node.inputs]
        if None in views:
            return False
        if place == "share" and not all(each is not None and is_flat(each, node.spec.shape) for each in views):
            place = "one"
            level = max([level, *[self.levels[each] + 1 for each in node.inputs if each in self.levels]])
        step = self._open_whole(node, level, place)
        sources: list[Source] = []
        for each, view in zip(node.inputs, views, strict=True):
            made = next((n for n, draft in enumerate(step.members) if draft.node is self._origin(each)), None)
            assert view is not None
            sources.append(Earlier(made) if made is not None and each.spec.size == node.spec.size else view)
        if step not in self.steps:
            assert step.twin is not None
            self.steps += [step, step.twin]
        view = self._own(node, level, step)
        step.members.append(Draft(node, body, parameters, sources, view, sums_blocks=sums))
        step.nodes.append(node)
        return True

    def _origin(self, node: Node) -> Node:
        while isinstance(node.op, Reshape):
            node = node.inputs[0]
        return node

    def _open_whole(self, node: Node, level: int, place: str) -> WholeStep:
        """The step that a node joins: one of the same shape on the same level, unless an input is made after it."""
        spec = node.spec
        makers = [self.maker.get(each) for each in node.inputs]
        for step in reversed(self.steps):
            if isinstance(step, WholeStep) and not step.rest:
                if (step.level, step.place, step.space) == (level, place, spec.shape):
                    return step
                if step in makers:
                    break
        step = WholeStep([], level, place, space=spec.shape, width=self.lanes)
        step.twin = WholeStep(
            step.nodes, level, "one", space=spec.shape, members=step.members, width=self.lanes, rest=True
        )
        return step

    # Arrays with examples in lanes

    def _argument(self, node: Node, number: int) -> None:
        dims = self.argument_dims[number] or tuple(range(len(node.spec.shape)))
        logical = [0] * len(dims)
        for place, dim in enumerate(dims):
            logical[dim] = node.spec.shape[place]
        logical[0] = self.total
        strides = row_major(logical)
        view = self._own(node, 0, None)
        source = tuple([strides[dim] for dim in dims[1:]])
        self._load(node, view, source, strides[0], Given("argument", number), 0)

    def _rows(self, node: Node, level: int) -> bool:
        source = self.views[node.inputs[0]]
        op = node.op
        assert isinstance(op, Rows)
        view = self._own(node, level, None)
        rest = example(source.strides, op.axis)
        self._load(node, view, rest, source.strides[op.axis], source.buffer, level, source.offset)
        return True

    def _load(
        self,
        node: Node,
        view: View,
        source: tuple[int, ...],
        step: int,
        base: Buffer | Given,
        level: int,
        offset: int = 0,
    ) -> None:
        if offset:
            raise NotLanesError("rows of a part of an array")
        kind = Type(SCALARS[node.spec.dtype.name], self.lanes)
        kernel = Load(view.shape, source, step, Operand(1, view.offset, view.strides, kind), self.total, self.lanes)
        made = Step([node], level, "block", kernel, [base, view.buffer, Given("block")])
        self.steps.append(made)
        self.maker[node] = made

    def _fused(self, node: Node, level: int) -> bool:
        op = node.op
        assert isinstance(op, Fused)
        head = op.head
        rest = tuple([each for each in op.body if each is not head])
        if not _all_can([each for each in rest if each is not op.tail]):
            return False
        outside = dict(zip(op.parameters, node.inputs, strict=True))
        if head is None:
            return self._maps(node, level, op.body, outside, tail=op.tail)
        sources = [outside[each] for each in head.inputs]
        if any(isinstance(each.op, Full) for each in sources):
            return False
        if isinstance(head.op, MatMul):
            if self.axes[node] == PARTIAL:
                return not rest and self._weight_gradient(node, sources, level)
            return self._product(node, head, rest, outside, sources, level)
        assert isinstance(head.op, Arranged)
        inner = head.op.op
        if isinstance(inner, ConvWeight):
            return not rest and self._kernel_gradient(node, inner, sources, level)
        if isinstance(inner, Conv):
            return self._convolution(node, head, inner, rest, outside, sources, level)
        if isinstance(inner, ConvTranspose):
            return self._transposed(node, head, inner, rest, outside, sources, level)
        if isinstance(inner, MaxPool | AvgPool):
            return self._pool(node, head, inner, rest, outside, sources, level)
        if isinstance(inner, MaxPoolScatter | AvgPoolAdjoint):
            return self._unpool(node, head, inner, rest, outside, sources, level)
        return False

    def _maps(
        self, node: Node, level: int, body: Sequence[Node], outside: dict[Node, Node], into: LoopStep | None = None,
        head: Node | None = None, tail: Node | None = None,
    ) -> bool:  # fmt: skip
        """Element-wise work, and a sum at its end: a member of the last loop where it can join, else of a new one."""
        work = tuple([each for each in body if each is not tail])
        shape = tail.inputs[0].spec.shape if tail is not None else (body[-1] if body else node).spec.shape
        axis = self._work_axis(node, outside, tail)
        if axis is None or any(isinstance(each.op, Full) for each in outside.values()):
            return False
        space = example(shape, axis)
        kept, total = None, None
        if tail is not None:
            if node.spec.dtype.kind != "f":
                return False
            reduction: Any = tail.op
            dims = tuple([dim - (dim > axis) for dim in reduction.dims if dim != axis])
            kept = tuple([dim for dim in range(len(space)) if dim not in dims])
            share = 1.0
            if isinstance(reduction, Mean):
                share = 1 / max(reduction.count(shape), 1)
            total = Total(share, axis in reduction.dims)
        step = into or self._joinable(node, space, level, kept, outside)
        if step is None:
            step = LoopStep([], level, "block", space=space, lanes=self.lanes, masked=self.masked)
            self.steps.append(step)
        sources: list[Source] = []
        parameters: list[Node] = []
        for parameter, source in outside.items():
            if head is not None and not any(parameter in each.inputs for each in work):
                continue
            made = next(
                (n for n, draft in enumerate(step.members) if draft.node is source and draft.total is None), None
            )
            parameters.append(parameter)
            if made is not None:
                sources.append(Earlier(made))
            else:
                view = self._seen(source, len(shape), axis)
                assert view is not None
                sources.append(view)
        if head is not None:
            parameters.append(head)
            sources.append(Earlier(-1))
        if tail is not None and step.kept is None:
            step.kept = kept
        out = self._own(node, step.level, step) if node not in self.views else self.views[node]
        if tail is not None:
            view_shape = tuple([n if place in (kept or ()) else 1 for place, n in enumerate(space)])
            if len(out.shape) != len(space):  # the axis of the batch is there, with length 1
                out = View(out.buffer, example(out.shape, axis), example(out.strides, axis), out.offset, out.lanes)
            out = View(out.buffer, view_shape, out.strides, out.offset, out.lanes)
        step.members.append(Draft(node, work, tuple(parameters), sources, out, total))
        step.nodes.append(node)
        return True

    def _work_axis(self, node: Node, outside: dict[Node, Node], tail: Node | None) -> int | None:
        """The axis of the examples in what a fused node computes before its sum."""
        if tail is None:
            return self.axes[node]
        rank = len(tail.inputs[0].spec.shape)
        found = {self.axes[each] for each in outside.values() if self.axes.get(each) is not None}
        axes = {axis for axis in found if axis is not None}
        if (
            len(axes) != 1
            or PARTIAL in axes
            or any(len(each.spec.shape) != rank for each in outside.values() if self.axes.get(each) is not None)
        ):
            return None
        return axes.pop()

    def _joinable(
        self, node: Node, space: tuple[int, ...], level: int, kept: tuple[int, ...] | None, outside: dict[Node, Node]
    ) -> LoopStep | None:
        """The last loop, if this node's work can be done in it."""
        step = next((each for each in reversed(self.steps) if each.place not in ("one", "share")), None)
        if not isinstance(step, LoopStep) or not step.open or step.space != space or level > step.level:
            return None
        if (node in self.late) != any(each in self.late for each in step.nodes):
            return None
        if kept is not None:
            if step.kept is not None and step.kept != kept:
                return None
            if step.head is not None and kept != (len(space) - 1,):
                return None
        inside = {draft.node: draft for draft in step.members}
        for source in outside.values():
            if source in inside and inside[source].total is None:
                continue
            if self.maker.get(source) is step:
                return None  # a view of what the loop makes, or one of its sums
        return step

    # Heads

    def _start(self, node: Node, head: Node, rest: Sequence[Node], outside: dict[Node, Node], level: int,
               makers: Sequence[tuple[Any, Lattice | None]], tile: tuple[int, int] | None,
               groups: int = 1) -> bool:  # fmt: skip
        """Loops that begin with a head. ``makers`` makes it, for each lattice of places one."""
        axis = self.axes[node]
        if axis is None or axis == PARTIAL:
            return False
        space = example(node.spec.shape, axis)
        sizes = [space if lattice is None else _counts(space, lattice) for _, lattice in makers]
        for source in outside.values():
            if isinstance(source.op, Full):
                return False
        for (make, lattice), size in zip(makers, sizes, strict=True):
            if 0 in size:
                continue
            step = LoopStep([], level, "block", space=size, lanes=self.lanes, masked=self.masked, head=make, tile=tile,
                            lattice=lattice, groups=groups, open=len(makers) == 1 and groups == 1)  # fmt: skip
            self.steps.append(step)
            if not self._maps(node, level, rest, outside, step, head):
                raise NotLanesError(f"{node.op} cannot follow its head")
            self.maker[node] = step
        return True

    def _tile(self, columns: int) -> tuple[int, int]:
        """How many places and channels at once."""
        width = max(each for each in range(1, 7) if columns % each == 0 or each == min(6, columns))
        if columns % 4 == 0 and columns % 6:
            width = 4
        return max(1, self.registers // width), width

    def _product(self, node: Node, head: Node, rest: Sequence[Node], outside: dict[Node, Node],
                 sources: Sequence[Node], level: int) -> bool:  # fmt: skip
        axis, rank = self.axes[node], len(node.spec.shape)
        if axis is None or head.spec.shape != node.spec.shape:
            return False
        result = [dim for dim in range(rank) if dim != axis]
        views = []
        for source, own in zip(sources, (rank - 2, rank - 1), strict=True):
            view, cut = self.views[source], self.axes.get(source)
            more = rank - len(source.spec.shape)
            strides: list[int | None] = [0] * more
            at = 0
            for dim in range(len(source.spec.shape)):
                if dim == cut:
                    strides.append(None)
                else:
                    strides.append(0 if view.shape[at] == 1 else view.strides[at])
                    at += 1
            reduced = rank - 1 if own == rank - 2 else rank - 2
            out = [0 if dim == reduced else (strides[dim] or 0) for dim in result]
            if own == rank - 2:  # its last axis is summed over, so the result's last axis is not its own
                out = [0 if dim == rank - 1 else each for dim, each in zip(result, out, strict=True)]
            else:
                out = [0 if dim == rank - 2 else each for dim, each in zip(result, out, strict=True)]
            views.append((view, tuple(out), strides[reduced] or 0))
        length = sources[0].spec.shape[-1]

        def make(step: LoopStep, layout: Layout) -> Contract:
            reaches = []
            for view, out, along in views:
                shape = tuple([2] * len(out))
                operand = step.operand(View(view.buffer, shape, out, view.offset, view.lanes), layout)
                reaches.append(Reach(operand, (along,)))
            return Contract((length,), reaches[0], reaches[1], self.lanes)

        space = example(node.spec.shape, axis)
        wide = 16 if self.registers > 16 and space[-1] % 16 == 0 else 12  # 16 numbers of a weight are a cache line
        tile = (self.registers // 6, 6) if len(space) > 1 else (1, wide)
        return self._start(node, head, rest, outside, level, [(make, None)], tile)

    def _convolution(self, node: Node, head: Node, op: Conv, rest: Sequence[Node], outside: dict[Node, Node],
                     sources: Sequence[Node], level: int) -> bool:  # fmt: skip
        x, w = self.views[sources[0]], self.views[sources[1]]
        if not x.lanes or w.lanes:
            return False
        axes, groups = len(op.stride), op.groups
        kernel, channels = w.shape[:axes], w.shape[axes]
        outs = head.spec.shape[-1]
        if kernel == (3, 3) and set(op.stride) == {1} and set(op.dilation) == {1} and groups == 1:
            offset = x.offset - sum(p * stride for (p, _), stride in zip(op.padding, x.strides[:axes], strict=True))
            image = View(x.buffer, (2, 2, 2), x.strides, offset, True)
            weights = (w.offset, w.strides)
            if self._winograd(node, head, rest, outside, sources[1], image, weights, channels, level):
                return True

        def make(step: LoopStep, layout: Layout) -> Contract:
            steps = tuple([s * stride for s, stride in zip(op.stride, x.strides[:axes], strict=True)])
            taps = tuple([d * stride for d, stride in zip(op.dilation, x.strides[:axes], strict=True)])
            offset = x.offset - sum(p * stride for (p, _), stride in zip(op.padding, x.strides[:axes], strict=True))
            a = step.operand(View(x.buffer, (2,) * (axes + 1), (*steps, 0), offset, True), layout)
            b = step.operand(View(w.buffer, (2,) * (axes + 1), (*[0] * axes, w.strides[-1]), w.offset), layout)
            if groups > 1:  # the channels of a group
                a = Operand(a.pointer, a.offset, (*a.strides[:-2], channels * x.strides[-1], 0), a.type)
            return Contract(
                (*kernel, channels), Reach(a, (*taps, x.strides[-1])),
                Reach(b, (*w.strides[:axes], w.strides[axes])), self.lanes,
            )  # fmt: skip

        return self._start(node, head, rest, outside, level, [(make, None)], self._tile(outs // groups), groups)

    def _transposed(self, node: Node, head: Node, op: ConvTranspose, rest: Sequence[Node], outside: dict[Node, Node],
                    sources: Sequence[Node], level: int) -> bool:  # fmt: skip
        y, w = self.views[sources[0]], self.views[sources[1]]
        apart = all(s == 1 or d == 1 for s, d in zip(op.stride, op.dilation, strict=True))
        if not y.lanes or w.lanes or op.groups > 1 or not apart:
            return False
        axes = len(op.stride)
        kernel, size = w.shape[:axes], sources[0].spec.shape[1:-1]
        makers: list[tuple[Any, Lattice | None]] = []
        per_axis = [phases_of(op, size, kernel, axis) for axis in range(axes)]
        whole = all(len(each) == 1 and each[0].count == n for each, n in zip(per_axis, op.size, strict=True))
        if kernel == (3, 3) and whole and set(op.stride) == {1} and set(op.dilation) == {1}:
            pads = [each[0].pad * stride for each, stride in zip(per_axis, y.strides[:axes], strict=True)]
            offset = y.offset - sum(pads)
            image = View(y.buffer, (2, 2, 2), y.strides, offset, True)
            weights = (w.offset + 2 * w.strides[0] + 2 * w.strides[1],
                       (-w.strides[0], -w.strides[1], w.strides[3], w.strides[2]))  # fmt: skip
            if self._winograd(node, head, rest, outside, sources[1], image, weights, w.shape[-1], level):
                return True
        for phases in itertools.product(*per_axis):
            picked = [range(n)[phase.taps] for n, phase in zip(kernel, phases, strict=True)]
            lattice = Lattice((*[each.first for each in phases], 0), (*op.stride, 1))

            def make(step: LoopStep, layout: Layout, phases: Any = phases, picked: Any = picked) -> Contract | Nothing:
                kind = Type(SCALARS[y.buffer.dtype.name], self.lanes)
                if any(not len(each) for each in picked):
                    return Nothing(kind)
                held, step.lattice = step.lattice, None
                strides = y.strides[:axes]
                offset = y.offset - sum(p.pad * stride for p, stride in zip(phases, strides, strict=True))
                a = step.operand(View(y.buffer, (2,) * (axes + 1), (*strides, 0), offset, True), layout)
                first = w.offset + sum(each[0] * s for each, s in zip(picked, w.strides[:axes], strict=True))
                b = step.operand(View(w.buffer, (2,) * (axes + 1), (*[0] * axes, w.strides[axes]), first), layout)
                step.lattice = held
                apart = tuple([p.step * s for p, s in zip(phases, strides, strict=True)])
                taps = tuple([each.step * s for each, s in zip(picked, w.strides[:axes], strict=True)])
                return Contract(
                    (*[len(each) for each in picked], w.shape[-1]), Reach(a, (*apart, y.strides[-1])),
                    Reach(b, (*taps, w.strides[-1])), self.lanes,
                )  # fmt: skip

            makers.append((make, None if whole else lattice))
        if not whole and any(sum(len(range(p.first, n, s)) for p in each) != n
                             for each, n, s in zip(per_axis, op.size, op.stride, strict=True)):  # fmt: skip
            return False
        return self._start(node, head, rest, outside, level, makers, self._tile(w.shape[axes]))

    def _winograd(self, node: Node, head: Node, rest: Sequence[Node], outside: dict[Node, Node], kernel: Node,
                  image: View, weights: tuple[int, tuple[int, ...]], channels: int, level: int) -> bool:  # fmt: skip
        """A convolution with a kernel of 3x3, of stride 1, with fewer products."""
        *size, outs = head.spec.shape[1:]
        dtype, (offset, strides), source = head.spec.dtype, weights, self.views[kernel].buffer
        if not suits(size, channels, outs, SCALARS[dtype.name]) or 1 not in strides[2:]:
            return False
        step = Weights(
            channels, outs, offset, (strides[0], strides[1], strides[2], strides[3]), SCALARS[dtype.name], self.lanes,
            width_of(self.registers),
        )  # fmt: skip
        if (source, step) not in self.transformed:
            buffer = Buffer(dtype, 36 * step.plane, False)
            first = self.levels.get(kernel, -1) + 1
            made: list[Buffer | Given] = [source, buffer, Given("low"), Given("high")]
            self.steps.append(Step([], first, "share", step, made, rounds=step.rounds))
            self.transformed[source, step] = buffer, first + 1
        buffer, first = self.transformed[source, step]

        def make(step: LoopStep, layout: Layout) -> Winograd:
            operand = step.operand(image, layout)
            step.inputs += [buffer, Given("scratch")]
            step.scratch = scratch_numbers(channels, outs, self.lanes, size, dtype.itemsize) * dtype.itemsize
            last = len(step.inputs) - 1
            return Winograd(operand, channels, last - 1, last, self.registers)

        return self._start(node, head, rest, outside, max(level, first), [(make, None)], (4, 1))

    def _pool(self, node: Node, head: Node, op: MaxPool | AvgPool, rest: Sequence[Node], outside: dict[Node, Node],
              sources: Sequence[Node], level: int) -> bool:  # fmt: skip
        x = self.views[sources[0]]
        axes = len(op.stride)
        size, count = sources[0].spec.shape[1:-1], head.spec.shape[1:-1]
        inside = all(
            (m - 1) * s + d * (k - 1) < n
            for m, s, d, k, n in zip(count, op.stride, op.dilation, op.kernel, size, strict=True)
        )
        if any(map(any, op.padding)) or not inside or not x.lanes:
            return False
        divisor = 1.0
        if isinstance(op, AvgPool):
            divisor = float(op.divisor_override or math.prod(op.kernel))
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

        return self._start(node, head, rest, outside, level, [(make, None)], (2, 4))

    def _unpool(self, node: Node, head: Node, op: MaxPoolScatter | AvgPoolAdjoint, rest: Sequence[Node],
                outside: dict[Node, Node], sources: Sequence[Node], level: int) -> bool:  # fmt: skip
        y = self.views[sources[0]]
        axes = len(op.stride)
        size, count = head.spec.shape[1:-1], sources[0].spec.shape[1:-1]
        exact = op.kernel == op.stride and set(op.dilation) == {1} and not any(map(any, op.padding))
        if not exact or any(m * s != n for m, s, n in zip(count, op.stride, size, strict=True)) or not y.lanes:
            return False
        cells = list(itertools.product(*map(range, op.kernel)))
        makers: list[tuple[Any, Lattice | None]] = []
        for place, cell in enumerate(cells):

            def make(step: LoopStep, layout: Layout, place: int = place) -> Winner | Spread:
                held, step.lattice = step.lattice, None
                grad = step.operand(View(y.buffer, (2,) * (axes + 1), y.strides, y.offset, True), layout)
                if isinstance(op, AvgPoolAdjoint):
                    step.lattice = held
                    return Spread(grad, float(op.divisor_override or math.prod(op.kernel)))
                x, top = self.views[sources[1]], self.views[sources[2]]
                strides = (*[s * stride for s, stride in zip(op.stride, x.strides, strict=False)], x.strides[-1])
                image = step.operand(View(x.buffer, (2,) * (axes + 1), strides, x.offset, True), layout)
                largest = step.operand(View(top.buffer, (2,) * (axes + 1), top.strides, top.offset, True), layout)
                step.lattice = held
                taps = [sum(t * s for t, s in zip(each, x.strides, strict=False)) for each in cells[: place + 1]]
                return Winner(grad, image, largest, tuple(taps))

            makers.append((make, Lattice((*cell, 0), (*op.stride, 1))))
        return self._start(node, head, rest, outside, level, makers, (2, 4))

    # Gradients of weights

    def _kernel_gradient(self, node: Node, op: ConvWeight, sources: Sequence[Node], level: int) -> bool:
        x, y = self.views[sources[0]], self.views[sources[1]]
        if not x.lanes or not y.lanes:
            return False
        axes = len(op.stride)
        offset = x.offset - sum(p * stride for (p, _), stride in zip(op.padding, x.strides[:axes], strict=True))
        steps = [s * stride for s, stride in zip(op.stride, x.strides[:axes], strict=True)]
        taps = [d * stride for d, stride in zip(op.dilation, x.strides[:axes], strict=True)]
        kind = Type(SCALARS[node.spec.dtype.name], self.lanes)
        image = Operand(0, offset, (*steps, *taps, x.strides[-1]), kind)
        grad = Operand(1, y.offset, y.strides, kind)
        kernel: KernelGradient | WinogradGradient = KernelGradient(
            op.kernel, y.shape[:-1], op.groups, node.spec.shape[-2], y.shape[-1] // op.groups, image, grad, self.lanes,
            self.masked, self.registers,
        )  # fmt: skip
        plain = op.kernel == (3, 3) and set(op.stride) == {1} and set(op.dilation) == {1} and op.groups == 1
        if plain and suits_gradient(y.shape[:-1], x.shape[-1], y.shape[-1], self.lanes, kind.scalar):
            kernel = WinogradGradient(
                (y.shape[0], y.shape[1]), x.shape[-1], y.shape[-1], replace(image, strides=x.strides), grad,
                self.lanes, self.masked, self.registers,
            )  # fmt: skip
        out = self._own(node, level, None)
        step = Step(
            [node], level, "block", kernel, [x.buffer, y.buffer, out.buffer, Given("scratch")],
            scratch=kernel.scratch * node.spec.dtype.itemsize,
        )  # fmt: skip
        if self.masked:
            step.inputs.append(Given("mask"))
        self.steps.append(step)
        self.maker[node] = step
        return True

    def _weight_gradient(self, node: Node, sources: Sequence[Node], level: int) -> bool:
        x, y = self.views[sources[0]], self.views[sources[1]]
        if len(x.shape) != 1 or len(y.shape) != 1 or not x.lanes or not y.lanes:
            return False
        kind = Type(SCALARS[node.spec.dtype.name], self.lanes)
        key = self._origin_of_view(sources[1])
        if key not in self.turned:
            turn = Turn(y.shape[0], Operand(0, y.offset, y.strides, kind), self.lanes, self.masked)
            buffer = Buffer(node.spec.dtype, turn.width * self.lanes, True)
            step = Step([], level, "block", turn, [y.buffer, buffer])
            if self.masked:
                step.inputs.append(Given("mask"))
            self.steps.append(step)
            self.turned[key] = buffer, turn
        buffer, _ = self.turned[key]
        kernel = WeightGradient(
            x.shape[0], y.shape[0], Operand(0, x.offset, x.strides, kind), self.lanes, self.blocks, self.registers
        )
        self.axes[node] = None
        out = self._own(node, level + 1, None)
        inputs: list[Buffer | Given] = [x.buffer, buffer, out.buffer, Given("low"), Given("high")]
        inputs += [Given("step", node.spec.dtype.itemsize)] * 2
        step = Step([node], level + 1, "share", kernel, inputs, rounds=kernel.rounds)
        self.steps.append(step)
        self.maker[node] = step
        return True

    def _origin_of_view(self, node: Node) -> Node:
        while isinstance(node.op, Permute | Reshape) and self.views[node] == self.views[node.inputs[0]]:
            node = node.inputs[0]
        return node

    # Others

    def _other(self, node: Node, level: int) -> bool:
        op, axis = node.op, self.axes[node]
        if axis is None or axis == PARTIAL or node.spec.dtype.kind != "f":
            return isinstance(op, Reshape) and axis is not None and axis != PARTIAL and self._copy(node, level)
        if type(op) in numbers.RULES:
            if not numbers.can(op, [*[each.spec.dtype for each in node.inputs], node.spec.dtype]):
                return False
            parameters = tuple([Node(SYMBOL, (), each.spec, symbolic=True) for each in node.inputs])
            body = (Node(op, parameters, node.spec, symbolic=True),)
            return self._maps(node, level, body, dict(zip(parameters, node.inputs, strict=True)))
        if isinstance(op, Reshape):
            return self._copy(node, level)
        if isinstance(op, LogSoftmax) and node.spec.shape[op.dim]:
            return self._log_softmax(node, op, level)
        if isinstance(op, TakeAlongDim | AddAlongDim):
            return self._along(node, op, level)
        if isinstance(op, Pad) and all(min(pair) >= 0 for pair in op.widths) and op.value == 0:
            return self._inside(node, level, [(node.inputs[0], [before for before, _ in op.widths], None)])
        if isinstance(op, IndexAdd) and len(node.inputs) == 1 and all(isinstance(each, Range) for each in op.key):
            ranges: list[Any] = [*op.key, *[Range(0, n, 1) for n in node.spec.shape[len(op.key) :]]]
            place = ([each.start for each in ranges], [each.step for each in ranges])
            return self._inside(node, level, [(node.inputs[0], *place)])
        if isinstance(op, Cat) and all(self.axes.get(each) is not None for each in node.inputs):
            parts, start = [], 0
            for each in node.inputs:
                first = [0] * len(node.spec.shape)
                first[op.dim] = start
                start += each.spec.shape[op.dim]
                parts.append((each, first, None))
            return self._inside(node, level, parts, covers=True)
        return False

    def _copy(self, node: Node, level: int) -> bool:
        """The same numbers in an array of their own, one after the other."""
        source = self.views[node.inputs[0]]
        view = self._own(node, level, None)
        shape = source.shape
        into = View(view.buffer, shape, row_major(shape), view.offset, True)
        step = LoopStep([node], level, "block", space=shape, lanes=self.lanes, open=False)
        step.members.append(Draft(node, (), (), [source], into))
        self.steps.append(step)
        self.maker[node] = step
        return True

    def _inside(self, node: Node, level: int, parts: Sequence[tuple[Node, Any, Any]], covers: bool = False) -> bool:
        """Arrays written into parts of another, which is zero elsewhere."""
        axis = self.axes[node]
        assert axis is not None
        view = self._own(node, level, None)
        if not covers:
            kind = Type(SCALARS[node.spec.dtype.name], self.lanes)
            step = LoopStep([node], level, "block", space=view.shape, lanes=self.lanes, open=False,
                            head=lambda step, layout: Nothing(kind))  # fmt: skip
            step.members.append(Draft(node, (), (), [Earlier(-1)], view))
            self.steps.append(step)
        for source, first, apart in parts:
            own = self._seen(source, len(node.spec.shape), axis)
            if own is None:
                return False
            starts = example(first, axis)
            steps = example(apart, axis) if apart else (1,) * len(starts)
            offset = view.offset + sum(at * stride for at, stride in zip(starts, view.strides, strict=True))
            strides = tuple([stride * step for stride, step in zip(view.strides, steps, strict=True)])
            into = View(view.buffer, own.shape, strides, offset, True)
            step = LoopStep([node], level, "block", space=own.shape, lanes=self.lanes, open=False)
            step.members.append(Draft(node, (), (), [own], into))
            self.steps.append(step)
            self.maker[node] = step
        return True

    def _last(self, view: View, dim: int, axis: int) -> View:
        """The same with one axis, of those with the batch, brought to the end."""
        place = dim - (dim > axis)
        others = [each for each in range(len(view.shape)) if each != place]
        dims = [*others, place]
        return View(
            view.buffer,
            tuple([view.shape[each] for each in dims]),
            tuple([view.strides[each] for each in dims]),
            view.offset,
            view.lanes,
        )

    def _log_softmax(self, node: Node, op: LogSoftmax, level: int) -> bool:
        axis = self.axes[node]
        assert axis is not None
        if op.dim == axis:
            return False
        x = self._last(self.views[node.inputs[0]], op.dim, axis)
        out = self._last(self._own(node, level, None), op.dim, axis)
        kind = Type(SCALARS[node.spec.dtype.name], self.lanes)
        kernel = LogSoftmaxRows(
            x.shape, Operand(0, x.offset, x.strides, kind), Operand(1, out.offset, out.strides, kind)
        )
        step = Step([node], level, "block", kernel, [x.buffer, out.buffer])
        self.steps.append(step)
        self.maker[node] = step
        return True

    def _along(self, node: Node, op: TakeAlongDim | AddAlongDim, level: int) -> bool:
        axis = self.axes[node]
        assert axis is not None
        source, label = node.inputs
        if op.dim == axis or self.axes.get(label) != axis or label.spec.dtype != np.int64:
            return False
        if not isinstance(source.op, Full) and self.axes.get(source) != axis:
            return False
        labels = self._last(self.views[label], op.dim, axis)
        if labels.shape[-1] > 4:
            return False
        kind = Type(SCALARS[node.spec.dtype.name], self.lanes)
        given: Operand | float
        buffers: list[Buffer | Given] = []
        if isinstance(source.op, Full):
            given = float(source.op.value)
            buffers.append(labels.buffer)
        else:
            numbers_view = self._last(self.views[source], op.dim, axis)
            given = Operand(0, numbers_view.offset, numbers_view.strides, kind)
            buffers.append(numbers_view.buffer)
        adds = isinstance(op, AddAlongDim)
        out = self._last(self._own(node, level, None), op.dim, axis)
        length = node.spec.shape[op.dim] if adds else source.spec.shape[op.dim]
        kernel = AlongRows(
            labels.shape[:-1], length, labels.shape[-1], given,
            Operand(1, labels.offset, labels.strides, Type("i64", self.lanes)),
            Operand(2, out.offset, out.strides, kind), adds, self.masked,
        )  # fmt: skip
        step = Step([node], level, "block", kernel, [*buffers, labels.buffer, out.buffer, Given("wrong")])
        if self.masked:
            step.inputs.append(Given("mask"))
        self.steps.append(step)
        self.maker[node] = step
        return True

    def _by_numpy(self, node: Node, level: int) -> None:
        """An operation that has no kernel here."""
        if self.axes[node] == PARTIAL and self.masked:
            raise NotLanesError(f"{node.op.name} is done by NumPy, and the last block of the batch is not full")
        level = max([level, *[self.levels[each] + 1 for each in node.inputs if each in self.levels]])
        self._own(node, level, None)
        step = Step([node], level, "python")
        step.inputs = [
            self.views[node].buffer,
            *[self.views[each].buffer for each in node.inputs if each in self.views],
        ]
        self.steps.append(step)
        self.maker[node] = step


def _counts(space: tuple[int, ...], lattice: Lattice) -> tuple[int, ...]:
    return tuple(
        [len(range(first, n, step)) for n, first, step in zip(space, lattice.first, lattice.step, strict=True)]
    )


def _all_can(body: Sequence[Node]) -> bool:
    """Whether all element-wise operations have native text."""
    for node in body:
        if isinstance(node.op, BroadcastTo | Full | Copy):
            continue
        if not numbers.can(node.op, [*[each.spec.dtype for each in node.inputs], node.spec.dtype]):
            return False
    return True

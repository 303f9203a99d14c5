"""From a planned graph to steps: which kernel computes each node, where its numbers lie, and on which level it runs."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

from ...graph import Node, Spec
from ...ops.base import SYMBOL, Full, Operation
from ...ops.conv import Conv, ConvTranspose, ConvWeight
from ...ops.index import Index, Range
from ...ops.linalg import MatMul
from ...ops.pool import AvgPool, AvgPoolAdjoint, MaxPool, MaxPoolScatter
from ...ops.reduce import Mean
from ...ops.shape import BroadcastTo, Permute, Reshape
from ..fuse import Copy, Fused
from ..numpy.convolve import has_phases
from ..numpy.executor import margins_of
from ..recompute import Hold
from ..schedule import VIEWS, schedule
from ..split import AllReduce, Part, Rows, picks_rows
from . import numbers
from .convolutions import convolution, kernel_gradient, transposed
from .groups import Group, take_apart
from .ir import SCALARS, Type
from .lanes import PARTIAL, Buffer, NotLanesError, View, batch_axes, example, row_major
from .loops import Earlier, Operand, Total
from .others import OTHERS
from .pooling import pool, unpool
from .products import product
from .rows import Load
from .steps import Draft, Given, LoopStep, Source, Step, WholeStep, is_flat
from .ways import Ways
from .weights import Weights

HEADS: dict[type[Operation], Callable[[Planner, Group], bool]] = {
    MatMul: product, Conv: convolution, ConvTranspose: transposed, ConvWeight: kernel_gradient, MaxPool: pool,
    AvgPool: pool, MaxPoolScatter: unpool, AvgPoolAdjoint: unpool,
}  # fmt: skip
"""What a fused node begins with, and what computes it."""
LITTLE = 2048
"""Whole arrays with fewer numbers are computed by one thread."""


class Planner:
    """Makes the steps of one graph.

    Args:
        part: the graph for the examples of one block.
        total: how many examples there are.
        lanes: how many of them a block has. With one, its channels lie side by side in vectors.
        width: how many numbers a vector has.
        argument_dims: the order in which the axes of each argument are stored.
        registers: how many vectors a kernel may hold in registers.
        ways: says which of two ways a convolution is computed.
    """

    def __init__(
        self, part: Part, total: int, lanes: int, width: int, argument_dims: Sequence[tuple[int, ...] | None],
        registers: int, ways: Ways,
    ) -> None:  # fmt: skip
        self.part, self.graph, self.total, self.lanes, self.registers = part, part.graph, total, lanes, registers
        self.ways = ways
        self.argument_dims, self.width, self.wide = argument_dims, width, width if lanes == 1 else 1
        self.blocks = -(-total // lanes)
        self.masked = total % lanes > 0
        self.mask = [Given("mask")] if self.masked else []
        """What a kernel is called with that adds up lanes."""
        planned = schedule(self.graph)
        self.order = planned.order
        self.late = set(planned.phases[-1])
        given = dict(zip(self.graph.arguments, part.arguments, strict=True))
        self.axes = batch_axes(self.order, given)
        self.margins = margins_of(self.order, "windows", has_phases)
        self.users: dict[Node, list[Node]] = {node: [] for node in self.order}
        for node in self.order:
            for each in node.inputs:
                self.users[each].append(node)
        self.views: dict[Node, View] = {}
        self.levels: dict[Node, int] = {}
        self.maker: dict[Node, Step] = {}
        self.steps: list[Step] = []
        self.turned: dict[Node, Buffer] = {}
        """Gradients of dense layers' outputs, turned."""
        self.side_by_side: dict[tuple[Buffer, int, int, int], tuple[Buffer, int]] = {}
        """Weights that are turned, and the first level on which they may be read."""
        self.transformed: dict[tuple[Buffer, Weights], tuple[Buffer, int]] = {}
        """Kernels for Winograd's convolutions, and the first level on which they may be read."""
        self.checked: set[tuple[Node, int]] = set()
        """Labels that a kernel looks at, and the number that they must be below."""
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
        early = [node for node in self.order if node not in self.late]
        for node in early:
            self._node(node, 0)
        self.end = 1 + max([step.level for step in self.steps], default=0)
        """The first level on which everything else has been computed."""
        self.first_late = self._first_late()
        for node in self.order[len(early) :]:
            self._node(node, self._earliest(node))
        self._copy_states()

    def _first_late(self) -> int:
        """The first level on which states may change: nothing after it can fail, or is given to the user."""
        returned = [node for place, node in enumerate(self.graph.results) if place not in self.graph.replacing]
        levels = [self.levels[node] for node in returned if node in self.levels]
        for step in self.steps:
            if step.place == "python":
                return self.end
            if Given("wrong") in step.inputs:
                levels.append(step.level)
        return 1 + max(levels, default=-1)

    def _earliest(self, node: Node) -> int:
        """The first level on which a late node may be computed.

        Large states change as soon as nobody reads their old numbers any more: so their gradients need memory for a
        short time only.
        """
        state = self.in_place.get(node)
        if state is None:
            return self.first_late
        if node.spec.size < LITTLE:
            return self.end
        return max([self.first_late, *[1 + self.levels.get(each, -1) for each in self._readers(state) - self.late]])

    def _copy_states(self) -> None:
        """Copies at the end, for states whose new numbers could not be written where they are kept."""
        kept = {id(state.leaf): state.node for state in self.graph.states if state.leaf is not None}
        given = {id(buffer) for buffer in [*self.states.values(), *self.arguments.values()]}
        for effect in self.graph.effects:
            result, state = self.graph.results[effect.position], kept.get(id(effect.leaf))
            if effect.kind != "assign" or state is None or result in self.in_place or isinstance(result.op, Full):
                continue
            view, target = self.views[result], self.views[state]
            if id(view.buffer) in given or view.buffer.per_block or not view.contiguous:
                continue  # such as leaves that change places
            before = [self.levels.get(each, -1) for each in [result, *self._readers(state)]]
            last = max(self.first_late, 1 + max(before))
            step = WholeStep([state], last, "one", space=target.shape, width=self.width)
            step.members.append(Draft(state, (), (), [view], target))
            rest = WholeStep([state], last, "one", space=target.shape, width=self.width, rest=True)
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
            self.views[node] = view
            if node.inputs[0] in self.levels:
                self.levels[node] = self.levels[node.inputs[0]]
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
        if maker is not None and (maker.place == "python" or (maker.place == "share" and axis is not None)):
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

    def add(self, step: Step) -> None:
        """Append a step that makes its nodes' numbers."""
        self.steps.append(step)
        for node in step.nodes:
            self.maker[node] = step

    # Views

    def _whole(self, node: Node, keeps: bool = False) -> View:
        buffer = Buffer(node.spec.dtype, node.spec.size, False, keeps)
        self.views[node] = View(buffer, node.spec.shape, row_major(node.spec.shape))
        return self.views[node]

    def own(self, node: Node, level: int, step: Step | None) -> View:
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
            if view.contiguous:
                return View(view.buffer, shape, row_major(shape), view.offset, view.lanes)
            if [n for n in shape if n != 1] != [n for n in view.shape if n != 1]:
                return None
            apart = iter([stride for n, stride in zip(view.shape, view.strides, strict=True) if n != 1])
            strides = tuple([next(apart) if n != 1 else 0 for n in shape])
            return View(view.buffer, shape, strides, view.offset, view.lanes)
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

    def seen(self, source: Node, rank: int, axis: int | None) -> View | None:
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
            single = _single(node)
            if single is None:
                return False
            parameters, body = single
        views = [self.seen(each, len(node.spec.shape), None) for each in node.inputs]
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
        view = self.own(node, level, step)
        step.members.append(Draft(node, body, parameters, sources, view, sums_blocks=sums))
        step.nodes.append(node)
        return True

    def _origin(self, node: Node) -> Node:
        while isinstance(node.op, Reshape):
            node = node.inputs[0]
        return node

    def _open_whole(self, node: Node, level: int, place: str) -> WholeStep:
        """The step that a node joins: one that has made or read one of its inputs, unless another is made after it.

        Others of the same shape are left alone: two calls of one function take as long as one of a function that does
        both, and that would have to be compiled.
        """
        spec = node.spec
        makers = [self.maker.get(each) for each in node.inputs]
        reads = {self.views[each].buffer for each in node.inputs if each.spec.size > 1 and each in self.views}
        for step in reversed(self.steps):
            if isinstance(step, WholeStep) and not step.rest:
                if (step.level, step.place, step.space) == (level, place, spec.shape) and (
                    step in makers
                    or any(each.buffer in reads for draft in step.members for each in draft.sources
                           if isinstance(each, View))
                ):  # fmt: skip
                    return step
                if step in makers:
                    break
        step = WholeStep([], level, place, space=spec.shape, width=self.width)
        step.twin = WholeStep(
            step.nodes, level, "one", space=spec.shape, members=step.members, width=self.width, rest=True
        )
        return step

    # Arrays with examples in lanes

    def _argument(self, node: Node, number: int) -> None:
        dims = self.argument_dims[number] or tuple(range(len(node.spec.shape)))
        logical = [0] * len(dims)
        for place, dim in enumerate(dims):
            logical[dim] = node.spec.shape[place]
        axis = self.axes[node]
        assert axis is not None
        logical[dims[axis]] = self.total
        strides = row_major(logical)
        plain = axis == 0 and dims == tuple(range(len(dims)))
        if self.lanes == 1 and plain and not any(map(any, self.margins.get(node, ()))):
            shape, size = node.spec.shape[1:], node.spec.dtype.itemsize
            buffer = Buffer(
                node.spec.dtype, math.prod(shape), True, True, argument=number, apart=math.prod(shape) * size
            )
            self.views[node] = View(buffer, shape, row_major(shape), 0, True)
            return
        view = self.own(node, 0, None)
        source = tuple([strides[dim] for dim in example(dims, axis)])
        self._load(node, view, source, strides[dims[axis]], Given("argument", number), 0)

    def _rows(self, node: Node, level: int) -> bool:
        source = self.views[node.inputs[0]]
        op = node.op
        assert isinstance(op, Rows)
        view = self.own(node, level, None)
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
        kind = Type(SCALARS[node.spec.dtype], self.lanes)
        out = Operand(1, view.offset, view.strides, kind)
        kernel = Load(view.shape, source, step, out, self.total, self.lanes, offset)
        self.add(Step([node], level, "block", kernel, [base, view.buffer, Given("block")]))

    def _fused(self, node: Node, level: int) -> bool:
        op = node.op
        assert isinstance(op, Fused)
        if not _all_can([each for each in op.body if each is not op.head and each is not op.tail]):
            return False
        if op.head is None:
            return self.maps(node, level, op.body, dict(zip(op.parameters, node.inputs, strict=True)), tail=op.tail)
        group = take_apart(node, level)
        choose = HEADS.get(type(group.op))
        if choose is None or any(isinstance(each.op, Full) for each in group.sources):
            return False
        before = len(self.steps)
        done = choose(self, group)
        self.ways.note(self.steps[before:])
        return done

    def maps(
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
            step = LoopStep([], level, "block", space=space, lanes=self.lanes, wide=self.wide, masked=self.masked)
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
                view = self.seen(source, len(shape), axis)
                assert view is not None
                sources.append(view)
        if head is not None:
            parameters.append(head)
            sources.append(Earlier(-1))
        if tail is not None and step.kept is None:
            step.kept = kept
        out = self.own(node, step.level, step) if node not in self.views else self.views[node]
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

    def _other(self, node: Node, level: int) -> bool:
        op, axis = node.op, self.axes[node]
        if axis is None or (axis == PARTIAL and not picks_rows(node)):
            return False
        single = _single(node)
        if single is not None:
            parameters, body = single
            return self.maps(node, level, body, dict(zip(parameters, node.inputs, strict=True)))
        if node.spec.dtype.kind != "f" and not isinstance(op, Reshape):
            return False
        choose = OTHERS.get(type(op))
        return choose is not None and choose(self, node, level)

    def _by_numpy(self, node: Node, level: int) -> None:
        """An operation that has no kernel here."""
        if self.axes[node] == PARTIAL and self.masked:
            raise NotLanesError(f"{node.op.name} is done by NumPy, and the last block of the batch is not full")
        level = max([level, *[self.levels[each] + 1 for each in node.inputs if each in self.levels]])
        self.own(node, level, None)
        step = Step([node], level, "python")
        step.inputs = [
            self.views[node].buffer,
            *[self.views[each].buffer for each in node.inputs if each in self.views],
        ]
        self.add(step)


def _single(node: Node) -> tuple[tuple[Node, ...], tuple[Node, ...]] | None:
    """An element-wise node that is not fused, as parameters and body; ``None`` where it has no native text."""
    if not numbers.can(node.op, [*[each.spec.dtype for each in node.inputs], node.spec.dtype]):
        return None
    parameters = tuple([Node(SYMBOL, (), each.spec, symbolic=True) for each in node.inputs])
    return parameters, (Node(node.op, parameters, node.spec, symbolic=True),)


def _all_can(body: Sequence[Node]) -> bool:
    """Whether all element-wise operations have native text."""
    for node in body:
        if isinstance(node.op, BroadcastTo | Full | Copy):
            continue
        if not numbers.can(node.op, [*[each.spec.dtype for each in node.inputs], node.spec.dtype]):
            return False
    return True

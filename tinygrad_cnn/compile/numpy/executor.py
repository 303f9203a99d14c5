"""From a planned graph to lists of NumPy calls.

Every node gets its array first: a part of the arena, a view of another node's array, or the place where a parameter is
kept. Then each node is bound to calls on these arrays.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import accumulate, groupby
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import as_strided

from ...graph import Node, Spec
from ...ops.base import SYMBOL, Constant, Full
from ...ops.conv import Conv, ConvTranspose, ConvWeight
from ...ops.index import Index, IndexAdd, Range
from ...ops.linalg import MatMul
from ...ops.pool import AvgPool, AvgPoolAdjoint, MaxPool, MaxPoolScatter
from ...ops.shape import BroadcastTo, Pad, Permute, Reshape
from ...ops.window import Pairs
from ..fuse import Fused, copy_of
from ..graph import Graph, like, rewrite
from ..layout import Arranged
from ..memory import Life, place
from ..recompute import Hold, without_hold
from ..schedule import VIEWS, Schedule, schedule
from ..split import AllReduce, Part, Rows
from ..together import can_run_as_one, is_own
from .convolve import (
    conv_calls,
    conv_margin,
    goes_by_rows,
    takes_phases,
    transpose_margin,
    transposed_calls,
    weight_calls,
)
from .loops import blocked_calls, product_calls, reduction_calls, tail_of
from .maps import Call
from .pools import avg_pool_calls, max_pool_calls, scatter_calls, spread_calls
from .scratch import Scratch, aligned, empty
from .windows import Image, Tail


@dataclass
class Step:
    """One node of the plan and the calls that compute it."""

    node: Node
    calls: list[Call]
    algorithm: str = ""
    """How a convolution is computed."""
    count: int = 1
    """How many nodes these calls compute: ``node`` and others that do the same."""


@dataclass
class Program:
    """One part of a plan, bound to memory."""

    part: Part
    phases: list[list[Step]]
    arrays: dict[Node, np.ndarray]
    arena_bytes: int
    scratch: Scratch
    other_bytes: int

    def __post_init__(self) -> None:
        self.calls = [[call for step in phase for call in step.calls] for phase in self.phases]
        self.arguments = [self.arrays[node] for node in self.part.graph.arguments]
        self.results = [self.arrays.get(node) for node in self.part.graph.results]

    @property
    def nbytes(self) -> int:
        """All memory of this part, in bytes: known before it runs."""
        return self.arena_bytes + self.scratch.total + self.other_bytes


def bind(parts: Sequence[Part], algorithm: str = "auto") -> tuple[list[Program], list[np.ndarray], list[Call]]:
    """The programs of all parts, the arrays of the states, and what is done when all parts are through."""
    parts = [Part(with_copies(p.graph), p.start, p.stop, p.arguments, p.results) for p in parts]
    binders = [Binder(part, index, len(parts), algorithm) for index, part in enumerate(parts)]
    states = _allocate_states(binders)
    for binder in binders:
        binder.allocate(states)
    programs = [binder.bind(binders) for binder in binders]
    return programs, [states[each.node] for each in parts[0].graph.states], _copies(binders)


def _allocate_states(binders: Sequence[Binder]) -> dict[Node, np.ndarray]:
    """An array for each state; one after the other for those that are updated together."""
    nodes = [each.node for each in binders[0].graph.states]
    states: dict[Node, np.ndarray] = {}
    for row in _rows_of(nodes, [row for binder in binders for row in binder.rows]):
        flat = empty((sum(node.spec.size for node in row),), row[0].spec.dtype)
        states.update(zip(row, _slices(flat, row), strict=True))
    return states


def _rows_of(nodes: Sequence[Node], wanted: Sequence[Sequence[Node]]) -> list[Sequence[Node]]:
    """Every node once: in the first row that is wanted, if all of the row are among the nodes, else alone."""
    left = dict.fromkeys(nodes)
    found: list[Sequence[Node]] = []
    for row in [*wanted, *[(node,) for node in nodes]]:
        if all(node in left for node in row):
            found.append(row)
            for node in row:
                del left[node]
    return found


def _slices(flat: np.ndarray, row: Sequence[Node]) -> list[np.ndarray]:
    """The arrays of some nodes, one after the other in a flat one."""
    ends = list(accumulate([node.spec.size for node in row]))
    return [flat[end - node.spec.size : end].reshape(node.spec.shape) for node, end in zip(row, ends, strict=True)]


def _copies(binders: Sequence[Binder]) -> list[Call]:
    """What brings new numbers of the states to where they are kept, unless they are written there at once."""
    first: list[Call] = []
    then: list[Call] = []
    kept = {id(each.leaf): each.node for each in binders[0].graph.states if each.leaf is not None}
    states = [binders[0].arrays[node] for node in kept.values()]
    for effect in binders[0].graph.effects:
        if effect.kind != "assign" or id(effect.leaf) not in kept:
            continue
        candidates = [(binder, binder.graph.results[effect.position]) for binder in binders]
        if any(node in binder.in_place for binder, node in candidates):
            continue
        source = next(binder.arrays[node] for binder, node in candidates if node in binder.arrays)
        if any(np.may_share_memory(source, state) for state in states):  # leaves that change places
            first.append(partial(np.copyto, own := np.empty_like(source), source))
            source = own
        then.append(partial(np.copyto, binders[0].arrays[kept[id(effect.leaf)]], source))
    return first + then


class Binder:
    """Gives every node of one part its array, then every node its calls."""

    def __init__(self, part: Part, index: int, parts: int, algorithm: str) -> None:
        self.algorithm = algorithm
        self.algorithms: dict[Node, str] = {}
        self.part, self.graph, self.index, self.parts = part, part.graph, index, parts
        self.schedule: Schedule = schedule(self.graph, index, parts)
        self.order = self.schedule.order
        self.scratch = Scratch()
        self.arrays: dict[Node, np.ndarray] = {}
        self.images: dict[Node, Image] = {}
        self.other_bytes = 0
        self._padded: dict[Any, list[tuple[float, np.ndarray]]] = {}
        """By size, margin and type: arrays with a margin, and until when each is in use."""
        self.margins = margins_of(self.order, algorithm)
        self.read_twice = _read_twice(self.order)
        self.sums = [node for node in self.graph.nodes if isinstance(node.op, AllReduce)]
        self.in_place = self._in_place()
        self.rows = self._rows()

    def allocate(self, states: dict[Node, np.ndarray]) -> None:
        """An array for each node. ``states`` have theirs, which all parts share."""
        for node in self.graph.arguments:
            if any(map(any, self.margins.get(node, ()))):
                self._with_margin(node)
            else:
                self.arrays[node] = empty(node.spec.shape, node.spec.dtype)
                self.other_bytes += self.arrays[node].nbytes
        for node, array in states.items():
            self.arrays[node] = array
            self.other_bytes += array.nbytes if self.index == 0 else 0
        self.arena_bytes = self._allocate()

    def bind(self, binders: Sequence[Binder]) -> Program:
        """The program. ``binders`` are those of all parts: where their sums lie is known already."""
        phases = []
        for phase in self.schedule.phases:
            steps = []
            for nodes in self._in_groups(phase):
                self.scratch.begin()
                calls = self._group_calls(nodes, binders)
                if calls:
                    steps.append(Step(nodes[0], calls, count=len(nodes)))
                    continue
                for node in nodes:
                    self.scratch.begin()
                    calls = self._calls(node, binders)
                    if calls:
                        steps.append(Step(node, calls, self.algorithms.get(node, "")))
            phases.append(steps)
        return Program(self.part, phases, self.arrays, self.arena_bytes, self.scratch, self.other_bytes)

    # Arrays

    def _in_place(self) -> dict[Node, Node]:
        """Results that may be written where the state that they replace is kept: nobody reads that afterwards."""
        position = {node: index for index, node in enumerate(self.order)}
        last = set(self.schedule.phases[-1])
        kept = {id(each.leaf): each.node for each in self.graph.states if each.leaf is not None}
        last_read: dict[Node, int] = {}
        for node in self.order:
            for each in node.inputs:
                last_read[self._root(each)] = position[node]
        moved = {self._root(self.graph.results[each.position]) for each in self.graph.effects if each.position >= 0}
        found: dict[Node, Node] = {}
        for effect in self.graph.effects:
            state = kept.get(id(effect.leaf)) if effect.kind == "assign" else None
            node = self.graph.results[effect.position]
            if state is None or state in moved or node in found or node not in position or node.spec != state.spec:
                continue
            plain = isinstance(node.op, Fused) and node.op.head is None and node.op.tail is None
            alone = self.parts == 1 or node.spec.size > 1  # single numbers are computed by every part
            if plain and alone and node in last and last_read.get(state, -1) <= position[node]:
                found[node] = state
        return found

    def _rows(self) -> list[tuple[Node, ...]]:
        """Nodes whose arrays should lie one after the other: what a group of updates reads and writes."""
        rows: dict[tuple[Node, ...], None] = {}
        for group in self.schedule.groups:
            if not can_run_as_one(group):
                continue
            columns = [[self._home(node), *[self._home(each) for each in node.inputs]] for node in group]
            for row in zip(*columns, strict=True):
                fits = all(is_own(each, node) for each, node in zip(row, group, strict=True))
                if fits and len(set(row)) == len(row):
                    rows[row] = None
        return list(rows)

    def _home(self, node: Node) -> Node:
        """The node whose array holds a node's numbers."""
        root = self._root(node)
        return self.in_place.get(root, root)

    def _allocate(self) -> int:
        """An array for each node that is computed. Those without a margin share one arena."""
        last_use: dict[Node, int] = {}
        ends: list[int] = []  # for each position the end of its phase
        for phase in self.schedule.phases:
            ends += [len(ends) + len(phase)] * len(phase)
        for position, node in enumerate(self.order):
            for each in node.inputs:
                until = position
                if isinstance(node.op, AllReduce) and self.parts > 1:
                    until = min(ends[position], len(self.order))  # other parts may read it until the phase is over
                root = self._root(each)
                last_use[root] = max(last_use.get(root, 0), until)
        own = set(self.order)
        for node in self.sums:
            if node not in own:  # another part adds up
                last_use[self._root(node.inputs[0])] = len(self.order)
        for node in self.graph.results:
            last_use[self._root(node)] = len(self.order)
        nodes: dict[Node, Life] = {}
        for position, node in enumerate(self.order):
            if node.op is SYMBOL or isinstance(node.op, Constant | Full) or self._is_view(node):
                continue
            if node in self.in_place:
                self.arrays[node] = self.arrays[self.in_place[node]]
            elif any(map(any, self.margins.get(node, ()))):
                self._with_margin(node, position, last_use.get(node, position))
            else:
                size = node.spec.size * node.spec.dtype.itemsize
                nodes[node] = Life(size, position, last_use.get(node, position))
        rows = _rows_of(list(nodes), self.rows)
        lives = [_joint([nodes[node] for node in row]) for row in rows]
        starts, total = place(lives)
        arena = aligned(total)
        for row, start, life in zip(rows, starts, lives, strict=True):
            flat = arena[start : start + life.size].view(row[0].spec.dtype)
            self.arrays.update(zip(row, _slices(flat, row), strict=True))
        return total

    def _with_margin(self, node: Node, start: float = -math.inf, stop: float = math.inf) -> None:
        """An array with zeros around it. They stay, so only images of the same size and margin share one."""
        margin = self.margins[node]
        n, *size, c = node.spec.shape
        shape = (n, *[a + s + b for s, (a, b) in zip(size, margin, strict=True)], c)
        pool = self._padded.setdefault((shape, margin, node.spec.dtype), [])
        free = next((index for index, (until, _) in enumerate(pool) if until < start), None)
        if free is None:
            whole = empty(shape, node.spec.dtype)
            self.other_bytes += whole.nbytes
            pool.append((stop, whole))
        else:
            whole = pool[free][1]
            pool[free] = (stop, whole)
        inside = whole[(slice(None), *[slice(a, a + s) for s, (a, _) in zip(size, margin, strict=True)])]
        self.arrays[node] = inside
        self.images[node] = Image(inside, whole, margin, node in self.read_twice)

    def image(self, node: Node) -> Image:
        """The node's array in its margin."""
        node = without_hold(node)
        if node not in self.images:
            array = self.arrays[node]
            self.images[node] = Image(array, array, ((0, 0),) * (array.ndim - 2), node in self.read_twice)
        return self.images[node]

    def _lies_apart(self, node: Node) -> bool:
        """Whether the numbers of a node do not lie one after the other."""
        node = without_hold(node)
        if isinstance(node.op, Permute | BroadcastTo | Index | Rows):
            return True
        if isinstance(node.op, Reshape):
            return False
        return any(map(any, self.margins.get(node, ())))

    def _is_view(self, node: Node) -> bool:
        """Whether a node shows the array of another. A reshape does, if the numbers lie one after the other."""
        if isinstance(node.op, Reshape):
            return not self._lies_apart(node.inputs[0])
        if isinstance(node.op, Index):
            return len(node.inputs) == 1
        return isinstance(node.op, VIEWS)

    def _root(self, node: Node) -> Node:
        """The node whose array a node shows."""
        while self._is_view(node):
            node = node.inputs[0]
        return node

    # Calls

    def _in_groups(self, phase: Sequence[Node]) -> list[list[Node]]:
        """The nodes of a phase in order, those together that may run as one."""
        number = {node: place for place, group in enumerate(self.schedule.groups) for node in group}
        return [list(nodes) for _, nodes in groupby(phase, lambda node: number.get(node, node))]

    def _group_calls(self, nodes: Sequence[Node], binders: Sequence[Binder]) -> list[Call]:
        """The calls that compute all of these, if what they read and write lies one after the other; else nothing."""
        if not can_run_as_one(nodes):
            return []
        first, op = nodes[0], nodes[0].op
        if isinstance(op, AllReduce):
            places = [self.sums.index(node) for node in nodes]
            sums = [[each.arrays[each.sums[place].inputs[0]] for place in places] for each in binders]
            flat = _flattened([[self.arrays[node] for node in nodes], *sums])
            return _sum_calls(flat[1:], flat[0]) if flat else []
        assert isinstance(op, Fused)
        own = [place for place, each in enumerate(first.inputs) if is_own(each, first)]
        if any(each.spec.size > 1 for place, each in enumerate(first.inputs) if place not in own):
            return []
        columns = [[self.arrays[node.inputs[place]] for node in nodes] for place in own]
        flat = _flattened([[self.arrays[node] for node in nodes], *columns])
        if not flat:
            return []
        arrays = {each: self.arrays[source] for each, source in zip(op.parameters, first.inputs, strict=True)}
        arrays.update(zip([op.parameters[place] for place in own], flat[1:], strict=True))
        return blocked_calls(op.body, arrays, flat[0], self.scratch)

    def _calls(self, node: Node, binders: Sequence[Binder]) -> list[Call]:
        op = node.op
        if op is SYMBOL:
            return []
        if isinstance(op, Full):
            self.arrays[node] = np.broadcast_to(np.asarray(op.value, op.dtype), op.shape)
            return []
        if isinstance(op, Constant):
            assert node.value is not None
            self.arrays[node] = node.value
            return []
        inputs = [self.arrays[each] for each in node.inputs]
        if self._is_view(node):
            self.arrays[node] = inputs[0][_key(op)] if isinstance(op, Index) else op.forward(np, *inputs)
            return []
        out = self.arrays[node]
        if isinstance(op, Fused):
            return self._fused(node, op, inputs, out)
        if isinstance(op, AllReduce):
            place = self.sums.index(node)
            return _sum_calls([binder.arrays[binder.sums[place].inputs[0]] for binder in binders], out)
        if isinstance(op, Reshape):
            return [partial(np.copyto, out.reshape(inputs[0].shape), inputs[0])]
        if isinstance(op, Pad) and all(min(pair) >= 0 for pair in op.widths):
            inside: list[Any] = [
                slice(before, n - after) for n, (before, after) in zip(out.shape, op.widths, strict=True)
            ]
            return [partial(out.fill, op.value), partial(np.copyto, out[*inside, ...], inputs[0])]
        if isinstance(op, IndexAdd) and len(inputs) == 1:
            return [partial(out.fill, 0), partial(np.copyto, out[_key(op)], inputs[0])]
        return [partial(_compute, op, inputs, out)]

    def _fused(self, node: Node, op: Fused, inputs: list[np.ndarray], out: np.ndarray) -> list[Call]:
        arrays = dict(zip(op.parameters, inputs, strict=True))
        head, tail = op.head, op.tail
        if tail is not None:
            return reduction_calls(op, arrays, out, self.scratch)
        if head is None:
            return blocked_calls(op.body, arrays, out, self.scratch)
        outside = dict(zip(op.parameters, node.inputs, strict=True))
        finish = tail_of(op, arrays, out, self.scratch) if len(op.steps) > 1 else None
        return self._head(node, head, [outside[each] for each in head.inputs], out, finish)

    def _head(self, node: Node, head: Node, sources: list[Node], out: np.ndarray, tail: Tail | None) -> list[Call]:
        scratch = self.scratch
        arrays = [self.arrays[each] for each in sources]
        if isinstance(head.op, MatMul):
            return product_calls(arrays[0], arrays[1], out, tail, scratch)
        assert isinstance(head.op, Arranged)
        op = head.op.op
        if isinstance(op, Conv):
            calls, name = conv_calls(op, self.image(sources[0]), arrays[1], out, tail, scratch, self.algorithm)
            self.algorithms[node] = name
            return calls
        if isinstance(op, ConvTranspose) and takes_phases(op):
            calls, name = transposed_calls(op, self.image(sources[0]), arrays[1], out, tail, scratch, self.algorithm)
            self.algorithms[node] = name
            return calls
        if isinstance(op, ConvWeight):
            calls, name = weight_calls(op, self.image(sources[0]), arrays[1], out, scratch, self.algorithm)
            self.algorithms[node] = name
        elif isinstance(op, MaxPool):
            return max_pool_calls(op, arrays[0], out, tail, scratch)
        elif isinstance(op, MaxPoolScatter):
            return scatter_calls(op, arrays[0], arrays[1], arrays[2], out, tail, scratch)
        elif isinstance(op, AvgPool):
            return avg_pool_calls(op, arrays[0], out, tail, scratch)
        elif isinstance(op, AvgPoolAdjoint):
            return spread_calls(op, arrays[0], out, tail, scratch)
        else:
            calls = [partial(_compute, head.op, arrays, out)]
        scratch.reset()
        return calls if tail is None else calls + tail(slice(0, out.shape[0]), out)


def _joint(lives: Sequence[Life]) -> Life:
    """The life of arrays that lie one after the other."""
    return Life(sum(each.size for each in lives), min(each.first for each in lives), max(each.last for each in lives))


def _flattened(rows: Sequence[Sequence[np.ndarray]]) -> list[np.ndarray]:
    """One flat array for each row that shows all its arrays; nothing if some do not lie one after the other."""
    flat = []
    for row in rows:
        place = row[0].ctypes.data
        for array in row:
            if array.ctypes.data != place or not array.flags.c_contiguous:
                return []
            place += array.nbytes
        flat.append(as_strided(row[0].reshape(-1), (sum(array.size for array in row),), (row[0].itemsize,)))
    return flat


def _key(op: Index | IndexAdd) -> tuple[Any, ...]:
    """The key as NumPy understands it; with it, even a single element is a view."""
    return (*[each.slice() if isinstance(each, Range) else each for each in op.key], ...)


def _compute(op: Any, inputs: Sequence[np.ndarray], out: np.ndarray) -> None:
    """An operation that has no calls of its own: its result is copied."""
    np.copyto(out, op.forward(np, *inputs))


def _sum_calls(parts: Sequence[np.ndarray], out: np.ndarray) -> list[Call]:
    """The parts added up, always in the same order."""
    if len(parts) == 1:
        return [partial(np.copyto, out, parts[0])]
    calls: list[Call] = [partial(np.add, parts[0], parts[1], out)]
    return calls + [partial(np.add, out, each, out) for each in parts[2:]]


# Before binding


def _arranged(node: Node) -> tuple[Any, list[Node]] | None:
    """The head of a fused node, if it works on images: its operation, and the nodes outside that it reads."""
    if not isinstance(node.op, Fused):
        return None
    head = node.op.head
    if head is None or not isinstance(head.op, Arranged):
        return None
    outside = dict(zip(node.op.parameters, node.inputs, strict=True))
    return head.op.op, [outside[each] for each in head.inputs]


def margins_of(
    order: Sequence[Node], algorithm: str, has_windows: Callable[[ConvTranspose], bool] = takes_phases
) -> dict[Node, Pairs]:
    """For each image that windows are taken of, how much margin they need.

    ``has_windows`` says which transposed convolutions take windows.
    """
    margins: dict[Node, Pairs] = {}

    def want(node: Node, pairs: Pairs) -> None:
        node = without_hold(node)
        old = margins.get(node, ((0, 0),) * len(pairs))
        margins[node] = tuple([(max(a, c), max(b, d)) for (a, b), (c, d) in zip(old, pairs, strict=True)])

    for node in order:
        head = _arranged(node)
        if head is None:
            continue
        op, sources = head
        size = sources[0].spec.shape[1:-1]
        if isinstance(op, Conv):
            want(sources[0], conv_margin(op, size, sources[1].spec.shape[: len(size)], _map_size(node)))
        elif isinstance(op, ConvWeight):
            want(sources[0], conv_margin(op, size, op.kernel, sources[1].spec.shape[1:-1]))
        elif isinstance(op, ConvTranspose) and has_windows(op):
            if op.groups == 1 and goes_by_rows(op, sources[0].spec, sources[1].spec, algorithm):
                continue
            want(sources[0], transpose_margin(op, size, sources[1].spec.shape[: len(size)]))
    return margins


def _read_twice(order: Sequence[Node]) -> set[Node]:
    """The images that a convolution and its gradient in the kernel both read; none where checkpoints save memory."""
    if any(isinstance(node.op, Hold) for node in order):
        return set()
    readers: dict[Node, set[type]] = {}
    for node in order:
        head = _arranged(node)
        if head is not None:
            readers.setdefault(without_hold(head[1][0]), set()).add(type(head[0]))
    return {image for image, kinds in readers.items() if {Conv, ConvWeight} <= kinds}


def _map_size(node: Node) -> tuple[int, ...]:
    """The spatial axes of what a fused node's head gives."""
    assert isinstance(node.op, Fused)
    assert node.op.head is not None
    spec: Spec = node.op.head.spec
    return spec.shape[1:-1]


def with_copies(graph: Graph) -> Graph:
    """Images that windows are taken of get an array of their own where they are states, constants or views."""
    copies: dict[Node, Node] = {}
    given = set(graph.arguments)

    def rule(node: Node) -> Node:
        head = _arranged(node)
        if head is None or not isinstance(head[0], Conv | ConvTranspose | ConvWeight):
            return node
        image = head[1][0]
        if isinstance(without_hold(image).op, Fused) or without_hold(image) in given:
            return node
        if image not in copies:
            copies[image] = copy_of(image)
        return like(node, node.op, [copies[image] if each is image else each for each in node.inputs], node.spec)

    return graph.with_results(rewrite(graph.results, rule))

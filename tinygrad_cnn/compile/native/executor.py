"""A plan as one native function: its memory, its steps in order, and how they are run.

The function has **segments**, which Python calls one after the other: first everything that can fail or is returned,
then the rest, in which states change as soon as nobody reads their old numbers any more. Operations without a kernel
are done by NumPy between two segments; then no state changes before all others have been computed.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from itertools import groupby
from operator import is_
from time import perf_counter
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import as_strided

from ...backend import Array
from ...graph import Node
from ...ops.base import SYMBOL, Full
from ...ops.index import AddAlongDim, IndexAdd
from ...summary import count_macs
from ..fuse import fuse
from ..graph import Graph
from ..layout import dense_weights
from ..memory import give_memory_back
from ..numpy.executor import with_copies
from ..passes import optimise
from ..plan import uninterrupted
from ..report import work
from ..simplify import apply_algebra
from ..split import Batch, NotSplitError, Part, batches, part_of, picks_rows
from . import runtime
from .arena import GUARD, Lives, Placing, has_labels
from .lanes import PARTIAL, Buffer, NotLanesError, View
from .machine import Binary, assembly, host
from .places import keep_batch
from .planner import Planner
from .prepared import delay, prepare
from .products import is_dense_heavy
from .program import AT_ONCE, TABLE, Program
from .steps import Layout, LoopStep, Step, WholeStep
from .ways import LAYOUTS, Ways, lanes_of, name_of_layout, remember

checked = False
"""Whether plans made from now on check themselves, which is slow: no two arrays share memory, each is followed by a
guard zone that must stay as it is, and everything is NaN before it is written."""
PARALLEL_MACS = 1_000_000
"""A thread has at least so many multiply-adds: more than it takes to meet the others."""
FEW_BLOCKS = 4
"""Up to so many blocks large weights of dense layers stay as they are: a thread then reads, and changes, whole rows."""


class NativePlan:
    """A graph as native code.

    Args:
        traced: the graph as the function described it.
        threads: how many at most; without it, what pays.
        cpu: LLVM's name of the processor; without it, this one.
        lanes: how many examples lie side by side; without it, what should be the quickest.
        winograd: compute convolutions of 3x3 like this wherever possible, or nowhere; ``None`` for the quicker way.
        whole: refuse graphs with a product or a convolution that NumPy would have to do.

    Raises :class:`NotLanesError` with the reason where examples cannot lie in lanes.
    """

    executor = "native"

    def __init__(
        self, traced: Graph, threads: int | None = None, cpu: str | None = None, lanes: int | None = None,
        whole: bool = False, winograd: bool | None = None,
    ) -> None:  # fmt: skip
        self.traced = traced
        """The graph as the function described it."""
        self.macs = sum(count_macs(node) for node in traced.nodes)
        """Multiply-adds of one run."""
        wide = "+avx512f" in host().features if cpu is None else "avx512" in cpu
        self.cpu, self.width = cpu, 512 if wide else 256
        self.checked = checked
        graph = optimise(traced)
        if any(not node.spec.size for node in graph.nodes):
            raise NotLanesError("an array is empty")
        reasons = []
        for batch in batches(graph):
            try:
                self._describe(graph, batch, lanes, winograd)
                break
            except (NotLanesError, NotSplitError) as why:
                reasons.append(str(why))
        else:
            raise NotLanesError([*reasons, "no argument has a batch"][0])
        left = [step.nodes[0] for step in self.planner.steps if step.place == "python"]
        products = [node for node in left if work(node)[1]]
        if whole and products:
            raise NotLanesError(f"{products[0].op} has no native kernel")
        self.blocks = self.planner.blocks
        most = min(os.cpu_count() or 1, self.macs // PARALLEL_MACS + 1)
        self.threads = threads or (most if self.lanes == 1 else min(most, self.blocks))
        self.steps = sorted(self.planner.steps, key=_order)
        self._finish()
        lives = Lives(self.planner, self.steps, self.part.graph.results, self.prepared.lent)
        placing = Placing(self.planner, lives, self.threads, self.checked)
        self.places, self.nbytes = placing.run(self.prepared.buffers, len(self.part.arguments), self.layout)
        self.steps = placing.with_margins()
        self._divide()
        self._bind()

    def _describe(self, graph: Graph, batch: Batch, lanes: int | None, winograd: bool | None) -> None:
        """Plan the steps for examples that are there. Raises what says why that is not possible."""
        traced, width = self.traced, self.width // 32
        self.graph, self.total = _keeping_batch(graph, batch), batch.total
        self.lanes = lanes or lanes_of(traced, self.graph, self.total, width)
        few = 1 < self.lanes < self.total <= FEW_BLOCKS * self.lanes
        if few and any(map(is_dense_heavy, dense_weights(traced))):
            self.graph = _keeping_batch(optimise(traced, turn_dense=False), batch)
        registers = min(24, (24 * 512 if self.width == 512 else 12 * 256) // (32 * max(self.lanes, width)))
        part = part_of(self.graph, batch, 0, self.lanes)
        self.part = Part(with_copies(fuse(part.graph)), part.start, part.stop, part.arguments, part.results)
        ways = Ways(self.lanes, winograd)
        self.planner = Planner(self.part, self.total, self.lanes, width, self.graph.argument_dims, registers, ways)

    # Memory

    def _finish(self) -> None:
        """What is read from memory is known now; so every step can say what it reads and writes."""
        planner = self.planner
        read: set[Buffer] = set()
        for step in self.steps:
            if isinstance(step, LoopStep | WholeStep):
                read |= {each.buffer for draft in step.members for each in draft.sources if isinstance(each, View)}
            else:
                read |= set(step.buffers)
            if isinstance(step, LoopStep) and step.head is not None:
                step.finish(Layout(0, self.blocks, set()))
                read |= set(step.buffers)
        read |= {planner.views[node].buffer for node in self.part.graph.results if node in planner.views}
        kept = {*self.part.graph.results, *planner.states}
        kept |= {node for node, view in planner.views.items() if view.buffer in read}
        self.layout = Layout(0, self.blocks, kept)
        for step in self.steps:
            step.finish(self.layout)
        self.steps = [step for step in self.steps if step.place == "python" or step.kernel is not None]
        self.prepared = prepare(planner, self.graph, self.part.graph.results, self.steps)
        delay(self.steps)
        self.steps.sort(key=_order)

    # Text

    def _divide(self) -> None:
        """Divide the steps into segments."""
        self.calls: list[tuple[int, list[Step]]] = []
        """Each segment, and what NumPy does after it."""
        self.commit_segment = -1
        """The first segment that changes states; -1 where none does."""
        segments: list[list[list[Step]]] = [[]]
        self.at_once = False
        for level, group in groupby(self.steps, lambda step: step.level):
            steps = list(group)
            if level < 0:
                continue
            if level >= self.planner.first_late and self.commit_segment < 0:
                self.calls.append((len(segments) - 1, []))
                self.commit_segment = len(segments)
                segments.append([])
            python = [step for step in steps if step.place == "python"]
            segments[-1].append([step for step in steps if step.place != "python"])
            if python:
                self.calls.append((len(segments) - 1, python))
                segments.append([])
        self.calls.append((len(segments) - 1, []))
        self.moved = self._moves()
        plain = not self.checked and not self.moved and not self._shows_states()
        self.at_once = plain and self.commit_segment == 1 == len(segments) - 1
        early = [[list(each) for _, each in groupby(sorted(group.steps, key=_order), lambda step: step.level)]
                 for group in self.prepared.groups]  # fmt: skip
        self.program = Program([*segments, *early], self.places, self.width, self.at_once)
        self.prepare_segment = len(segments)
        """That of the first group."""

    @property
    def text(self) -> str:
        """The whole text, in LLVM's language."""
        return "\n".join(self.program.texts)

    def assembly(self) -> str:
        """The whole text as instructions of the processor."""
        return assembly(self.program.texts, self.cpu)

    def _shows_states(self) -> bool:
        """Whether something that is returned lies where a state is kept."""
        effects = {effect.position for effect in self.graph.effects}
        return any(self._is_state(node) for place, node in enumerate(self.part.graph.results) if place not in effects)

    def _is_state(self, node: Node) -> bool:
        """Whether a node's numbers lie where a state is kept."""
        kept = {id(buffer) for buffer in self.planner.states.values()}
        return node in self.planner.views and id(self.planner.views[node].buffer) in kept

    def profile(self, repeats: int) -> list[float | None]:
        """The best time of each step, in seconds, on one thread.

        They run on whatever numbers the memory holds; the states stay as they are.
        """
        alone = [[[step]] if step.kernel is not None else [] for step in self.steps]
        binary = Binary(*self.program.modules(alone))
        call = runtime.prepare(binary.address("step"), self.arena, 1)
        times: list[float | None] = []
        with self._same_states():
            for number, step in enumerate(self.steps):
                run = partial(call, number) if step.kernel is not None else self._numpy_call(step.nodes[0])
                best = None
                for _ in range(repeats):
                    start = perf_counter()
                    run()
                    best = min(best or 1e9, perf_counter() - start)
                times.append(best)
        self._wrong[0] = 0
        return times

    def tune(self, repeats: int) -> dict[str, tuple[float, float]]:
        """Measure what there are two ways of, and remember the quicker ones for plans from now on.

        Returns for each convolution the seconds without and with Winograd's transforms, for examples in lanes and for
        channels side by side; then under ``"layout"`` the seconds of a step in lanes, and by channels.
        """
        found: dict[str, tuple[float, float]] = {}
        for lanes in LAYOUTS:
            found |= self._tune_convolutions(lanes, repeats)
        remember({name: transformed < direct for name, (direct, transformed) in found.items()})
        in_lanes, by_channels = [NativePlan(self.traced, None, self.cpu, lanes).time(repeats) for lanes in LAYOUTS]
        remember({name_of_layout(self.traced): by_channels < in_lanes})
        return {**found, "layout": (in_lanes, by_channels)}

    def _tune_convolutions(self, lanes: int, repeats: int) -> dict[str, tuple[float, float]]:
        times: list[dict[str, float]] = []
        for winograd in (False, True):
            plan = NativePlan(self.traced, 1, self.cpu, lanes, winograd=winograd)
            plan._load_zeros()
            seconds = dict(zip(plan.steps, plan.profile(repeats), strict=True))
            times.append(
                {
                    name: sum(seconds.get(step) or 0.0 for steps in places for step in steps) / len(places)
                    for name, places in plan.planner.ways.steps.items()
                }
            )
        direct, transformed = times
        return {name: (direct[name], transformed[name]) for name in direct}

    def time(self, repeats: int) -> float:
        """The best time of a run on zeros, in seconds; the states stay as they are."""
        self._load_zeros()
        best = math.inf
        with self._same_states():
            for _ in range(repeats + 1):
                start = perf_counter()
                self.compute()
                self.commit()
                best = min(best, perf_counter() - start)
        return best

    @contextmanager
    def _same_states(self) -> Iterator[None]:
        """What happens inside of the ``with`` leaves the states as they are, and what was computed from them."""
        arrays = [*self.states, *[self._bytes(buffer) for buffer in self.prepared.buffers]]
        kept = [each.copy() for each in arrays]
        try:
            yield
        finally:
            for array, before in zip(arrays, kept, strict=True):
                np.copyto(array, before)

    def _bytes(self, buffer: Buffer) -> np.ndarray:
        array: np.ndarray = self.arena.memory[buffer.address :][: buffer.nbytes]
        return array

    def _load_zeros(self) -> None:
        self.load([np.zeros(each.spec.shape, each.spec.dtype) for each in self.traced.arguments])

    # Running

    def _bind(self) -> None:
        program = self.program
        self.binary = Binary.remembered(program.key, lambda: program.texts, self.cpu, program.large)
        if not self.binary.cached:
            program.forget()
        give_memory_back()  # before the plan's own memory is filled
        self.arena = runtime.Arena(self.nbytes)
        memory = self.arena.memory
        self._call_segment = runtime.prepare(self.binary.address("step"), self.arena, self.threads)
        self._table = memory[TABLE : TABLE + 8 * len(self.part.arguments)].view(np.uint64)
        self._wrong = memory[self.places.wrong : self.places.wrong + 4].view(np.int32)
        mask = memory[self.places.mask :][: self.blocks * self.lanes]
        mask[: self.total] = 1
        self._arrays: dict[Node, np.ndarray] = {}
        self._readers: dict[int, Callable[[], np.ndarray]] = {}
        self._held: list[Any] = [None] * len(self.part.arguments)
        planner = self.planner
        for node, view in planner.views.items():
            if not node.inputs and node.op is not SYMBOL and not view.buffer.per_block:  # the same in every run
                np.copyto(self._array(node), node.op.forward(np) if node.value is None else node.value)
        self.states: list[np.ndarray] = [self._array(state.node) for state in self.graph.states]
        self._arguments = [
            self._array(node) if node in planner.arguments else None for node in self.part.graph.arguments
        ]
        self._python = [(segment, [self._numpy_call(step.nodes[0]) for step in steps]) for segment, steps in self.calls]
        split = self.commit_segment if self.commit_segment >= 0 else len(self._python)
        self._compute = [each for each in self._python if each[0] < split]
        self._commit = [each for each in self._python if each[0] >= split]
        for number, group in enumerate(self.prepared.groups):
            if not group.positions:  # it rests on constants
                self._call_segment(self.prepare_segment + number)

    def _array(self, node: Node) -> np.ndarray:
        """A node's array: with an axis for blocks at the beginning and one for lanes at the end, unless it is whole."""
        view = self.planner.views[node]
        if view.buffer.argument >= 0:
            return self._make_array(view)  # another one in each run
        if node not in self._arrays:
            self._arrays[node] = self._make_array(view)
        return self._arrays[node]

    def _make_array(self, view: View) -> np.ndarray:
        size = view.buffer.dtype.itemsize
        if view.buffer.argument >= 0:
            array = self._held[view.buffer.argument].reshape(-1)[view.offset :]
            strides = [stride * size for stride in view.strides]
            return as_strided(array, (self.blocks, *view.shape, 1), (view.buffer.apart, *strides, size))
        if not view.buffer.per_block:
            flat = self.arena.memory[view.buffer.address :][: view.buffer.nbytes].view(view.buffer.dtype)
            return as_strided(flat[view.offset :], view.shape, tuple([stride * size for stride in view.strides]))
        private = view.buffer.per_thread  # what the first thread left there last
        start = (0 if private else self.places.first_block) + view.buffer.address
        rest = self.arena.memory[start:]
        rest = rest[: len(rest) // size * size].view(view.buffer.dtype)
        lanes = self.lanes if view.lanes else 1
        strides = [stride * size * lanes for stride in view.strides]
        shape = (self.blocks, *view.shape, *([lanes] if view.lanes else []))
        steps = (0 if private else self.layout.block_bytes, *strides, *([size] if view.lanes else []))
        return as_strided(rest[view.offset * lanes :], shape, steps)

    def _examples(self, node: Node, axis: int | None) -> np.ndarray:
        """A copy of a node's array as the graph has it, for the whole batch, whose axis this is."""
        if isinstance(node.op, Full):
            shape = list(node.op.shape)
            if axis is not None:
                shape[axis] = self.total
            return np.full(shape, node.op.value, node.op.dtype)
        array = self._array(node)
        if axis is None:
            return np.array(array)
        if axis == PARTIAL:
            return np.array(array.sum(0))
        inside = range(1, array.ndim - 1)
        batch = array.transpose(0, array.ndim - 1, *inside).reshape(-1, *array.shape[1:-1])[: self.total]
        if axis:
            batch = np.moveaxis(batch, 0, axis)
        return np.array(batch, order="C")

    def _numpy_call(self, node: Node) -> Callable[[], None]:
        """What computes a node by its operation: block by block, unless it is whole."""
        axis = self.planner.axes[node]

        def given(source: Node, block: int) -> np.ndarray:
            if isinstance(source.op, Full):
                return np.full(source.op.shape, source.op.value, source.op.dtype)
            array, own = self._array(source), self.planner.axes[source]
            if own is None:
                return array
            return array[block] if own == PARTIAL else np.moveaxis(array[block], -1, own)

        def call() -> None:
            target = self._array(node)
            for block in range(1 if axis is None else self.blocks):
                with _blaming(node):
                    value = np.asarray(node.op.forward(np, *[given(each, block) for each in node.inputs]))
                if axis is None:
                    target[...] = value
                else:
                    target[block] = value if axis == PARTIAL else np.moveaxis(value, axis, -1)

        return call

    @property
    def running(self) -> Graph:
        """The graph that runs: that of one block."""
        return self.part.graph

    @property
    def timed_nodes(self) -> list[Node | None]:
        """For each line of the report the last node that it is about."""
        return [step.nodes[-1] if step.nodes else step.part_of for step in self.steps]

    @property
    def parts_in_words(self) -> str:
        """What ``running`` is a part of, for pictures."""
        if self.lanes == 1:
            return "the graph of one example, whose channels lie side by side in vectors"
        return f"the graph of one block of {self.lanes} examples, which lie side by side in vectors"

    def load(self, arguments: Sequence[Array]) -> None:
        """Take the arguments: whole ones are copied, the others are read where they lie."""
        if all(map(is_, arguments, self._held)):  # those of the last run, of which none is whole
            return
        dims_of = self.graph.argument_dims or (None,) * len(arguments)
        for position, (array, dims) in enumerate(zip(arguments, dims_of, strict=True)):
            target = self._arguments[position]
            if target is not None:
                np.copyto(target, array if dims is None else array.transpose(dims))
                continue
            if array is not self._held[position]:
                self._held[position] = array = np.ascontiguousarray(array)
                self._table[position] = array.ctypes.data

    def bring(self, positions: Iterable[int], copy: Callable[[int], None]) -> None:
        """Take new numbers for some states: ``copy(position)`` writes them to ``states[position]``.

        Then what rests on them alone is computed. States whose memory is only lent for that are copied again with any
        other that is needed for the same.
        """
        wanted, lent = set(positions), {position for group in self.prepared.groups for position in group.lent}
        for position in sorted(wanted - lent):
            copy(position)
        for number, group in enumerate(self.prepared.groups):
            if wanted & group.positions:
                for position in group.lent:
                    copy(position)
                self._call_segment(self.prepare_segment + number)

    def _poison(self) -> list[np.ndarray]:
        """Fill with NaN what will be written, and give the guard zones."""
        guards = []
        for buffer in {id(each): each for step in self.steps for each in step.buffers}.values():
            if buffer.keeps:
                continue
            at = self.places
            starts = [0]
            if buffer.per_thread:
                starts = [number * buffer.apart for number in range(self.threads)]
            elif buffer.per_block:
                starts = [at.first_block + number * at.block_bytes for number in range(self.blocks)]
            for start in [start + buffer.address for start in starts]:
                self.arena.memory[start : start + buffer.nbytes + GUARD] = 0xFF
                guards.append(self.arena.memory[start + buffer.nbytes : start + buffer.nbytes + GUARD])
        return guards

    def compute(self) -> None:
        """Everything that can fail, and what is returned."""
        self._guards = self._poison() if self.checked else []
        self._run_early()
        self._check_guards()

    def _check_guards(self) -> None:
        if not all([bool((zone == 0xFF).all()) for zone in self._guards]):
            raise RuntimeError("a kernel has written behind the end of its array")

    def _run_early(self) -> None:
        for segment, after in self._compute:
            self._call_segment(segment)
            for call in after:
                call()
        if self._wrong[0]:
            self._raise_wrong_labels()

    def run(self) -> None:
        """Compute everything, and change the states unless a label is wrong. Only where ``at_once`` is true."""
        self._call_segment(AT_ONCE)
        if self._wrong[0]:
            self._raise_wrong_labels()

    def _raise_wrong_labels(self) -> None:
        """Let NumPy say what was wrong."""
        self._wrong[0] = 0
        axes = self.planner.axes
        nodes = [node for node in self.planner.order if has_labels(node)]
        for node in sorted(nodes, key=lambda node: isinstance(node.op, AddAlongDim | IndexAdd)):
            whose = [axes.get(each) if picks_rows(node) else axes[node] for each in node.inputs]
            with _blaming(node):
                node.op.forward(np, *map(self._examples, node.inputs, whose))

    def result(self, position: int) -> np.ndarray:
        """A copy of one result."""
        if position not in self._readers:
            self._readers[position] = self._reader(position)
        return self._readers[position]()

    def _reader(self, position: int) -> Callable[[], np.ndarray]:
        """What copies a result: one call of NumPy, for most."""
        node = self.part.graph.results[position]
        axis = self.part.results[position] if isinstance(node.op, Full) else self.planner.axes[node]
        given = node in self.planner.views and self.planner.views[node].buffer.argument >= 0
        if isinstance(node.op, Full) or given or axis not in (None, 0):
            return partial(self._examples, node, axis)
        array = self._array(node)
        if axis is None:
            return array.copy
        turned = array.transpose(0, array.ndim - 1, *range(1, array.ndim - 1))
        shape, total = (-1, *turned.shape[2:]), self.total
        return lambda: turned.copy().reshape(shape)[:total]

    def commit(self) -> None:
        """Compute what only the states need, and change them. Nothing fails here, and Ctrl-C waits until it is done."""
        if not self._commit and not self.moved:
            return
        self._run_late()
        self._check_guards()

    def _run_late(self) -> None:
        if len(self._commit) == 1 and not self._commit[0][1] and not self.moved:
            self._call_segment(self._commit[0][0])  # a single call, which nothing interrupts
            return
        with uninterrupted():
            shown = {result: self._value(result) for _, result in self.moved if self._is_state(result)}
            for segment, after in self._commit:
                self._call_segment(segment)
                for call in after:
                    call()
            values = [shown[result] if result in shown else self._value(result) for _, result in self.moved]
            for (state, _), value in zip(self.moved, values, strict=True):
                np.copyto(self._array(state), value)

    def _value(self, result: Node) -> np.ndarray:
        return self._examples(result, self.planner.axes.get(result))

    def _moves(self) -> list[tuple[Node, Node]]:
        """States, and results that Python brings to where they are kept, for they are not written there."""
        planner = self.planner
        kept = {id(state.leaf): state.node for state in self.graph.states if state.leaf is not None}
        pairs = []
        for effect in self.graph.effects:
            if effect.kind == "assign" and id(effect.leaf) in kept:
                result, state = self.part.graph.results[effect.position], kept[id(effect.leaf)]
                if result not in planner.in_place and state not in planner.copied:
                    pairs.append((state, result))
        return pairs


def _keeping_batch(graph: Graph, batch: Batch) -> Graph:
    """The graph with its dense layers on sequences as convolutions."""
    return graph.with_results(apply_algebra(keep_batch(graph, batch)))


@contextmanager
def _blaming(node: Node) -> Iterator[None]:
    """Say which line of the user's program an error comes from."""
    try:
        yield
    except Exception as error:
        error.add_note(f"  in {node.op}, called {node.where}")
        raise


def _order(step: Step) -> tuple[int, int]:
    """Level by level; within one whole arrays come first, and what NumPy does last."""
    return step.level, {"one": 0, "share": 0, "block": 1, "blocks": 1, "python": 2}[step.place]


__all__ = ["NativePlan"]

"""A plan: a graph bound to memory, that can be run again and again."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from types import FrameType

import numpy as np

from ..backend import Array
from ..graph import Node
from ..summary import count_macs
from .blas import one_blas_thread
from .graph import Graph
from .numpy.crew import run_parts
from .numpy.executor import Program, bind
from .passes import divide, optimise

PARALLEL_MACS = 10_000_000
"""A part of the batch has at least half so many multiply-adds, or the meetings of the parts would cost too much."""


class Plan:
    """A graph bound to memory."""

    executor = "numpy"
    at_once = False
    """Whether ``run`` can do everything in one go."""

    def __init__(self, traced: Graph, parts: int | None = None, convolution: str = "auto") -> None:
        self.traced = traced
        """The graph as the function described it."""
        self.graph = optimise(traced)
        """The graph after the passes that do not depend on the number of parts."""
        self.macs = sum(count_macs(node) for node in traced.nodes)
        """Multiply-adds of one run."""
        self.not_native_because = ""
        """Why this runs in NumPy, where native code was asked for."""
        if parts is None:
            parts = min(os.cpu_count() or 1, 2 * self.macs // PARALLEL_MACS) if one_blas_thread.possible else 1
        self.parts, self.whole_because = divide(self.graph, parts)
        self.programs: list[Program]
        self.programs, self.states, self._copies = bind(self.parts, convolution)
        self._compute = [program.calls[:-1] for program in self.programs]
        self._commit = [program.calls[-1:] for program in self.programs]
        # For small products a second thread gains little, and costs a lot where another program wants the core.
        self._limits_blas = one_blas_thread.possible and (len(self.parts) > 1 or self.macs < PARALLEL_MACS)

    @property
    def nbytes(self) -> int:
        """All memory of the plan, in bytes; known before it runs."""
        return sum(program.nbytes for program in self.programs)

    @property
    def running(self) -> Graph:
        """The graph that runs: that of the first part."""
        return self.parts[0].graph

    @property
    def timed_nodes(self) -> list[Node | None]:
        """For each line of the report the node that it is about."""
        return [step.node for phase in self.programs[0].phases for step in phase]

    @property
    def parts_in_words(self) -> str:
        """What ``running`` is a part of, for pictures; nothing if it is the whole."""
        if len(self.parts) == 1:
            return ""
        return f"the first of {len(self.parts)} parts of the batch, which are computed at the same time"

    def load(self, arguments: Sequence[Array]) -> None:
        """Write the arguments to where the plan reads them."""
        dims_of = self.graph.argument_dims or (None,) * len(arguments)
        for position, (array, dims) in enumerate(zip(arguments, dims_of, strict=True)):
            turned = array if dims is None else array.transpose(dims)
            for part, program in zip(self.parts, self.programs, strict=True):
                rows = turned if part.arguments[position] is None else turned[part.start : part.stop]
                np.copyto(program.arguments[position], rows)

    def bring(self, positions: Iterable[int], copy: Callable[[int], None]) -> None:
        """Take new numbers for some states: ``copy(position)`` writes them to ``states[position]``."""
        for position in positions:
            copy(position)

    def compute(self) -> None:
        """Everything but the change of the states."""
        with self.one_blas_thread():
            run_parts(self._compute, self._blame)

    def one_blas_thread(self) -> AbstractContextManager[None]:
        """Matrix products on one thread inside of the ``with``, where the parts or small sizes make that better."""
        return one_blas_thread(self._limits_blas)

    def _blame(self, part: int, call: Callable[[], object], error: BaseException) -> None:
        """Say which line of the user's program the failing call comes from."""
        for phase in self.programs[part].phases:
            for step in phase:
                if any(each is call for each in step.calls):
                    error.add_note(f"  in {step.node.op}, called {step.node.where}")

    def result(self, position: int) -> np.ndarray:
        """A copy of one result, from all parts."""
        axis = self.parts[0].results[position]
        pieces = [array for program in self.programs if (array := program.results[position]) is not None]
        return np.array(pieces[0]) if axis is None else np.concatenate(pieces, axis)

    def run(self) -> None:
        """Compute everything, and change the states."""
        self.compute()
        self.commit()

    def commit(self) -> None:
        """Change the states. Nothing of this can fail, and Ctrl-C waits until it is done."""
        if not any(phase for program in self._commit for phase in program) and not self._copies:
            return
        with uninterrupted():
            run_parts(self._commit, self._blame)
            for call in self._copies:
                call()


_held = False
"""Whether the main thread is inside of :func:`uninterrupted`."""


@contextmanager
def uninterrupted() -> Iterator[None]:
    """Ctrl-C is raised at the end of the outermost ``with`` instead of in the middle."""
    global _held  # noqa: PLW0603 - as the signal's handler is one for the whole process
    if threading.current_thread() is not threading.main_thread() or _held:  # only the main thread is interrupted
        yield
        return
    seen: list[tuple[int, FrameType | None]] = []
    before = signal.signal(signal.SIGINT, lambda number, frame: seen.append((number, frame)))
    _held = True
    try:
        yield
    finally:
        _held = False
        signal.signal(signal.SIGINT, before)
    if seen and callable(before):
        before(*seen[0])

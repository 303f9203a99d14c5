"""Running native code: memory is an arena, and a crew of threads works on one step.

What :func:`prepare` returns calls a module's function ``void step(ptr arena, i64 thread, i64 segment)`` once in every
thread; inside, the threads meet at ``@barrier``.

There is one crew for the whole process. Its workers are threads that Python does not know: they never wait for the
interpreter's lock. Between two runs they look out for the next for a moment, then sleep. When the machine has no core
for them, a program is faster alone; :class:`_Pace` finds out and changes the number of threads.
"""

from __future__ import annotations

import atexit
import contextlib
import ctypes
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator

import numpy as np

from ...backend import Array
from .machine import Binary
from .meeting import CREW, CREW_TEXT, FULL, JOB, SHORT, SLOT

HEADER = 4096
"""How many bytes at the start of every arena belong to the runtime."""
CAPACITY = 256
"""The most threads of a run."""
PAGE, LARGE_PAGE = 4096, 2 << 20


# Memory


class Arena:
    """The memory of a plan: a header for the runtime, then zeros.

    Args:
        nbytes: how much behind the header.
    """

    def __init__(self, nbytes: int) -> None:
        whole = _aligned(HEADER + nbytes, LARGE_PAGE if HEADER + nbytes > LARGE_PAGE else PAGE)
        self.address = int(whole.ctypes.data)
        """Where the header begins. Native code counts from here."""
        self.memory: Array = whole[HEADER:]
        """The bytes behind the header."""


def _aligned(nbytes: int, alignment: int) -> Array:
    raw = np.zeros(nbytes + alignment, np.uint8)
    start = -raw.ctypes.data % alignment
    return raw[start : start + nbytes]


# The crew


class _Crew:
    """The workers of this process, and the memory through which they are told what to do."""

    def __init__(self) -> None:
        binary = Binary(CREW_TEXT)
        self._worker = binary.address("worker")
        self.run = ctypes.CFUNCTYPE(ctypes.c_int64, ctypes.c_int64, ctypes.c_int64)(binary.address("run"))
        self._dismiss = ctypes.CFUNCTYPE(ctypes.c_int64, ctypes.c_int64)(binary.address("dismiss"))
        binary.keep()
        self._memory = _aligned(CREW["slots"] + CAPACITY * SLOT["bytes"], PAGE)
        self.address = int(self._memory.ctypes.data)
        self._workers = self._memory[CREW["workers"] :][:8].view(np.int64)
        self._handles: list[ctypes.c_void_p] = []
        self._lock = threading.Lock()
        self._closed = False

    def gather(self, threads: int) -> int:
        """Have enough workers for a run with so many threads; returns how many it can have."""
        with self._lock, _no_signals():
            while not self._closed and self._workers[0] + 1 < threads and self._add():
                pass
            return min(threads, int(self._workers[0]) + 1)

    def _add(self) -> bool:
        number = int(self._workers[0]) + 1
        begin = CREW["slots"] + number * SLOT["bytes"]
        slot = self._memory[begin : begin + SLOT["bytes"]]
        slot[SLOT["seen"] :][:4] = slot[SLOT["command"] :][:4]
        slot[SLOT["crew"] :][:16].view(np.int64)[:] = self.address, number
        handle = ctypes.c_void_p()
        create = ctypes.CDLL(None).pthread_create
        place = ctypes.c_void_p(self.address + begin)
        if create(ctypes.byref(handle), None, ctypes.c_void_p(self._worker), place) != 0:
            return False
        self._handles.append(handle)
        self._workers[0] = number
        return True

    def leave(self) -> None:
        """Send the workers away. Where a run goes on in a thread that nobody waits for, they end with the process."""
        with self._lock:
            self._closed = True
            give_up = time.monotonic() + 1
            while not self._dismiss(self.address):
                if time.monotonic() > give_up:
                    return
                time.sleep(0.001)
            for handle in self._handles:
                ctypes.CDLL(None).pthread_join(handle, None)
            self._handles.clear()

    def forget(self) -> None:
        """In a new process after ``fork``: there are no workers, and nobody has the crew."""
        self._lock = threading.Lock()
        self._handles.clear()
        self._memory[:] = 0


@contextlib.contextmanager
def _no_signals() -> Iterator[None]:
    """Threads that are started inside leave signals such as Ctrl-C to Python's own threads."""
    if sys.platform == "win32":
        yield
        return
    faults = {signal.SIGABRT, signal.SIGBUS, signal.SIGFPE, signal.SIGILL, signal.SIGSEGV}
    before = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals() - faults)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


_making = threading.Lock()
_made: list[_Crew] = []


def _crew() -> _Crew:
    with _making:
        if not _made:
            crew = _Crew()
            atexit.register(crew.leave)
            if hasattr(os, "register_at_fork"):
                os.register_at_fork(after_in_child=crew.forget)
            _made.append(crew)
        return _made[0]


# Runs


class _Pace:
    """Finds out whether a program is faster with its threads or alone, from the time its runs take.

    Where threads wait for each other for more than :attr:`LIMIT` of the time, the program runs alone for a while:
    either other programs keep the cores busy, or its work cannot be divided better. The faster way is kept, and tried
    again later, the more seldom the longer this goes on.
    """

    LIMIT = 0.3
    FIRST, LOOK, TRIAL, PAUSE, LONGEST = 4, 24, 24, 48, 768
    """How many runs: until the first look, for a look at the waiting, alone, until the next look."""
    SHORTEST = 0.01
    """How many seconds a look lasts at least; the runs are as many more as it takes. Many a trouble is over by then."""

    def __init__(self, job: Array, threads: int) -> None:
        self.job, self.threads = job, threads
        self._pause, self._more = self.PAUSE, 1
        self._together = 0.0
        self._since = time.perf_counter()
        self._then: Callable[[float, float], None]
        self._go(threads, self.FIRST, self._look)

    def judge(self) -> None:
        """Decide how the next runs go. Called after as many as were decided the last time."""
        before, self._since = self._since, time.perf_counter()
        each = max((self._since - before) / self._runs, 1e-7)
        self._more = max(1, round(self.SHORTEST / (each * self.LOOK)))
        cycles = int(self.job[JOB["cycles"]])
        self._then(cycles / self._runs, int(self.job[JOB["waited"]]) / max(cycles, 1))

    def limit(self, threads: int) -> None:
        """There can be no more threads than so many."""
        self.threads = threads
        self._go(threads, self.FIRST if threads > 1 else 0, self._look)

    def _go(self, threads: int, runs: int, then: Callable[[float, float], None]) -> None:
        self._runs, self._then = runs * self._more, then
        self.job[JOB["threads"] : JOB["waited"] + 1] = threads, self._runs, 0, 0

    def _look(self, mean: float, waiting: float) -> None:
        self._go(self.threads, self.LOOK, self._decide)

    def _decide(self, mean: float, waiting: float) -> None:
        if waiting > self.LIMIT:
            self._together = mean
            self._go(1, self.TRIAL, self._compare)
        else:
            self._pause = self.PAUSE
            self._go(self.threads, self.LOOK, self._decide)

    def _compare(self, mean: float, waiting: float) -> None:
        self._go(1 if mean < self._together else self.threads, self._pause, self._look)
        self._pause = min(2 * self._pause, self.LONGEST)


def prepare(function_address: int, arena: Arena, threads: int) -> Callable[[int], None]:
    """A quick ``call(segment)``: it calls ``step(arena, thread, segment)`` in every thread, and waits for all of them.

    The caller is thread 0. Fewer threads take part while another run has the crew, or while the machine is busy, so the
    numbers must not depend on how many there are. Denormal numbers count as zero inside.

    One arena must not be in two runs at the same time, and the :class:`Binary` must be kept as long as this is called.
    """
    crew = _crew()
    threads = 1 if sys.platform == "win32" else max(1, min(threads, CAPACITY))
    job = _aligned(64, 64).view(np.int64)
    job[[JOB["function"], JOB["arena"], JOB["crew"]]] = function_address, arena.address, crew.address
    pace = _Pace(job, threads)
    if threads == 1:
        pace.limit(1)
    run, place = crew.run, int(job.ctypes.data)

    def attend(code: int, segment: int, _kept: Arena = arena) -> None:
        while code == SHORT:
            wanted = int(job[JOB["threads"]])
            if (possible := crew.gather(wanted)) < wanted:
                pace.limit(possible)
            code = run(place, segment)
        if code == FULL:
            pace.judge()

    def call(segment: int) -> None:
        if code := run(place, segment):
            attend(code, segment)

    return call


def run(function_address: int, arena: Arena, segment: int, threads: int) -> None:
    """Call ``step(arena, thread, segment)`` once in every thread. What :func:`prepare` returns is quicker in a loop."""
    prepare(function_address, arena, threads)(segment)

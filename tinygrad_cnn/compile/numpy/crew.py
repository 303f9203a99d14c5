"""The threads that run the parts of a plan.

NumPy lets go of Python's lock while it computes, so two threads compute at the same time. They stay alive between
calls, and wait for each other with plain locks, which is the quickest way that Python has.
"""

from __future__ import annotations

import os
import threading
from _thread import allocate_lock
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

Phases = Sequence[Sequence[Sequence[Callable[[], Any]]]]
"""The calls of each part, phase by phase."""
Blame = Callable[[int, Any, BaseException], None]


class Crew:
    """A thread for each part but the first, which the caller runs itself."""

    def __init__(self, parts: int) -> None:
        self.parts, self._process = parts, os.getpid()
        self._here = [allocate_lock() for _ in range(parts)]
        self._go = [allocate_lock() for _ in range(parts)]
        for lock in (*self._here, *self._go):
            lock.acquire()
        self._work: Callable[[int], None] | None = None
        self._errors: list[BaseException | None] = [None] * parts
        for part in range(1, parts):
            threading.Thread(target=self._live, args=(part,), name=f"tinygrad_cnn part {part}", daemon=True).start()

    @property
    def alive(self) -> bool:
        """Whether the threads exist: a child process has none of them."""
        return self._process == os.getpid()

    def _live(self, part: int) -> None:
        while True:
            self._go[part].acquire()
            work = self._work
            assert work is not None
            work(part)
            del work  # it holds the plan's memory
            self._here[part].release()

    def run(self, phases: Phases, blame: Blame) -> None:
        """Run the phases of every part; all are through with one before any begins the next.

        ``phases[part][phase]`` are the calls. When a call fails, the remaining phases are skipped, and the error is
        raised when all parts have stopped.
        """
        self._errors = [None] * self.parts
        count = len(phases[0])
        warnings = np.geterr()  # what the caller chose; a thread has its own

        def work(part: int) -> None:
            with np.errstate(**warnings):
                through(part)

        def through(part: int) -> None:
            for phase in range(count):
                if phase:
                    self._meet(part)
                if any(self._errors):
                    continue
                call = None
                try:
                    for call in phases[part][phase]:
                        call()
                except BaseException as error:  # the other parts must not wait for ever
                    self._errors[part] = error
                    blame(part, call, error)

        self._work = work
        for part in range(1, self.parts):
            self._go[part].release()
        work(0)
        for part in range(1, self.parts):
            self._wait(self._here[part])
        self._work = None
        for error in self._errors:
            if error is not None:
                raise error

    def _meet(self, part: int) -> None:
        """Wait until every part is here."""
        if part:
            self._here[part].release()
            self._go[part].acquire()
            return
        for other in range(1, self.parts):
            self._wait(self._here[other])
        for other in range(1, self.parts):
            self._go[other].release()

    def _wait(self, lock: Any) -> None:
        """Take the lock, whatever interrupts: Ctrl-C is raised when all parts have stopped."""
        while True:
            try:
                lock.acquire()
                return
            except KeyboardInterrupt as error:
                self._errors[0] = error


_crews: dict[int, Crew] = {}
_lock = threading.RLock()


def run_parts(phases: Phases, blame: Blame) -> None:
    """Run a plan. Two plans of several parts that are called at the same time run one after the other.

    Args:
        phases: the calls by part and phase.
        blame: told which call of which part failed, so that it can say more.
    """
    parts = len(phases)
    if parts == 1:
        call = None
        try:
            for phase in phases[0]:
                for call in phase:
                    call()
        except Exception as error:
            blame(0, call, error)
            raise
        return
    with _lock:
        crew = _crews.get(parts)
        if crew is None or not crew.alive:
            crew = _crews[parts] = Crew(parts)
        crew.run(phases, blame)

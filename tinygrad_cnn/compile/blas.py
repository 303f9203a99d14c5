"""Keeping NumPy's matrix products on one thread while the parts of a plan each have a core of their own."""

from __future__ import annotations

import importlib
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from typing import Any


class _OneThread:
    """``with one_blas_thread(True):`` - inside, products run on the thread that asks for them.

    The setting is that of the whole process. Who enters first changes it, and who leaves last puts it back.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._inside = 0
        self._before: list[int] = []

    @cached_property
    def _libraries(self) -> list[Any]:
        try:
            threadpoolctl = importlib.import_module("threadpoolctl")
        except ImportError:
            return []
        libraries = threadpoolctl.ThreadpoolController().lib_controllers
        return [each for each in libraries if each.user_api == "blas"]

    @property
    def possible(self) -> bool:
        """Whether the number of threads can be set: threadpoolctl is installed and knows the library."""
        return bool(self._libraries)

    @contextmanager
    def __call__(self, wanted: bool = True) -> Iterator[None]:
        if not wanted:
            yield
            return
        with self._lock:
            if not self._inside:
                self._before = [each.get_num_threads() for each in self._libraries]
                for each in self._libraries:
                    each.set_num_threads(1)
            self._inside += 1
        try:
            yield
        finally:
            with self._lock:
                self._inside -= 1
                if not self._inside:
                    for each, count in zip(self._libraries, self._before, strict=True):
                        each.set_num_threads(count)


one_blas_thread = _OneThread()

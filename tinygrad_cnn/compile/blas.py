"""Keeping NumPy's matrix products on one thread while the parts of a plan each have a core of their own."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from typing import Any


class _OneThread:
    """``with one_blas_thread(True):`` - inside, products run on the thread that asks for them."""

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
        before = [each.get_num_threads() for each in self._libraries]
        for each in self._libraries:
            each.set_num_threads(1)
        try:
            yield
        finally:
            for each, count in zip(self._libraries, before, strict=True):
                each.set_num_threads(count)


one_blas_thread = _OneThread()

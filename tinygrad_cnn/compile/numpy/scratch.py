"""Memory for what lives only within one kernel. All kernels of a program share it."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial

import numpy as np

ALIGNMENT = 64


class Region:
    """Memory that is handed out from its start again for each piece of work.

    When a piece needs more than there is, a larger region takes its place; kernels that were bound to the old one keep
    it.
    """

    def __init__(self, size: int) -> None:
        self._memory = aligned(size)
        self._used = 0
        self.nbytes = size
        """What all regions take together."""

    def reset(self) -> None:
        """A new piece of work begins: what was taken before may be overwritten."""
        self._used = 0

    @contextmanager
    def marked(self) -> Iterator[None]:
        """What is taken inside may be taken again afterwards."""
        memory, used = self._memory, self._used
        try:
            yield
        finally:
            if self._memory is memory:
                self._used = used

    def take(self, shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
        """An array of the region, whose numbers are arbitrary."""
        size = math.prod(shape) * dtype.itemsize
        start = self._used
        if start + size > self._memory.size:
            self._memory = aligned(max(2 * self._memory.size, 2 * size))
            self.nbytes += self._memory.size
            start = 0
        self._used = start + -(-size // ALIGNMENT) * ALIGNMENT
        return self._memory[start : start + size].view(dtype).reshape(shape)


class Scratch(Region):
    """Two regions: one for a piece of a kernel's work, and one for what the kernel keeps from piece to piece."""

    def __init__(self, size: int = 1 << 20) -> None:
        super().__init__(size)
        self._kept = Region(1 << 16)
        self._own = 0

    def begin(self) -> None:
        """A new kernel begins: everything may be overwritten."""
        self.reset()
        self._kept.reset()

    def keep(self, shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
        """An array that stays as it is until the next kernel; its numbers are arbitrary."""
        return self._kept.take(shape, dtype)

    def own(self, shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
        """An array of zeros that nobody else writes to, from one run to the next."""
        array = empty(shape, dtype)
        self._own += array.nbytes
        return array

    @property
    def total(self) -> int:
        """All bytes together."""
        return self.nbytes + self._kept.nbytes + self._own


def side_by_side(
    array: np.ndarray, place: Callable[[tuple[int, ...], np.dtype], np.ndarray]
) -> tuple[list[Callable[[], object]], np.ndarray]:
    """The array with its numbers one after the other, and what copies them to a ``place`` if they are not."""
    if array.flags.c_contiguous:
        return [], array
    own = place(array.shape, array.dtype)
    return [copy_runs(own, array)], own


def copy_runs(target: np.ndarray, source: np.ndarray) -> Callable[[], object]:
    """The call that copies arrays whose last axis is a run of memory in both: each run as one large element.

    For runs of a few numbers that is several times quicker than number by number.
    """
    run = target.shape[-1] * target.itemsize if target.ndim else 0
    if run > target.itemsize and target.strides[-1] == source.strides[-1] == target.itemsize:
        whole = np.dtype(f"V{run}")
        return partial(np.copyto, target.view(whole), source.view(whole))
    return partial(np.copyto, target, source)


def aligned(size: int) -> np.ndarray:
    """So many zero bytes, beginning at a multiple of the cache line."""
    memory = np.zeros(size + ALIGNMENT, np.uint8)
    start = -memory.ctypes.data % ALIGNMENT
    return memory[start : start + size]


def empty(shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
    """An array of its own, beginning at a multiple of the cache line, filled with zeros."""
    return aligned(math.prod(shape) * dtype.itemsize).view(dtype).reshape(shape)

"""The memory plan: which arrays may share the same bytes, because they are never needed at the same time."""

from __future__ import annotations

import ctypes
import sys
from bisect import insort
from collections.abc import Sequence
from dataclasses import dataclass

ALIGNMENT = 64


@dataclass(frozen=True)
class Life:
    """How long an array is needed, in steps of the plan: from the one that writes it to the last that reads it."""

    size: int
    """In bytes."""
    first: int
    last: int


def place(lives: Sequence[Life]) -> tuple[list[int], int]:
    """Where in one arena each array begins, and how large the arena is; all in bytes.

    The largest come first, each at the lowest place where it overlaps no other that lives at the same time. (The
    greedy-by-size strategy of Pisarchyk and Lee, 2020)

    >>> place([Life(100, 0, 1), Life(64, 1, 2), Life(100, 2, 3)])
    ([0, 128, 0], 192)
    """
    starts = [0] * len(lives)
    placed: list[tuple[int, int, int, int]] = []  # where each begins and ends, and its life; in order of the beginnings
    total = 0
    for index in sorted(range(len(lives)), key=lambda i: (-lives[i].size, lives[i].first, i)):
        first, last = lives[index].first, lives[index].last
        size = -(-lives[index].size // ALIGNMENT) * ALIGNMENT
        start = 0
        for begin, end, others_first, others_last in placed:
            if others_first <= last and first <= others_last:
                if start + size <= begin:
                    break
                start = max(start, end)
        starts[index] = start
        insort(placed, (start, start + size, first, last))
        total = max(total, start + size)
    return starts, total


def give_memory_back() -> None:
    """Return to the system what is free; where the C library can."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None) if sys.platform == "linux" else None
    if trim is not None:
        trim(0)

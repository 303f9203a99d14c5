"""Exercises of chapter 13, sizes: write the functions, then ``pytest tutorials/exercises -m ch13``."""

from __future__ import annotations

from collections.abc import Callable


def chain(n: int, layers: list[tuple[int, int, int]]) -> list[int]:
    """The size behind each layer, for layers of ``(kernel, stride, padding)``."""
    raise NotImplementedError


def zeros_for(places: int, n: int, kernel: int, stride: int = 1, dilation: int = 1) -> int | None:
    """The smallest number of zeros, both ends together, with which there are so many places; ``None`` for none."""
    raise NotImplementedError


def refute(formula: Callable[[int, int, int, int, int], int]) -> tuple[int, int, int, int, int] | None:
    """A setting ``(n, kernel, stride, padding, dilation)`` where the formula is wrong, or ``None``."""
    raise NotImplementedError


def unseen(n: int, kernel: int, stride: int = 1, padding: int = 0, dilation: int = 1) -> list[int]:
    """The pixels that no place of the kernel looks at."""
    raise NotImplementedError

"""Images at another resolution as plain loops over single pixels. They share no code with the package."""

from __future__ import annotations

import math

import numpy as np


def bin_of(place: int, n: int, p: int) -> range:
    """The pixels that adaptive pooling gathers in one of ``p`` bins: every one that overlaps with the bin's stretch."""
    return range(math.floor(place * n / p + 1e-9), math.ceil((place + 1) * n / p - 1e-9))


def line(row: np.ndarray, p: int, rule: str, align_corners: bool = False) -> np.ndarray:
    """``(n,) -> (p,)``: ``"nearest"``, ``"linear"`` or ``"average"``."""
    n = len(row)
    result = np.zeros(p)
    for new in range(p):
        if rule == "average":
            result[new] = np.mean([row[old] for old in bin_of(new, n, p)])
        elif rule == "nearest":
            result[new] = row[math.floor(new * n / p + 1e-9)]
        else:
            at = (new * (n - 1) / (p - 1) if p > 1 else 0.0) if align_corners else (new + 0.5) * n / p - 0.5
            result[new] = sum(max(0.0, 1 - abs(min(max(at, 0), n - 1) - old)) * row[old] for old in range(n))
    return result


def resampled(x: np.ndarray, target: tuple[int, ...], rule: str, align_corners: bool = False) -> np.ndarray:
    """``(N, C, *S) -> (N, C, *target)``, one axis after the other."""
    x = x.astype(float)
    for axis, p in enumerate(target, start=2):
        if x.size:
            x = np.apply_along_axis(line, axis, x, p, rule, align_corners)
        else:
            x = np.zeros((*x.shape[:axis], p, *x.shape[axis + 1 :]))
    return x

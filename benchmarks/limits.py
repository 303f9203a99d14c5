"""What this machine can do at most, as NumPy reaches it: prints floating-point operations and bytes per second."""

from __future__ import annotations

import json
import time
from collections.abc import Callable

import numpy as np


def best(task: Callable[[], object], seconds: float = 0.3) -> float:
    """The shortest time that the task takes."""
    times = []
    finish = time.perf_counter() + seconds
    while time.perf_counter() < finish:
        begin = time.perf_counter()
        task()
        times.append(time.perf_counter() - begin)
    return min(times)


def main() -> None:
    """A matrix product of 1024x1024 numbers, and copying 64 MiB from memory to memory, read and written."""
    size = 1024
    a = np.random.default_rng(0).random((size, size), np.float32)
    product = np.empty_like(a)
    source = np.ones(2**24, np.float32)
    target = np.empty_like(source)
    operations = 2 * size**3 / best(lambda: np.matmul(a, a, out=product))
    moved = 2 * source.nbytes / best(lambda: np.copyto(target, source))
    print(json.dumps({"operations": operations, "bytes": moved}))


if __name__ == "__main__":
    main()

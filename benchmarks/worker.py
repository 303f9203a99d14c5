"""One framework with one net, in a process of its own: starts up, then does a turn for each line that it reads.

It is started by compare.py. What it answers is one line of JSON each time.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from nets import Task


def main() -> None:
    """Start up as the arguments say, answer with what that took, then take turns until the end is asked for."""
    framework, variant, net, mode, numbers, cores = sys.argv[1:]
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what a framework prints is not an answer

    def answer(content: dict[str, object]) -> None:
        print(json.dumps(content), file=answers, flush=True)

    keep_to(int(cores))
    try:
        task, training = start(answer, framework, variant, net, mode, Path(numbers))
        for line in sys.stdin:
            if line.strip() == "end":
                peak = peak_memory()
                task.reset()
                answer({"peak_bytes": peak, "again": numbers_of(task, training, task.step())})
                break
            seconds, most = line.split()
            answer(turn(task, float(seconds), int(most)))
    except Exception as error:  # whatever it is, it is the reason for leaving this one out
        kind = type(error).__name__
        text = " ".join(str(error).split())
        answer({"error": text if kind == "NotForThisError" else f"{kind}: {text}"[:300]})


def keep_to(cores: int) -> None:
    """Let this process see no more processors than it may use, where the system can do that."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:cores])


def start(
    answer: Callable[[dict[str, object]], None], framework: str, variant: str, net: str, mode: str, numbers: Path
) -> tuple[Task, bool]:
    """Import the framework, build the net, do the first three steps; say how long that took and what they gave.

    Returns what is to be done in turns, and whether that is training.
    """
    begin = time.perf_counter()
    module = importlib.import_module(f"frameworks.{framework}")
    imported = time.perf_counter()

    from nets import NETS, Case

    case = Case(NETS[net], mode == "train", numbers)
    loaded = time.perf_counter()
    task = module.make(case, variant)
    built = time.perf_counter()
    result = task.step()
    done = time.perf_counter()
    results = numbers_of(task, case.training, result)
    if case.training:
        results += [*numbers_of(task, True, task.step()), *numbers_of(task, True, task.step())]
    answer(
        {
            "version": module.VERSION,
            "seconds": {"import": imported - begin, "build": built - loaded, "first step": done - built},
            "results": results,
        }
    )
    return task, case.training


def numbers_of(task: Task, training: bool, result: object) -> list[float]:
    """What tells whether all compute the same: the loss of a step, or the outputs for the first sample."""
    array = task.read(result)
    return [float(array)] if training else [float(number) for number in array[0].ravel()]


def turn(task: Task, seconds: float, most: int) -> dict[str, object]:
    """Steps from the initial numbers on, at most so many and for so long, each but the first of them timed."""
    task.reset()
    task.step()  # brings the initial numbers to where they are computed with
    times: list[float] = []
    now = time.perf_counter()
    finish = now + seconds
    while len(times) < most and now < finish:
        begin = time.perf_counter()
        task.step()
        now = time.perf_counter()
        times.append(now - begin)
    return {"steps": len(times), "median": median(times), "best": min(times)}


def peak_memory() -> int:
    """The most memory that this process has held, in bytes."""
    status = Path("/proc/self/status")
    if status.exists():  # ru_maxrss would begin with the memory of the process that started this one
        for line in status.read_text(encoding="ascii").splitlines():
            if line.startswith("VmHWM:"):
                return 1024 * int(line.split()[1])
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else 1024 * peak


if __name__ == "__main__":
    main()

"""Times the same task in several frameworks, fairly: each in a process of its own, all in one interleaved run.

Machines drift: clocks change, neighbours come and go. So the processes take turns, round by round, and what is
reported is the ratio within a round. A worker is this package's benchmark script itself, started again with
``--worker NAME``; it sets its task up, then does one timed repetition for each line that it reads.
"""

from __future__ import annotations

import argparse
import random
import subprocess
import sys
import time
from collections.abc import Callable
from statistics import median

Task = Callable[[], object]


def main(title: str, workers: dict[str, Callable[[], Task]], baseline: str, repeat: int) -> None:
    """Run a benchmark script.

    Args:
        title: what is timed.
        workers: for each framework a function that imports it, sets the task up and returns it.
        baseline: the framework that the others are compared with.
        repeat: how often the task is done in one round.
    """
    parser = argparse.ArgumentParser(description=title)
    parser.add_argument("--rounds", type=int, default=30, help="how often the frameworks take turns (%(default)s)")
    parser.add_argument(
        "--python", action="append", default=[], metavar="NAME=PATH", help="the interpreter that has a framework"
    )
    parser.add_argument("--worker", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        _work(workers[options.worker], repeat)
        return

    interpreters = dict(each.split("=", 1) for each in options.python)
    running: dict[str, subprocess.Popen[str]] = {}
    for name in workers:
        command = [interpreters.get(name, sys.executable), sys.argv[0], "--worker", name]
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert process.stdout is not None
        answer = process.stdout.readline().strip()
        if answer == "ready":
            running[name] = process
        else:
            print(f"{name}: left out ({answer or 'it ended with an error'})")

    seconds: dict[str, list[float]] = {name: [] for name in running}
    order = list(running)
    shuffle = random.Random(0).shuffle
    for _ in range(options.rounds):
        shuffle(order)
        for name in order:
            seconds[name].append(_ask(running[name]))
    for process in running.values():
        assert process.stdin is not None
        process.stdin.close()
        process.wait()
    _report(title, seconds, baseline)


def _work(setup: Callable[[], Task], repeat: int) -> None:
    try:
        task = setup()
    except ImportError as error:
        print(error, flush=True)
        return
    for _ in range(3):
        task()
    print("ready", flush=True)
    for _ in sys.stdin:
        start = time.perf_counter()
        for _ in range(repeat):
            task()
        print((time.perf_counter() - start) / repeat, flush=True)


def _ask(process: subprocess.Popen[str]) -> float:
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write("go\n")
    process.stdin.flush()
    return float(process.stdout.readline())


def _report(title: str, seconds: dict[str, list[float]], baseline: str) -> None:
    print(title)
    print(f"{'':<16}{'median ms':>11}{'best ms':>10}   ratio to {baseline}: median (lowest to highest round)")
    for name, times in seconds.items():
        line = f"{name:<16}{1e3 * median(times):>11.3f}{1e3 * min(times):>10.3f}"
        if name != baseline and baseline in seconds:
            ratios = [mine / theirs for mine, theirs in zip(times, seconds[baseline], strict=True)]
            line += f"   {median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})"
        print(line)

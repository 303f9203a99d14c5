"""Compares tinygrad_cnn with other frameworks: the same nets, the same numbers, taking turns.

    python benchmarks/compare.py --python torch=../torch/bin/python --python jax=../jax/bin/python

runs every net in training and in inference with every framework that is there, and writes ``results.json``,
``results.md`` and ``results.svg``. Results of other nets that the folder holds already stay. See docs/benchmarks.md.
"""

from __future__ import annotations

import argparse
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from contestants import CONTESTANTS, OURS, PEERS
from harness import LeftOutError, Worker, interleave, same, say, summarise
from nets import NETS, work, write_numbers
from report import cell_text, read_results, write_report, write_results

HERE = Path(__file__).resolve().parent
MODES = ["train", "inference"]
TOLERANCES = {"train": 1e-3, "inference": 1e-4}
"""How far results may be from the baseline's. Adam moves each number by its rate at first, whatever the size of its
gradient: where that is nearly zero, rounding decides which way."""
IDENTITY = ("net", "mode", "batch", "threads", "busy")
"""What a cell of the results stands for; a new cell takes the place of the one that agrees in all of these."""


def main() -> None:
    options = parse()
    if options.report:
        write_report(read_results(options.report), options.out or options.report.parent)
        return
    out = options.out or Path("runs/benchmarks")
    results = read_results(out / "results.json") if (out / "results.json").exists() else {"cells": []}
    interpreters = dict(each.split("=", 1) for each in options.python)
    for name in options.nets:
        for mode in options.mode:
            for batch in options.batch or [NETS[name].batch]:
                cell = run_cell(name, mode, batch, options, interpreters)
                print(cell_text(cell), flush=True)
                others = [each for each in results["cells"] if any(each[key] != cell[key] for key in IDENTITY)]
                results = {"machine": machine(), "cells": [*others, cell]}
                write_results(results, out)
    write_report(results, out)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])  # type: ignore[union-attr]

    def names(allowed: list[str]) -> Any:
        def convert(text: str) -> list[str]:
            chosen = [each for each in text.split(",") if each]
            for each in chosen:
                if each not in allowed:
                    raise argparse.ArgumentTypeError(f"{each!r} is none of {', '.join(allowed)}")
            return chosen

        return convert

    parser.add_argument("--nets", type=names(list(NETS)), default=list(NETS), metavar="NAMES", help=", ".join(NETS))
    parser.add_argument("--mode", type=names(MODES), default=MODES, help="train, inference, or both")
    parser.add_argument("--ours", type=names(OURS), default=OURS, metavar="NAMES", help=", ".join(OURS))
    parser.add_argument("--peers", type=names(PEERS), default=PEERS, metavar="NAMES", help=", ".join(PEERS))
    parser.add_argument("--batch", type=int, nargs="+", metavar="N", help="other batch sizes than the nets' own")
    parser.add_argument("--baseline", default="torch", choices=list(CONTESTANTS), help="%(default)s")
    parser.add_argument("--rounds", type=int, default=15, help="how often the frameworks take turns (%(default)s)")
    parser.add_argument("--seconds", type=float, default=0.3, help="the length of a turn (%(default)s)")
    parser.add_argument("--steps", type=int, default=500, help="the most steps in a turn (%(default)s)")
    parser.add_argument(
        "--budget", type=float, default=60, help="seconds of turns after which one sits out (%(default)g)"
    )
    parser.add_argument(
        "--patience", type=float, default=300, help="the longest wait for an answer, in s (%(default)g)"
    )
    parser.add_argument("--threads", type=int, default=2, help="for every framework (%(default)s)")
    parser.add_argument("--busy", type=int, default=0, help="other processes that compute meanwhile (%(default)s)")
    parser.add_argument(
        "--python", action="append", default=[], metavar="NAME=PATH",
        help="the interpreter that has a framework: torch, jax, dezero, chainer, mygrad or autograd",
    )  # fmt: skip
    parser.add_argument("--out", type=Path, metavar="FOLDER", help="where results go (runs/benchmarks)")
    parser.add_argument("--report", type=Path, metavar="FILE.json", help="measure nothing; write table and plot anew")
    return parser.parse_args()


def run_cell(
    name: str, mode: str, batch: int, options: argparse.Namespace, interpreters: dict[str, str]
) -> dict[str, Any]:  # fmt: skip
    """One net in one mode with everybody. Raises ``SystemExit`` when nobody can take part."""
    net = NETS[name]
    title = f"{net.title}, {mode}, {batch}"
    workers: dict[str, Worker] = {}
    greetings: dict[str, Answer] = {}
    left_out: dict[str, str] = {}

    def leave_out(each: str, reason: object) -> None:
        left_out[each] = str(reason)
        say(f"  left out: {reason}")
        if each in workers:
            workers.pop(each).close()

    with tempfile.TemporaryDirectory() as folder:
        numbers = Path(folder, "numbers.npz")
        write_numbers(net, batch, numbers)
        try:
            for each in [*options.ours, *options.peers]:
                contestant = CONTESTANTS[each]
                say(f"{title}: starting {contestant.title}")
                threads = contestant.threads or options.threads
                command = [
                    interpreters.get(contestant.framework, sys.executable), str(HERE / "worker.py"),
                    contestant.framework, contestant.variant, name, mode, str(numbers), str(threads),
                ]  # fmt: skip
                environment = surroundings(threads, Path(folder, each))
                try:
                    workers[each], greetings[each] = start_up(command, environment, options.patience, contestant.caches)
                except LeftOutError as reason:
                    leave_out(each, reason)
            if not workers:
                raise SystemExit(f"{title}: nobody takes part")
            baseline = options.baseline if options.baseline in workers else next(iter(workers))
            for each, reason in disagreements(greetings, baseline, mode).items():
                leave_out(each, reason)
            say(f"{title}: {options.rounds} rounds")
            roof = limits(options.threads, Path(folder))
            with busy_processors(options.busy):
                question = f"{options.seconds} {options.steps}"
                turns, broken = interleave(workers, options.rounds, question, options.budget)
            ends: dict[str, Answer] = {}
            for each in turns:
                try:
                    ends[each] = workers[each].ask("end")
                    check_end(greetings[each], ends[each])
                except LeftOutError as reason:
                    broken[each] = str(reason)
            for each, reason in broken.items():
                leave_out(each, reason)
        finally:
            for worker in workers.values():
                worker.close()
    if not workers:
        raise SystemExit(f"{title}: nobody takes part")
    baseline = baseline if baseline in workers else next(iter(workers))
    summary = summarise({each: turns[each] for each in workers}, baseline)
    for each, entry in summary.items():
        greeting = greetings[each]
        entry["peak_bytes"] = max(ends[each]["peak_bytes"], greeting.get("peak_bytes", 0))
        entry |= {key: greeting[key] for key in ("version", "seconds", "seconds from cache") if key in greeting}
        entry["losses"] = greeting["results"] if mode == "train" else None
    return {
        "net": name,
        "mode": mode,
        "batch": batch,
        "threads": options.threads,
        "busy": options.busy,
        "baseline": baseline,
        "rounds": options.rounds,
        "measured": time.strftime("%Y-%m-%d"),
        "work": dict(zip(("multiply_adds", "bytes"), work(net, batch), strict=True)),
        "limits": roof,
        "contestants": summary,
        "left_out": left_out,
    }


Answer = dict[str, Any]


def start_up(
    command: list[str], environment: dict[str, str], patience: float, caches: bool
) -> tuple[Worker, Answer]:  # fmt: skip
    """A worker that is ready, and its greeting. Raises :class:`LeftOutError`."""
    worker = Worker(command, environment, patience)
    try:
        greeting = worker.ask()
        if caches:
            greeting["peak_bytes"] = worker.ask("end")["peak_bytes"]
            worker.close()
            worker = Worker(command, environment, patience)
            greeting["seconds from cache"] = worker.ask()["seconds"]
    except BaseException:
        worker.close()
        raise
    return worker, greeting


@contextmanager
def busy_processors(count: int) -> Iterator[None]:
    """So many other processes that compute all the time."""
    others = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(count)]
    try:
        yield
    finally:
        for other in others:
            other.kill()
            other.wait()


def limits(threads: int, folder: Path) -> Answer:
    """What the machine can do at most, as limits.py measures it."""
    worker = Worker([sys.executable, str(HERE / "limits.py")], surroundings(threads, folder), patience=60)
    try:
        return worker.ask()
    finally:
        worker.close()


def surroundings(threads: int, cache: Path) -> dict[str, str]:
    """The environment of a worker: so many threads for every library, and a cache folder of its own."""
    libraries = ("OMP", "OPENBLAS", "MKL", "NUMEXPR")
    inherited = {key: value for key, value in os.environ.items() if key != "PYTHONDONTWRITEBYTECODE"}
    return {
        **inherited,
        **{f"{library}_NUM_THREADS": f"{threads}" for library in libraries},
        "XDG_CACHE_HOME": f"{cache}",
        "TORCHINDUCTOR_CACHE_DIR": f"{cache / 'inductor'}",
        "PYTHONPATH": os.pathsep.join(filter(None, [str(HERE.parent), os.environ.get("PYTHONPATH")])),
    }


def disagreements(greetings: dict[str, Answer], baseline: str, mode: str) -> dict[str, str]:
    """Who computed something else than the baseline, and what."""
    different: dict[str, str] = {}
    for each, greeting in greetings.items():
        if not same(greeting["results"], greetings[baseline]["results"], TOLERANCES[mode]):
            own, expected = [
                " ".join(f"{number:.5g}" for number in greetings[name]["results"][:3]) for name in (each, baseline)
            ]
            different[each] = f"gave {own}, where {CONTESTANTS[baseline].title} gave {expected}"
    return different


def check_end(greeting: Answer, end: Answer) -> None:
    """Raise :class:`LeftOutError` for who could not go back to its beginning, and so did other work in its turns."""
    first = greeting["results"][: len(end["again"])]
    if not same(end["again"], first, TOLERANCES["inference"]):
        raise LeftOutError(f"gave {end['again'][0]:.5g} after its turns, where it began with {first[0]:.5g}")


def machine() -> dict[str, Any]:
    """What the results were measured on."""
    processor = platform.processor() or platform.machine()
    listing = Path("/proc/cpuinfo")
    if listing.exists():
        lines = listing.read_text(encoding="utf-8").splitlines()
        processor = next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), processor)
    return {
        "processor": processor,
        "cores": os.cpu_count(),
        "system": platform.system(),
        "python": platform.python_version(),
    }


if __name__ == "__main__":
    main()

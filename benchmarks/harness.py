"""Takes the times of several programs fairly: each in a process of its own, taking turns in one interleaved run.

Machines drift: clocks change, neighbours come and go. So the processes take turns, round by round, in an order that
changes, and programs are compared by their ratio within a round, or by the best that each of them did.
"""

from __future__ import annotations

import json
import random
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from statistics import median
from typing import Any


class LeftOutError(Exception):
    """A program cannot take part, or not any longer; the message is the reason."""


class Worker:
    """A process that answers lines with lines of JSON.

    The first answer comes unasked: it says that the process is ready. An answer with ``error`` means that it is not.
    """

    def __init__(self, command: Sequence[str], environment: Mapping[str, str], patience: float) -> None:
        self.patience = patience
        self.spent = 0.0
        self._complaints = tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace")  # noqa: SIM115
        try:
            self._process = subprocess.Popen(
                command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._complaints,
                text=True,
            )  # fmt: skip
        except OSError as error:
            self._complaints.close()
            raise LeftOutError(f"{command[0]} does not start: {error.strerror}") from error

    def ask(self, question: str = "") -> dict[str, Any]:
        """The answer to a question, or the first answer. Raises :class:`LeftOutError` when there is none."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        impatient = threading.Timer(self.patience, self._process.kill)
        impatient.start()
        begin = time.perf_counter()
        try:
            if question:
                self._process.stdin.write(question + "\n")
                self._process.stdin.flush()
            line = self._process.stdout.readline()
        except BrokenPipeError:
            line = ""
        finally:
            patient = impatient.is_alive()
            impatient.cancel()
            self.spent += time.perf_counter() - begin
        if not line:
            raise LeftOutError(self._last_words() if patient else f"no answer within {self.patience:g} s")
        answer: dict[str, Any] = json.loads(line)
        if "error" in answer:
            raise LeftOutError(answer["error"])
        return answer

    def _last_words(self) -> str:
        code = self._process.wait()
        self._complaints.seek(0)
        lines = self._complaints.read().strip().splitlines()
        return f"ended with code {code}" + (f": {lines[-1][:200]}" if lines else "")

    def close(self) -> None:
        """End the process: it is asked to, and killed when it does not listen."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with suppress(BrokenPipeError):
            self._process.stdin.close()
        try:
            self._process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process.stdout.close()
        self._complaints.close()


Turns = dict[str, list[dict[str, float] | None]]
"""For each program its turns, one for each round; ``None`` where it sat out."""


def interleave(
    workers: dict[str, Worker], rounds: int, question: str, budget: float
) -> tuple[Turns, dict[str, str]]:  # fmt: skip
    """Let the workers take turns.

    Args:
        workers: the processes by name; all have said that they are ready.
        rounds: how often each has its turn.
        question: what each is asked in its turn.
        budget: after so many seconds of turns a worker sits out the rounds that remain.

    Returns the turns, and the reasons of workers that broke down on the way.
    """
    turns: Turns = {name: [] for name in workers}
    broken: dict[str, str] = {}
    order = list(workers)
    shuffle = random.Random(0).shuffle
    for worker in workers.values():
        worker.spent = 0.0
    for number in range(rounds):
        shuffle(order)
        for name in order:
            sits_out = name in broken or workers[name].spent > budget
            try:
                turns[name].append(None if sits_out else workers[name].ask(question))
            except LeftOutError as reason:
                broken[name] = f"round {number + 1}: {reason}"
    return {name: turns[name] for name in workers if name not in broken}, broken


def summarise(turns: Turns, baseline: str) -> dict[str, dict[str, Any]]:
    """Median, best, and how the times compare with the baseline's: within the rounds, and best with best."""
    summary: dict[str, dict[str, Any]] = {}
    for name, own in turns.items():
        taken = [turn for turn in own if turn]
        entry: dict[str, Any] = {
            "median": median(turn["median"] for turn in taken),
            "best": min(turn["best"] for turn in taken),
            "rounds": len(taken),
            "steps": int(sum(turn["steps"] for turn in taken)),
        }
        if baseline in turns:
            pairs = [(mine, theirs) for mine, theirs in zip(own, turns[baseline], strict=True) if mine and theirs]
            ratios = [mine["median"] / theirs["median"] for mine, theirs in pairs]
            best = min(turn["best"] for turn in turns[baseline] if turn)
            entry["ratio"] = {"median": median(ratios), "lowest": min(ratios), "highest": max(ratios)}
            entry["best_ratio"] = entry["best"] / best
        summary[name] = entry
    return summary


def same(results: Sequence[float], reference: Sequence[float], tolerance: float) -> bool:
    """Whether two programs computed the same, up to a share of the largest number."""
    if len(results) != len(reference):
        return False
    size = max(abs(number) for number in reference)
    return all(abs(mine - theirs) <= tolerance * size for mine, theirs in zip(results, reference, strict=True))


def say(text: str) -> None:
    """Tell on the error stream how far things are."""
    print(text, file=sys.stderr, flush=True)

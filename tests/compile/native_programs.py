"""Small native programs, and what tests of them share."""

from __future__ import annotations

import os  # noqa: F401 - programs in processes of their own find all this here
import platform  # noqa: F401
import subprocess
import sys
import threading  # noqa: F401
import time  # noqa: F401
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tinygrad_cnn.compile.native import ir, machine, meeting, runtime  # noqa: F401 - for code in other processes
from tinygrad_cnn.compile.native.ir import I64, PTR

needs_threads = pytest.mark.skipif(sys.platform == "win32", reason="one thread on Windows")
RESULT = 8 * 64
"""Where :func:`sums` puts its result: behind 64 words, in words."""


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache of its own for every test."""
    monkeypatch.setenv("TINYGRAD_CNN_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def program(write: Callable[[ir.Function, ir.Value, ir.Value, ir.Value, ir.Value], None], more: str = "") -> str:
    """A module with a function ``step``: ``write`` gets the arena, its words, the thread and the segment."""
    step = ir.Function("step", [PTR, I64, I64], exported=True)
    arena, thread, segment = step.arguments
    write(step, arena, step.at(arena, runtime.HEADER, "i8"), thread, segment)
    return ir.module([step], more=meeting.BARRIER + more)


def sums(rounds: int = 1, nap: int = 0) -> str:
    """Each thread writes ``segment + thread`` into its own word; after a barrier thread 0 adds them to the result.

    Before that each sleeps for so many microseconds.
    """

    def write(f: ir.Function, arena: ir.Value, words: ir.Value, thread: ir.Value, segment: ir.Value) -> None:
        for _ in range(rounds):
            place = f.mul(thread, 8)
            f.store(f.value(f"add {segment}, {thread.text}", I64), words, place)
            if nap:
                f.value(f"call i32 @usleep(i32 {nap})", ir.Type("i32"))
            f.run("barrier", arena)

            def add_up() -> None:
                threads = f.value(f"call i64 @threads({arena})", I64)
                before = f.load(words, RESULT, I64)

                def one(index: ir.Int, carried: list[ir.Value]) -> list[ir.Value]:
                    return [f.value(f"add {carried[0]}, {f.load(words, f.mul(index, 8), I64).text}", I64)]

                (total,) = f.loop(0, threads, 1, one, [before])
                f.store(total, words, RESULT)

            f.when(f.compare("eq", thread, ir.constant(0, I64)), add_up)
            f.run("barrier", arena)

    return program(write, USLEEP if nap else "")


USLEEP = "" if "@usleep" in meeting.BARRIER else "\ndeclare i32 @usleep(i32)\n"


def total(threads: int, segment: int) -> int:
    return threads * segment + threads * (threads - 1) // 2


def words(arena: runtime.Arena) -> np.ndarray:
    return arena.memory.view(np.int64)


def in_a_process(code: str, timeout: float = 60) -> str:
    """Run code in a fresh Python, with what this file offers; returns what it prints."""
    begin = "from tests.compile.native_programs import *\n"
    command = [sys.executable, "-W", "ignore::DeprecationWarning", "-c", begin + code]
    done = subprocess.run(command, capture_output=True, text=True, timeout=timeout, check=False, cwd=Path.cwd())
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def target(triple: str) -> Any:
    """What writes instructions for another processor; the test is skipped where this llvmlite cannot."""
    import llvmlite.binding as llvm

    llvm.initialize_all_targets()
    llvm.initialize_all_asmprinters()
    try:
        return llvm.Target.from_triple(triple)
    except RuntimeError as error:
        pytest.skip(f"this llvmlite cannot write for {triple}: {error}")


def naps(microseconds: Callable[[ir.Function, ir.Value, ir.Value], ir.Value]) -> str:
    """A program whose threads do nothing but sleep; the result is the number of threads."""

    def write(f: ir.Function, arena: ir.Value, words: ir.Value, thread: ir.Value, segment: ir.Value) -> None:
        threads = f.value(f"call i64 @threads({arena})", I64)
        f.store(threads, words, RESULT)
        duration = f.convert("trunc", microseconds(f, thread, threads), "i32")
        f.value(f"call i32 @usleep({duration})", ir.Type("i32"))

    return program(write, USLEEP)

"""The runtime of native code: arenas, and threads that work on one step."""

from __future__ import annotations

import os
import platform
import sys
import threading
import time

import numpy as np
import pytest

from tinygrad_cnn.compile.native import ir, machine, meeting, runtime
from tinygrad_cnn.compile.native.ir import I64

from .native_programs import (
    RESULT,
    folder,
    in_a_process,
    naps,
    needs_threads,
    program,
    sums,
    target,
    total,
    words,
)

__all__ = ["folder"]


# Whether it can run


def test_why_not_names_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "llvmlite", None)
    assert "pip install 'tinygrad_cnn[fast]'" in machine.why_not()


def test_why_not_is_empty_where_llvmlite_is() -> None:
    pytest.importorskip(
        "llvmlite", reason="llvmlite is not installed: pip install 'tinygrad_cnn[fast]'", exc_type=ImportError
    )
    assert machine.why_not() == ""


# Arenas


@pytest.mark.parametrize(("nbytes", "alignment"), [(1, 4096), (100_000, 4096), (3 << 20, 2 << 20)])
def test_arena(nbytes: int, alignment: int) -> None:
    arena = runtime.Arena(nbytes)
    assert arena.address % alignment == 0
    assert arena.memory.shape == (nbytes,)
    assert arena.memory.dtype == np.uint8
    assert not arena.memory.any()
    assert arena.memory.ctypes.data == arena.address + runtime.HEADER
    assert runtime.HEADER % 4096 == 0


# Runs


@pytest.mark.native
@needs_threads
@pytest.mark.parametrize("threads", [1, 2, 3, 5])
def test_every_thread_takes_part(threads: int) -> None:
    binary, arena = machine.Binary(sums()), runtime.Arena(8192)
    expected = 0
    for segment in (0, 7, -3):
        runtime.run(binary.address("step"), arena, segment, threads)
        expected += total(threads, segment)
        assert words(arena)[RESULT] == expected


@pytest.mark.native
@needs_threads
@pytest.mark.parametrize("threads", [1, 2, 3])
def test_a_thousand_runs(threads: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """More threads than cores, some of them asleep, and a pause now and then: none is lost, none works twice."""
    monkeypatch.setattr(runtime._Pace, "LIMIT", 1e9)
    binary, arena = machine.Binary(sums(3)), runtime.Arena(8192)
    call = runtime.prepare(binary.address("step"), arena, threads)
    for segment in range(1000):
        call(segment)
        if segment % 100 == 0:
            time.sleep(0.005)
    assert words(arena)[RESULT] == 3 * sum(total(threads, segment) for segment in range(1000))


@pytest.mark.native
@needs_threads
def test_programs_with_different_numbers_of_threads_take_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runtime._Pace, "LIMIT", 1e9)
    binary = machine.Binary(sums())
    arenas = {threads: runtime.Arena(8192) for threads in (4, 1, 3, 2)}
    calls = [runtime.prepare(binary.address("step"), arena, threads) for threads, arena in arenas.items()]
    for segment in range(200):
        for call in calls:
            call(segment)
    for threads, arena in arenas.items():
        assert words(arena)[RESULT] == sum(total(threads, segment) for segment in range(200))


@pytest.mark.native
@needs_threads
def test_two_python_threads_run_two_programs(monkeypatch: pytest.MonkeyPatch) -> None:
    """One of them has the crew, the other runs alone; each result is that of some number of threads."""
    monkeypatch.setattr(runtime._Pace, "LIMIT", 1e9)
    binary = machine.Binary(sums(nap=100))
    end = time.monotonic() + 1
    seen: list[set[int]] = [set(), set()]
    wrong: list[int] = []

    def work(index: int) -> None:
        arena = runtime.Arena(8192)
        call = runtime.prepare(binary.address("step"), arena, 2)
        segment = 10
        while time.monotonic() < end:
            segment += 1
            words(arena)[RESULT] = 0
            call(segment)
            found = int(words(arena)[RESULT])
            threads = {total(1, segment): 1, total(2, segment): 2}.get(found)
            seen[index].add(threads) if threads else wrong.append(found)

    workers = [threading.Thread(target=work, args=(index,)) for index in range(2)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(timeout=30)
    assert not any(worker.is_alive() for worker in workers)
    assert not wrong
    assert seen[0] | seen[1] == {1, 2}


@pytest.mark.native
def test_denormals_are_zero_inside_and_come_back_outside() -> None:
    tiny = 71362  # 1e-40, written as bits, which nothing rounds

    def write(f: ir.Function, arena: ir.Value, words: ir.Value, thread: ir.Value, segment: ir.Value) -> None:
        kind = ir.Type("float")
        place = f.mul(thread, 16)
        number = f.load(words, 1024, kind)
        f.store(f.binary("fmul", number, f.load(words, 1025, kind)), words, place)

    binary, arena = machine.Binary(program(write)), runtime.Arena(8192)
    numbers = arena.memory.view(np.float32)
    for threads in (1, 2):
        numbers[:64], numbers[1025] = 1, 1
        numbers[1024:1025].view(np.int32)[:] = tiny
        runtime.run(binary.address("step"), arena, 0, threads)
        if platform.machine().lower() in ("x86_64", "amd64", "aarch64", "arm64"):
            ran = 1 if sys.platform == "win32" else threads
            assert numbers[0 : 16 * ran : 16].tolist() == [0] * ran
        assert (numbers[1024:1025] * numbers[1025]).view(np.int32).item() == tiny


# The number of threads


@pytest.fixture
def _short_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    """However little time the runs take, they are not more."""
    monkeypatch.setattr(runtime._Pace, "SHORTEST", 0)


def threads_over_time(text: str, runs: int) -> list[int]:
    binary, arena = machine.Binary(text), runtime.Arena(8192)
    call = runtime.prepare(binary.address("step"), arena, 2)
    found = []
    for _ in range(runs):
        call(0)
        found.append(int(words(arena)[RESULT]))
    return found


@pytest.mark.native
@needs_threads
@pytest.mark.usefixtures("_short_looks")
def test_a_program_that_is_faster_alone_runs_alone() -> None:
    """Its second thread takes long, as if it had no core. It is tried again from time to time."""
    pace = runtime._Pace

    def microseconds(f: ir.Function, thread: ir.Value, threads: ir.Value) -> ir.Value:
        return f.select(f.compare("eq", thread, ir.constant(0, I64)), ir.constant(100, I64), ir.constant(2000, I64))

    first, alone = pace.FIRST + pace.LOOK, pace.TRIAL + pace.PAUSE
    found = threads_over_time(naps(microseconds), first + alone + 2)
    assert found == [2] * first + [1] * alone + [2] * 2


@pytest.mark.native
@needs_threads
@pytest.mark.usefixtures("_short_looks")
def test_a_program_that_waits_but_is_faster_together_keeps_its_threads() -> None:
    """Together 3 and 1 ms, alone 6 ms: badly divided, but better than not at all."""
    pace = runtime._Pace

    def microseconds(f: ir.Function, thread: ir.Value, threads: ir.Value) -> ir.Value:
        together = f.select(
            f.compare("eq", thread, ir.constant(0, I64)), ir.constant(3000, I64), ir.constant(1000, I64)
        )
        return f.select(f.compare("eq", threads, ir.constant(1, I64)), ir.constant(6000, I64), together)

    first = pace.FIRST + pace.LOOK
    found = threads_over_time(naps(microseconds), first + pace.TRIAL + pace.PAUSE)
    assert found == [2] * first + [1] * pace.TRIAL + [2] * pace.PAUSE


@pytest.mark.usefixtures("_short_looks")
def test_the_pause_grows_and_starts_again() -> None:
    job = np.zeros(8, np.int64)
    pace = runtime._Pace(job, 4)
    assert job[meeting.JOB["runs"]] == pace.FIRST

    def after(cycles: int, waited: int) -> tuple[int, int]:
        job[meeting.JOB["cycles"]], job[meeting.JOB["waited"]] = cycles * int(job[meeting.JOB["runs"]]), waited
        pace.judge()
        return int(job[meeting.JOB["threads"]]), int(job[meeting.JOB["runs"]])

    assert after(100, 10**6) == (4, pace.LOOK)  # the first runs do not count
    pauses = []
    for _ in range(6):
        assert after(100, 10**6) == (1, pace.TRIAL)
        threads, pause = after(50, 0)
        assert threads == 1
        pauses.append(pause)
        assert after(50, 0) == (4, pace.LOOK)
    assert pauses == [48, 96, 192, 384, 768, 768]
    assert after(100, 10) == (4, pace.LOOK)
    assert after(100, 10**6) == (1, pace.TRIAL)
    assert after(200, 0) == (4, pace.PAUSE)


def test_short_programs_are_watched_for_longer() -> None:
    job = np.zeros(8, np.int64)
    pace = runtime._Pace(job, 2)
    begin = time.perf_counter()
    looks = 0
    while time.perf_counter() < begin + 0.2:
        until = time.perf_counter() + 20e-6 * int(job[meeting.JOB["runs"]])  # 20 us each
        while time.perf_counter() < until:
            pass
        job[meeting.JOB["cycles"]] = 1
        pace.judge()
        looks += 1
    assert 3 <= looks <= 25


# Processes


@pytest.mark.native
@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_forked_process_has_its_own_crew() -> None:
    printed = in_a_process(
        """
runtime._Pace.LIMIT = 1e9
binary, arena = machine.Binary(sums()), runtime.Arena(8192)
call = runtime.prepare(binary.address("step"), arena, 3)
for _ in range(100):
    call(5)
child = os.fork()
words(arena)[RESULT] = 0
for _ in range(100):
    call(5)
right = words(arena)[RESULT] == 100 * total(3, 5)
if child == 0:
    sys.exit(0 if right else 1)  # with all that happens at the end of a process
print(right, os.waitpid(child, 0)[1])
"""
    )
    assert printed == "True 0"


@pytest.mark.native
@needs_threads
@pytest.mark.parametrize("last", ["time.sleep(0.1)", "call(1)"], ids=["asleep", "spinning"])
def test_a_process_ends_with_workers(last: str) -> None:
    printed = in_a_process(
        f"""
import atexit
def tasks():
    return len(os.listdir("/proc/self/task")) if sys.platform == "linux" else 0
binary, arena = machine.Binary(sums()), runtime.Arena(8192)
call = runtime.prepare(binary.address("step"), arena, 3)
before = tasks()
call(1)
def later():
    soon = time.monotonic() - begin < 1
    while tasks() > before and time.monotonic() < begin + 5:  # the system still lists them for a moment
        time.sleep(0.001)
    print(with_workers - before, tasks() - before, soon)
with_workers = tasks()
leave = runtime._made[0].leave
atexit.unregister(leave)
atexit.register(later)
atexit.register(leave)  # as before, but later() comes after it
{last}
begin = time.monotonic()
"""
    )
    assert printed == ("2 0 True" if sys.platform == "linux" else "0 0 True")


@pytest.mark.native
@needs_threads
def test_a_process_ends_in_the_middle_of_a_run() -> None:
    """A thread that nobody waits for is inside of a run that takes far too long."""
    begin = time.monotonic()
    printed = in_a_process(
        """
text = naps(lambda f, thread, threads: ir.constant(50_000_000, I64))
binary, arena = machine.Binary(text), runtime.Arena(8192)
call = runtime.prepare(binary.address("step"), arena, 2)
threading.Thread(target=call, args=(0,), daemon=True).start()
while not words(arena)[RESULT]:
    time.sleep(0.001)
print(words(arena)[RESULT])
""",
        timeout=30,
    )
    assert printed == "2"
    assert time.monotonic() - begin < 30


@pytest.mark.native
@needs_threads
def test_a_run_after_the_workers_have_left_goes_with_one_thread() -> None:
    printed = in_a_process(
        """
binary, arena = machine.Binary(sums()), runtime.Arena(8192)
call = runtime.prepare(binary.address("step"), arena, 3)
call(5)
runtime._made[0].leave()
call(5)
print(words(arena)[RESULT] == total(3, 5) + total(1, 5))
"""
    )
    assert printed == "True"


@pytest.mark.native
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_workers_leave_signals_to_python() -> None:
    printed = in_a_process(
        """
import signal
before = set(os.listdir("/proc/self/task"))
runtime._crew().gather(3)
new = set(os.listdir("/proc/self/task")) - before
bits = [(signal.SIGINT, 1), (signal.SIGTERM, 1), (signal.SIGSEGV, 0)]
right, end = False, time.monotonic() + 5
while not right and time.monotonic() < end:  # a thread begins with everything blocked
    states = [Path(f"/proc/self/task/{task}/status").read_text() for task in new]
    masks = [int(state.split("SigBlk:")[1].split()[0], 16) for state in states]
    right = all(mask >> number - 1 & 1 == bit for mask in masks for number, bit in bits)
print(len(new), right)
print(signal.pthread_sigmask(signal.SIG_BLOCK, []))
"""
    )
    assert printed.splitlines() == ["2 True", "set()"]


@pytest.mark.native
@needs_threads
def test_threads_without_futex() -> None:
    """As on systems where a thread can only look again after a nap."""
    printed = in_a_process(
        """
meeting.BARRIER, runtime.CREW_TEXT = meeting.texts("darwin", platform.machine())
runtime._Pace.LIMIT = 1e9
binary, arena = machine.Binary(sums()), runtime.Arena(8192)
call = runtime.prepare(binary.address("step"), arena, 3)
for _ in range(200):
    call(5)
time.sleep(0.1)
call(5)
print("syscall" in runtime.CREW_TEXT, words(arena)[RESULT] == 201 * total(3, 5))
"""
    )
    assert printed == "False True"


@pytest.mark.native
@pytest.mark.parametrize(
    ("system", "triple", "words"),
    [
        ("linux", "aarch64-unknown-linux-gnu", {"isb": True, "fpcr": True, "cntvct": True, "usleep": False}),
        ("darwin", "arm64-apple-macosx14", {"isb": True, "fpcr": True, "usleep": True, "syscall": False}),
        ("win32", "x86_64-pc-windows-msvc", {"pause": True, "ldmxcsr": True, "usleep": False, "syscall": False}),
        ("linux", "riscv64-unknown-linux-gnu", {"usleep": True, "syscall": False}),
    ],
    ids=["linux-arm", "mac-arm", "windows-x86", "linux-riscv"],
)
def test_other_systems(system: str, triple: str, words: dict[str, bool]) -> None:
    """The text for them is right as far as LLVM can tell, and becomes the instructions that it should."""
    import llvmlite.binding as llvm

    other = target(triple)
    processor = triple.partition("-")[0].replace("x86_64", "AMD64")
    for text in meeting.texts(system, processor):
        module = llvm.parse_assembly(f'target triple = "{triple}"\n' + text, llvm.create_context())
        module.verify()
        assembly = other.create_target_machine(opt=2).emit_assembly(module).lower()
    for word, there in words.items():
        assert (word in assembly) == there, word

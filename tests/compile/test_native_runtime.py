"""The runtime of native code: machine code on disk, arenas, and threads that work on one step."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tinygrad_cnn.compile.native import ir, runtime
from tinygrad_cnn.compile.native.ir import I64, PTR

REASON = runtime.why_not()
needs_native = pytest.mark.skipif(bool(REASON), reason=REASON)
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
    return ir.module([step], more=runtime.BARRIER + more)


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


USLEEP = "" if "@usleep" in runtime.BARRIER else "\ndeclare i32 @usleep(i32)\n"


def total(threads: int, segment: int) -> int:
    return threads * segment + threads * (threads - 1) // 2


def words(arena: runtime.Arena) -> np.ndarray:
    return arena.memory.view(np.int64)


def in_a_process(code: str, timeout: float = 60) -> str:
    """Run code in a fresh Python, with what this file offers; returns what it prints."""
    begin = "from tests.compile.test_native_runtime import *\n"
    command = [sys.executable, "-W", "ignore::DeprecationWarning", "-c", begin + code]
    done = subprocess.run(command, capture_output=True, text=True, timeout=timeout, check=False, cwd=Path.cwd())
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


# Whether it can run


def test_why_not_names_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "llvmlite.binding", None)
    assert "pip install 'tinygrad_cnn[fast]'" in runtime.why_not()


def test_why_not_is_empty_where_llvmlite_is() -> None:
    pytest.importorskip(
        "llvmlite", reason="llvmlite is not installed: pip install 'tinygrad_cnn[fast]'", exc_type=ImportError
    )
    assert runtime.why_not() == ""


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


@needs_native
@needs_threads
@pytest.mark.parametrize("threads", [1, 2, 3, 5])
def test_every_thread_takes_part(threads: int) -> None:
    binary, arena = runtime.Binary(sums()), runtime.Arena(8192)
    expected = 0
    for segment in (0, 7, -3):
        runtime.run(binary.address("step"), arena, segment, threads)
        expected += total(threads, segment)
        assert words(arena)[RESULT] == expected


@needs_native
@needs_threads
@pytest.mark.parametrize("threads", [1, 2, 3])
def test_a_thousand_runs(threads: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """More threads than cores, some of them asleep, and a pause now and then: none is lost, none works twice."""
    monkeypatch.setattr(runtime._Pace, "LIMIT", 1e9)
    binary, arena = runtime.Binary(sums(3)), runtime.Arena(8192)
    call = runtime.prepare(binary.address("step"), arena, threads)
    for segment in range(1000):
        call(segment)
        if segment % 100 == 0:
            time.sleep(0.005)
    assert words(arena)[RESULT] == 3 * sum(total(threads, segment) for segment in range(1000))


@needs_native
@needs_threads
def test_programs_with_different_numbers_of_threads_take_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runtime._Pace, "LIMIT", 1e9)
    binary = runtime.Binary(sums())
    arenas = {threads: runtime.Arena(8192) for threads in (4, 1, 3, 2)}
    calls = [runtime.prepare(binary.address("step"), arena, threads) for threads, arena in arenas.items()]
    for segment in range(200):
        for call in calls:
            call(segment)
    for threads, arena in arenas.items():
        assert words(arena)[RESULT] == sum(total(threads, segment) for segment in range(200))


@needs_native
@needs_threads
def test_two_python_threads_run_two_programs(monkeypatch: pytest.MonkeyPatch) -> None:
    """One of them has the crew, the other runs alone; each result is that of some number of threads."""
    monkeypatch.setattr(runtime._Pace, "LIMIT", 1e9)
    binary = runtime.Binary(sums(nap=100))
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


@needs_native
def test_denormals_are_zero_inside_and_come_back_outside() -> None:
    tiny = 71362  # 1e-40, written as bits, which nothing rounds

    def write(f: ir.Function, arena: ir.Value, words: ir.Value, thread: ir.Value, segment: ir.Value) -> None:
        kind = ir.Type("float")
        place = f.mul(thread, 16)
        number = f.load(words, 1024, kind)
        f.store(f.binary("fmul", number, f.load(words, 1025, kind)), words, place)

    binary, arena = runtime.Binary(program(write)), runtime.Arena(8192)
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


def naps(microseconds: Callable[[ir.Function, ir.Value, ir.Value], ir.Value]) -> str:
    """A program whose threads do nothing but sleep; the result is the number of threads."""

    def write(f: ir.Function, arena: ir.Value, words: ir.Value, thread: ir.Value, segment: ir.Value) -> None:
        threads = f.value(f"call i64 @threads({arena})", I64)
        f.store(threads, words, RESULT)
        time = f.convert("trunc", microseconds(f, thread, threads), "i32")
        f.value(f"call i32 @usleep({time})", ir.Type("i32"))

    return program(write, USLEEP)


@pytest.fixture
def _short_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    """However little time the runs take, they are not more."""
    monkeypatch.setattr(runtime._Pace, "SHORTEST", 0)


def threads_over_time(text: str, runs: int) -> list[int]:
    binary, arena = runtime.Binary(text), runtime.Arena(8192)
    call = runtime.prepare(binary.address("step"), arena, 2)
    found = []
    for _ in range(runs):
        call(0)
        found.append(int(words(arena)[RESULT]))
    return found


@needs_native
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


@needs_native
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
    assert job[runtime.JOB["runs"]] == pace.FIRST

    def after(cycles: int, waited: int) -> tuple[int, int]:
        job[runtime.JOB["cycles"]], job[runtime.JOB["waited"]] = cycles * int(job[runtime.JOB["runs"]]), waited
        pace.judge()
        return int(job[runtime.JOB["threads"]]), int(job[runtime.JOB["runs"]])

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
        until = time.perf_counter() + 20e-6 * int(job[runtime.JOB["runs"]])  # 20 us each
        while time.perf_counter() < until:
            pass
        job[runtime.JOB["cycles"]] = 1
        pace.judge()
        looks += 1
    assert 3 <= looks <= 25


# Processes


@needs_native
@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_forked_process_has_its_own_crew() -> None:
    printed = in_a_process(
        """
runtime._Pace.LIMIT = 1e9
binary, arena = runtime.Binary(sums()), runtime.Arena(8192)
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


@needs_native
@needs_threads
@pytest.mark.parametrize("last", ["time.sleep(0.1)", "call(1)"], ids=["asleep", "spinning"])
def test_a_process_ends_with_workers(last: str) -> None:
    printed = in_a_process(
        f"""
import atexit
def tasks():
    return len(os.listdir("/proc/self/task")) if sys.platform == "linux" else 0
binary, arena = runtime.Binary(sums()), runtime.Arena(8192)
call = runtime.prepare(binary.address("step"), arena, 3)
before = tasks()
call(1)
def later():
    print(with_workers - before, tasks() - before, time.monotonic() - begin < 1)
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


@needs_native
@needs_threads
def test_a_process_ends_in_the_middle_of_a_run() -> None:
    """A thread that nobody waits for is inside of a run that takes far too long."""
    begin = time.monotonic()
    printed = in_a_process(
        """
text = naps(lambda f, thread, threads: ir.constant(50_000_000, I64))
binary, arena = runtime.Binary(text), runtime.Arena(8192)
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


@needs_native
@needs_threads
def test_a_run_after_the_workers_have_left_goes_with_one_thread() -> None:
    printed = in_a_process(
        """
binary, arena = runtime.Binary(sums()), runtime.Arena(8192)
call = runtime.prepare(binary.address("step"), arena, 3)
call(5)
runtime._made[0].leave()
call(5)
print(words(arena)[RESULT] == total(3, 5) + total(1, 5))
"""
    )
    assert printed == "True"


@needs_native
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


@needs_native
@needs_threads
def test_threads_without_futex() -> None:
    """As on systems where a thread can only look again after a nap."""
    printed = in_a_process(
        """
runtime.BARRIER, runtime._CREW_TEXT = runtime._texts("darwin", platform.machine())
runtime._Pace.LIMIT = 1e9
binary, arena = runtime.Binary(sums()), runtime.Arena(8192)
call = runtime.prepare(binary.address("step"), arena, 3)
for _ in range(200):
    call(5)
time.sleep(0.1)
call(5)
print("syscall" in runtime._CREW_TEXT, words(arena)[RESULT] == 201 * total(3, 5))
"""
    )
    assert printed == "False True"


@needs_native
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

    llvm.initialize_all_targets()
    llvm.initialize_all_asmprinters()
    try:
        target = llvm.Target.from_triple(triple)
    except RuntimeError as error:
        pytest.skip(f"this llvmlite cannot write for {triple}: {error}")
    processor = triple.partition("-")[0].replace("x86_64", "AMD64")
    for text in runtime._texts(system, processor):
        module = llvm.parse_assembly(f'target triple = "{triple}"\n' + text, llvm.create_context())
        module.verify()
        assembly = target.create_target_machine(opt=2).emit_assembly(module).lower()
    for word, there in words.items():
        assert (word in assembly) == there, word


# Machine code


@needs_native
def test_wrong_text_is_shown() -> None:
    with pytest.raises(RuntimeError, match=r"(?s)undefined value '%b'.*add i64 1, %b"):
        runtime.Binary("define void @f() {\n  %a = add i64 1, %b\n  ret void\n}")
    with pytest.raises(RuntimeError, match=r"(?s)dominate.*%x = add i64 1, 2"):
        runtime.Binary(
            "define void @f(i1 %c) {\nentry:\n  br i1 %c, label %a, label %b\na:\n  %x = add i64 1, 2\n  br label %b\n"
            "b:\n  %y = add i64 %x, 1\n  ret void\n}"
        )
    with pytest.raises(RuntimeError, match="no_such_function"):
        runtime.Binary(
            "declare void @no_such_function()\ndefine void @f() {\n  call void @no_such_function()\n  ret void\n}"
        )
    binary = runtime.Binary("define void @f() {\n  ret void\n}\ndefine internal void @g() {\n  ret void\n}")
    assert binary.address("f")
    with pytest.raises(RuntimeError, match=r"'g', only: f"):
        binary.address("g")


@needs_native
def test_code_for_another_processor() -> None:
    text = sums()
    other = runtime.Binary(text, cpu="nehalem") if platform.machine() == "x86_64" else runtime.Binary(text)
    arena = runtime.Arena(8192)
    runtime.run(other.address("step"), arena, 5, 1)
    assert words(arena)[RESULT] == 5
    assert runtime.Binary(text).cached == (platform.machine() != "x86_64")


def files(folder: Path) -> list[Path]:
    return sorted(folder.iterdir())


def answer(binary: runtime.Binary) -> int:
    arena = runtime.Arena(8192)
    runtime.run(binary.address("step"), arena, 5, 1)
    return int(words(arena)[RESULT])


@pytest.fixture
def _crew_first() -> None:
    """The crew has its code before the test looks at the cache."""
    runtime._crew()


@needs_native
@pytest.mark.usefixtures("_crew_first")
class TestCache:
    def test_second_time(self, folder: Path) -> None:
        first, second, other = runtime.Binary(sums()), runtime.Binary(sums()), runtime.Binary(sums(2))
        assert [first.cached, second.cached, other.cached] == [False, True, False]
        assert answer(first) == answer(second) == 5
        assert answer(other) == 10
        assert len(files(folder)) == 2
        assert {path.suffix for path in files(folder)} == {".code"}

    def test_another_process(self) -> None:
        code = "print(runtime.Binary(sums()).cached)"
        assert [in_a_process(code), in_a_process(code)] == ["False", "True"]

    @pytest.mark.parametrize("damage", ["flip", "cut", "empty", "longer"])
    def test_damaged_file(self, folder: Path, damage: str) -> None:
        runtime.Binary(sums())
        (path,) = files(folder)
        data = bytearray(path.read_bytes())
        if damage == "flip":
            data[len(data) // 2] ^= 1
        path.write_bytes({"flip": data, "cut": data[:-100], "empty": b"", "longer": data + b"x"}[damage])
        binary = runtime.Binary(sums())
        assert not binary.cached
        assert answer(binary) == 5
        assert runtime.Binary(sums()).cached

    def test_unwritable_folder(self, folder: Path) -> None:
        folder.write_text("a file where the folder should be")
        assert not runtime.Binary(sums()).cached
        assert answer(runtime.Binary(sums())) == 5

    @pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write anywhere")
    def test_folder_that_may_only_be_read(self, folder: Path) -> None:
        runtime.Binary(sums())
        folder.chmod(0o500)
        assert runtime.Binary(sums()).cached
        assert not runtime.Binary(sums(2)).cached
        folder.chmod(0o700)

    def test_no_home(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def lost() -> Path:
            raise RuntimeError("no home")

        monkeypatch.delenv("TINYGRAD_CNN_CACHE")
        monkeypatch.setattr(runtime.Path, "home", lost)
        assert runtime.cache_folder() is None
        assert answer(runtime.Binary(sums())) == 5

    def test_killed_writer(self, folder: Path) -> None:
        """What it left is not taken for code, and goes when it is old."""
        folder.mkdir()
        new, old, foreign = folder / "a.part", folder / "b.part", folder / "letter.txt"
        for path in (new, old, foreign):
            path.write_bytes(b"half of a file")
        os.utime(old, (1, 1))
        os.utime(foreign, (1, 1))
        assert not runtime.Binary(sums()).cached
        assert new.exists()
        assert foreign.exists()
        assert not old.exists()
        assert runtime.Binary(sums()).cached

    def test_a_failed_write_leaves_nothing(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        def full(*_: object) -> None:
            raise OSError("the disk is full")

        monkeypatch.setattr(runtime.os, "replace", full)
        assert answer(runtime.Binary(sums())) == 5
        assert files(folder) == []

    def test_the_oldest_go(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        made: list[Path] = []
        for rounds in (1, 2, 3, 4):
            if rounds == 4:
                runtime.Binary(sums(1))  # used now, so it is not old
                sizes = [path.stat().st_size for path in made]
                monkeypatch.setattr(runtime, "CACHE_LIMIT", sum(sizes) + sizes[0] // 2)
            runtime.Binary(sums(rounds))
            made += set(files(folder)) - set(made)
            os.utime(made[-1], (10**9 + rounds,) * 2)
        left = [made.index(path) + 1 for path in files(folder)]
        assert sorted(left) == [1, 3, 4]


@needs_native
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_closed_code_is_given_back() -> None:
    printed = in_a_process(
        """
def memory():
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGESIZE") / 2**20

def cycle(number):
    text = f"define void @f(ptr %p) {{\\n  store i64 {number}, ptr %p\\n  ret void\\n}}"
    binary = runtime.Binary(text)
    binary.address("f")
    binary.close()

for number in range(50):
    cycle(number)
before = memory()
for number in range(50, 250):
    cycle(number)
print(memory() - before)
"""
    )
    assert float(printed) < 3, "MiB for 200 modules"


@needs_native
def test_code_that_is_part_of_a_cycle() -> None:
    """Its parts are taken down in the right order, though Python finds them all at once."""
    printed = in_a_process(
        """
import gc
for number in range(100):
    binary = runtime.Binary(f"define i64 @f() {{\\n  ret i64 {number}\\n}}")
    binary.itself = [binary]
    del binary
    gc.collect()
print("through")
"""
    )
    assert printed == "through"

"""Running native code: text becomes machine code, memory is an arena, and a crew of threads works on one step.

A plan's module is text in LLVM's language. :class:`Binary` makes machine code of it, and keeps that on disk for the
next process. Its numbers live in an :class:`Arena`. What :func:`prepare` returns calls the module's function
``void step(ptr arena, i64 thread, i64 segment)`` once in every thread; inside, the threads meet at ``@barrier``.

There is one crew for the whole process. Its workers are threads that Python does not know: they never wait for the
interpreter's lock. Between two runs they look out for the next for a moment, then sleep. When the machine has no core
for them, a program is faster alone; :class:`_Pace` finds out and changes the number of threads.
"""

from __future__ import annotations

import atexit
import contextlib
import ctypes
import functools
import hashlib
import importlib
import os
import platform
import re
import signal
import sys
import tempfile
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path
from string import Template
from typing import Any

import numpy as np

from ...backend import Array

OPTIMISATION = 2
"""How hard LLVM tries to choose and order instructions. Nothing is rewritten before that."""
CACHE_LIMIT = 256 << 20
"""How many bytes the files of finished code may take together."""
SPINS = 4000
"""How often a thread looks before it goes to sleep. Waking a sleeper takes longer than most waits."""
HEADER = 4096
"""How many bytes at the start of every arena belong to the runtime."""
CAPACITY = 256
"""The most threads of a run."""
PAGE, LARGE_PAGE = 4096, 2 << 20


def why_not() -> str:
    """Why native code cannot run here, as a part of a sentence; empty if it can."""
    try:
        llvm = importlib.import_module("llvmlite.binding")
    except ImportError:
        return "llvmlite is not installed: pip install 'tinygrad_cnn[fast]'"
    if sys.maxsize < 2**32:
        return "native code needs a 64-bit Python"
    if llvm.llvm_version_info < (20,):
        return "this llvmlite is too old: pip install -U 'tinygrad_cnn[fast]'"
    try:
        llvm.check_jit_execution()
    except OSError as error:
        return f"this system does not let a program make code: {error.strerror}"
    return ""


@functools.cache
def _llvm() -> Any:
    llvm = importlib.import_module("llvmlite.binding")
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    return llvm


@functools.cache
def host_features() -> str:
    """What this processor can do, in LLVM's words: ``"+avx2,-avx512f,..."``."""
    return str(_llvm().get_host_cpu_features().flatten())


# Machine code


class Binary:
    """Machine code made from a module's text, or found on disk.

    Args:
        text: the module.
        cpu: LLVM's name of the processor; without it, the one that this process runs on.
        features: what the processor can do, where that differs from its name.

    Raises :class:`RuntimeError` with LLVM's message where the text is wrong.
    """

    def __init__(self, text: str, cpu: str | None = None, features: str | None = None) -> None:
        begin = time.perf_counter()
        llvm = _llvm()
        if features is None:
            features = "" if cpu else host_features()
        cpu = cpu or str(llvm.get_host_cpu_name())
        target = llvm.Target.from_default_triple()
        machine = target.create_target_machine(cpu=cpu, features=features, opt=OPTIMISATION, jit=True)
        self._engine = llvm.create_mcjit_compiler(llvm.parse_assembly("", llvm.create_context()), machine)
        # Python takes cycles apart in any order; the engine must go before what it is made of.
        self._end = weakref.finalize(self, self._engine.close)
        self._end.atexit = False  # a thread that nobody waits for may still be inside
        versions = (llvm.llvm_version_info, importlib.import_module("llvmlite").__version__, OPTIMISATION)
        path = _file(text, cpu, features, target.triple, *versions)
        code = _read(path)
        self.cached = code is not None
        """Whether the code was found on disk."""
        if code is None:
            code = _compile(llvm, text, machine)
            _write(path, code)
        self._names = set(re.findall(r"^define (?!internal |private )[^@\n]*@([\w.]+)\(", text, re.MULTILINE))
        self._engine.add_object_file(llvm.ObjectFileRef.from_data(code))
        self._engine.finalize_object()
        self.seconds = time.perf_counter() - begin
        """How long all this took."""

    def address(self, name: str) -> int:
        """Where an exported function begins."""
        if name not in self._names:
            raise RuntimeError(f"the module exports no function {name!r}, only: {', '.join(sorted(self._names))}")
        return int(self._engine.get_function_address(name))

    def close(self) -> None:
        """Give the memory back. No function of the module may be called from now on."""
        self._names.clear()
        self._end()

    def keep(self) -> None:
        """Leave the code in memory as long as the process lives."""
        self._end.detach()
        self._engine.detach()


def _compile(llvm: Any, text: str, machine: Any) -> bytes:
    try:
        module = llvm.parse_assembly(text, llvm.create_context())
        module.verify()
    except RuntimeError as error:
        raise RuntimeError(f"LLVM does not take the text of a module: {str(error).strip()}") from None
    for function in module.functions:  # LLVM ends the process where one is missing
        name = function.name
        if function.is_declaration and not name.startswith("llvm.") and llvm.address_of_symbol(name) is None:
            raise RuntimeError(f"the module calls a function that this process does not have: {name}")
    return bytes(machine.emit_object(module))


# Machine code on disk


def cache_folder() -> Path | None:
    """Where finished code is kept: ``$TINYGRAD_CNN_CACHE``, or a folder among the user's caches."""
    if chosen := os.environ.get("TINYGRAD_CNN_CACHE"):
        return Path(chosen)
    try:
        home = Path.home()
    except RuntimeError:
        return None
    if sys.platform == "win32":
        base = os.environ.get("LOCALAPPDATA") or home / "AppData" / "Local"
    elif sys.platform == "darwin":
        base = home / "Library" / "Caches"
    else:
        base = os.environ.get("XDG_CACHE_HOME") or home / ".cache"
    return Path(base) / "tinygrad_cnn" / "native"


def _file(*everything: object) -> Path | None:
    folder = cache_folder()
    if folder is None:
        return None
    return folder / (hashlib.sha256("\n".join(map(str, everything)).encode()).hexdigest() + ".code")


def _read(path: Path | None) -> bytes | None:
    """What was written, if all of it is there."""
    if path is None:
        return None
    try:
        data = path.read_bytes()
    except OSError:
        return None
    if hashlib.sha256(data[32:]).digest() != data[:32]:
        return None
    with contextlib.suppress(OSError):
        os.utime(path)  # files that were not used for the longest time are removed first
    return data[32:]


def _write(path: Path | None, code: bytes) -> None:
    """Write a file that is there as a whole or not at all. Where it cannot be written, the code is not kept."""
    if path is None:
        return
    with contextlib.suppress(OSError):
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(".part", dir=path.parent)
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(hashlib.sha256(code).digest() + code)
            os.replace(name, path)
        except BaseException:
            os.unlink(name)
            raise
        _tidy(path.parent)


def _tidy(folder: Path) -> None:
    """Remove what killed writers left behind, and the oldest files where there is too much."""
    found, total = [], 0
    for path in folder.iterdir():
        if path.suffix not in (".code", ".part"):
            continue
        with contextlib.suppress(FileNotFoundError):  # another process tidies, too
            about = path.stat()
            if path.suffix == ".part":
                if about.st_mtime < time.time() - 3600:
                    path.unlink()
                continue
            found.append((about.st_mtime, about.st_size, path))
            total += about.st_size
    for _, size, path in sorted(found):
        if total <= CACHE_LIMIT:
            break
        path.unlink(missing_ok=True)
        total -= size


# Memory


class Arena:
    """The memory of a plan: a header for the runtime, then zeros.

    Args:
        nbytes: how much behind the header.
    """

    def __init__(self, nbytes: int) -> None:
        whole = _aligned(HEADER + nbytes, LARGE_PAGE if HEADER + nbytes > LARGE_PAGE else PAGE)
        self.address = int(whole.ctypes.data)
        """Where the header begins. Native code counts from here."""
        self.memory: Array = whole[HEADER:]
        """The bytes behind the header."""


def _aligned(nbytes: int, alignment: int) -> Array:
    raw = np.zeros(nbytes + alignment, np.uint8)
    start = -raw.ctypes.data % alignment
    return raw[start : start + nbytes]


# What native code is made of: the text for one system and one processor

ARENA = {"crew": 0, "threads": 8}
"""What lies where in the header of an arena, in bytes."""
CREW = {
    "taken": 0,  # 1 while a run has the crew
    "count": 128,  # how many threads have arrived at the barrier
    "first": 136,  # when the first of them did; two that come together may both think so
    "waited": 144,  # cycles from the first arrival to the last, of all barriers
    "generation": 256,  # how many barriers there were
    "sleepers": 260,  # how many threads sleep there
    "function": 384,  # what the workers shall call, nothing to make them leave; and its arguments
    "arena": 392,
    "segment": 400,
    "workers": 408,
    "slots": 512,
}
"""What lies where in the memory of the crew. Words that different threads write are two cache lines apart."""
SLOT = {"command": 0, "sleepers": 4, "crew": 8, "thread": 16, "seen": 24, "bytes": 128}
"""What lies where in the slot of a worker, and how long it is. A run begins when its command changes."""
JOB = {"function": 0, "arena": 1, "threads": 2, "runs": 3, "cycles": 4, "waited": 5, "crew": 6}
"""What lies where in a prepared call, in words of 8 bytes. ``runs`` counts down to the next look at the waiting."""
FULL, SHORT = 1, 2
"""What ``run`` returns: 0, or that ``runs`` is used up, or that it did nothing because there are too few workers."""

_X86 = {
    "pause": "call void @llvm.x86.sse2.pause()",
    "clock": "%now = call i64 @llvm.readcyclecounter()",
    "declare": "declare void @llvm.x86.sse2.pause()\ndeclare i64 @llvm.readcyclecounter()",
    "declare_flush": "declare void @llvm.x86.sse.stmxcsr(ptr)\ndeclare void @llvm.x86.sse.ldmxcsr(ptr)",
    "flush": """\
  %place = alloca i32
  call void @llvm.x86.sse.stmxcsr(ptr %place)
  %word = load i32, ptr %place
  %new = or i32 %word, 32832
  store i32 %new, ptr %place
  call void @llvm.x86.sse.ldmxcsr(ptr %place)
  %old = zext i32 %word to i64""",
    "restore": """\
  %place = alloca i32
  %word = trunc i64 %old to i32
  store i32 %word, ptr %place
  call void @llvm.x86.sse.ldmxcsr(ptr %place)""",
}
_ARM = {
    "pause": "call void @llvm.aarch64.isb(i32 15)",
    "clock": "%now = call i64 @llvm.readcyclecounter()",
    "declare": "declare void @llvm.aarch64.isb(i32)\ndeclare i64 @llvm.readcyclecounter()",
    "declare_flush": "declare i64 @llvm.aarch64.get.fpcr()\ndeclare void @llvm.aarch64.set.fpcr(i64)",
    "flush": """\
  %old = call i64 @llvm.aarch64.get.fpcr()
  %new = or i64 %old, 16777216
  call void @llvm.aarch64.set.fpcr(i64 %new)""",
    "restore": "  call void @llvm.aarch64.set.fpcr(i64 %old)",
}
_OTHER = {
    "pause": "",
    "clock": "%now = add i64 0, 0",
    "declare": "",
    "declare_flush": "",
    "flush": "  %old = add i64 0, 0",
    "restore": "",
}
_FUTEX = """\
declare i64 @syscall(i64, ...)

define internal void @runtime.sleep(ptr %word, i32 %old, i32 %round) nounwind {
  %r = call i64 (i64, ...) @syscall(i64 $futex, ptr %word, i64 128, i32 %old, ptr null, ptr null, i64 0)
  ret void
}

define internal void @runtime.wake(ptr %word) nounwind {
  %r = call i64 (i64, ...) @syscall(i64 $futex, ptr %word, i64 129, i32 2147483647, ptr null, ptr null, i64 0)
  ret void
}
"""
_NAPS = """\
declare i32 @usleep(i32)

define internal void @runtime.sleep(ptr %word, i32 %old, i32 %round) nounwind {
  %longer = icmp ult i32 %round, 50
  %steps = select i1 %longer, i32 %round, i32 50
  %microseconds = mul i32 %steps, 20
  %r = call i32 @usleep(i32 %microseconds)
  ret void
}

define internal void @runtime.wake(ptr %word) nounwind {
  ret void
}
"""
_NOTHING = """\
define internal void @runtime.sleep(ptr %word, i32 %old, i32 %round) nounwind {
  ret void
}

define internal void @runtime.wake(ptr %word) nounwind {
  ret void
}
"""
_BARRIER = """\
$declare
$sleeping
define internal i64 @runtime.clock() nounwind {
  $clock
  ret i64 %now
}

define internal void @runtime.wait(ptr %word, i32 %old, ptr %sleepers) nounwind noinline {
entry:
  br label %look
look:
  %spins = phi i32 [ 0, %entry ], [ %more, %pause ]
  %seen = load atomic i32, ptr %word acquire, align 4
  %same = icmp eq i32 %seen, %old
  br i1 %same, label %again, label %done
again:
  %tired = icmp eq i32 %spins, $spins
  br i1 %tired, label %bed, label %pause
pause:
  $pause
  %more = add i32 %spins, 1
  br label %look
bed:
  %r0 = atomicrmw add ptr %sleepers, i32 1 seq_cst
  br label %sleep
sleep:
  %round = phi i32 [ 0, %bed ], [ %next, %sleep ]
  %next = add i32 %round, 1
  call void @runtime.sleep(ptr %word, i32 %old, i32 %round)
  %woken = load atomic i32, ptr %word seq_cst, align 4
  %still = icmp eq i32 %woken, %old
  br i1 %still, label %sleep, label %up
up:
  %r1 = atomicrmw sub ptr %sleepers, i32 1 seq_cst
  br label %done
done:
  ret void
}

define internal void @runtime.change(ptr %word, i32 %new, ptr %sleepers) nounwind noinline {
  %r = atomicrmw xchg ptr %word, i32 %new seq_cst
  %count = load atomic i32, ptr %sleepers seq_cst, align 4
  %none = icmp eq i32 %count, 0
  br i1 %none, label %done, label %wake
wake:
  call void @runtime.wake(ptr %word)
  br label %done
done:
  ret void
}

define internal i64 @threads(ptr %arena) nounwind {
  %place = getelementptr i8, ptr %arena, i64 $arena_threads
  %threads = load i64, ptr %place
  ret i64 %threads
}

define internal void @barrier(ptr %arena) nounwind noinline {
  %place = getelementptr i8, ptr %arena, i64 $arena_threads
  %threads = load i64, ptr %place
  %alone = icmp ult i64 %threads, 2
  br i1 %alone, label %done, label %meet
meet:
  %crew = load ptr, ptr %arena
  %count = getelementptr i8, ptr %crew, i64 $crew_count
  %generation = getelementptr i8, ptr %crew, i64 $crew_generation
  %sleepers = getelementptr i8, ptr %crew, i64 $crew_sleepers
  %all = trunc i64 %threads to i32
  %first_place = getelementptr i8, ptr %crew, i64 $crew_first
  %waited_place = getelementptr i8, ptr %crew, i64 $crew_waited
  %old = load atomic i32, ptr %generation acquire, align 4
  %now = call i64 @runtime.clock()
  %there = load atomic i32, ptr %count monotonic, align 4
  %nobody = icmp eq i32 %there, 0
  br i1 %nobody, label %note, label %arrive
note:
  store atomic i64 %now, ptr %first_place monotonic, align 8
  br label %arrive
arrive:
  %before = atomicrmw add ptr %count, i32 1 seq_cst
  %arrived = add i32 %before, 1
  %last = icmp eq i32 %arrived, %all
  br i1 %last, label %open, label %wait
open:
  %first = load atomic i64, ptr %first_place monotonic, align 8
  %time = sub i64 %now, %first
  %sum = load atomic i64, ptr %waited_place monotonic, align 8
  %total = add i64 %sum, %time
  store atomic i64 %total, ptr %waited_place monotonic, align 8
  store atomic i32 0, ptr %count release, align 4
  %new = add i32 %old, 1
  call void @runtime.change(ptr %generation, i32 %new, ptr %sleepers)
  br label %done
wait:
  call void @runtime.wait(ptr %generation, i32 %old, ptr %sleepers)
  br label %done
done:
  ret void
}
"""
_CREW = """\
$declare_flush

define internal i64 @flush() nounwind {
$flush
  ret i64 %old
}

define internal void @restore(i64 %old) nounwind {
$restore
  ret void
}

define internal void @command(ptr %crew, i64 %threads) nounwind {
entry:
  %slots = getelementptr i8, ptr %crew, i64 $crew_slots
  %some = icmp ugt i64 %threads, 1
  br i1 %some, label %next, label %done
next:
  %thread = phi i64 [ 1, %entry ], [ %more, %next ]
  %offset = mul i64 %thread, $slot_bytes
  %slot = getelementptr i8, ptr %slots, i64 %offset
  %sleepers = getelementptr i8, ptr %slot, i64 $slot_sleepers
  %old = load atomic i32, ptr %slot monotonic, align 4
  %new = add i32 %old, 1
  call void @runtime.change(ptr %slot, i32 %new, ptr %sleepers)
  %more = add i64 %thread, 1
  %again = icmp ult i64 %more, %threads
  br i1 %again, label %next, label %done
done:
  ret void
}

define ptr @worker(ptr %slot) nounwind {
entry:
  %crew_place = getelementptr i8, ptr %slot, i64 $slot_crew
  %crew = load ptr, ptr %crew_place
  %thread_place = getelementptr i8, ptr %slot, i64 $slot_thread
  %thread = load i64, ptr %thread_place
  %seen_place = getelementptr i8, ptr %slot, i64 $slot_seen
  %first = load i32, ptr %seen_place
  %sleepers = getelementptr i8, ptr %slot, i64 $slot_sleepers
  %function_place = getelementptr i8, ptr %crew, i64 $crew_function
  %arena_place = getelementptr i8, ptr %crew, i64 $crew_arena
  %segment_place = getelementptr i8, ptr %crew, i64 $crew_segment
  %r = call i64 @flush()
  br label %next
next:
  %seen = phi i32 [ %first, %entry ], [ %now, %work ]
  call void @runtime.wait(ptr %slot, i32 %seen, ptr %sleepers)
  %now = load atomic i32, ptr %slot acquire, align 4
  %function = load ptr, ptr %function_place
  %end = icmp eq ptr %function, null
  br i1 %end, label %leave, label %work
work:
  %arena = load ptr, ptr %arena_place
  %segment = load i64, ptr %segment_place
  call void %function(ptr %arena, i64 %thread, i64 %segment)
  call void @barrier(ptr %arena)
  br label %next
leave:
  ret ptr null
}

define i64 @run(ptr %job, i64 %segment) nounwind {
entry:
  %function = load ptr, ptr %job
  %arena_place = getelementptr i64, ptr %job, i64 $job_arena
  %arena = load ptr, ptr %arena_place
  %wanted_place = getelementptr i64, ptr %job, i64 $job_threads
  %wanted = load i64, ptr %wanted_place
  %crew_place = getelementptr i64, ptr %job, i64 $job_crew
  %crew = load ptr, ptr %crew_place
  %threads_place = getelementptr i8, ptr %arena, i64 $arena_threads
  %waited_place = getelementptr i8, ptr %crew, i64 $crew_waited
  store ptr %crew, ptr %arena
  %alone = icmp ult i64 %wanted, 2
  br i1 %alone, label %begin, label %gather
gather:
  %workers_place = getelementptr i8, ptr %crew, i64 $crew_workers
  %workers = load atomic i64, ptr %workers_place acquire, align 8
  %possible = add i64 %workers, 1
  %few = icmp ult i64 %possible, %wanted
  br i1 %few, label %short, label %take
short:
  ret i64 $short
take:
  %pair = cmpxchg ptr %crew, i32 0, i32 1 seq_cst seq_cst
  %got = extractvalue { i32, i1 } %pair, 1
  %granted = select i1 %got, i64 %wanted, i64 1
  br label %begin
begin:
  %threads = phi i64 [ 1, %entry ], [ %granted, %take ]
  store i64 %threads, ptr %threads_place
  %waited_before = load atomic i64, ptr %waited_place monotonic, align 8
  %start = call i64 @runtime.clock()
  %together = icmp ugt i64 %threads, 1
  br i1 %together, label %call_others, label %work
call_others:
  %f = getelementptr i8, ptr %crew, i64 $crew_function
  store ptr %function, ptr %f
  %a = getelementptr i8, ptr %crew, i64 $crew_arena
  store ptr %arena, ptr %a
  %s = getelementptr i8, ptr %crew, i64 $crew_segment
  store i64 %segment, ptr %s
  call void @command(ptr %crew, i64 %threads)
  br label %work
work:
  %old = call i64 @flush()
  call void %function(ptr %arena, i64 0, i64 %segment)
  call void @barrier(ptr %arena)
  call void @restore(i64 %old)
  %stop = call i64 @runtime.clock()
  %waited_after = load atomic i64, ptr %waited_place monotonic, align 8
  br i1 %together, label %release, label %account
release:
  store atomic i32 0, ptr %crew release, align 4
  br label %account
account:
  %counts = icmp eq i64 %threads, %wanted
  br i1 %counts, label %note, label %done
note:
  %time = sub i64 %stop, %start
  %cycles_place = getelementptr i64, ptr %job, i64 $job_cycles
  %cycles = load i64, ptr %cycles_place
  %cycles_now = add i64 %cycles, %time
  store i64 %cycles_now, ptr %cycles_place
  %wait = sub i64 %waited_after, %waited_before
  %wait_place = getelementptr i64, ptr %job, i64 $job_waited
  %waits = load i64, ptr %wait_place
  %waits_now = add i64 %waits, %wait
  store i64 %waits_now, ptr %wait_place
  %runs_place = getelementptr i64, ptr %job, i64 $job_runs
  %runs = load i64, ptr %runs_place
  %runs_now = sub i64 %runs, 1
  store i64 %runs_now, ptr %runs_place
  %full = icmp eq i64 %runs_now, 0
  br i1 %full, label %look, label %done
look:
  ret i64 $full
done:
  ret i64 0
}

define i64 @dismiss(ptr %crew) nounwind {
  %pair = cmpxchg ptr %crew, i32 0, i32 1 seq_cst seq_cst
  %got = extractvalue { i32, i1 } %pair, 1
  br i1 %got, label %send, label %busy
send:
  %function = getelementptr i8, ptr %crew, i64 $crew_function
  store ptr null, ptr %function
  %workers_place = getelementptr i8, ptr %crew, i64 $crew_workers
  %workers = load i64, ptr %workers_place
  store atomic i64 0, ptr %workers_place release, align 8
  %threads = add i64 %workers, 1
  call void @command(ptr %crew, i64 %threads)
  ret i64 1
busy:
  ret i64 0
}
"""


def _texts(system: str, processor: str) -> tuple[str, str]:
    """The text that each module contains, and that of the crew's own module."""
    x86, arm = processor.lower() in ("x86_64", "amd64"), processor.lower() in ("aarch64", "arm64")
    words = dict(_X86 if x86 else _ARM if arm else _OTHER)
    if system == "linux" and (x86 or arm):
        words["sleeping"] = Template(_FUTEX).substitute(futex=202 if x86 else 98)
    else:
        words["sleeping"] = _NOTHING if system == "win32" else _NAPS
    words |= {"spins": str(SPINS), "full": str(FULL), "short": str(SHORT)}
    for name, places in (("arena", ARENA), ("crew", CREW), ("slot", SLOT), ("job", JOB)):
        words |= {f"{name}_{key}": str(place) for key, place in places.items()}
    barrier = Template(_BARRIER).substitute(words)
    return barrier, barrier + "\n" + Template(_CREW).substitute(words)


BARRIER, _CREW_TEXT = _texts(sys.platform, platform.machine())
"""Text for every module whose functions run in several threads.

``call void @barrier(ptr %arena)`` waits until all threads of the run are there; ``call i64 @threads(ptr %arena)`` is
their number.
"""


# The crew


class _Crew:
    """The workers of this process, and the memory through which they are told what to do."""

    def __init__(self) -> None:
        binary = Binary(_CREW_TEXT)
        self._worker = binary.address("worker")
        self.run = ctypes.CFUNCTYPE(ctypes.c_int64, ctypes.c_int64, ctypes.c_int64)(binary.address("run"))
        self._dismiss = ctypes.CFUNCTYPE(ctypes.c_int64, ctypes.c_int64)(binary.address("dismiss"))
        binary.keep()
        self._memory = _aligned(CREW["slots"] + CAPACITY * SLOT["bytes"], PAGE)
        self.address = int(self._memory.ctypes.data)
        self._workers = self._memory[CREW["workers"] :][:8].view(np.int64)
        self._handles: list[ctypes.c_void_p] = []
        self._lock = threading.Lock()
        self._closed = False

    def gather(self, threads: int) -> int:
        """Have enough workers for a run with so many threads; returns how many it can have."""
        with self._lock, _no_signals():
            while not self._closed and self._workers[0] + 1 < threads and self._add():
                pass
            return min(threads, int(self._workers[0]) + 1)

    def _add(self) -> bool:
        number = int(self._workers[0]) + 1
        begin = CREW["slots"] + number * SLOT["bytes"]
        slot = self._memory[begin : begin + SLOT["bytes"]]
        slot[SLOT["seen"] :][:4] = slot[SLOT["command"] :][:4]
        slot[SLOT["crew"] :][:16].view(np.int64)[:] = self.address, number
        handle = ctypes.c_void_p()
        create = ctypes.CDLL(None).pthread_create
        place = ctypes.c_void_p(self.address + begin)
        if create(ctypes.byref(handle), None, ctypes.c_void_p(self._worker), place) != 0:
            return False
        self._handles.append(handle)
        self._workers[0] = number
        return True

    def leave(self) -> None:
        """Send the workers away. Where a run goes on in a thread that nobody waits for, they end with the process."""
        with self._lock:
            self._closed = True
            give_up = time.monotonic() + 1
            while not self._dismiss(self.address):
                if time.monotonic() > give_up:
                    return
                time.sleep(0.001)
            for handle in self._handles:
                ctypes.CDLL(None).pthread_join(handle, None)
            self._handles.clear()

    def forget(self) -> None:
        """In a new process after ``fork``: there are no workers, and nobody has the crew."""
        self._lock = threading.Lock()
        self._handles.clear()
        self._memory[:] = 0


@contextlib.contextmanager
def _no_signals() -> Iterator[None]:
    """Threads that are started inside leave signals such as Ctrl-C to Python's own threads."""
    if sys.platform == "win32":
        yield
        return
    faults = {signal.SIGABRT, signal.SIGBUS, signal.SIGFPE, signal.SIGILL, signal.SIGSEGV}
    before = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals() - faults)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


_making = threading.Lock()
_made: list[_Crew] = []


def _crew() -> _Crew:
    with _making:
        if not _made:
            crew = _Crew()
            atexit.register(crew.leave)
            if hasattr(os, "register_at_fork"):
                os.register_at_fork(after_in_child=crew.forget)
            _made.append(crew)
        return _made[0]


# Runs


class _Pace:
    """Finds out whether a program is faster with its threads or alone, from the time its runs take.

    Where threads wait for each other for more than :attr:`LIMIT` of the time, the program runs alone for a while:
    either other programs keep the cores busy, or its work cannot be divided better. The faster way is kept, and tried
    again later, the more seldom the longer this goes on.
    """

    LIMIT = 0.3
    FIRST, LOOK, TRIAL, PAUSE, LONGEST = 4, 24, 24, 48, 768
    """How many runs: until the first look, for a look at the waiting, alone, until the next look."""
    SHORTEST = 0.01
    """How many seconds a look lasts at least; the runs are as many more as it takes. Many a trouble is over by then."""

    def __init__(self, job: Array, threads: int) -> None:
        self.job, self.threads = job, threads
        self._pause, self._more = self.PAUSE, 1
        self._together = 0.0
        self._since = time.perf_counter()
        self._then: Callable[[float, float], None]
        self._go(threads, self.FIRST, self._look)

    def judge(self) -> None:
        """Decide how the next runs go. Called after as many as were decided the last time."""
        before, self._since = self._since, time.perf_counter()
        each = max((self._since - before) / self._runs, 1e-7)
        self._more = max(1, round(self.SHORTEST / (each * self.LOOK)))
        cycles = int(self.job[JOB["cycles"]])
        self._then(cycles / self._runs, int(self.job[JOB["waited"]]) / max(cycles, 1))

    def limit(self, threads: int) -> None:
        """There can be no more threads than so many."""
        self.threads = threads
        self._go(threads, self.FIRST if threads > 1 else 0, self._look)

    def _go(self, threads: int, runs: int, then: Callable[[float, float], None]) -> None:
        self._runs, self._then = runs * self._more, then
        self.job[JOB["threads"] : JOB["waited"] + 1] = threads, self._runs, 0, 0

    def _look(self, mean: float, waiting: float) -> None:
        self._go(self.threads, self.LOOK, self._decide)

    def _decide(self, mean: float, waiting: float) -> None:
        if waiting > self.LIMIT:
            self._together = mean
            self._go(1, self.TRIAL, self._compare)
        else:
            self._pause = self.PAUSE
            self._go(self.threads, self.LOOK, self._decide)

    def _compare(self, mean: float, waiting: float) -> None:
        self._go(1 if mean < self._together else self.threads, self._pause, self._look)
        self._pause = min(2 * self._pause, self.LONGEST)


def prepare(function_address: int, arena: Arena, threads: int) -> Callable[[int], None]:
    """A quick ``call(segment)``: it calls ``step(arena, thread, segment)`` in every thread, and waits for all of them.

    The caller is thread 0. Fewer threads take part while another run has the crew, or while the machine is busy, so the
    numbers must not depend on how many there are. Denormal numbers count as zero inside.

    One arena must not be in two runs at the same time, and the :class:`Binary` must be kept as long as this is called.
    """
    crew = _crew()
    threads = 1 if sys.platform == "win32" else max(1, min(threads, CAPACITY))
    job = _aligned(64, 64).view(np.int64)
    job[[JOB["function"], JOB["arena"], JOB["crew"]]] = function_address, arena.address, crew.address
    pace = _Pace(job, threads)
    if threads == 1:
        pace.limit(1)
    run, place = crew.run, int(job.ctypes.data)

    def attend(code: int, segment: int, _kept: Arena = arena) -> None:
        while code == SHORT:
            wanted = int(job[JOB["threads"]])
            if (possible := crew.gather(wanted)) < wanted:
                pace.limit(possible)
            code = run(place, segment)
        if code == FULL:
            pace.judge()

    def call(segment: int) -> None:
        if code := run(place, segment):
            attend(code, segment)

    return call


def run(function_address: int, arena: Arena, segment: int, threads: int) -> None:
    """Call ``step(arena, thread, segment)`` once in every thread. What :func:`prepare` returns is quicker in a loop."""
    prepare(function_address, arena, threads)(segment)

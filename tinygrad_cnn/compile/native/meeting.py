"""The text of what all modules share: how threads wait for each other, and how the workers of the crew take part.

It is written for one system and one kind of processor. :mod:`~tinygrad_cnn.compile.native.runtime` uses it.
"""

from __future__ import annotations

import platform
import sys
from string import Template

SPINS = 4000
"""How often a thread looks before it goes to sleep. Waking a sleeper takes longer than most waits."""

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


def texts(system: str, processor: str) -> tuple[str, str]:
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


BARRIER, CREW_TEXT = texts(sys.platform, platform.machine())
"""Text for every module whose functions run in several threads; and that of the crew's own module.

``call void @barrier(ptr %arena)`` waits until all threads of the run are there; ``call i64 @threads(ptr %arena)`` is
their number.
"""

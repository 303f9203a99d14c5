"""Text in LLVM's language becomes machine code, which is kept on disk for the next process."""

from __future__ import annotations

import atexit
import contextlib
import functools
import importlib
import json
import os
import pickle
import re
import subprocess
import sys
import threading
import time
import weakref
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from . import compiler
from .disk import file_about, read_file, write_file
from .objects import READS_OBJECTS, Engine, Loaded, Mapped


def why_not() -> str:
    """Why native code cannot run here, as a part of a sentence; empty if it can."""
    try:
        importlib.import_module("llvmlite")
        version = host().version
    except ImportError:
        return "llvmlite is not installed: pip install 'tinygrad_cnn[fast]'"
    except OSError as error:
        return f"llvmlite does not work: {error}"
    if sys.maxsize < 2**32:
        return "native code needs a 64-bit Python"
    if version < (20,):
        return "this llvmlite is too old: pip install -U 'tinygrad_cnn[fast]'"
    try:
        if READS_OBJECTS:
            Mapped([]).close()
        else:
            importlib.import_module("llvmlite.binding").check_jit_execution()
    except OSError as error:
        return f"this system does not let a program make code: {error.strerror}"
    return ""


# The processor


class Host(NamedTuple):
    """What LLVM says of this machine."""

    cpu: str
    features: str
    """What the processor can do: ``"+avx2,-avx512f,..."``."""
    triple: str
    """The kind of processor and system."""
    version: tuple[int, ...]
    """LLVM's own."""


@functools.cache
def host() -> Host:
    """This machine, as LLVM sees it. Where it was asked before, the answer is on disk."""
    if not READS_OBJECTS:
        return Host(*compiler.host())
    processor = _processor()
    package = importlib.import_module("llvmlite")
    path = file_about("host", processor, package.__version__, package.__file__) if processor else None
    if (known := read_file(path)) is not None:
        cpu, features, triple, version = json.loads(known)
        return Host(cpu, features, triple, tuple(version))
    found = Host(*_ask([("host", ())])[0])
    write_file(path, json.dumps(found).encode())
    return found


def _processor() -> str:
    """What Linux says of the first processor, apart from what changes: its speed at the moment."""
    try:
        first = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").split("\n\n", 1)[0]
    except OSError:
        return ""
    return "\n".join([line for line in first.splitlines() if not line.startswith(("cpu MHz", "bogomips"))])


def processor() -> str:
    """LLVM's name of this processor, and what it can do."""
    return f"{host().cpu} {host().features}"


def _named(cpu: str | None, features: str | None) -> tuple[str, str]:
    """A processor's name and what it can do; without a name, this one's."""
    if features is None:
        features = "" if cpu else host().features
    return cpu or host().cpu, features


def assembly(texts: Sequence[str], cpu: str | None = None) -> str:
    """The instructions that modules become, in the processor's own language."""
    return str(_ask([("assembly", (list(texts), *_named(cpu, None)))])[0])


# Machine code


class Binary:
    """Machine code made from the text of modules, or found on disk.

    Args:
        texts: the modules, which may call each other's functions. What is not on disk is compiled at the same time.
        cpu: LLVM's name of the processor; without it, the one that this process runs on.
        features: what the processor can do, where that differs from its name.

    Raises :class:`RuntimeError` with LLVM's message where the text is wrong.
    """

    def __init__(self, *texts: str, cpu: str | None = None, features: str | None = None) -> None:
        begin = time.perf_counter()
        self._cpu, self._features = _named(cpu, features)
        self._load(self._codes(texts, [self._file(text) for text in texts]))
        self.seconds = time.perf_counter() - begin
        """How long all this took."""

    @classmethod
    def remembered(
        cls, key: str, write: Callable[[], Sequence[str]], cpu: str | None = None, large: bool = False
    ) -> Binary:
        """The same, but where everything is on disk, the text is not written.

        Args:
            key: what the text depends on; nothing, where this is not known.
            write: gives the modules.
            cpu: LLVM's name of the processor.
            large: whether there will be two modules. Their compilers start while the text is written.
        """
        begin = time.perf_counter()
        self = cls.__new__(cls)
        self._cpu, self._features = _named(cpu, None)
        index = self._file("files of", key) if key else None
        names, *paths = (read_file(index) or b"").decode().split("\n")
        codes = [read_file(index.parent / path) for path in paths] if index is not None else []
        if codes and None not in codes:
            self.cached, self._names = True, set(names.split())
        else:
            expect(1 + large)
            texts = write()
            files = [self._file(text) for text in texts]
            codes = list(self._codes(texts, files))
            if None not in files:
                known = [" ".join(sorted(self._names)), *[file.name for file in files if file is not None]]
                write_file(index, "\n".join(known).encode())
        self._load([code for code in codes if code is not None])
        self.seconds = time.perf_counter() - begin
        return self

    def _file(self, *about: str) -> Path | None:
        versions = (host().version, importlib.import_module("llvmlite").__version__, compiler.OPTIMISATION)
        return file_about(*about, self._cpu, self._features, host().triple, *versions)

    def _codes(self, texts: Sequence[str], paths: Sequence[Path | None]) -> list[bytes]:
        """The code of each module, from disk or made now."""
        found = [read_file(path) for path in paths]
        missing = [number for number, code in enumerate(found) if code is None]
        self.cached = not missing
        """Whether all code was found on disk."""
        exports = r"^define (?!internal |private )[^@\n]*@([\w.]+)\("
        self._names = {name for text in texts for name in re.findall(exports, text, re.MULTILINE)}
        made = _ask([("compile_text", (texts[n], self._names, self._cpu, self._features)) for n in missing])
        for number, code in zip(missing, made, strict=True):
            found[number] = code
            write_file(paths[number], code)
        return [code for code in found if code is not None]

    def _load(self, codes: Sequence[bytes]) -> None:
        self._code: Loaded
        if READS_OBJECTS:
            self._code = Mapped(codes)
        else:
            self._code = Engine(codes, compiler.target_machine(self._cpu, self._features))
        # Python takes cycles apart in any order; LLVM's engine must go before what it is made of.
        self._end = weakref.finalize(self, self._code.close)
        self._end.atexit = False  # a thread that nobody waits for may still be inside

    def address(self, name: str) -> int:
        """Where an exported function begins."""
        if name not in self._names:
            raise RuntimeError(f"the module exports no function {name!r}, only: {', '.join(sorted(self._names))}")
        return self._code.address(name)

    def close(self) -> None:
        """Give the memory back. No function of the module may be called from now on."""
        self._names.clear()
        self._end()

    def keep(self) -> None:
        """Leave the code in memory as long as the process lives."""
        self._end.detach()
        self._code.detach()


# Processes that compile

Request = tuple[str, tuple[Any, ...]]
"""The name of one of the compiler's functions, and what it is called with."""


class _Compiler:
    """A process that answers the compiler's requests, one after the other. It ends when nobody asks for a while."""

    def __init__(self) -> None:
        where = Path(str(importlib.import_module("llvmlite").__file__)).parents[1]
        command = [sys.executable, "-I", "-S", compiler.__file__, str(where)]
        pipe, quiet = subprocess.PIPE, subprocess.DEVNULL
        no_window = getattr(subprocess, "CREATE_NO_WINDOW", 0)  # on Windows, for programs without a console
        self._process: subprocess.Popen[bytes] | None = None
        # Where Python is a part of another program, that program is no interpreter.
        if Path(sys.executable or "").name.lower().startswith(("python", "pypy")):
            with contextlib.suppress(OSError):
                self._process = subprocess.Popen(
                    command, stdin=pipe, stdout=pipe, stderr=quiet, creationflags=no_window
                )

    def send(self, request: Request) -> None:
        """Begin to answer."""
        if self._process is not None and self._process.stdin is not None:
            with contextlib.suppress(OSError):
                pickle.dump(request, self._process.stdin)
                self._process.stdin.flush()

    def receive(self) -> tuple[bool, Any] | None:
        """Whether it went well, and the result or what was wrong; nothing where there is no process."""
        if self._process is None or self._process.stdout is None:
            return None
        with contextlib.suppress(EOFError, pickle.UnpicklingError):
            answer: tuple[bool, Any] = pickle.load(self._process.stdout)
            return answer
        code = self._process.wait()
        if code < 0:
            return False, f"the process that compiles was ended by signal {-code}"
        return None

    @property
    def alive(self) -> bool:
        """Whether it may be asked again."""
        return self._process is not None and self._process.poll() is None

    def end(self) -> None:
        """Whatever it does is not needed."""
        if self._process is not None:
            self._process.kill()
            for pipe in (self._process.stdin, self._process.stdout):
                with contextlib.suppress(OSError):
                    pipe.close()  # type: ignore[union-attr]
            self._process.wait()

    def disown(self) -> None:
        """It is no child of this process."""
        if self._process is not None:
            self._process.returncode = 0


_lock = threading.Lock()
_idle: list[_Compiler] = []
"""Compilers that nobody asks at the moment."""


def _start(count: int) -> None:
    """Have so many idle compilers, as far as there are cores for them. Called with the lock held."""
    for each in [each for each in _idle if not each.alive]:
        _idle.remove(each)
        each.end()
    _idle.extend([_Compiler() for _ in range(min(count, os.cpu_count() or 1) - len(_idle))])


def expect(modules: int) -> None:
    """Let compilers start for so many modules, which will come soon."""
    with _lock:
        _start(modules)


def _ask(requests: Sequence[Request]) -> list[Any]:
    """The results, which several processes find at the same time; where none can be started, this one finds them.

    Raises :class:`RuntimeError` with what was wrong.
    """
    if not requests:
        return []
    with _lock:
        _start(len(requests))
        mine, _idle[:] = _idle[: len(requests)], _idle[len(requests) :]
    answers: list[tuple[bool, Any] | None] = []
    try:
        while len(answers) < len(requests):
            pairs = list(zip(mine, requests[len(answers) :], strict=False))
            for each, request in pairs:
                each.send(request)
            answers += [each.receive() for each, _ in pairs]
    except BaseException:  # half of an answer may be under way
        for each in mine:
            each.end()
        raise
    with _lock:
        _idle.extend(mine)
    results = []
    for request, answer in zip(requests, answers, strict=True):
        well, result = answer or _ask_anew(request)
        if not well:
            raise RuntimeError(result)
        results.append(result)
    return results


def _ask_anew(request: Request) -> tuple[bool, Any]:
    """Ask a new process, for the other ended just when it was asked; or do the work here."""
    another = _Compiler()
    another.send(request)
    answer = another.receive()
    another.end()
    name, arguments = request
    return answer or (True, compiler.REQUESTS[name](*arguments))  # type: ignore[operator]


def _leave() -> None:
    """At the end of this process."""
    for each in _idle:
        each.end()


def _forget() -> None:
    """In a new process after ``fork``: the compilers are those of the other."""
    global _lock  # noqa: PLW0603 - another thread of the other process may have held it
    _lock = threading.Lock()
    for each in _idle:
        each.disown()
    _idle.clear()


atexit.register(_leave)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)

"""Text in LLVM's language becomes machine code, which is kept on disk for the next process."""

from __future__ import annotations

import contextlib
import ctypes
import functools
import hashlib
import importlib
import os
import re
import subprocess
import sys
import tempfile
import time
import weakref
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

OPTIMISATION = 1
"""How hard LLVM tries to choose and order instructions. Nothing is rewritten before that."""
CACHE_LIMIT = 256 << 20
"""How many bytes the files of finished code may take together."""


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


def processor() -> str:
    """LLVM's name of this processor, and what it can do."""
    return f"{_llvm().get_host_cpu_name()} {host_features()}"


def _target_machine(cpu: str | None, features: str | None) -> tuple[Any, str, str]:
    """LLVM's machine for a processor, the processor's name, and what it can do."""
    llvm = _llvm()
    if features is None:
        features = "" if cpu else host_features()
    cpu = cpu or str(llvm.get_host_cpu_name())
    target = llvm.Target.from_default_triple()
    return target.create_target_machine(cpu=cpu, features=features, opt=OPTIMISATION, jit=True), cpu, features


def assembly(texts: Sequence[str], cpu: str | None = None) -> str:
    """The instructions that modules become, in the processor's own language."""
    llvm, (machine, _, _) = _llvm(), _target_machine(cpu, None)
    modules = [llvm.parse_assembly(text, llvm.create_context()) for text in texts]
    return "\n".join([str(machine.emit_assembly(module)) for module in modules])


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
        self._open(cpu, features)
        self._add(self._codes(texts, [self._file(text) for text in texts]))
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
            large: whether there will be two modules: then the other process starts while the text is written.
        """
        begin = time.perf_counter()
        self = cls.__new__(cls)
        self._open(cpu, None)
        index = self._file("files of", key) if key else None
        names, *paths = (read_file(index) or b"").decode().split("\n")
        codes = [read_file(index.parent / path) for path in paths] if index is not None else []
        if codes and None not in codes:
            self.cached, self._names = True, set(names.split())
        else:
            helper = _Helper(self._cpu, self._features) if large else None
            try:
                texts = write()
                files = [self._file(text) for text in texts]
                codes = list(self._codes(texts, files, helper))
            finally:
                if helper is not None:
                    helper.leave()
            if None not in files:
                known = [" ".join(sorted(self._names)), *[file.name for file in files if file is not None]]
                write_file(index, "\n".join(known).encode())
        self._add([code for code in codes if code is not None])
        self.seconds = time.perf_counter() - begin
        return self

    def _open(self, cpu: str | None, features: str | None) -> None:
        llvm = _llvm()
        self._machine, self._cpu, self._features = _target_machine(cpu, features)
        self._engine = llvm.create_mcjit_compiler(llvm.parse_assembly("", llvm.create_context()), self._machine)
        # Python takes cycles apart in any order; the engine must go before what it is made of.
        self._end = weakref.finalize(self, self._engine.close)
        self._end.atexit = False  # a thread that nobody waits for may still be inside

    def _file(self, *about: str) -> Path | None:
        llvm = _llvm()
        versions = (llvm.llvm_version_info, importlib.import_module("llvmlite").__version__, OPTIMISATION)
        return _file(*about, self._cpu, self._features, self._machine.triple, *versions)

    def _codes(self, texts: Sequence[str], paths: Sequence[Path | None], helper: _Helper | None = None) -> list[bytes]:
        """The code of each module, from disk or made now."""
        found = [read_file(path) for path in paths]
        missing = [number for number, code in enumerate(found) if code is None]
        self.cached = not missing
        """Whether all code was found on disk."""
        exports = r"^define (?!internal |private )[^@\n]*@([\w.]+)\("
        self._names = {name for text in texts for name in re.findall(exports, text, re.MULTILINE)}
        new = [texts[number] for number in missing]
        made = _compile_all(new, self._names, self._machine, self._cpu, self._features, helper)
        for number, code in zip(missing, made, strict=True):
            found[number] = code
            write_file(paths[number], code)
        return [code for code in found if code is not None]

    def _add(self, codes: Sequence[bytes]) -> None:
        for code in codes:
            self._engine.add_object_file(_llvm().ObjectFileRef.from_data(code))
        self._engine.finalize_object()

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


_HELPER = """
import sys
import llvmlite.binding as llvm
cpu, features, optimisation = sys.argv[1:]
llvm.initialize_native_target()
llvm.initialize_native_asmprinter()
target = llvm.Target.from_default_triple()
machine = target.create_target_machine(cpu=cpu, features=features, opt=int(optimisation), jit=True)
module = llvm.parse_assembly(sys.stdin.read(), llvm.create_context())
sys.stdout.buffer.write(machine.emit_object(module))
"""
"""What the other process does."""


class _Helper:
    """Another process that compiles a module: llvmlite lets only one thread of a process compile."""

    def __init__(self, cpu: str, features: str) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        if (os.cpu_count() or 1) > 1 and sys.executable:
            command, pipe = [sys.executable, "-c", _HELPER, cpu, features, str(OPTIMISATION)], subprocess.PIPE
            with contextlib.suppress(OSError):
                self._process = subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=subprocess.DEVNULL)

    def begin(self, text: str) -> None:
        """Compile this."""
        if self._process is not None and self._process.stdin is not None:
            with contextlib.suppress(OSError), self._process.stdin as into:
                into.write(text.encode())
            self._process.stdin = None  # for communicate()

    def finish(self) -> bytes:
        """The code; nothing, where that has failed."""
        if self._process is None:
            return b""
        code = self._process.communicate()[0]
        return code if self._process.returncode == 0 else b""

    def leave(self) -> None:
        """Whatever it does is not needed."""
        if self._process is not None and self._process.poll() is None:
            self._process.kill()
            self._process.communicate()


def _compile_all(
    texts: Sequence[str], own: set[str], machine: Any, cpu: str, features: str, helper: _Helper | None
) -> list[bytes]:
    """The code of each text. All but the first are compiled by other processes, where there are cores for them."""
    others = [helper if helper and not number else _Helper(cpu, features) for number in range(len(texts) - 1)]
    for text, each in zip(texts[1:], others, strict=True):
        each.begin(text)
    made = [_compile(text, own, machine) for text in texts[:1]]
    for text, each in zip(texts[1:], others, strict=True):
        made.append(each.finish() or _compile(text, own, machine))  # here, where it says what is wrong
    return made


def give_memory_back() -> None:
    """Return to the system what is free; where the C library can."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None) if sys.platform == "linux" else None
    if trim is not None:
        trim(0)


def _compile(text: str, own: set[str], machine: Any) -> bytes:
    """The code of one text, which may call the functions of its own program."""
    llvm = _llvm()
    try:
        module = llvm.parse_assembly(text, llvm.create_context())
        module.verify()
    except RuntimeError as error:
        raise RuntimeError(f"LLVM does not take the text of a module: {str(error).strip()}") from None
    for function in module.functions:  # LLVM ends the process where one is missing
        name = function.name
        here = not function.is_declaration or name in own or name.startswith("llvm.")
        if not here and llvm.address_of_symbol(name) is None:
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


def read_file(path: Path | None) -> bytes | None:
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


def write_file(path: Path | None, data: bytes) -> None:
    """Write a file that is there as a whole or not at all. Where it cannot be written, nothing is kept."""
    if path is None:
        return
    with contextlib.suppress(OSError):
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(".part", dir=path.parent)
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(hashlib.sha256(data).digest() + data)
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

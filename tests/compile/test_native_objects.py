"""Object files in memory, and the processes that make them."""

from __future__ import annotations

import ctypes
import os
import signal
import struct
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tinygrad_cnn.compile.native import compiler, machine, objects

from .native_programs import folder, in_a_process

__all__ = ["folder"]

needs_reader = pytest.mark.skipif(not objects.READS_OBJECTS, reason="LLVM brings code into memory here")

ROOTS = """\
declare double @pow(double, double)
declare double @twice(double)
@factors = private constant [4 x double] [double 1.0, double 2.0, double 4.0, double 8.0]

define double @root(double %x, i64 %n) {
  %place = getelementptr double, ptr @factors, i64 %n
  %factor = load double, ptr %place
  %root = call double @pow(double %x, double 0.5)
  %product = fmul double %root, %factor
  %result = call double @twice(double %product)
  ret double %result
}
"""
TWICE = """\
@calls = internal global i64 0

define double @twice(double %x) {
  %y = fmul double %x, 2.0
  ret double %y
}
"""


def code(text: str, *own: str) -> bytes:
    return bytes(machine._ask([("compile_text", (text, set(own), machine.host().cpu, machine.host().features))])[0])


def root(loaded: objects.Loaded) -> Callable[[float, int], float]:
    return ctypes.CFUNCTYPE(ctypes.c_double, ctypes.c_double, ctypes.c_int64)(loaded.address("root"))


@pytest.fixture
def _no_compilers() -> Iterator[None]:
    """Processes that compile are new inside of the test, and gone after it."""
    machine._leave()
    yield
    machine._leave()


@pytest.mark.native
@needs_reader
class TestMapped:
    def test_what_llvm_does(self) -> None:
        """Calls between files and into the C library, and constants."""
        codes = [code(ROOTS, "twice"), code(TWICE)]
        host = machine.host()
        engine = objects.Engine(codes, compiler.target_machine(host.cpu, host.features))
        mapped = objects.Mapped(codes)
        for place, factor in enumerate([1, 2, 4, 8]):
            assert root(mapped)(9.0, place) == root(engine)(9.0, place) == 6.0 * factor
        mapped.close()
        engine.close()

    def test_a_function_that_nobody_has(self) -> None:
        with pytest.raises(RuntimeError, match="does not have: twice"):
            objects.Mapped([code(ROOTS, "twice")])

    def test_another_kind_of_address(self) -> None:
        data = bytearray(code(ROOTS, "twice"))
        section = next(each for each in objects._ObjectFile(bytes(data)).sections if each.kind == objects.ADDRESSES)
        symbol = struct.unpack_from("<Q", data, section.offset + 8)[0] >> 32 << 32
        struct.pack_into("<Q", data, section.offset + 8, symbol | 2)
        with pytest.raises(RuntimeError, match="address of kind 2"):
            objects.Mapped([bytes(data), code(TWICE)])

    def test_something_else(self) -> None:
        with pytest.raises(RuntimeError, match="no object file"):
            objects.Mapped([b"#!/bin/sh" + bytes(100)])

    def test_code_cannot_be_written(self) -> None:
        """A page may be written or run, not both."""
        mapped = objects.Mapped([code(TWICE)])
        start = mapped.address("twice")
        lines = [line.split() for line in Path("/proc/self/maps").read_text().splitlines()]
        rights = [
            words[1] for words in lines if int(words[0].split("-")[0], 16) <= start < int(words[0].split("-")[1], 16)
        ]
        assert rights == ["r-xp"]
        mapped.close()


@pytest.mark.native
@needs_reader
def test_a_process_that_runs_native_code_does_not_load_llvm() -> None:
    printed = in_a_process("""
import numpy as np
import tinygrad_cnn as tg
f = tg.compile(lambda x: (x.exp() * 2).sum(1), executor="native")
f(tg.Tensor(np.ones((20, 5), "float32")))
print(f.plan.executor, "llvmlite.binding" in sys.modules)
""")
    assert printed == "native False"


@pytest.mark.native
@needs_reader
def test_what_is_on_disk_needs_no_other_process() -> None:
    program = """
import numpy as np
import tinygrad_cnn as tg

class NoProcess:
    def __init__(self, *_, **__):
        raise RuntimeError("a process was started")

if {strict}:
    subprocess.Popen = NoProcess
f = tg.compile(lambda x: (x.exp() * 3).sum(1), executor="native")
print(f(tg.Tensor(np.zeros((20, 5), "float32"))).numpy()[0])
"""
    assert in_a_process(program.format(strict=False)) == "15.0"
    assert in_a_process(program.format(strict=True)) == "15.0"


@pytest.mark.native
@pytest.mark.usefixtures("_no_compilers")
class TestCompilers:
    def test_one_is_asked_again(self) -> None:
        machine._ask([("host", ())])
        (first,) = machine._idle
        machine._ask([("host", ())])
        assert machine._idle == [first]

    def test_wrong_text_does_not_end_it(self) -> None:
        with pytest.raises(RuntimeError, match="does not take the text"):
            machine._ask([("compile_text", ("nonsense", set(), "", ""))])
        (first,) = machine._idle
        assert first.alive
        assert code(TWICE)
        assert machine._idle == [first]

    def test_one_that_ends_when_it_is_asked(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """It had waited long enough, and left just then."""
        machine.expect(1)
        (first,) = machine._idle
        monkeypatch.setattr(first, "send", lambda request: first._process.stdin.close())  # type: ignore[union-attr]
        assert code(TWICE)
        assert not first.alive

    def test_one_that_was_killed(self, monkeypatch: pytest.MonkeyPatch) -> None:
        if sys.platform == "win32":
            pytest.skip("there are no signals")
        machine.expect(1)
        (first,) = machine._idle
        send = first.send

        def send_and_kill(request: machine.Request) -> None:
            os.kill(first._process.pid, signal.SIGKILL)  # type: ignore[union-attr]
            send(request)

        monkeypatch.setattr(first, "send", send_and_kill)
        with pytest.raises(RuntimeError, match="ended by signal 9"):
            code(TWICE)
        assert code(TWICE)

    def test_an_interrupted_question(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Nobody takes the answer for that to the next one."""
        machine.expect(1)
        (first,) = machine._idle

        def interrupt() -> Any:
            raise KeyboardInterrupt

        monkeypatch.setattr(first, "receive", interrupt)
        with pytest.raises(KeyboardInterrupt):
            code(TWICE)
        assert not first.alive
        assert first not in machine._idle
        assert code(TWICE)[:4] == b"\x7fELF" or not objects.READS_OBJECTS

    def test_several_threads(self) -> None:
        texts = [f"define i64 @f() {{\n  ret i64 {number}\n}}" for number in range(8)]
        found: dict[int, int] = {}

        def work(number: int) -> None:
            binary = machine.Binary(texts[number])
            found[number] = ctypes.CFUNCTYPE(ctypes.c_int64)(binary.address("f"))()

        threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
        for each in threads:
            each.start()
        for each in threads:
            each.join()
        assert found == {number: number for number in range(8)}

    @pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
    def test_after_fork(self) -> None:
        printed = in_a_process("""
machine.expect(1)
first = machine._idle[0]
child = os.fork()
binary = machine.Binary("define i64 @f() {\\n  ret i64 %d\\n}" % (child > 0))
if not child:
    os._exit(10 + (first in machine._idle))
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), first in machine._idle)
""")
        assert printed == "10 True"

    def test_it_leaves_when_nobody_asks(self) -> None:
        printed = in_a_process("""
from tinygrad_cnn.compile.native import compiler
import shutil, tempfile
copy = Path(tempfile.mkdtemp()) / "compiler.py"
text = Path(compiler.__file__).read_text()
assert "PATIENCE = 5.0" in text
copy.write_text(text.replace("PATIENCE = 5.0", "PATIENCE = 0.1"))
compiler.__file__ = str(copy)
machine._ask([("host", ())])
first = machine._idle[0]
print(first._process.wait(timeout=20))
shutil.rmtree(copy.parent)
""")
        assert printed == "0"

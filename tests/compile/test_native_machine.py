"""Machine code, and its files on disk."""

from __future__ import annotations

import os
import platform
import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tinygrad_cnn as tg
from tinygrad_cnn.compile.native import disk, machine, program, runtime

from .native_programs import RESULT, folder, in_a_process, sums, words

__all__ = ["folder"]


@pytest.mark.native
def test_wrong_text_is_shown() -> None:
    with pytest.raises(RuntimeError, match=r"(?s)undefined value '%b'.*add i64 1, %b"):
        machine.Binary("define void @f() {\n  %a = add i64 1, %b\n  ret void\n}")
    with pytest.raises(RuntimeError, match=r"(?s)dominate.*%x = add i64 1, 2"):
        machine.Binary(
            "define void @f(i1 %c) {\nentry:\n  br i1 %c, label %a, label %b\na:\n  %x = add i64 1, 2\n  br label %b\n"
            "b:\n  %y = add i64 %x, 1\n  ret void\n}"
        )
    with pytest.raises(RuntimeError, match="no_such_function"):
        machine.Binary(
            "declare void @no_such_function()\ndefine void @f() {\n  call void @no_such_function()\n  ret void\n}"
        )
    binary = machine.Binary("define void @f() {\n  ret void\n}\ndefine internal void @g() {\n  ret void\n}")
    assert binary.address("f")
    with pytest.raises(RuntimeError, match=r"'g', only: f"):
        binary.address("g")


CALLER = """\
declare void @callee(ptr)

define void @step(ptr %arena, i64 %thread, i64 %segment) {
  %words = getelementptr i8, ptr %arena, i64 4096
  call void @callee(ptr %words)
  ret void
}
"""
CALLED = "define void @callee(ptr %p) {\n  store i64 7, ptr %p\n  ret void\n}\n"


@pytest.mark.native
@pytest.mark.parametrize("helper", ["works", "fails", "cannot start"])
@pytest.mark.parametrize("cores", [1, 2])
def test_two_modules_are_compiled_by_other_processes(
    helper: str, cores: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(machine.os, "cpu_count", lambda: cores)
    machine._leave()
    if helper == "fails":
        (tmp_path / "broken.py").write_text("raise SystemExit(1)")
        monkeypatch.setattr(machine.compiler, "__file__", str(tmp_path / "broken.py"))
    if helper == "cannot start":
        monkeypatch.setattr(machine.sys, "executable", "/there/is/no/such/python")
    binary = machine.Binary(CALLER, CALLED)
    arena = runtime.Arena(64)
    runtime.run(binary.address("step"), arena, 0, 1)
    assert words(arena)[0] == 7
    again = machine.Binary(CALLER, CALLED)
    assert [binary.cached, again.cached] == [False, True]


@pytest.mark.native
def test_code_for_another_processor() -> None:
    text = sums()
    other = machine.Binary(text, cpu="nehalem") if platform.machine() == "x86_64" else machine.Binary(text)
    arena = runtime.Arena(8192)
    runtime.run(other.address("step"), arena, 5, 1)
    assert words(arena)[RESULT] == 5
    assert machine.Binary(text).cached == (platform.machine() != "x86_64")


def files(folder: Path) -> list[Path]:
    return sorted(folder.iterdir())


def answer(binary: machine.Binary) -> int:
    arena = runtime.Arena(8192)
    runtime.run(binary.address("step"), arena, 5, 1)
    return int(words(arena)[RESULT])


@pytest.fixture
def _crew_first(folder: Path) -> None:
    """The crew has its code before the test looks at the cache."""
    runtime._crew()
    shutil.rmtree(folder, ignore_errors=True)


@pytest.mark.native
@pytest.mark.usefixtures("_crew_first")
class TestCache:
    def test_second_time(self, folder: Path) -> None:
        first, second, other = machine.Binary(sums()), machine.Binary(sums()), machine.Binary(sums(2))
        assert [first.cached, second.cached, other.cached] == [False, True, False]
        assert answer(first) == answer(second) == 5
        assert answer(other) == 10
        assert len(files(folder)) == 2
        assert {path.suffix for path in files(folder)} == {".code"}

    def test_another_process(self) -> None:
        code = "print(machine.Binary(sums()).cached)"
        assert [in_a_process(code), in_a_process(code)] == ["False", "True"]

    @pytest.mark.parametrize("damage", ["flip", "cut", "empty", "longer"])
    def test_damaged_file(self, folder: Path, damage: str) -> None:
        machine.Binary(sums())
        (path,) = files(folder)
        data = bytearray(path.read_bytes())
        if damage == "flip":
            data[len(data) // 2] ^= 1
        path.write_bytes({"flip": data, "cut": data[:-100], "empty": b"", "longer": data + b"x"}[damage])
        binary = machine.Binary(sums())
        assert not binary.cached
        assert answer(binary) == 5
        assert machine.Binary(sums()).cached

    def test_unwritable_folder(self, folder: Path) -> None:
        folder.write_text("a file where the folder should be")
        assert not machine.Binary(sums()).cached
        assert answer(machine.Binary(sums())) == 5

    @pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write anywhere")
    def test_folder_that_may_only_be_read(self, folder: Path) -> None:
        machine.Binary(sums())
        folder.chmod(0o500)
        assert machine.Binary(sums()).cached
        assert not machine.Binary(sums(2)).cached
        folder.chmod(0o700)

    @pytest.mark.cpu("native code runs on the CPU")
    def test_a_plan_that_was_compiled_before_writes_no_text(
        self, folder: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        x = tg.Tensor(np.ones((20, 5), "float32"))

        def plan() -> Any:
            f = tg.compile(lambda x: (x.exp() * 2).sum(1), executor="native")
            np.testing.assert_allclose(f(x).numpy(), 10 * np.e, rtol=1e-6)
            return f.plan

        first, again = plan(), plan()
        assert [first.binary.cached, again.binary.cached] == [False, True]
        assert "texts" not in vars(again.program)
        assert again.text == first.text
        for path in files(folder):
            if path.stat().st_size > 1000:  # code; the list of a plan's files is short
                path.unlink()
        assert not plan().binary.cached
        assert plan().binary.cached
        monkeypatch.setattr(program, "source", lambda: "another version")
        other = plan()
        assert other.binary.cached  # as its text is the same
        assert "texts" in vars(other.program)
        monkeypatch.setattr(program, "source", lambda: "")  # no file of this program can be read
        assert plan().program.key == ""

    @pytest.mark.cpu("native code runs on the CPU")
    def test_plans_that_differ_in_one_number_have_different_keys(self) -> None:
        keys = set()
        for number, size in ((2.0, 5), (3.0, 5), (-0.0, 5), (0.0, 5), (2.0, 6)):
            f = tg.compile(lambda x, number=number: (x.exp() + number).sum(1), executor="native")
            f(tg.Tensor(np.ones((20, size), "float32")))
            keys.add(f.plan.program.key)
        assert len(keys) == 5

    def test_plans_of_two_processes_are_the_same(self) -> None:
        """Whatever order sets have there."""
        code = """
import numpy as np
import tinygrad_cnn as tg
from tinygrad_cnn import nn
layers = [[nn.Conv2d(16, 16, 3, padding=1), nn.BatchNorm2d(16), nn.ReLU()] for _ in range(8)]
model = nn.Sequential(*sum(layers, []), nn.Flatten(), nn.Linear(1024, 4)).eval()
optimizer = tg.optim.Adam(model.parameters(), lr=0.1)

def training(x):
    optimizer.zero_grad()
    loss = (model.train()(x) ** 2).mean()
    loss.backward()
    optimizer.step()
    return loss

x = tg.Tensor(np.ones((32, 16, 8, 8), "float32"))
for function in (model, training):
    f = tg.compile(function, executor="native")
    f(x)
    print(f.plan.program.key, f.plan.binary.cached)
"""
        first, second = in_a_process(code).split(), in_a_process(code).split()
        assert first[::2] == second[::2]
        assert first[1::2] == ["False", "False"]
        assert second[1::2] == ["True", "True"]

    def test_no_home(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def lost() -> Path:
            raise RuntimeError("no home")

        monkeypatch.delenv("TINYGRAD_CNN_CACHE")
        monkeypatch.setattr(disk.Path, "home", lost)
        assert disk.cache_folder() is None
        assert answer(machine.Binary(sums())) == 5

    def test_killed_writer(self, folder: Path) -> None:
        """What it left is not taken for code, and goes when it is old."""
        folder.mkdir()
        new, old, foreign = folder / "a.part", folder / "b.part", folder / "letter.txt"
        for path in (new, old, foreign):
            path.write_bytes(b"half of a file")
        os.utime(old, (1, 1))
        os.utime(foreign, (1, 1))
        assert not machine.Binary(sums()).cached
        assert new.exists()
        assert foreign.exists()
        assert not old.exists()
        assert machine.Binary(sums()).cached

    def test_a_failed_write_leaves_nothing(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        def full(*_: object) -> None:
            raise OSError("the disk is full")

        monkeypatch.setattr(disk.os, "replace", full)
        assert answer(machine.Binary(sums())) == 5
        assert files(folder) == []

    def test_the_oldest_go(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        made: list[Path] = []
        for rounds in (1, 2, 3, 4):
            if rounds == 4:
                machine.Binary(sums(1))  # used now, so it is not old
                sizes = [path.stat().st_size for path in made]
                monkeypatch.setattr(disk, "CACHE_LIMIT", sum(sizes) + sizes[0] // 2)
            machine.Binary(sums(rounds))
            made += set(files(folder)) - set(made)
            os.utime(made[-1], (10**9 + rounds,) * 2)
        left = [made.index(path) + 1 for path in files(folder)]
        assert sorted(left) == [1, 3, 4]


@pytest.mark.native
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_closed_code_is_given_back() -> None:
    printed = in_a_process(
        """
def memory():
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGESIZE") / 2**20

def cycle(number):
    text = f"define void @f(ptr %p) {{\\n  store i64 {number}, ptr %p\\n  ret void\\n}}"
    binary = machine.Binary(text)
    binary.address("f")
    binary.close()

for number in range(50):
    cycle(number)
before = memory()
for number in range(50, 1050):
    cycle(number)
print(memory() - before)
"""
    )
    assert float(printed) < 3, "MiB for 1,000 modules"


@pytest.mark.native
def test_code_that_is_part_of_a_cycle() -> None:
    """Its parts are taken down in the right order, though Python finds them all at once."""
    printed = in_a_process(
        """
import gc
for number in range(100):
    binary = machine.Binary(f"define i64 @f() {{\\n  ret i64 {number}\\n}}")
    binary.itself = [binary]
    del binary
    gc.collect()
print("through")
"""
    )
    assert printed == "through"

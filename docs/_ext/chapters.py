"""What a chapter consists of: its cells, its equations with the tests they name, its exercises, what must break it.

A chapter is a text file, ``tutorials/NN_name.md``. The site is made from these files, and the tests read them too.
"""

from __future__ import annotations

import ast
import contextlib
import importlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent.parent
EXERCISES = ROOT / "tutorials/exercises"

_CELL = re.compile(r"^```\{code-cell\}[^\n]*\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_EQUATION = re.compile(r"^\$\$ \(([\w-]+)\)\n(?:% test: *([^\n]*)\n)?", re.MULTILINE)
_BREAKS = re.compile(r"^% breaks: *([^\n]*)$", re.MULTILINE)
_TASK = re.compile(r"^\*\*\d+\. ", re.MULTILINE)


@dataclass(frozen=True)
class Cell:
    """A piece of code of a chapter."""

    code: str
    settings: str
    line: int


@dataclass(frozen=True)
class Chapter:
    """A chapter as it is written."""

    path: Path

    @property
    def text(self) -> str:
        return self.path.read_text(encoding="utf-8")

    @property
    def number(self) -> str:
        """``"02"``, the beginning of the file's name."""
        return self.path.name[:2]

    @property
    def cells(self) -> list[Cell]:
        found = []
        for match in _CELL.finditer(self.text):
            lines = match[1].splitlines()
            count = next((place for place, line in enumerate(lines) if not line.startswith(":")), len(lines))
            line = self.text[: match.start(1)].count("\n") + count
            found.append(Cell("\n".join(lines[count:]), "\n".join(lines[:count]), line))
        return found

    @property
    def equations(self) -> dict[str, str]:
        """The test that each labelled equation names: ``path::name``, ``"this page"``, or nothing."""
        return {match[1]: (match[2] or "").strip() for match in _EQUATION.finditer(self.text)}

    @property
    def tasks(self) -> int:
        """How many exercises there are."""
        return len(_TASK.findall(self.text.partition("## Exercises")[2]))

    @property
    def solutions(self) -> list[Cell]:
        return [cell for cell in self.cells if "hide-cell" in cell.settings]

    @property
    def breaks(self) -> list[str]:
        """What must make the chapter fail: operations whose gradient is doubled, or ``this page: OLD => NEW``."""
        return [text.strip() for text in _BREAKS.findall(self.text)]


def chapters(folder: Path = ROOT / "tutorials") -> list[Chapter]:
    """All chapters, in their order."""
    return [Chapter(path) for path in sorted(folder.glob("[0-9][0-9]_*.md"))]


def check_cells(chapter: Chapter) -> int:
    """How many cells the site's build adds to a chapter: one, where its exercises have checks."""
    return int((EXERCISES / f"test_ch{chapter.number}.py").exists())


def run(chapter: Chapter, breaking: str = "") -> dict[str, Any]:
    """Run the cells of a chapter as one program, with one thing broken, and give the names that it leaves."""
    names: dict[str, Any] = {"__name__": "chapter"}
    with _broken(breaking):
        for cell in chapter.cells:
            code = "\n" * cell.line + _rewritten(cell.code, breaking)
            exec(compile(code, str(chapter.path), "exec"), names)
    return names


def _rewritten(code: str, breaking: str) -> str:
    if not breaking.startswith("this page:"):
        return code
    old, new = breaking.removeprefix("this page:").split("=>")
    return code.replace(old.strip(), new.strip())


@contextlib.contextmanager
def _broken(breaking: str) -> Iterator[None]:
    """While this lasts, an operation's rule gives twice the gradient."""
    if not breaking or breaking.startswith("this page:"):
        yield
        return
    module, _, name = breaking.rpartition(".")
    operation = getattr(importlib.import_module(module), name)
    right = operation.vjp

    def wrong(self: Any, grad: Any, *others: Any) -> Any:
        return right(self, grad + grad, *others)

    operation.vjp = wrong
    try:
        yield
    finally:
        operation.vjp = right


def missing_test(name: str) -> bool:
    """Whether ``path::name`` is no test that pytest would collect."""
    path, _, function = name.partition("::")
    file = ROOT / path
    if not (function.startswith("test_") and path.startswith("tests/") and file.name.startswith("test_")):
        return True
    if not file.exists():
        return True
    tree = ast.parse(file.read_text(encoding="utf-8"))
    return function not in {each.name for each in tree.body if isinstance(each, ast.FunctionDef)}

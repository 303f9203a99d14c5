"""The documentation tells the truth: chapters run, examples in the README run, public names are explained."""

from __future__ import annotations

import importlib
import inspect
import re
import socket
import sys
from pathlib import Path
from typing import Any, NoReturn

import pytest

import tinygrad_cnn as tg
from tinygrad_cnn.ops.base import OPERATIONS
from tinygrad_cnn.ops.elementwise import Mul

ROOT = Path(__file__).resolve().parent.parent
CHAPTERS = sorted((ROOT / "tutorials").glob("*.md"))
CELL = re.compile(r"^```\{code-cell\}[^\n]*\n(.*?)^```$", re.MULTILINE | re.DOTALL)
EXAMPLE = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)
PUBLIC_MODULES = [
    "",
    ".nn",
    ".nn.functional",
    ".nn.init",
    ".nn.utils",
    ".inspect",
    ".filters",
    ".optim",
    ".models",
    ".data",
    ".io",
    ".testing",
    ".ops",
    ".graph",
]


@pytest.fixture(autouse=True)
def _on_the_cpu(device_name: str) -> None:
    if device_name != "cpu":
        pytest.skip("texts show what happens on the CPU")


def run_chapter(chapter: Path, monkeypatch: pytest.MonkeyPatch) -> int:
    """Run a chapter's cells as one program, without a network or a screen, and count them."""
    pyplot = pytest.importorskip("matplotlib.pyplot")
    pyplot.switch_backend("agg")
    monkeypatch.setattr(pyplot, "show", lambda: pyplot.close("all"))

    def refuse(*_: object) -> NoReturn:
        raise AssertionError("a chapter asked for the network")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    text = chapter.read_text(encoding="utf-8")
    names: dict[str, Any] = {"__name__": "chapter"}
    cells = list(CELL.finditer(text))
    for cell in cells:
        source = re.sub(r"^:.*$", "", cell[1], flags=re.MULTILINE)  # settings of the cell
        above = text[: cell.start(1)].count("\n")
        exec(compile("\n" * above + source, str(chapter), "exec"), names)
    return len(cells)


@pytest.mark.parametrize("chapter", CHAPTERS, ids=lambda path: path.stem)
def test_chapter_runs(chapter: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = chapter.read_text(encoding="utf-8")
    assert run_chapter(chapter, monkeypatch) == text.count("```{code-cell}") > 0


@pytest.mark.parametrize("chapter", CHAPTERS, ids=lambda path: path.stem)
def test_chapter_notices_a_wrong_gradient(chapter: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    right = Mul.vjp

    def wrong(self: Mul, grad: tg.Tensor, output: tg.Tensor, a: tg.Tensor, b: tg.Tensor) -> Any:
        return right(self, grad + grad, output, a, b)

    monkeypatch.setattr(Mul, "vjp", wrong)
    with pytest.raises(AssertionError):
        run_chapter(chapter, monkeypatch)


@pytest.mark.parametrize("chapter", CHAPTERS, ids=lambda path: path.stem)
def test_chapter_has_exercises_with_checked_solutions(chapter: Path) -> None:
    text = chapter.read_text(encoding="utf-8")
    tasks = re.findall(r"^\*\*\d+\. ", text.partition("## Exercises")[2], flags=re.MULTILINE)
    solutions = [cell[1] for cell in CELL.finditer(text) if "hide-cell" in cell[1]]
    assert len(tasks) == len(solutions) >= 3
    assert all("assert " in solution for solution in solutions)


@pytest.mark.parametrize("chapter", CHAPTERS, ids=lambda path: path.stem)
def test_chapter_describes_its_pictures(chapter: Path) -> None:
    for cell in CELL.finditer(chapter.read_text(encoding="utf-8")):
        if "plt.show()" in cell[1] or re.search(r"^tg\.draw", cell[1], re.MULTILINE):
            found = re.search(r'alt: "([^"]+)"', cell[1])
            assert found, cell[1]
            assert len(found[1]) > 40


def test_readme_example(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(tmp_path)
    (example,) = EXAMPLE.findall((ROOT / "README.md").read_text(encoding="utf-8"))
    exec(compile(example, "README.md", "exec"), {"__name__": "readme"})
    loss, keys = capsys.readouterr().out.split(" ", 1)
    assert 2.0 < float(loss) < 2.6  # about log(10): an untrained network does not know
    assert "conv1.weight" in keys
    assert {path.name for path in tmp_path.iterdir()} == {"lenet5.svg", "step.svg"}


def test_readme_picture_is_what_the_package_draws() -> None:
    def labels(svg: str) -> list[str]:
        words = [text.replace("\xa0", " ").strip() for text in re.findall(r"<text[^>]*>([^<]*)</text>", svg)]
        return [word for word in words if word]

    model = tg.models.lenet5()
    current = tg.draw(model, (1, 1, 32, 32)).svg()
    stored = (ROOT / "docs/images/lenet5.svg").read_text(encoding="utf-8")
    assert labels(stored) == labels(current), (
        "draw it anew: python -m tinygrad_cnn draw lenet --out docs/images/lenet5.svg"
    )


@pytest.mark.parametrize("page", ["README.md", "CONTRIBUTING.md", "CHANGELOG.md", "docs/index.md"])
def test_links_lead_to_files(page: str) -> None:
    text = (ROOT / page).read_text(encoding="utf-8")
    links = re.findall(r"\]\(([^)#]+)\)", text) + re.findall(r'src="([^"]+)"', text)
    local = [link for link in links if not link.startswith("http")]
    base = (ROOT / page).parent
    missing = [link for link in local if not (base / link).exists() and not (ROOT / link).exists()]
    assert not missing


@pytest.mark.parametrize("page", ["README.md", "CONTRIBUTING.md"])
def test_named_make_targets_exist(page: str) -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    named = set(re.findall(r"\bmake ([a-z]+)\b", _code_of(page)))
    assert named
    assert named <= targets


def test_contributing_shows_the_code_as_it_is() -> None:
    code = (ROOT / "tinygrad_cnn/ops/elementwise.py").read_text(encoding="utf-8")
    blocks = EXAMPLE.findall((ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8"))
    assert len(blocks) == 2
    for block in blocks:
        assert block in code


def test_contributing_names_every_room() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    package = ROOT / "tinygrad_cnn"
    rooms = [f"{path.name}/" for path in package.iterdir() if (path / "__init__.py").exists()]
    rooms += [path.name for path in package.glob("*.py") if not path.name.startswith("__")]
    assert not [room for room in rooms if f"`{room}`" not in text]


def test_public_names_are_explained() -> None:
    bare = []
    for suffix in PUBLIC_MODULES:
        module = importlib.import_module(f"tinygrad_cnn{suffix}")
        for name, thing in _public(module):
            if not inspect.getdoc(thing):
                bare.append(f"{module.__name__}.{name}")
    assert not bare


def test_operations_say_what_they_compute_and_their_gradient() -> None:
    for operation in OPERATIONS.values():
        text = operation.__doc__ or ""
        assert text, operation.name
        if operation.differentiable:
            assert "gradient" in text.lower(), f"{operation.name}: its docstring does not state the gradient"


def test_site_documents_every_public_name() -> None:
    pytest.importorskip("sphinx", reason="the site is built with the extra docs")
    sys.path.insert(0, str(ROOT / "docs/_ext"))
    try:
        listing = importlib.import_module("generate").reference()
    finally:
        sys.path.remove(str(ROOT / "docs/_ext"))
    documented = {id(thing) for entries in listing.values() for _, thing, _ in entries}
    missing = [
        f"tinygrad_cnn{suffix}.{name}"
        for suffix in PUBLIC_MODULES
        for name, thing in _public(importlib.import_module(f"tinygrad_cnn{suffix}"))
        if id(thing) not in documented
    ]
    assert not missing


def test_lectures_name_what_exists() -> None:
    """Each row of the table of the lectures names things and tests that are there."""
    text = (ROOT / "docs/lectures.md").read_text(encoding="utf-8")
    places = {"tg": tg, "nn": tg.nn, "F": tg.nn.functional, "models": tg.models, "data": tg.data, "optim": tg.optim}
    rows = [line.split("|")[1:-1] for line in text.splitlines() if line.startswith("|") and "::" in line]
    assert len(rows) > 40
    missing = []
    for *_, here, shown, _chapter in rows:
        for name in re.findall(r"`([\w.]+)`", here):
            first, *rest = name.split(".")
            thing = places.get(first)
            for part in rest:
                thing = getattr(thing, part, None)
            missing += [name] if thing is None or not rest else []
        for path, test in re.findall(r"`([\w/.]+)::(\w+)`", shown):
            file = ROOT / path
            found = file.exists() and f"def {test}(" in file.read_text(encoding="utf-8")
            missing += [] if found else [f"{path}::{test}"]
    assert not missing


def _public(module: Any) -> list[tuple[str, Any]]:
    names = getattr(module, "__all__", None) or [name for name in vars(module) if not name.startswith("_")]
    things = [(name, getattr(module, name)) for name in names]
    return [
        (name, thing)
        for name, thing in things
        if (inspect.isclass(thing) or inspect.isfunction(thing)) and thing.__module__.startswith("tinygrad_cnn")
    ]


def _code_of(page: str) -> str:
    text = (ROOT / page).read_text(encoding="utf-8")
    return "\n".join(re.findall(r"^```.*?^```$", text, re.MULTILINE | re.DOTALL) + re.findall(r"`[^`\n]+`", text))

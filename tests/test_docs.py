"""The documentation tells the truth: chapters run, examples in the README run, public names are explained."""

from __future__ import annotations

import importlib
import inspect
import re
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any, NoReturn

import pytest

import tinygrad_cnn as tg
from tinygrad_cnn.ops.base import OPERATIONS

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "docs/_ext"))
import chapters  # noqa: E402
from chapters import Chapter  # noqa: E402

CHAPTERS = chapters.chapters()
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
    ".compile",
    ".ops",
    ".graph",
    ".summary",
]


pytestmark = pytest.mark.cpu("texts show what happens on the CPU")


def run_chapter(chapter: Chapter, monkeypatch: pytest.MonkeyPatch, breaking: str) -> None:
    """Run a chapter's cells as one program, without a network or a screen, with one thing broken."""
    pyplot = pytest.importorskip("matplotlib.pyplot")
    pyplot.switch_backend("agg")
    monkeypatch.setattr(pyplot, "show", lambda: pyplot.close("all"))

    def refuse(*_: object) -> NoReturn:
        raise OSError("a chapter asked for the network")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    try:
        chapters.run(chapter, breaking)
    finally:
        pyplot.close("all")


@pytest.mark.parametrize(
    ("chapter", "breaking"),
    [
        pytest.param(chapter, breaking, id=f"{chapter.number}-{breaking}")
        for chapter in CHAPTERS
        for breaking in chapter.breaks
    ],
)
def test_chapter_notices_a_wrong_rule(chapter: Chapter, breaking: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The run ends at the first assertion that fails. That all hold otherwise is what ``make book`` shows."""
    if breaking.startswith("this page:"):
        old, _, new = breaking.removeprefix("this page:").partition("=>")
        assert old.strip() != new.strip()
        assert any(old.strip() in cell.code for cell in chapter.cells)
    with pytest.raises(AssertionError):
        run_chapter(chapter, monkeypatch, breaking)


@pytest.mark.parametrize("chapter", CHAPTERS, ids=lambda chapter: chapter.path.stem)
def test_chapter_has_its_parts(chapter: Chapter) -> None:
    text = chapter.text
    assert chapter.breaks, "name what must make the chapter fail: % breaks: ..."
    assert len(chapter.cells) == text.count("```{code-cell}") > 0
    for words in ("**You need**", "**You will**", "**It takes**"):
        assert words in text, words
    prose = re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL)
    headings = [line for line in prose.splitlines() if line.startswith("#")]
    assert sum(heading.startswith("# ") for heading in headings) == 1
    assert headings[-1] == "## Where to go from here"
    assert "## Exercises" in headings
    assert any(heading.lower().startswith("## what could be wrong") for heading in headings)


@pytest.mark.parametrize("chapter", CHAPTERS, ids=lambda chapter: chapter.path.stem)
def test_chapter_has_exercises_with_checked_solutions(chapter: Chapter) -> None:
    assert chapter.tasks == len(chapter.solutions) >= 3
    assert all("assert " in solution.code or "check" in solution.code for solution in chapter.solutions)
    for file in (f"ch{chapter.number}.py", f"test_ch{chapter.number}.py"):
        assert (chapters.EXERCISES / file).exists()


@pytest.mark.parametrize("chapter", CHAPTERS, ids=lambda chapter: chapter.path.stem)
def test_chapter_names_a_test_for_each_equation(chapter: Chapter) -> None:
    assert len(chapter.equations) == len(re.findall(r"^\$\$ *\([\w-]+\)$", chapter.text, re.MULTILINE))
    for label, test in chapter.equations.items():
        if test == "this page":
            assert re.search(r"^\s*assert ", chapter.text.partition(f"({label})")[2], re.MULTILINE), label
        else:
            assert not chapters.missing_test(test), f"{label}: {test or 'no test is named'}"


@pytest.mark.parametrize("chapter", CHAPTERS, ids=lambda chapter: chapter.path.stem)
def test_chapter_describes_its_pictures(chapter: Chapter) -> None:
    for cell in chapter.cells:
        if "plt.show()" in cell.code or re.search(r"^tg\.draw|^draw\(", cell.code, re.MULTILINE):
            found = re.search(r'alt: "([^"]+)"', cell.settings)
            assert found, cell.code
            assert len(found[1]) >= 40


def test_exercises_are_there_to_be_solved() -> None:
    """Before a reader has written anything, no check passes, and each says what is missing."""
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--tb=line", "tutorials/exercises"]
    output = subprocess.run(command, check=False, cwd=ROOT, capture_output=True, text=True).stdout
    last = output.splitlines()[-1]
    assert "failed" in last, output
    assert not re.search("passed|error|skipped", last), output
    assert output.count("NotImplementedError") >= int(last.split()[0].strip("=")) > 0


def test_a_marker_selects_the_exercises_of_its_chapter() -> None:
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--collect-only", "-m", "ch03"]
    output = subprocess.run([*command, "tutorials/exercises"], check=False, cwd=ROOT, capture_output=True, text=True)
    found = [line for line in output.stdout.splitlines() if "::" in line]
    assert found, output
    assert all(line.startswith("tutorials/exercises/test_ch03.py::") for line in found)


def test_glossary_is_in_order() -> None:
    terms = re.findall(r"^([^\s#`].*)$", (ROOT / "docs/glossary.md").read_text(encoding="utf-8"), re.MULTILINE)[1:]
    assert terms == sorted(terms, key=str.lower)


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
    files = ["ops/elementwise.py", "ops/elementwise.py", "compile/simplify.py", "../tests/compile/test_passes.py"]
    blocks = EXAMPLE.findall((ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8"))
    for block, file in zip(blocks, files, strict=True):
        assert block in (ROOT / "tinygrad_cnn" / file).read_text(encoding="utf-8")


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
    listing = importlib.import_module("generate").reference()
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

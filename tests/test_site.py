"""The checks of the built site find what they are there to find."""

from __future__ import annotations

import importlib
import json
import re
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / "docs"), str(ROOT / "docs/_ext")]
import chapters  # noqa: E402
import check_book  # noqa: E402
import check_pages  # noqa: E402
import solutions  # noqa: E402
from chapters import Chapter  # noqa: E402

ALT = "the error falls with the step and rises again when digits run out"
RIGHT = f"""<!doctype html><html lang="en"><head><title>T</title><link rel="stylesheet" href="../_static/site.css?v=1">
<link rel="canonical" href="https://example.org/"></head><body><h1>T</h1><p>A <a href="https://example.org">link</a>,
and <code>\\frac</code> in code.</p><h2>U</h2><img alt="{ALT}" src="../_images/plot.png"><h3>V</h3><h2>W</h2>
<svg role="img"><title id="cell-0-drawing-title">{ALT}</title><g><title>40x1</title></g></svg></body></html>"""


@pytest.fixture(autouse=True)
def _once(device_name: str) -> None:
    if device_name != "cpu":
        pytest.skip("pages do not depend on the device")


@pytest.fixture
def site(tmp_path: Path) -> Path:
    for name, content in {
        "_static/site.css": "p { color: red }",
        "_images/plot.png": "x",
        "tutorials/01_a.html": RIGHT,
    }.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(content, encoding="utf-8")
    return tmp_path


def test_a_page_as_it_should_be(site: Path) -> None:
    assert check_book.check_page(site / "tutorials/01_a.html", site) == []


@pytest.mark.parametrize(
    ("old", "new", "found"),
    [
        ("../_static/site.css?v=1", "https://example.org/site.css", "fetches https://example.org/site.css"),
        ("<h2>U</h2>", '<script src="//example.org/a.js"></script>', "fetches //example.org/a.js"),
        ("<h2>U</h2>", '<p style="background: url(https://a.org/b.png)"></p>', "fetches https://a.org/b.png"),
        ("<h2>U</h2>", '<style>@import "https://a.org/b.css";</style>', "fetches https://a.org/b.css"),
        ("<p>A ", r"<p>\(x\) ", r"shows TeX: \(x\)"),
        ("<p>A ", r"<p>half is \frac{1}{2} ", r"shows TeX: half is \frac{1}{2}"),
        ("<h3>V</h3>", "<h4>V</h4>", "goes from h2 to h4"),
        ("<h2>U</h2>", "<h1>U</h1>", "has 2 first headings"),
        (f'alt="{ALT}"', 'alt="a plot"', "has a picture that says only 'a plot'"),
        (f'alt="{ALT}"', "", "has a picture that says only ''"),
        (f">{ALT}<", ">a graph<", "has a picture that says only 'a graph'"),
        ("plot.png", "gone.png", "asks for gone.png, which is not there"),
        (' lang="en"', "", "does not say its language"),
        ("<p>A ", "<p>" + "A " * 800_000, "weighs 1.60 MB"),
    ],
)
def test_what_is_wrong_with_a_page_is_found(site: Path, old: str, new: str, found: str) -> None:
    path = site / "tutorials/01_a.html"
    assert old in RIGHT
    path.write_text(RIGHT.replace(old, new), encoding="utf-8")
    wrong = check_book.check_page(path, site)
    assert any(each.startswith(found) for each in wrong), wrong


def test_pictures_count_as_weight_of_their_page(site: Path) -> None:
    (site / "_images/plot.png").write_bytes(b"x" * 1_600_000)
    assert check_book.check_page(site / "tutorials/01_a.html", site) == ["weighs 1.60 MB"]


def test_style_sheets_fetch_nothing_from_elsewhere() -> None:
    style = "a { b: url('../f.woff2') } @font-face { src: url(\"https://fonts.example.org/f.woff2\") }"
    assert check_book.styled_from_elsewhere(style) == ["https://fonts.example.org/f.woff2"]


@pytest.mark.parametrize(
    ("change", "found"),
    [
        ({}, ""),
        ({"execution_count": None}, "cell 1 was not executed"),
        ({"outputs": [{"output_type": "error"}]}, "a cell failed"),
        (None, "has 1 cells instead of 2"),
    ],
)
def test_what_was_not_executed_is_found(tmp_path: Path, change: dict[str, Any] | None, found: str) -> None:
    page = tmp_path / "page.md"
    page.write_text("# T\n```{code-cell} ipython3\n1\n```\n```{code-cell}\n2\n```\n", encoding="utf-8")
    cell = {"cell_type": "code", "execution_count": 1, "outputs": []}
    cells = [cell, *([] if change is None else [cell | change])]
    (tmp_path / "page.ipynb").write_text(json.dumps({"cells": cells}), encoding="utf-8")
    wrong = check_book.check_execution(Chapter(page), tmp_path / "page.ipynb")
    assert wrong == ([found] if found else [])
    assert check_book.check_execution(Chapter(page), tmp_path / "missing.ipynb") == ["was not executed"]


def test_solutions_must_pass_the_checks(monkeypatch: pytest.MonkeyPatch) -> None:
    def xor(a: float, b: float) -> float:
        return abs(a - b)  # right at the corners, and not made of two units

    names = {"xor": xor, "loss_slope": lambda s, t: 0.0, "is_dead": lambda weights, bias, points: False}
    monkeypatch.setitem(sys.modules, "ch04", None)  # type: ignore[arg-type]
    with pytest.raises(AssertionError, match="the solutions of ch04 fail the checks") as error:
        solutions.check("ch04", names)
    assert "test_loss_slope" in str(error.value)


def test_a_chapter_is_read(tmp_path: Path) -> None:
    path = tmp_path / "07_a.md"
    path.write_text(
        "% breaks: a.b.C\n$$\nx\n$$ (one)\n% test: tests/t.py::test_x\n\n$$\ny\n$$ (two)\n\n"
        '```{code-cell} ipython3\n:tags: [hide-cell]\n:mystnb:\nx = 1\nprint(":")\n```\n\n'
        "## Exercises\n\n**1. A.** b\n",
        encoding="utf-8",
    )
    chapter = Chapter(path)
    assert (chapter.number, chapter.tasks, chapter.breaks) == ("07", 1, ["a.b.C"])
    assert chapter.equations == {"one": "tests/t.py::test_x", "two": ""}
    (cell,) = chapter.cells
    assert cell.code == 'x = 1\nprint(":")'
    assert path.read_text(encoding="utf-8").splitlines()[cell.line] == "x = 1"
    assert chapter.solutions == [cell]


@pytest.mark.parametrize(
    ("name", "missing"),
    [
        ("tests/test_site.py::test_a_chapter_is_read", False),
        ("tests/test_site.py::test_that_nobody_wrote", True),
        ("tests/test_site.py::site", True),
        ("tests/test_gone.py::test_a_chapter_is_read", True),
        ("tinygrad_cnn/testing.py::check_grad", True),
        ("", True),
    ],
)
def test_a_named_test_exists_or_not(name: str, missing: bool) -> None:
    assert chapters.missing_test(name) == missing


@pytest.mark.parametrize(
    ("tex", "seen"),
    [
        (r"x \ln x", "x_ln_x"),
        (r"\ln(x)", "ln(x)"),
        (r"1 + \tanh^2 x", "1+tanh2_x"),
        (r"2\max(x, 0)", "2_max(x,0)"),
        (r"\log \max_i x_i", "log_maxi_xi"),
        (r"y = \log \frac{a}{b}", "y=log_ab"),
        (r"\log \left(\ln x\right)'", "log(ln_x)'"),
        (r"\mathrm{softplus}(x)", "softplus(x)"),
        ("f''(x)", "f''(x)"),
    ],
)
def test_functions_keep_apart_in_formulas(tex: str, seen: str) -> None:
    pytest.importorskip("sphinx", reason="formulas are converted by the extra docs")
    mathml = importlib.import_module("mathml")
    formula = mathml.mend(mathml.tex2mathml(tex))
    text = re.sub("<[^>]*>", "", re.sub("<mspace[^>]*>", "_", formula))
    assert re.sub(rf"\s|{mathml.APPLY}", "", text).replace(mathml.PRIME, "'") == seen
    assert all("rspace" in sign for sign in re.findall(f"<mo[^>]*>(?:max|{mathml.PRIME})", formula))
    assert "'" not in formula


def test_foreign_requests_and_errors_are_trouble() -> None:
    def request(url: str) -> dict[str, Any]:
        return {"method": "Network.requestWillBeSent", "params": {"request": {"url": url}}}

    here = "http://127.0.0.1:1/"
    log = {"method": "Log.entryAdded", "params": {"entry": {"level": "error", "text": "404", "url": "x"}}}
    thrown = {"method": "Runtime.exceptionThrown", "params": {"exceptionDetails": {"text": "oh"}}}
    fine = [request(here + "a.css"), request("data:,"), {"id": 3}]
    assert check_pages.trouble(fine, here) == []
    wrong = check_pages.trouble([*fine, request("https://a.org/f.woff2"), log, thrown], here)
    assert wrong == ["asks for https://a.org/f.woff2", "console: 404 x", "error: oh"]

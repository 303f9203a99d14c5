"""The directive that draws into pages, on a site of a few pages."""

from __future__ import annotations

import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from xml.etree import ElementTree

import pytest

import tinygrad_cnn as tg

from .draw.test_page import needs_browser, visit

pytest.importorskip("sphinx", reason="Sphinx is not installed: pip install 'tinygrad_cnn[docs]'")
pytest.importorskip("pygraphviz", reason="pictures need a layout engine")

ROOT = Path(__file__).resolve().parent.parent
SVG = "{http://www.w3.org/2000/svg}"
MARKDOWN = find_spec("myst_parser") is not None

CONF = f"""
import sys
sys.path[:0] = [{str(ROOT)!r}, {str(ROOT / "docs/_ext")!r}]
project = "pages"
extensions = ["drawing"{', "myst_parser"' if MARKDOWN else ""}]
html_static_path = [{str(ROOT / "docs/_static")!r}]
html_css_files = ["site.css"]
"""
PAGES = {
    "index.rst": """
Pictures
========

.. toctree::

   broken

.. drawing::
   :alt: A dense layer of <six> "weights" & two \\1 biases.
   :caption: One & only

   layer = nn.Linear(3, 2)
   tg.draw(layer, (4, 3))

The names live on:

.. drawing::
   :alt: The same layer as operations.
   :hide-code:
   :one-screen:

   tg.draw(layer, (4, 3), level="op")

Six ways side by side do not fit:

.. drawing::
   :alt: A ReLU, and six convolutions of what it gives, joined.

   x = nn.ReLU()(tg.symbol((1, 3, 8, 8), name="x"))
   tg.draw(tg.cat([nn.Conv2d(3, 64, 3)(x) for _ in range(6)], 1), level="block")
""",
    "broken.rst": """
Broken
======

.. drawing::

   tg.draw(nn.Linear(3, 2), (4, 3))

.. drawing::
   :alt: Names of other pages are not known here.

   tg.draw(layer, (4, 3))

.. drawing::
   :alt: This is no drawing.

   nn.Linear(3, 2)

.. drawing::
   :alt: A shape that does not fit.

   def shape():
       return (4, 5)

   tg.draw(nn.Linear(3, 2), shape())

.. drawing::
   :alt: No Python at all.

   tg.draw(
""",
}
if MARKDOWN:
    PAGES["index.rst"] = PAGES["index.rst"].replace("   broken\n", "   broken\n   myst\n")
    PAGES["myst.md"] = """
# In Markdown

```{drawing}
:alt: Two operations, one after the other.
tg.draw(tg.symbol((2, 3), name="x").exp().relu())
```

```{drawing}
:alt: Fails.
1 / 0
```
"""


pytestmark = pytest.mark.cpu("pictures are the same on every device")


class Site:
    """A built site."""

    def __init__(self, folder: Path, *options: str, only: tuple[str, ...] = ()) -> None:
        self.folder = folder
        source = folder / "source"
        source.mkdir()
        (source / "conf.py").write_text(CONF)
        for name, text in PAGES.items():
            if not only or name in only:
                (source / name).write_text(text)
        command = [sys.executable, "-W", "ignore", "-m", "sphinx", "-q", *options, str(source), str(folder / "out")]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        self.code, self.said = done.returncode, done.stderr

    def page(self, name: str) -> str:
        return (self.folder / "out" / name).read_text(encoding="utf-8")

    def figures(self, name: str) -> list[ElementTree.Element]:
        found = re.findall(r"<figure class=\"drawing.*?</figure>", self.page(name), re.DOTALL)
        return [ElementTree.fromstring(each) for each in found]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Site:
    return Site(tmp_path_factory.mktemp("site"))


_SCROLLED = """
  document.dispatchEvent(new Event("DOMContentLoaded", {bubbles: true}));
  const part = [...document.querySelectorAll(".drawing-window")].at(-1), frame = part.getBoundingClientRect();
  const box = part.querySelector("g.node:has(text[font-weight=bold])").getBoundingClientRect();
  report.wide = part.scrollWidth > part.clientWidth + 100;
  report.to = part.scrollLeft;
  report.inside = frame.left <= box.left && box.right <= frame.right;
"""


def words(element: ElementTree.Element) -> str:
    return " ".join("".join(element.itertext()).split())


def test_a_picture_stands_in_the_page(site: Site) -> None:
    assert site.code == 0
    figure, other, _ = site.figures("index.html")
    svg = figure.find(f".//{SVG}svg")
    assert svg is not None
    assert "Linear" in words(svg)
    assert svg.get("role") == "img"
    assert len(svg.get("viewBox", "").split()) == 4
    assert svg.get("height") is None  # it follows from the width
    title, description = svg.find(f"{SVG}title"), svg.find(f"{SVG}desc")
    assert title is not None
    assert title.text == r'A dense layer of <six> "weights" & two \1 biases.'
    assert description is not None
    assert description.text == "Linear: 1 block, input 4×3, output 4×2"
    assert svg.get("aria-labelledby") == title.get("id")
    assert svg.get("aria-describedby") == description.get("id")
    ids = re.findall(r' id="(drawing-[^"]*)"', site.page("index.html"))
    assert len(ids) == len(set(ids)) == 6
    assert other.get("class") == "drawing one-screen"


def test_a_picture_takes_the_colour_of_the_text_and_no_ground(site: Site) -> None:
    svg = site.figures("index.html")[1].find(f".//{SVG}svg")
    assert svg is not None
    arrows = [each.find(f".//{SVG}path") for each in svg.iter(f"{SVG}g") if each.get("class") == "edge"]
    assert len(arrows) > 3
    assert {path.get("stroke") for path in arrows if path is not None} == {"currentColor"}
    assert "#7a7a7a" not in ElementTree.tostring(svg, "unicode")
    ground = svg.find(f".//{SVG}polygon")
    assert ground is None or ground.get("fill") in ("none", "transparent", "currentColor")


def test_a_picture_is_reached_by_keyboard_and_told_as_text(site: Site) -> None:
    for figure in site.figures("index.html"):
        (window,) = figure.findall("div")
        assert window.get("tabindex") == "0"
        assert window.find(f"{SVG}svg") is not None
        assert words(figure.findall("details/summary")[0]) == "The same as text"
    text = "".join(site.figures("index.html")[0].findall("details/pre")[0].itertext())
    assert text == str(tg.draw(tg.nn.Linear(3, 2), (4, 3)))


@needs_browser
def test_a_wide_picture_begins_with_its_first_box_in_sight(site: Site) -> None:
    report = visit(site.page("index.html"), _SCROLLED, site.folder / "out")
    assert report["wide"]
    assert report["inside"]
    assert report["to"] > 0


def test_caption_and_code(site: Site) -> None:
    first, second, _ = site.figures("index.html")
    assert [words(each) for each in first.findall("figcaption")] == ["One & only"]
    assert not second.findall("figcaption")
    assert re.sub(r"<[^>]*>", "", site.page("index.html")).count("tg.draw(layer, (4, 3)") == 1


def test_what_goes_wrong_is_a_warning_that_says_what(site: Site) -> None:
    assert "broken.rst:5: ERROR: drawing: the picture has no words for people who do not see it" in site.said
    assert "NameError: name 'layer' is not defined" in site.said
    assert "TypeError: the last line gives Linear, and not what tg.draw(...) gives" in site.said
    assert "    tg.draw(nn.Linear(3, 2), shape())\n" in site.said
    assert "ShapeError: linear: " in site.said
    assert "SyntaxError" in site.said
    assert len(re.findall("broken.rst:[0-9]+: WARNING: drawing: the code failed", site.said)) == 4
    assert not site.figures("broken.html")
    assert "NameError: name 'layer' is not defined" in re.sub(r"<[^>]*>", "", site.page("broken.html")).replace(
        "&#39;", "'"
    )


@pytest.mark.skipif(not MARKDOWN, reason="MyST is not installed")
def test_in_markdown(site: Site) -> None:
    (figure,) = site.figures("myst.html")
    assert "graph: 2 operations" in words(figure)
    assert re.search("myst.md:(9|10): WARNING: drawing: the code failed", site.said)
    assert "    1 / 0\n" in site.said
    assert "ZeroDivisionError" in site.said


def test_a_strict_build_fails_where_a_picture_does(tmp_path: Path) -> None:
    assert Site(tmp_path, "-W", "--keep-going", only=("index.rst", "broken.rst")).code == 1


def test_other_formats_get_the_words_and_the_text(tmp_path: Path) -> None:
    site = Site(tmp_path, "-b", "text", only=("index.rst",))
    text = " ".join(site.page("index.txt").split())
    assert r'A dense layer of <six> "weights" & two \1 biases.' in text
    assert "n1 Linear" in text

"""Look over the built site: ``python docs/check_book.py docs/_build/html``, which ``make book`` runs at its end.

Every code cell was executed, no formula was left as TeX, each picture has words that say what it shows, headings are in
order, nothing is fetched from elsewhere, and no page is heavy. Needs nothing but Python.
"""

from __future__ import annotations

import json
import re
import sys
from html.parser import HTMLParser
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent / "_ext"))
from chapters import ROOT, Chapter, chapters, check_cells

PAGE_LIMIT = 1.5e6
ASSETS_LIMIT = 10e6
WORDS = 40
"""The least number of letters with which a picture in a chapter says its finding."""

FETCHED = {"audio": "src", "embed": "src", "iframe": "src", "img": "src", "input": "src", "link": "href"} | {
    "object": "data", "script": "src", "source": "src", "track": "src", "video": "src", "image": "href", "use": "href",
}  # fmt: skip
"""What a browser fetches by itself; where a link leads is the reader's decision."""

QUIET = {"canonical", "next", "prev", "search", "index", "author", "license"}
"""Kinds of ``<link>`` that a browser does not follow."""

VOID = {"area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "source", "track", "wbr"}
TEX = re.compile(r"\\\(|\\\[|\$\$|\\(?:frac|mathrm|begin|partial|sum|left|cdot|text|sigma)\b")
ELSEWHERE = re.compile(r"^(?:[a-z]+:)?//", re.IGNORECASE)


class Page(HTMLParser):
    """What is worth a look on one page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.outside: list[str] = []
        self.files: list[str] = []
        self.headings: list[int] = []
        self.pictures: list[str] = []
        self.tex: list[str] = []
        self.language = ""
        self.names_drawing = False
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        if tag not in VOID:
            self.open.append(tag)
        if tag == "html":
            self.language = given.get("lang", "")
        if re.fullmatch("h[1-6]", tag):
            self.headings.append(int(tag[1]))
        if tag == "img":
            self.pictures.append(given.get("alt", ""))
        self.names_drawing = tag == "title" and "drawing" in given.get("id", "")
        address = given.get(FETCHED.get(tag, ""), given.get("xlink:href", "") if tag in ("image", "use") else "")
        if tag == "link" and set(given.get("rel", "").split()) & QUIET:
            address = ""
        if ELSEWHERE.match(address):
            self.outside.append(address)
        elif address and not address.startswith(("data:", "#")):
            self.files.append(address.partition("?")[0])
        self.outside += styled_from_elsewhere(given.get("style", ""))

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        if tag in self.open:
            while self.open.pop() != tag:
                pass

    def handle_data(self, data: str) -> None:
        if self.names_drawing:
            self.pictures.append(data)
            self.names_drawing = False
        elif "style" in self.open:
            self.outside += styled_from_elsewhere(data)
        elif not {"script", "pre", "code", "template", "annotation"} & set(self.open) and TEX.search(data):
            self.tex.append(data.strip()[:60])


def styled_from_elsewhere(style: str) -> list[str]:
    """What a style sheet fetches from other machines."""
    addresses = re.findall(r"""url\(\s*['"]?([^'")]+)|@import\s+['"]([^'"]+)""", style)
    return [each for pair in addresses for each in pair if ELSEWHERE.match(each)]


def check_page(path: Path, site: Path) -> list[str]:
    """What is wrong with a page."""
    page = Page(path.read_text(encoding="utf-8"))
    in_book = path.parent.name == "tutorials"
    wrong = [f"fetches {each}" for each in page.outside]
    wrong += [f"shows TeX: {each}" for each in page.tex]
    wrong += [] if page.language else ["does not say its language"]
    wrong += (
        [f"has {page.headings.count(1)} first headings"]
        if page.headings.count(1) != 1 and path.name != "search.html"
        else []
    )
    wrong += [f"goes from h{a} to h{b}" for a, b in zip(page.headings, page.headings[1:], strict=False) if b > a + 1]
    if in_book:
        wrong += [f"has a picture that says only {each!r}" for each in page.pictures if len(each) < WORDS]
    weight = path.stat().st_size
    for file in {(path.parent / each).resolve() for each in page.files}:
        if not file.exists():
            wrong.append(f"asks for {file.name}, which is not there")
        elif "_static" not in file.relative_to(site.resolve()).parts:
            weight += file.stat().st_size
    return wrong + ([f"weighs {weight / 1e6:.2f} MB"] if weight > PAGE_LIMIT else [])


def check_execution(chapter: Chapter, executed: Path) -> list[str]:
    """Whether each cell was executed, without an error and without leftovers."""
    if not executed.exists():
        return ["was not executed"]
    cells = [cell for cell in json.loads(executed.read_text(encoding="utf-8"))["cells"] if cell["cell_type"] == "code"]
    wrong = [f"cell {place} was not executed" for place, cell in enumerate(cells) if not cell["execution_count"]]
    wrong += ["a cell failed" for cell in cells for each in cell["outputs"] if each["output_type"] == "error"]
    expected = len(chapter.cells) + check_cells(chapter)
    return wrong + ([f"has {len(cells)} cells instead of {expected}"] if len(cells) != expected else [])


def check_site(site: Path) -> dict[str, list[str]]:
    """What is wrong, by page."""
    found: dict[str, list[str]] = {}
    for path in sorted(site.rglob("*.html")):
        name = path.relative_to(site).as_posix()
        if not name.startswith("_"):
            found[name] = check_page(path, site)
    pages = [path for path in sorted((ROOT / "docs").rglob("*.md")) if path.parent.name != "tutorials"]
    written = [*chapters(), *map(Chapter, pages)]
    for chapter in written:
        inside = chapter.path.relative_to(ROOT if chapter.path.parent == ROOT / "tutorials" else ROOT / "docs")
        if not chapter.cells or inside.parts[0] in ("_build", "generated"):
            continue
        executed = site.parent / "jupyter_execute" / inside.with_suffix(".ipynb")
        found.setdefault(inside.with_suffix(".html").as_posix(), []).extend(check_execution(chapter, executed))
    shared = [path for path in site.rglob("*") if path.is_file() and path.parent != site and "_static" in path.parts]
    weight = sum(path.stat().st_size for path in [*shared, site / "searchindex.js"])
    found["_static"] = [f"weighs {weight / 1e6:.1f} MB"] if weight > ASSETS_LIMIT else []
    for sheet in site.rglob("*.css"):
        found["_static"] += [f"{sheet.name} fetches {each}" for each in styled_from_elsewhere(sheet.read_text("utf-8"))]
    return found


def main() -> int:
    site = Path(sys.argv[1] if len(sys.argv) > 1 else ROOT / "docs/_build/html")
    found = check_site(site)
    wrong = [f"{name}: {each}" for name, problems in found.items() for each in problems]
    pages = [name for name in found if name.endswith(".html")]
    heaviest = max(pages, key=lambda name: (site / name).stat().st_size if (site / name).exists() else 0)
    print("\n".join(wrong) or f"{len(pages)} pages are as they should be; the longest is {heaviest}")
    return bool(wrong)


if __name__ == "__main__":
    sys.exit(main())

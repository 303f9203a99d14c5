"""What :func:`tinygrad_cnn.draw` returns."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import Any

from ..errors import ArgumentError
from ..extras import MissingPackageError
from .data import to_json
from .dot import PLAIN, Style, to_dot
from .inlay import inlaid, write_files
from .mermaid import fits_mermaid, to_mermaid
from .page import to_page
from .render import FORMATS, render, tidy_svg
from .text import to_text
from .view import GraphView

SUFFIXES = (".dot", ".txt", ".mmd", ".json", ".html", *[f".{each}" for each in FORMATS])


class Drawing:
    """A picture of a network, as SVG, PNG, PDF, HTML, Mermaid, JSON, DOT or text.

    Notebooks show it by itself; ``print`` gives text.

    >>> import tinygrad_cnn as tg
    >>> print(tg.draw(tg.symbol((2, 3), name="x").exp()))
    graph: 1 operation, input x 2×3, output 2×3
    n0 input x  2×3
    n1 exp      2×3
    """

    def __init__(
        self,
        view: GraphView,
        style: Style = PLAIN,
        smaller: Callable[[Callable[[GraphView], bool]], GraphView] | None = None,
        whole: Callable[[], GraphView] | None = None,
    ) -> None:
        self.view = view
        self._style = style
        self._smaller = smaller
        self._whole = whole

    @cached_property
    def dot(self) -> str:
        """The picture in DOT, the same in every process."""
        return to_dot(self.view, self._style)

    def text(self) -> str:
        """The picture as an indented list."""
        return to_text(self.view)

    def json(self) -> str:
        """Everything that the picture shows, for programs.

        One object: ``schema`` (``"tinygrad_cnn.drawing/1"``), ``name``, ``level``, ``outputs`` (shapes), ``notes``,
        ``nodes``, ``edges`` and ``groups``. The objects in the last three have the fields of
        :class:`~tinygrad_cnn.draw.ViewNode`, :class:`~tinygrad_cnn.draw.ViewEdge` and
        :class:`~tinygrad_cnn.draw.ViewGroup` under the same names.
        """
        return to_json(self.view)

    def mermaid(self) -> str:
        """The picture as a Mermaid flowchart, for Markdown pages.

        Blocks are collapsed until Mermaid, which has its limits, draws it. Raises :class:`ArgumentError` where that
        does not help.
        """
        view = self.view
        if self._smaller is not None and not fits_mermaid(view):
            view = self._smaller(fits_mermaid)
        return to_mermaid(view)

    def page(self) -> str:
        """The picture as one HTML file that needs nothing else, for a browser.

        Blocks open and close, also those that are collapsed in the picture; boxes are found by their words; a slider
        steps through the forward and the backward pass and shows which tensors are held, and the memory they take
        (results that share memory with others are counted as if they did not).
        """
        return to_page(self.whole())

    def whole(self) -> GraphView:
        """The view that the page shows: nothing is collapsed, and fused operations are opened."""
        return self.view if self._whole is None else self._whole()

    def svg(self) -> str:
        """The picture as an SVG element, which can stand in a file or inside HTML.

        Raises :class:`~tinygrad_cnn.extras.MissingPackageError` when there is no layout engine.
        """
        svg = inlaid(render(self.dot, "svg").decode(), self.view)
        return tidy_svg(svg, self.view.name, self.view.describe())

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write a file of the format that the suffix names.

        ``.svg``, ``.png`` and ``.pdf`` need a layout engine; ``.html`` (:meth:`page`), ``.mmd`` (Mermaid), ``.json``,
        ``.dot`` and ``.txt`` do not. Thumbnails are in pictures and pages; ``.dot`` keeps room for them.

        Returns the path. Raises :class:`ArgumentError` for another suffix or a folder that is not there,
        :class:`~tinygrad_cnn.extras.MissingPackageError` when a picture is wanted and there is no layout engine.
        """
        target = Path(path)
        suffix = target.suffix.lower()
        if suffix not in SUFFIXES:
            raise ArgumentError(
                "Drawing.save",
                f"no format has the suffix {target.suffix!r}",
                got=str(path),
                expected="one of " + ", ".join(SUFFIXES),
                fix=f'save("{target.stem or "network"}.svg")',
            )
        if not target.parent.is_dir():
            raise ArgumentError(
                "Drawing.save",
                f"the folder {str(target.parent)!r} does not exist",
                got=str(path),
                fix=f"make it first: pathlib.Path({str(target.parent)!r}).mkdir(parents=True)",
            )
        target.write_bytes(self._bytes(suffix))
        return target

    def _bytes(self, suffix: str) -> bytes:
        texts = {
            ".dot": lambda: self.dot,
            ".txt": lambda: self.text() + "\n",
            ".svg": lambda: self.svg() + "\n",
            ".mmd": self.mermaid,
            ".json": self.json,
            ".html": self.page,
        }
        if suffix in texts:
            return texts[suffix]().encode()
        import tempfile

        with tempfile.TemporaryDirectory() as folder:
            files = write_files(self.view, Path(folder))
            return render(to_dot(self.view, self._style, files), suffix[1:])

    def show(self) -> None:
        """Open the picture in the program for SVG files, most often a browser.

        Without a layout engine the text is printed, and to the error stream how to get one.
        """
        import tempfile
        import webbrowser

        try:
            picture = self._bytes(".svg")
        except MissingPackageError as error:
            print(self.text())
            print(error, file=sys.stderr)
            return
        with tempfile.NamedTemporaryFile("wb", prefix="network-", suffix=".svg", delete=False) as file:
            file.write(picture)
        webbrowser.open(Path(file.name).as_uri())

    def _repr_svg_(self) -> str | None:
        try:
            return self.svg()
        except MissingPackageError:
            return None

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, str]:
        svg = self._repr_svg_()
        return {"text/plain": self.text()} | ({"image/svg+xml": svg} if svg is not None else {})

    def __str__(self) -> str:
        return self.text()

    def __repr__(self) -> str:
        return f"<Drawing of {self.view.describe()}>"

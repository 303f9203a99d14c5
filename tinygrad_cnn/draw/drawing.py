"""What :func:`tinygrad_cnn.draw` returns."""

from __future__ import annotations

import os
from functools import cached_property
from pathlib import Path
from typing import Any

from ..errors import ArgumentError
from ..extras import MissingPackageError
from .dot import to_dot
from .render import FORMATS, render, tidy_svg
from .text import to_text
from .view import GraphView

SUFFIXES = (".dot", ".txt", *[f".{each}" for each in FORMATS])


class Drawing:
    """A picture of a network, as DOT, SVG, PNG, PDF or text. Notebooks show it by itself; ``print`` gives text.

    >>> import tinygrad_cnn as tg
    >>> print(tg.draw(tg.symbol((2, 3), name="x").exp()))
    graph: 1 operation, input x 2×3, output 2×3
    n0 input x  2×3
    n1 exp      2×3
    """

    def __init__(self, view: GraphView) -> None:
        self.view = view

    @cached_property
    def dot(self) -> str:
        """The picture in DOT, the same in every process."""
        return to_dot(self.view)

    def text(self) -> str:
        """The picture as an indented list."""
        return to_text(self.view)

    def svg(self) -> str:
        """The picture as an SVG element, which can stand in a file or inside HTML.

        Raises :class:`~tinygrad_cnn.extras.MissingPackageError` when there is no layout engine.
        """
        return tidy_svg(render(self.dot, "svg").decode(), self.view.name, self.view.describe())

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write a file of the format that the suffix names: ``.dot``, ``.txt``, ``.svg``, ``.png`` or ``.pdf``.

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
        texts = {".dot": lambda: self.dot, ".txt": lambda: self.text() + "\n", ".svg": lambda: self.svg() + "\n"}
        return texts[suffix]().encode() if suffix in texts else render(self.dot, suffix[1:])

    def show(self) -> None:
        """Open the picture in the program for SVG files, most often a browser."""
        import tempfile
        import webbrowser

        with tempfile.NamedTemporaryFile("wb", prefix="network-", suffix=".svg", delete=False) as file:
            file.write(self._bytes(".svg"))
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

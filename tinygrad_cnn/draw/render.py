"""From DOT to a picture. The layout engine is imported on first use.

pygraphviz brings Graphviz along inside its wheel, so ``pip install`` is enough. Where it is missing, the ``graphviz``
package does as well if the program ``dot`` is installed.
"""

from __future__ import annotations

import importlib
import re

from ..extras import MissingPackageError

FORMATS = ("svg", "png", "pdf")


def render(dot: str, format: str) -> bytes:
    """The picture in one of :data:`FORMATS`.

    Raises :class:`~tinygrad_cnn.extras.MissingPackageError` when there is no layout engine.
    """
    problems = []
    for engine in (_pygraphviz, _graphviz):
        try:
            return engine(dot, format)
        except (ImportError, OSError) as error:  # OSError: the `dot` program is not there, or a library is not
            problems.append(str(error).partition("\n")[0])
    raise MissingPackageError(
        "draw",
        f"a {format} picture needs a layout engine, and none can be used",
        got="; ".join(problems),
        expected="pygraphviz, or the graphviz package with the program dot",
        fix='pip install "tinygrad_cnn[draw]"; without it .text() works, and .save() of html, mmd, json, dot and txt',
    )


def _pygraphviz(dot: str, format: str) -> bytes:
    graph = importlib.import_module("pygraphviz").AGraph(string=dot)
    try:
        picture: bytes = graph.draw(format=format, prog="dot")
        if not picture:
            raise OSError("pygraphviz: Graphviz drew nothing")
        return picture
    finally:
        graph.close()


def _graphviz(dot: str, format: str) -> bytes:
    package = importlib.import_module("graphviz")
    try:
        picture: bytes = package.Source(dot).pipe(format=format)
        return picture
    except package.ExecutableNotFound as error:
        raise OSError(f"graphviz: {error}") from error


def tidy_svg(svg: str, title: str, description: str) -> str:
    """Graphviz's SVG made fit for web pages: it can stand inside HTML, shrinks to its column, and names itself.

    What is dropped: the XML prologue, comments, ids (two pictures on a page would share them) and the titles of
    single elements, which are DOT's ids.
    """
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<!--.*?-->\n?", "", svg, flags=re.DOTALL)
    svg = re.sub(r' id="[^"]*"', "", svg)
    svg = re.sub(r"<title>[^<]*</title>\n?", "", svg)
    svg = re.sub(r'<a xlink:title="([^"]*)">(.*?)</a>', r"<title>\1</title>\2", svg, flags=re.DOTALL)
    svg = re.sub(r'(<a xlink:href="[^"]*") xlink:title="([^"]*)"([^>]*>)', r"\1\3<title>\2</title>", svg)
    from html import escape

    head = f"<title>{escape(title)}</title>\n<desc>{escape(description)}</desc>\n"
    start, end, rest = svg.partition(">")
    return f'{start} role="img" style="max-width:100%;height:auto"{end}\n{head}{rest.lstrip()}'

"""A directive that draws the result of a piece of Python, so that no picture in a text can fall behind the package.

.. code-block:: rst

   .. drawing::
      :alt: Seven layers in a chain; the first dense layer has most of the parameters.
      :caption: LeNet-5

      tg.draw(tg.models.lenet5(), (1, 1, 32, 32))

The code runs when the page is read. The pieces of a page share their names, as the cells of a notebook do, and know
``tg`` and ``nn``; the last line of each gives the drawing. A piece that fails is a warning with its traceback.

``:alt:``
    What there is to see, in a sentence. It must be there: it is what people are told who do not see the picture.
``:caption:``
    Stands below the picture.
``:hide-code:``
    The code is not shown.
``:one-screen:``
    The picture shrinks until all of it is seen at once, where the window is high enough for that.

The picture stands in the page itself, without a ground of its own; arrows, frames and their words take the colour of
the text around it. It shrinks to the column until its letters become small, and from there on scrolls, also by
keyboard; at first the box is in sight that the picture begins with. The same as text can be unfolded below it.
"""

from __future__ import annotations

import ast
import html
import linecache
import re
import traceback
from typing import Any

from docutils import nodes
from docutils.parsers.rst import directives
from sphinx.application import Sphinx
from sphinx.util import logging
from sphinx.util.docutils import SphinxDirective

import tinygrad_cnn as tg
from tinygrad_cnn.draw.dot import GREY

logger = logging.getLogger(__name__)

START = """
addEventListener("DOMContentLoaded", () => {
  for (const part of document.querySelectorAll(".drawing-window")) {
    const first = part.querySelector('g.node:has(text[font-weight="bold"])');  // an operation or a block
    if (!first || part.scrollWidth <= part.clientWidth) continue;
    const box = first.getBoundingClientRect(), frame = part.getBoundingClientRect();
    part.scrollLeft += (box.left + box.right - frame.left - frame.right) / 2;
  }
});
"""
"""Scrolls each picture that is too wide to where it begins."""

names_of: dict[str, dict[str, Any]] = {}
"""For each page, the names that its code has made so far."""


class DrawingDirective(SphinxDirective):
    """See the text of this module."""

    has_content = True
    option_spec = {  # noqa: RUF012 - docutils asks for this form
        "alt": directives.unchanged,
        "caption": directives.unchanged,
        "hide-code": directives.flag,
        "one-screen": directives.flag,
    }

    def run(self) -> list[nodes.Node]:
        alt = " ".join(self.options.get("alt", "").split())
        if not alt:
            raise self.error(
                'drawing: the picture has no words for people who do not see it; add a line ":alt: ..." that says in '
                "one sentence what there is to see"
            )
        self.env.note_reread()  # a stored page would not notice that the package has changed
        code = "\n".join(self.content)
        shown: list[nodes.Node] = []
        if "hide-code" not in self.options:
            shown.append(nodes.literal_block(code, code, language="python"))
        try:
            drawing = self.drawn(code)
            svg = drawing.svg()
        except Exception as error:
            text = self.told(error)
            logger.warning("drawing: the code failed\n%s", text, location=self.get_location(), type="drawing")
            return [*shown, nodes.literal_block(text, text, language="text")]
        if self.env.app.builder.format == "html":
            number = self.env.new_serialno("drawing")
            kind = "drawing one-screen" if "one-screen" in self.options else "drawing"
            inside = inline_svg(svg, f"drawing-{number}", alt)
            page = _figure(kind, inside, self.options.get("caption", ""), str(drawing))
            return [*shown, nodes.raw("", page, format="html")]
        return [*shown, nodes.paragraph(alt, alt), nodes.literal_block(str(drawing), str(drawing), language="text")]

    def drawn(self, code: str) -> tg.Drawing:
        """What the last line of the code gives."""
        names = names_of.setdefault(self.env.docname, {"__name__": "page", "tg": tg, "nn": tg.nn})
        file = f"{self.env.docname}, drawing in line {self.lineno}"
        linecache.cache[file] = (len(code), None, [line + "\n" for line in self.content], file)  # for tracebacks
        tree = ast.parse(code, file)
        last = tree.body.pop() if tree.body and isinstance(tree.body[-1], ast.Expr) else None
        exec(compile(tree, file, "exec"), names)
        result = eval(compile(ast.Expression(last.value), file, "eval"), names) if isinstance(last, ast.Expr) else None
        if not isinstance(result, tg.Drawing):
            raise TypeError(f"the last line gives {type(result).__name__}, and not what tg.draw(...) gives")
        return result

    def told(self, error: Exception) -> str:
        """The traceback, from the page's own code on."""
        frames = traceback.extract_tb(error.__traceback__)
        start = next((place for place, frame in enumerate(frames) if frame.filename.startswith(self.env.docname)), None)
        lines = [] if start is None else ["Traceback:\n", *traceback.format_list(frames[start:])]
        return "".join([*lines, *traceback.format_exception_only(error)]).rstrip()


def _figure(kind: str, svg: str, caption: str, text: str) -> str:
    below = f"<figcaption>{html.escape(caption)}</figcaption>\n" if caption else ""
    return (
        f'<figure class="{kind}">\n'
        f'<div class="drawing-window" tabindex="0" role="group" aria-label="drawing">\n{svg}\n</div>\n{below}'
        f"<details><summary>The same as text</summary>\n<pre>{html.escape(text)}</pre></details>\n</figure>"
    )


def inline_svg(svg: str, id: str, alt: str) -> str:
    """A drawing's SVG for the inside of a page.

    ``alt`` becomes its title; what the drawing says of itself stays its description. What is grey, for it must be seen
    on any ground, takes the colour of the text instead. The width at which it was laid out is left to the style sheet.
    """
    head, _, body = svg.partition(">")
    title = f'<title id="{id}-title">{html.escape(alt)}</title>'
    body = re.sub("<title>[^<]*</title>", lambda _: title, body, count=1)
    body = body.replace("<desc>", f'<desc id="{id}-desc">', 1).replace(f'"{GREY}"', '"currentColor"')
    width = re.search(r' width="([\d.]+)pt"', head)
    head = re.sub(r' (width|height|style|role)="[^"]*"', "", head)
    natural = f' style="--natural:{width[1]}pt"' if width else ""
    return f'{head} role="img" aria-labelledby="{id}-title" aria-describedby="{id}-desc"{natural}>{body}'


def setup(app: Sphinx) -> dict[str, Any]:
    app.add_directive("drawing", DrawingDirective)
    app.add_js_file(None, body=START)
    return {"parallel_read_safe": True, "parallel_write_safe": True}

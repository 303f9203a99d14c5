"""Drawings that a chapter's cells make stand in the page itself, so that they take the colours of its scheme."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from docutils import nodes
from drawing import inline_svg
from sphinx.application import Sphinx


def inline(app: Sphinx, doctree: nodes.document, page: str) -> None:
    if app.builder.format != "html":
        return
    for number, image in enumerate(list(doctree.findall(nodes.image))):
        file = Path(app.srcdir) / image["uri"]
        if file.suffix == ".svg" and "jupyter_execute" in file.parts:
            svg = inline_svg(file.read_text(encoding="utf-8"), f"cell-{number}-drawing", image.get("alt", ""))
            window = f'<div class="drawing-window" tabindex="0" role="group" aria-label="drawing">\n{svg}\n</div>'
            image.replace_self(nodes.raw("", f'<figure class="drawing">\n{window}\n</figure>', format="html"))


def setup(app: Sphinx) -> dict[str, Any]:
    app.connect("doctree-resolved", inline)
    return {"parallel_read_safe": True, "parallel_write_safe": True}

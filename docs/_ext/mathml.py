"""Formulas as MathML, made from LaTeX while the site is built.

Browsers typeset MathML themselves: a page needs no script, no font of its own and no network, and a screen reader
reads the formula. The converter is the one that comes with docutils; two things that it leaves to the browser, and
that browsers do not do, are mended here: the thin spaces around names of functions, and the form of primes.
"""

from __future__ import annotations

import xml.etree.ElementTree as ET
from typing import Any

from docutils import nodes
from docutils.utils.math import MathError
from docutils.utils.math.latex2mathml import tex2mathml
from sphinx.application import Sphinx
from sphinx.util import logging
from sphinx.writers.html5 import HTML5Translator

logger = logging.getLogger(__name__)

MATHML = "http://www.w3.org/1998/Math/MathML"
APPLY = "\u2061"  # the invisible sign between a function and its argument
PRIME = "\u2032"
FUNCTIONS = {"arctan", "arg", "cos", "cosh", "det", "exp", "ln", "log", "sin", "sinh", "tan", "tanh"}
LIMITS = {"inf", "lim", "max", "min", "sup"}

ET.register_namespace("", MATHML)


def _kind(element: ET.Element) -> str:
    return element.tag.rpartition("}")[2]


def _core(element: ET.Element) -> ET.Element:
    """The token that an element with indices or exponents is built on."""
    while _kind(element) in ("msub", "msup", "msubsup", "munder", "mover", "munderover"):
        element = element[0]
    return element


def _is_function(element: ET.Element) -> bool:
    core = _core(element)
    return _kind(core) in ("mi", "mo") and (core.text or "").strip() in FUNCTIONS | LIMITS


def _is_operand(element: ET.Element, bracket: str) -> bool:
    """Whether this is a number, a variable, a fraction, a root, or such a bracket: what a function keeps apart from."""
    core = _core(element)
    return _kind(core) in ("mi", "mn", "mfrac", "msqrt", "mroot") or (core.text or "").strip() in [*bracket]


def _space_functions(row: ET.Element) -> None:
    children: list[ET.Element] = []
    last: ET.Element | None = None
    for child in row:
        if child.text == APPLY:
            children.append(child)
            continue
        if last is not None and (
            (_is_function(child) and (_is_operand(last, ")]}" + PRIME) or _is_function(last)))
            or (_is_function(last) and _is_operand(child, ""))
        ):
            children.append(ET.Element(f"{{{MATHML}}}mspace", width="0.1667em"))
        if _is_function(child) and _kind(_core(child)) == "mo":
            _core(child).attrib |= {"lspace": "0", "rspace": "0"}
        children.append(child)
        last = child
    row[:] = children


def mend(mathml: str) -> str:
    """The same formula with thin spaces around functions, as in ``x ln x`` but not in ``ln(x)``, and with primes."""
    root = ET.fromstring(mathml.replace("&ApplyFunction;", APPLY))
    for element in list(root.iter()):
        if element.text == "'":
            element.text = PRIME
            element.attrib |= {"lspace": "0", "rspace": "0"}
        if _kind(element) in ("math", "mrow", "mtd", "mstyle", "msqrt"):
            _space_functions(element)
    return ET.tostring(root, encoding="unicode")


def _convert(node: nodes.Element, as_block: bool) -> str:
    tex = node.astext()
    try:
        return mend(str(tex2mathml(tex, as_block=as_block)))
    except MathError as error:
        logger.warning("formula cannot be converted: %s in %s", error, tex, location=node)
        return f"<code>{nodes.Text(tex).astext()}</code>"


def inline(translator: HTML5Translator, node: nodes.math) -> None:
    translator.body.append(_convert(node, as_block=False))
    raise nodes.SkipNode


def block(translator: HTML5Translator, node: nodes.math_block) -> None:
    translator.body.append(translator.starttag(node, "div", CLASS="math"))
    translator.body.append(f'<div class="formula">{_convert(node, as_block=True)}</div>')
    if node["number"]:
        translator.body.append(f'<span class="eqno">({node["number"]})')
        translator.add_permalink_ref(node, "Link to this equation")
        translator.body.append("</span>")
    translator.body.append("</div>\n")
    raise nodes.SkipNode


def setup(app: Sphinx) -> dict[str, Any]:
    app.add_html_math_renderer("mathml", (inline, None), (block, None))
    return {"parallel_read_safe": True, "parallel_write_safe": True}

"""Pages that are made from the package itself, so that they cannot fall behind it.

Before Sphinx reads its sources, the chapters are copied from ``tutorials/``, one page is written for each public
module, and the tables of operations and of networks are made from the registry and the catalogue that the tests use as
well.
"""

from __future__ import annotations

import importlib
import inspect
import os
import re
import shutil
from dataclasses import fields
from pathlib import Path
from typing import Any

from chapters import chapters, check_cells
from docutils import nodes
from myst_nb.sphinx_ import NbMetadataCollector
from sphinx.addnodes import pending_xref
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx.ext.napoleon import Config, GoogleDocstring
from sphinx.util import logging

logger = logging.getLogger(__name__)

DOCS = Path(__file__).resolve().parent.parent
ROOT = DOCS.parent

PAGES = {
    "tinygrad_cnn": ("Tensors, graphs and gradients", "What ``import tinygrad_cnn as tg`` gives directly."),
    "tinygrad_cnn.nn": ("Layers and modules", "Things with parameters, and how they are put together."),
    "tinygrad_cnn.nn.module": ("Modules", "What a layer is, and how a tree of them finds its parameters."),
    "tinygrad_cnn.nn.functional": ("Functions of layers", "The same without parameters of their own: ``F.conv2d`` ..."),
    "tinygrad_cnn.nn.init": ("Initial weights", "Where the numbers of a parameter come from before training."),
    "tinygrad_cnn.models": ("Models", "Whole networks, one file for each family."),
    "tinygrad_cnn.nn.utils": ("All gradients at once", "Clipping, and parameters as one vector."),
    "tinygrad_cnn.optim": ("Optimisers and schedules", "How parameters follow their gradients, and how fast."),
    "tinygrad_cnn.data": ("Data", "Data sets, and the loader that deals them out in batches."),
    "tinygrad_cnn.train": ("Training", "The loop, with progress and metrics."),
    "tinygrad_cnn.recipes": ("Recipes", "What a small training consists of: ``python -m tinygrad_cnn train NAME``."),
    "tinygrad_cnn.inspect": ("Looking inside", "Activations, what units look for, receptive fields."),
    "tinygrad_cnn.filters": ("Kernels without training", "The classics by name, and what patches suggest."),
    "tinygrad_cnn.io": ("Files", "Weights, saved and loaded."),
    "tinygrad_cnn.io.safetensors": ("Weight files", "The safetensors format."),
    "tinygrad_cnn.draw": ("Drawing", "Pictures of graphs and models."),
    "tinygrad_cnn.summary": ("Summaries", "Networks as tables."),
    "tinygrad_cnn.testing": ("Checking gradients", "Gradient rules against finite differences."),
    "tinygrad_cnn.ops": ("Functions on tensors", "Most are methods or operators of :class:`~tinygrad_cnn.Tensor` too."),
    "tinygrad_cnn.ops.base": ("Making an operation", "The contract, and the function that calls an operation."),
    "tinygrad_cnn.compile": ("Compiling", "A step traced once, its graph improved, and then only its plan runs."),
    "tinygrad_cnn.graph": ("Nodes", "What a graph is made of."),
    "tinygrad_cnn.backend": ("Devices", "The only place that knows which array modules there are."),
    "tinygrad_cnn.backend.random": ("Random numbers", "Seeded streams, the same on every device."),
    "tinygrad_cnn.errors": ("Errors", "Each is also the built-in error that Python would raise."),
    "tinygrad_cnn.extras": ("Missing packages", "What is imported only when it is needed."),
}
"""The public modules in the order in which a reader meets them, with title and first sentence."""

SECTIONS = {
    "tinygrad_cnn": {
        "tinygrad_cnn.errors": "Errors",
        "tinygrad_cnn.ops": "Functions on tensors",
    },
    "tinygrad_cnn.nn": {
        "tinygrad_cnn.nn.blocks": "Blocks",
        "tinygrad_cnn.nn.encoder": "Blocks that change the size of images",
        "tinygrad_cnn.nn.residual": "Residual blocks",
    },
    "tinygrad_cnn.models": {
        "tinygrad_cnn.models.alexnet": "AlexNet",
        "tinygrad_cnn.models.autoencoder": "Images from images",
        "tinygrad_cnn.models.gan": "Generative adversarial networks",
        "tinygrad_cnn.models.googlenet": "GoogLeNet",
        "tinygrad_cnn.models.lenet": "LeNet",
        "tinygrad_cnn.models.localiser": "Localisation",
        "tinygrad_cnn.models.resnet": "ResNet",
        "tinygrad_cnn.models.simple": "Perceptrons and small networks",
        "tinygrad_cnn.models.unet": "U-Net",
        "tinygrad_cnn.models.vgg": "VGG",
    },
}
"""Headings on long pages, by where things come from; what comes from elsewhere stands before them."""

FAMILIES = {
    "base": "Leaves and constants",
    "elementwise": "Element by element",
    "shape": "Shape and order",
    "index": "Indexing",
    "reduce": "Reductions",
    "linalg": "Matrix products",
    "norm": "Normalisation",
    "random": "Random numbers",
    "window": "Windows",
    "conv": "Convolution",
    "pool": "Pooling",
    "resample": "Resolution",
}
"""Headings of the table of operations, for the files in ``ops/``."""


CHECK = """
```{{code-cell}} ipython3
:tags: [remove-cell]
import solutions as _solutions

_solutions.check("{}", globals())
```
"""
"""What the site's build runs after a chapter's last cell."""

STARTUP = """
import socket
import sys


def _refuse(*_):
    raise AssertionError("a chapter asked for the network")


socket.socket.connect = socket.getaddrinfo = _refuse
sys.stdout.flush_interval = 3600
"""
"""What a kernel runs before a first cell. None needs a network, here or at its reader's; and what a cell prints comes
in one piece at its end, for a line that arrives in two pieces would be shown as two lines."""


def public_names(module: Any) -> list[str]:
    """What a module offers: its ``__all__``; without one, the package's own classes and functions in it.

    A module that is no package offers what it defines; a package also what it takes in from its files.
    """
    if hasattr(module, "__all__"):
        names = list(module.__all__)
    else:
        home = module.__name__ if not hasattr(module, "__path__") else module.__name__.partition(".")[0]
        names = [
            name
            for name, thing in vars(module).items()
            if not name.startswith("_") and str(getattr(thing, "__module__", "")).startswith(home)
        ]
    return [
        name for name in names if inspect.isclass(getattr(module, name)) or inspect.isroutine(getattr(module, name))
    ]


def reference() -> dict[str, list[tuple[str, Any, str]]]:
    """For each module that exists: name, thing, and the full name under which the thing is documented.

    A thing that several modules offer is documented in the first of them.
    """
    homes: dict[int, str] = {}
    listing: dict[str, list[tuple[str, Any, str]]] = {}
    for path in PAGES:
        try:
            module = importlib.import_module(path)
        except ModuleNotFoundError:
            continue
        entries = []
        for name in public_names(module):
            thing = getattr(module, name)
            entries.append((name, thing, homes.setdefault(id(thing), f"{path}.{name}")))
        if entries:
            listing[path] = entries
    return listing


def _write(path: Path, lines: list[str]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def _heading(text: str, line: str) -> list[str]:
    return [text, line * len(text), ""]


def write_reference(folder: Path) -> None:
    """One page for each public module."""
    listing = reference()
    for path, entries in listing.items():
        title, sentence = PAGES[path]
        lines = [*_heading(title, "="), f"``{path}``: {sentence}", "", f".. currentmodule:: {path}", ""]
        elsewhere = [full for _, _, full in entries if full.rpartition(".")[0] != path]
        if elsewhere:
            lines += ["Also here: " + ", ".join(f":py:obj:`~{full}`" for full in elsewhere) + ".", ""]
        for name, _, full in entries:
            if full.rpartition(".")[0] == path and full != f"{path}.{name}":
                lines += [f"``{name}`` is another name of :py:obj:`~{full}`.", ""]
        section = ""
        for name, thing, full in sorted(entries, key=lambda entry: _section(path, entry[1])):
            if full == f"{path}.{name}":
                if _section(path, thing) != section:
                    section = _section(path, thing)
                    lines += _heading(section, "-")
                lines += _directive(name, thing)
        _write(folder / f"{path}.rst", lines)
    toc = [*_heading("Reference", "="), "Every public name, from the docstrings in the code.", ""]
    toc += [".. toctree::", "   :maxdepth: 1", "", *(f"   {path}" for path in listing)]
    _write(folder / "index.rst", toc)


def _directive(name: str, thing: Any) -> list[str]:
    if not inspect.isclass(thing):
        return [f".. autofunction:: {name}", ""]
    bases = ["   :show-inheritance:"] if _public_base(thing) is not object else []
    return [f".. autoclass:: {name}", "   :members:", *bases, ""]


def _public_base(thing: type) -> type:
    """The nearest base that is public; private ones are how the code is shared."""
    return next(each for each in thing.__mro__[1:] if not each.__name__.startswith("_"))


def _section(path: str, thing: Any) -> str:
    """The heading under which a thing stands on a page; most pages have none."""
    homes = SECTIONS.get(path, {})
    return next((title for home, title in homes.items() if thing.__module__.startswith(home)), "")


def write_operations(folder: Path) -> None:
    """The table of operations, one section for each file."""
    base = importlib.import_module("tinygrad_cnn.ops.base")
    importlib.import_module("tinygrad_cnn")
    families: dict[str, list[type]] = {}
    for operation in base.OPERATIONS.values():
        families.setdefault(operation.__module__, []).append(operation)

    lines = [*_heading("Table of operations", "="), ".. default-role:: py:obj", ""]
    lines += [
        f"A graph is made of these {len(base.OPERATIONS)} operations; everything else is composed of them.",
        "``grad`` is the gradient of the loss in the operation's output.",
        "",
    ]
    for module, operations in families.items():
        family = module.rpartition(".")[2]
        lines += _heading(FAMILIES.get(family, family.capitalize()), "-")
        lines += [f"In ``{module.replace('.', '/')}.py``.", "", ".. list-table::", "   :header-rows: 1"]
        lines += ["   :widths: 14 36 36 14", ""]
        rows = [("Operation", "Output", "Gradient", "Settings"), *map(_row, operations)]
        for row in rows:
            lines += [f"   {'* -' if column == 0 else '  -'} {cell}" for column, cell in enumerate(row)]
        lines += [""]
    _write(folder / "operations.rst", lines)


def _row(operation: Any) -> tuple[str, str, str, str]:
    """Name, output, gradient and settings, from the class and its docstring's first paragraph."""
    text = " ".join((inspect.getdoc(operation) or "").split("\n\n")[0].split())
    output, _, gradient = text.partition("Gradient:")
    settings = ", ".join(f"``{field.name}``" for field in fields(operation) if field.repr)
    missing = "see the code" if operation.differentiable else "none"
    return f"``{operation.name}``", output.strip(" ."), gradient.strip(" .") or missing, settings or "none"


def write_networks(folder: Path) -> None:
    """The table of networks, from the catalogue."""
    models = importlib.import_module("tinygrad_cnn.models")
    view = importlib.import_module("tinygrad_cnn.draw.view")
    lines = [*_heading("Table of networks", "="), "Each is made by its name: ``tg.models.get_model(name)``.", ""]
    lines += [
        "The number of parameters is the published one where there is a star. Multiply-adds (MACs) are for one input",
        "of the size given; :func:`~tinygrad_cnn.summary.count_macs` says what is counted.",
        "",
    ]
    lines += [".. list-table::", "   :header-rows: 1", "   :widths: 18 14 14 16 38", ""]
    rows = [("Network", "Input", "Parameters", "MACs", "")]
    for row in models.overview():
        entry = models.get_entry(row.name)
        star = r" \*" if entry.published == row.parameters else ""
        inputs = ", ".join(map(view.format_shape, row.inputs))
        text = f"{row.description} ({entry.source})".replace("*", r"\*")
        rows.append((f"``{row.name}``", inputs, f"{row.parameters:,}{star}", f"{row.macs:,}", text))
    for row in rows:
        lines += [f"   {'* -' if column == 0 else '  -'} {cell}" for column, cell in enumerate(row)]
    _write(folder / "networks.rst", [*lines, ""])


def copy_chapters(folder: Path) -> None:
    """The chapters, for Sphinx wants all sources in one folder; each gets its number, and ends with
    the checks of its exercises.
    """
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for chapter in chapters(ROOT / "tutorials"):
        text = re.sub(r"^# ", f"# {int(chapter.number)}. ", chapter.text, count=1, flags=re.MULTILINE)
        text += CHECK.format(f"ch{chapter.number}") * check_cells(chapter)
        (folder / chapter.path.name).write_text(text, encoding="utf-8")


def write_settings(folder: Path) -> None:
    """Settings of the kernels in which chapters run."""
    startup = folder / "profile_default/startup"
    startup.mkdir(parents=True, exist_ok=True)
    (startup / "startup.py").write_text(STARTUP, encoding="utf-8")
    os.environ["IPYTHONDIR"] = str(folder)


def resolve(app: Sphinx, env: BuildEnvironment, node: pending_xref, content: nodes.TextElement) -> Any:
    """Find a thing by where its code stands, or by its bare name: docstrings and annotations say either."""
    if node.get("refdomain") != "py":
        return None
    wanted = node["reftarget"].lstrip(".")
    for entries in reference().values():
        for _, thing, full in entries:
            code = f"{thing.__module__}.{thing.__qualname__}"
            tail = wanted.removeprefix(code) if wanted.startswith(code) else None
            if tail is None and wanted.split(".")[0] == thing.__name__:
                tail = wanted.removeprefix(thing.__name__)
            if tail is not None and (not tail or tail.startswith(".")) and full + tail != wanted:
                domain = env.domains.python_domain
                return domain.resolve_xref(env, node["refdoc"], app.builder, "obj", full + tail, node, content)
    return None


def public_bases(app: Sphinx, name: str, thing: type, options: Any, bases: list[Any]) -> None:
    bases[:] = [_public_base(thing)]


def google_style(app: Sphinx, what: str, name: str, thing: Any, options: Any, lines: list[str]) -> None:
    """Read ``Args:`` sections. Attributes have none, and their first colon is only a colon."""
    if what not in ("attribute", "property", "data"):
        lines[:] = GoogleDocstring(lines, Config(), app, what, name, thing, options).lines()


def generate(app: Sphinx) -> None:
    generated = DOCS / "generated"
    shutil.rmtree(generated, ignore_errors=True)
    write_reference(generated)
    write_operations(generated)
    write_networks(generated)
    copy_chapters(DOCS / "tutorials")
    write_settings(Path(app.doctreedir).parent / "kernels")


def name_levels(app: Sphinx, page: str, template: str, context: dict[str, Any], doctree: Any) -> None:
    """Captions of the contents are headings; a screen reader wants to know of which level."""
    tree = context.get("furo_navigation_tree")
    if tree:
        context["furo_navigation_tree"] = tree.replace('role="heading"', 'role="heading" aria-level="2"')


def name_slowest(app: Sphinx, exception: Exception | None) -> None:
    """Say which pages took longest to execute."""
    documents = NbMetadataCollector.get_doc_data(app.env).items()
    times = {name: data["exec_data"]["runtime"] or 0.0 for name, data in documents if data.get("exec_data")}
    slowest = sorted(times, key=lambda name: times[name], reverse=True)[:5]
    listing = ", ".join(f"{name} {times[name]:.1f} s" for name in slowest)
    logger.info("cells were executed in %.0f s; slowest: %s", sum(times.values()), listing)


def setup(app: Sphinx) -> dict[str, Any]:
    app.connect("builder-inited", generate)
    app.connect("autodoc-process-bases", public_bases)
    app.connect("autodoc-process-docstring", google_style)
    app.connect("missing-reference", resolve)
    app.connect("html-page-context", name_levels, priority=900)
    app.connect("build-finished", name_slowest)
    return {"parallel_read_safe": True, "parallel_write_safe": True}

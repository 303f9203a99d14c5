"""Which page of the documentation explains a box: one table, from the files of operations and layers to pages.

Addresses are relative to the first page of the site.
"""

from __future__ import annotations

from functools import cache

from ..ops.base import OPERATIONS

OPERATION_PAGE = "generated/operations.html"
CHAPTERS: dict[str, str] = {
    "base": "07_eager_and_symbolic",
    "initial": "09_losses_optimisers_modules",
    "elementwise": "03_rules_one_by_one",
    "shape": "05_tensors_and_broadcasting",
    "index": "06_matmul_reductions_indexing",
    "reduce": "06_matmul_reductions_indexing",
    "linalg": "06_matmul_reductions_indexing",
    "conv": "11_correlation_and_convolution",
    "conv_weight": "14_the_gradient_of_a_convolution",
    "window": "15_convolution_as_a_matrix",
    "conv_transpose": "16_transposed_convolution",
    "pool": "17_pooling",
    "random": "21_normalise_and_regularise",
}
"""The chapter that explains an operation, by its name or by the file of ``ops/`` that it stands in."""
SECTIONS: dict[str, str] = {"resample": "resolution"}
"""The heading in the table of operations for a file of ``ops/`` without a chapter."""


def operation_link(base: str | None, name: str) -> str:
    """The address of the page for an operation, by its name; empty where there is none."""
    kind = OPERATIONS.get(name)
    if base is None or kind is None:
        return ""
    family = kind.__module__.rpartition(".")[2]
    chapter = CHAPTERS.get(name) or CHAPTERS.get(family)
    if chapter:
        return _joined(base, f"tutorials/{chapter}.html")
    return _joined(base, f"{OPERATION_PAGE}#{SECTIONS[family]}") if family in SECTIONS else ""


def module_link(base: str | None, module: type) -> str:
    """The address of the reference of a class of modules; empty for classes that are not this package's."""
    home = _homes().get(f"{module.__module__}.{module.__name__}")
    return "" if base is None or home is None else _joined(base, f"generated/{home}.html#{home}.{module.__name__}")


@cache
def _homes() -> dict[str, str]:
    """The public module that documents a class, by the class's full name in the code."""
    from .. import models, nn

    return {
        f"{each.__module__}.{name}": room.__name__
        for room in (models, nn)
        for name, each in vars(room).items()
        if isinstance(each, type)
    }


def _joined(base: str, page: str) -> str:
    return f"{base.rstrip('/')}/{page}" if base else page

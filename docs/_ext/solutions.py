"""The checks of a chapter's exercises, run on the chapter's own solutions.

The site's build adds a cell that calls :func:`check` to each chapter; readers see neither the cell nor its output.
"""

from __future__ import annotations

import contextlib
import io
import os
import sys
import types
from typing import Any

from chapters import EXERCISES


def check(chapter: str, names: dict[str, Any]) -> None:
    """Run ``test_chNN.py`` with a module ``chNN`` whose functions are those in ``names``.

    Raises ``AssertionError`` with the report of pytest where a check fails or there is none.
    """
    import pytest

    module = types.ModuleType(chapter)
    vars(module).update({name: thing for name, thing in names.items() if not name.startswith("_")})
    sys.modules[chapter] = module
    report = io.StringIO()
    options = ["-q", "--color=no", "-p", "no:cacheprovider", "-c", os.devnull, "--rootdir", str(EXERCISES)]
    with contextlib.redirect_stdout(report):
        status = pytest.main([*options, str(EXERCISES / f"test_{chapter}.py")])
    assert status == pytest.ExitCode.OK, f"the solutions of {chapter} fail the checks:\n{report.getvalue()}"

"""Packages that only some features need: imported on first use, with an error that says how to get them."""

from __future__ import annotations

import importlib
from types import ModuleType

from .errors import TinygradCnnError


class MissingPackageError(TinygradCnnError, ImportError):
    """A feature needs a package that is not installed."""


def require(operation: str, module: str, package: str, extra: str) -> ModuleType:
    """The module, imported now.

    Args:
        operation: what asks for it, for the message.
        module: its name in Python, such as ``"sklearn.datasets"``.
        package: its name for people, such as ``"scikit-learn"``.
        extra: this package's extra that installs it.

    Raises :class:`MissingPackageError` when it is not installed.

    >>> require("example", "math", "Python", "none").sqrt(4.0)
    2.0
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise MissingPackageError(
            operation,
            f"needs {package}, which cannot be imported",
            got=str(error),
            fix=f'pip install "tinygrad_cnn[{extra}]"',
        ) from error

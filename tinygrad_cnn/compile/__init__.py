"""Compiling: a function is described once, its graph is made better, and from then on only the graph runs."""

from .compiled import Compiled, compile

__all__ = ["Compiled", "compile"]

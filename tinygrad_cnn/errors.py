"""Errors that teach.

Every message has one form: what was called and what is wrong with it, what it got, what it expects, what to do,
and the line of the user's own code that led there::

    conv2d: the input has 3 channels, the weight takes 1
      got       input (8, 3, 28, 28) float32, weight (6, 1, 5, 5) float32, groups 1
      expected  input channels = weight.shape[1] * groups = 1 * 1 = 1
      fix       pass images with 1 channel, or make the layer with in_channels=3
      at        train.py, line 12, in lenet5/conv1: logits = model(images)
"""

from __future__ import annotations

import linecache
import os
import sys
from types import CodeType, FrameType
from typing import NamedTuple

from .mode import current_mode

PACKAGE = os.path.dirname(os.path.abspath(__file__)) + os.sep


class Place(NamedTuple):
    """A place in the user's program, cheap to take: the line number is worked out only when somebody asks."""

    code: CodeType
    instruction: int

    @property
    def file(self) -> str:
        """The file's name, without its folders."""
        return os.path.basename(self.code.co_filename)

    @property
    def line(self) -> int:
        """The line number, counted from 1."""
        for start, end, line in self.code.co_lines():
            if start <= self.instruction < end and line is not None:
                return line
        return self.code.co_firstlineno

    @property
    def text(self) -> str:
        """The source line itself, or an empty string where the source is not to be had."""
        return linecache.getline(self.code.co_filename, self.line).strip()


_our_files: set[str] = set()  # files of this package that were met: every recorded operation asks, so they are kept


def user_place(above: int = 1) -> Place | None:
    """The innermost line on the call stack that is not this package's own, looked for ``above`` so many frames."""
    frame: FrameType | None = sys._getframe(above)
    while frame is not None:
        code = frame.f_code
        if code.co_filename not in _our_files:
            if not code.co_filename.startswith(PACKAGE):
                return tuple.__new__(Place, (code, frame.f_lasti))  # the usual constructor takes twice as long
            _our_files.add(code.co_filename)
        frame = frame.f_back
    return None


class TinygradCnnError(Exception):
    """The family of this package's errors; each member is also the built-in error that Python would raise.

    The parts of the message stay readable as attributes: ``operation``, ``problem``, ``got``, ``expected``,
    ``fix``, ``place`` and ``scope``.
    """

    def __init__(self, operation: str, problem: str, *, got: str = "", expected: str = "", fix: str = "") -> None:
        self.operation = operation
        self.problem = problem
        self.got = got
        self.expected = expected
        self.fix = fix
        self.place = user_place()
        self.scope = current_mode().scope
        super().__init__(self._message())

    def _message(self) -> str:
        lines = [f"{self.operation}: {self.problem}"]
        for label, text in (("got", self.got), ("expected", self.expected), ("fix", self.fix), ("at", self._where())):
            if text:
                lines.append(f"  {label:<9} {text}")
        return "\n".join(lines)

    def _where(self) -> str:
        return describe_place(self.place, self.scope)


def describe_place(place: Place | None, scope: str) -> str:
    """A place and the block it belongs to, as one phrase.

    >>> describe_place(None, "lenet5/conv1")
    'in lenet5/conv1'
    """
    if place is None:
        return f"in {scope}" if scope else ""
    inside = f", in {scope}" if scope else ""
    text = f": {place.text}" if place.text else ""
    return f"{place.file}, line {place.line}{inside}{text}"


class ShapeError(TinygradCnnError, ValueError):
    """Shapes or sizes do not fit together."""


class DTypeError(TinygradCnnError, TypeError):
    """Element types are mixed, or an operation is not defined for one."""


class DeviceError(TinygradCnnError, RuntimeError):
    """Devices are mixed, or a device is not to be had."""


class GraphError(TinygradCnnError, RuntimeError):
    """A graph is asked for something that it does not hold: a value, a gradient, a path."""


class ArgumentError(TinygradCnnError, ValueError):
    """An argument has a value that the operation cannot use."""


class PositionError(ArgumentError, IndexError):
    """An index points outside its axis."""


class ImmutableError(TinygradCnnError, TypeError):
    """Somebody tried to change a tensor in place."""


class NanError(TinygradCnnError, FloatingPointError):
    """Under :func:`tinygrad_cnn.detect_nan`: an operation made the first NaN."""

"""The settings that hold for a stretch of code: recording, scope, default device, NaN watch, tracing.

They live together in one immutable value in one context variable, so that an operation looks them up once, and so
that each thread and each coroutine has its own.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar, Token
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from .compile.trace import Tracer
    from .graph import Region


class Mode(NamedTuple):
    """What holds at one moment of the program."""

    record: bool = True
    """Whether operations on tensors that require a gradient are remembered."""
    scope: str = ""
    """The block that operations are made in, such as ``resnet/stage2/block1``."""
    device: str = "cpu"
    """Where new tensors are put when nobody says."""
    detect_nan: bool = False
    """Whether each result is searched for NaN."""
    describe: bool = False
    """Whether every result is symbolic, those of operations on numbers included: a graph is described, not run."""
    tracer: Tracer | None = None
    """Who takes down the effects of a function that is being compiled."""
    region: Region | None = None
    """The checkpoint that operations belong to."""


_MODE: ContextVar[Mode] = ContextVar("tinygrad_cnn_mode", default=Mode())  # noqa: B039 - a NamedTuple is immutable
current_mode = _MODE.get


@contextmanager
def _changed(mode: Mode) -> Iterator[None]:
    token = _MODE.set(mode)
    try:
        yield
    finally:
        _MODE.reset(token)


@contextmanager
def no_grad() -> Iterator[None]:
    """Do not record: results made inside have no gradient. A context manager and a decorator, as in PyTorch.

    >>> import tinygrad_cnn as tg
    >>> x = tg.Tensor(3.0, requires_grad=True)
    >>> with tg.no_grad():
    ...     y = x * x
    >>> y.requires_grad
    False
    """
    with _changed(current_mode()._replace(record=False)):
        yield


@contextmanager
def recording() -> Iterator[None]:
    """Record again, inside a stretch of code that does not."""
    with _changed(current_mode()._replace(record=True)):
        yield


@contextmanager
def describing() -> Iterator[None]:
    """Compute nothing: every result is symbolic. Holds while a module is called on a symbol, so that operations on its
    parameters alone, such as the transpose of a weight, do not draw the numbers.
    """
    with _changed(current_mode()._replace(describe=True)):
        yield


@contextmanager
def tracing(tracer: Tracer) -> Iterator[None]:
    """Describe, and hand every effect to the tracer instead of having it: what compiling a function begins with."""
    with _changed(current_mode()._replace(record=True, scope="", describe=True, detect_nan=False, tracer=tracer)):
        yield


@contextmanager
def checkpointing(region: Region) -> Iterator[None]:
    """Operations made inside belong to a checkpoint."""
    with _changed(current_mode()._replace(region=region)):
        yield


@contextmanager
def scope(name: str) -> Iterator[None]:
    """Name the block that operations are made in; scopes nest, and pictures draw each as a box.

    >>> import tinygrad_cnn as tg
    >>> with tg.scope("encoder"), tg.scope("block1"):
    ...     tg.symbol((2, 3)).exp().node.scope
    'encoder/block1'
    """
    mode = current_mode()
    with _changed(mode._replace(scope=f"{mode.scope}/{name}" if mode.scope else name)):
        yield


def enter_block(name: str, describe: bool) -> Token[Mode]:
    """What a module does when it is called: a scope, and for symbols :func:`describing`, in one quick step."""
    record, path, device, watch, described, tracer, region = current_mode()
    path = f"{path}/{name}" if path else name
    return _MODE.set(Mode(record, path, device, watch, described or describe, tracer, region))


leave_block = _MODE.reset


@contextmanager
def exact_scope(path: str) -> Iterator[None]:
    """Set the whole scope path, whatever it is now."""
    with _changed(current_mode()._replace(scope=path)):
        yield


@contextmanager
def detect_nan() -> Iterator[None]:
    """Stop at the first operation that makes a NaN out of numbers that are none, and name it and its block.

    The watch holds for gradients too when ``backward`` is called inside.

    >>> import tinygrad_cnn as tg
    >>> with tg.detect_nan():
    ...     tg.Tensor([1.0, 0.0]) * float("inf")
    Traceback (most recent call last):
    tinygrad_cnn.errors.NanError: mul: made 1 NaN out of inputs that hold none...
    """
    with _changed(current_mode()._replace(detect_nan=True)):
        yield


@contextmanager
def default_device(name: str) -> Iterator[None]:
    """See :func:`tinygrad_cnn.device`, which checks the name first."""
    with _changed(current_mode()._replace(device=name)):
        yield

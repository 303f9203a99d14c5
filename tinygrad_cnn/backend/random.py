"""Seeded randomness.

All numbers are drawn by NumPy on the host and then moved, so a seed gives the same numbers on every device.
"""

from __future__ import annotations

import numpy as np

from ..errors import ArgumentError, GraphError
from ..mode import current_mode


class Generator:
    """A stream of random numbers that starts at a seed.

    >>> a, b = Generator(7), Generator(7)
    >>> bool((a.uniform((3,), np.dtype("float32")) == b.uniform((3,), np.dtype("float32"))).all())
    True
    """

    def __init__(self, seed: int = 0) -> None:
        self.manual_seed(seed)

    def manual_seed(self, seed: int) -> None:
        """Start again at ``seed``. Raises :class:`ArgumentError` unless it is a whole number from 0 up."""
        if seed != int(seed) or seed < 0:
            raise ArgumentError("seed", "this is no seed", got=repr(seed), expected="a whole number from 0 up")
        self.seed = int(seed)
        self._children = 0
        self._stream: np.random.Generator | None = None

    @property
    def numpy(self) -> np.random.Generator:
        """NumPy's generator, made at its first use: importing ``numpy.random`` takes as long as half this package.

        Raises :class:`GraphError` while a function is being compiled: numbers drawn there would be the same in every
        call.
        """
        if current_mode().tracer is not None:
            raise GraphError(
                "compile",
                "the function draws random numbers while it is being compiled, which would be the same in every call",
                fix="draw them outside and pass them as an argument; dropout and its like draw anew in every call",
            )
        if self._stream is None:
            self._stream = np.random.default_rng(self.seed)
        return self._stream

    def uniform(self, shape: tuple[int, ...], dtype: np.dtype, out: np.ndarray | None = None) -> np.ndarray:
        """Numbers of the half-open interval [0, 1), each equally likely; in ``out``, if that is given."""
        if dtype in (np.float32, np.float64):
            return self.numpy.random(shape, dtype=dtype.type, out=out)
        return self.numpy.random(shape).astype(dtype)

    def spawn_seed(self) -> tuple[int, int]:
        """The seed of an independent stream: the same one for the n-th call after a seed, however it is used.

        A parameter takes one when it is made and draws from it when its numbers are first needed, so the order in
        which parameters are first used does not change them.
        """
        self._children += 1
        return (self.seed, self._children)


default_generator = Generator(0)


def seed(n: int) -> None:
    """Start the default generator at ``n``: weights, dropout and shuffling repeat from here.

    Raises :class:`ArgumentError` unless ``n`` is a whole number from 0 up.
    """
    default_generator.manual_seed(n)

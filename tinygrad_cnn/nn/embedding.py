"""A learned vector for each of a number of things, such as the words of a vocabulary."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..errors import ArgumentError
from ..ops.embedding import padding_row
from ..tensor import Tensor, TensorLike
from . import functional as F
from .module import Module, Parameter


@dataclass(frozen=True)
class NormalRows:
    """The standard normal distribution, but for one row, which is 0."""

    zero_row: int | None

    def __call__(self, rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
        numbers = rng.standard_normal(shape)
        if self.zero_row is not None:
            numbers[self.zero_row] = 0.0
        return numbers


class Embedding(Module):
    """A table that gives each number its learned vector: ``(...)`` to ``(..., embedding_dim)``.

    Args:
        num_embeddings: how many things there are; they are numbered from 0.
        embedding_dim: the length of the vectors.
        padding_idx: the number that fills up short sequences. Its vector starts at 0 and gets no gradient; a negative
            one counts from the end.

    The weight has shape ``(num_embeddings, embedding_dim)`` and starts normally distributed with variance 1.
    (Bengio et al., 2003)

    Raises :class:`ArgumentError` for a ``padding_idx`` outside the table.

    >>> Embedding(10, 3)(Tensor([[1, 2], [4, 1]])).shape
    (2, 2, 3)
    """

    def __init__(self, num_embeddings: int, embedding_dim: int, padding_idx: int | None = None) -> None:
        if min(num_embeddings, embedding_dim) < 1:
            raise ArgumentError(
                "Embedding", "a table needs rows and columns", got=f"{num_embeddings} rows of {embedding_dim}"
            )
        if padding_idx is not None:
            padding_idx = padding_row(padding_idx, num_embeddings)
        self.num_embeddings, self.embedding_dim, self.padding_idx = num_embeddings, embedding_dim, padding_idx
        self.weight = Parameter.initialised((num_embeddings, embedding_dim), NormalRows(padding_idx))

    def forward(self, input: TensorLike) -> Tensor:
        """Integers ``(...)`` to ``(..., embedding_dim)``."""
        return F.embedding(input, self.weight, self.padding_idx)

    def extra_repr(self) -> str:
        """The settings."""
        padding = "" if self.padding_idx is None else f", padding_idx={self.padding_idx}"
        return f"{self.num_embeddings}, {self.embedding_dim}{padding}"

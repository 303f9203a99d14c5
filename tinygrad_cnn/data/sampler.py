"""Samplers: which samples of a data set an epoch takes, and in which order."""

from __future__ import annotations

from collections.abc import Sequence, Sized
from typing import Protocol

import numpy as np

from ..errors import ArgumentError
from ..tensor import Tensor


class Sampler(Protocol):
    """What a :class:`DataLoader` needs: how many samples an epoch takes, and their positions."""

    def __len__(self) -> int: ...

    def positions(self, random: np.random.Generator, /) -> np.ndarray:
        """The positions of the samples in the data set, in the order of this epoch, whose generator is given."""
        ...


class SequentialSampler:
    """Every sample once, in the order of the data set.

    >>> SequentialSampler([7, 8, 9]).positions(np.random.default_rng(0))
    array([0, 1, 2])
    """

    def __init__(self, data_source: Sized) -> None:
        self.data_source = data_source

    def __len__(self) -> int:
        return len(self.data_source)

    def positions(self, random: np.random.Generator) -> np.ndarray:
        return np.arange(len(self))


class RandomSampler:
    """The samples of a data set in a new random order in each epoch.

    Args:
        data_source: the data set.
        replacement: whether a sample may come again in the same epoch: each draw is then from all of them.
        num_samples: how many samples an epoch takes; without it, as many as there are.

    Raises :class:`ArgumentError` for more samples than there are, unless ``replacement`` is set.

    >>> len(RandomSampler([7, 8, 9], num_samples=2))
    2
    """

    def __init__(self, data_source: Sized, replacement: bool = False, num_samples: int | None = None) -> None:
        _check_number("RandomSampler", num_samples, None if replacement else len(data_source))
        self.data_source = data_source
        self.replacement = replacement
        self.num_samples = num_samples

    def __len__(self) -> int:
        return len(self.data_source) if self.num_samples is None else self.num_samples

    def positions(self, random: np.random.Generator) -> np.ndarray:
        count = len(self.data_source)
        return random.integers(count, size=len(self)) if self.replacement else random.permutation(count)[: len(self)]


class SubsetRandomSampler:
    """Some samples of a data set, in a new random order in each epoch.

    Args:
        indices: their positions.

    >>> sorted(SubsetRandomSampler([4, 6]).positions(np.random.default_rng(0)).tolist())
    [4, 6]
    """

    def __init__(self, indices: Sequence[int] | np.ndarray) -> None:
        self.indices = np.asarray(indices, np.int64)

    def __len__(self) -> int:
        return len(self.indices)

    def positions(self, random: np.random.Generator) -> np.ndarray:
        return random.permutation(self.indices)


class WeightedRandomSampler:
    """Samples drawn at random, each as often on average as its weight says.

    Args:
        weights: one for each sample of the data set, 0 or more; they need not sum to 1. See :func:`balanced_weights`.
        num_samples: how many samples an epoch takes.
        replacement: whether a sample may come again in the same epoch.

    Raises :class:`ArgumentError` for weights that are negative, not finite or all 0, and, without ``replacement``, for
    more samples than have a weight above 0.

    >>> WeightedRandomSampler([0.0, 1.0], 3).positions(np.random.default_rng(0))
    array([1, 1, 1])
    """

    def __init__(
        self, weights: Sequence[float] | np.ndarray | Tensor, num_samples: int, replacement: bool = True
    ) -> None:
        shares = np.asarray(weights.numpy() if isinstance(weights, Tensor) else weights, np.float64)
        if shares.ndim != 1 or not np.isfinite(shares).all() or (shares < 0).any() or not shares.sum() > 0:
            raise ArgumentError(
                "WeightedRandomSampler", "these are no weights",
                got=f"{shares.size} numbers of shape {shares.shape}, sum {shares.sum():g}, smallest "
                    f"{shares.min(initial=np.inf):g}",
                expected="one finite number for each sample, 0 or more, and one above 0",
            )  # fmt: skip
        _check_number("WeightedRandomSampler", num_samples, None if replacement else int((shares > 0).sum()))
        self.weights = shares / shares.sum()
        self.num_samples = num_samples
        self.replacement = replacement

    def __len__(self) -> int:
        return self.num_samples

    def positions(self, random: np.random.Generator) -> np.ndarray:
        return random.choice(len(self.weights), len(self), self.replacement, self.weights)


def balanced_weights(labels: Sequence[int] | np.ndarray | Tensor) -> np.ndarray:
    """A weight for each sample, so that all classes are drawn equally often: 1 / (samples of its class).

    Args:
        labels: the class of each sample, (N,).

    >>> balanced_weights([0, 0, 1])
    array([0.5, 0.5, 1. ])
    """
    _, classes, counts = np.unique(_as_labels(labels), return_inverse=True, return_counts=True)
    weights: np.ndarray = 1 / counts[classes]
    return weights


def _as_labels(labels: Sequence[int] | np.ndarray | Tensor) -> np.ndarray:
    return np.asarray(labels.numpy() if isinstance(labels, Tensor) else labels)


def _check_number(sampler: str, number: int | None, limit: int | None) -> None:
    if number is None:
        return
    if number != int(number) or number < 1:
        raise ArgumentError(sampler, "an epoch takes at least one sample", got=f"num_samples={number!r}",
                            expected="a whole number from 1 up")  # fmt: skip
    if limit is not None and number > limit:
        raise ArgumentError(
            sampler, "there are not so many samples", got=f"num_samples={number}", expected=f"{limit} at most",
            fix="with replacement=True a sample may come again",
        )  # fmt: skip

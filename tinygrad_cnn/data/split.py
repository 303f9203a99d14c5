"""Data sets taken apart: at random, with the same share of each class, or for cross-validation."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from ..backend.random import default_generator
from ..errors import ArgumentError, ShapeError
from ..tensor import Tensor
from .loader import Dataset, Subset
from .sampler import _as_labels


def random_split(dataset: Dataset, lengths: Sequence[float], seed: int | None = None) -> list[Subset]:
    """Parts of a data set that have no sample in common, chosen at random.

    Args:
        dataset: any data set.
        lengths: the number of samples in each part, adding up to all; or shares adding up to 1, where what is left
            over by rounding down goes to the parts in turn, one sample each, from the first on.
        seed: decides who goes where; without one it follows from :func:`tinygrad_cnn.seed`.

    Raises :class:`ArgumentError` for lengths that do not add up.

    >>> [len(part) for part in random_split(range(10), [0.75, 0.25])]
    [8, 2]
    """
    counts = _counts("random_split", lengths, len(dataset))
    order = np.random.default_rng(default_generator.spawn_seed() if seed is None else seed).permutation(len(dataset))
    return [Subset(dataset, part) for part in np.split(order, np.cumsum(counts)[:-1])]


def stratified_split(
    dataset: Dataset, labels: Sequence[int] | np.ndarray | Tensor, lengths: Sequence[float], seed: int | None = None
) -> list[Subset]:
    """As :func:`random_split`, with the same share of each class in all parts.

    Args:
        dataset: any data set.
        labels: the class of each sample, (N,).
        lengths: the shares of the parts, adding up to 1. In each class, what is left over by rounding down goes to the
            parts in turn, one sample each; a class goes on where the one before stopped.
        seed: decides who goes where; without one it follows from :func:`tinygrad_cnn.seed`.

    Raises :class:`ShapeError` unless there is one label for each sample, :class:`ArgumentError` for shares that do not
    add up to 1.

    >>> parts = stratified_split(range(6), [0, 0, 0, 0, 1, 1], [0.5, 0.5])
    >>> [int((part.indices >= 4).sum()) for part in parts]
    [1, 1]
    """
    classes = _as_labels(labels)
    if classes.shape != (len(dataset),):
        raise ShapeError("stratified_split", "the labels do not fit the data set", got=f"labels {classes.shape}",
                         expected=f"({len(dataset)},), one for each sample")  # fmt: skip
    shares = np.asarray(lengths, np.float64)
    if shares.ndim != 1 or (shares < 0).any() or abs(shares.sum() - 1) > 1e-9:
        raise _do_not_add_up("stratified_split", lengths, "shares from 0 up that add up to 1")
    random = np.random.default_rng(default_generator.spawn_seed() if seed is None else seed)
    parts: list[list[np.ndarray]] = [[] for _ in shares]
    turn = 0
    for name in np.unique(classes):
        members = random.permutation(np.flatnonzero(classes == name))
        counts = np.floor(shares * len(members) + 1e-9).astype(int)
        for _ in range(len(members) - counts.sum()):
            while not shares[turn % len(shares)]:
                turn += 1
            counts[turn % len(shares)] += 1
            turn += 1
        for part, chosen in zip(parts, np.split(members, np.cumsum(counts)[:-1]), strict=True):
            part.append(chosen)
    return [Subset(dataset, random.permutation(np.concatenate(part))) for part in parts]


def k_fold(dataset: Dataset, k: int = 5, seed: int | None = None) -> Iterator[tuple[Subset, Subset]]:
    """The ``k`` pairs (training part, held-out part) of a cross-validation; each sample is held out once.

    Args:
        dataset: any data set.
        k: the number of pairs, at least 2 and at most the number of samples.
        seed: decides who goes where; without one it follows from :func:`tinygrad_cnn.seed`.

    Raises :class:`ArgumentError` for another ``k``.

    >>> [(len(train), len(test)) for train, test in k_fold(range(5), 2)]
    [(2, 3), (3, 2)]
    """
    if k != int(k) or not 2 <= k <= len(dataset):
        raise ArgumentError("k_fold", "there are no such parts", got=f"k={k!r}, {len(dataset)} samples",
                            expected=f"2 <= k <= {len(dataset)}")  # fmt: skip
    order = np.random.default_rng(default_generator.spawn_seed() if seed is None else seed).permutation(len(dataset))
    folds = np.array_split(order, k)
    rest = [np.concatenate(folds[:i] + folds[i + 1 :]) for i in range(k)]
    return ((Subset(dataset, train), Subset(dataset, test)) for train, test in zip(rest, folds, strict=True))


def _counts(operation: str, lengths: Sequence[float], total: int) -> np.ndarray:
    """How many samples each part gets."""
    given = np.asarray(lengths, np.float64)
    if given.ndim == 1 and (given >= 0).all():
        if given.sum() == total and (given == given.astype(int)).all():
            return given.astype(int)
        if abs(given.sum() - 1) < 1e-9:
            counts: np.ndarray = np.floor(given * total + 1e-9).astype(int)
            counts[np.flatnonzero(given)[np.arange(total - counts.sum()) % np.count_nonzero(given)]] += 1
            return counts
    raise _do_not_add_up(operation, lengths, f"numbers of samples that add up to {total}, or shares that add up to 1")


def _do_not_add_up(operation: str, lengths: Sequence[float], expected: str) -> ArgumentError:
    got = f"lengths={list(lengths)}, sum {np.sum(lengths):g}"
    return ArgumentError(operation, "the lengths do not add up", got=got, expected=expected)

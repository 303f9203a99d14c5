"""Data sets, and batches of them in an order that a seed decides."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Protocol

import numpy as np

from ..backend.random import default_generator
from ..errors import ArgumentError, ShapeError
from ..ops.shape import stack
from ..tensor import Tensor

Sample = tuple[Tensor, ...]
"""What a data set holds at one position, such as an image and its label; or a batch of that."""

Transform = Callable[[Tensor, "np.random.Generator"], Tensor]
"""Changes a batch of inputs at random, such as :class:`RandomAffine`."""


class Dataset(Protocol):
    """What :class:`DataLoader` needs: a length, and a tuple of tensors at each position from 0 on."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int, /) -> Sample: ...


class TensorDataset:
    """Tensors whose first axis counts the samples; ``dataset[i]`` is the i-th slice of each.

    Args:
        tensors: one or more of equal length, such as images (N, C, H, W) and labels (N,).

    Raises :class:`ArgumentError` without tensors, :class:`ShapeError` when the lengths differ.

    >>> dataset = TensorDataset(Tensor([[1.0], [2.0]]), Tensor([7, 8]))
    >>> len(dataset), dataset[1]
    (2, (Tensor([2.]), Tensor(8)))
    """

    def __init__(self, *tensors: Tensor) -> None:
        if not tensors:
            raise ArgumentError("TensorDataset", "there are no tensors", fix="pass at least one: TensorDataset(images)")
        if any(not tensor.shape for tensor in tensors) or len({len(tensor) for tensor in tensors}) > 1:
            lengths = " and ".join(str(len(tensor)) if tensor.shape else "none" for tensor in tensors)
            raise ShapeError(
                "TensorDataset",
                f"the tensors hold different numbers of samples: {lengths}",
                got=", ".join(repr(tensor.spec) for tensor in tensors),
                expected="equal lengths of the first axis, one entry for each sample",
                fix="pass images and labels of the same samples; an axis that does not count them must not come first",
            )
        self.tensors = tensors

    def __len__(self) -> int:
        return len(self.tensors[0])

    def __getitem__(self, index: int | slice | Tensor) -> Sample:
        """One sample, or a batch of them for a slice or a tensor of positions."""
        return tuple(tensor[index] for tensor in self.tensors)

    def __iter__(self) -> Iterator[Sample]:
        return (self[position] for position in range(len(self)))


class DataLoader:
    """Deals a data set out in batches, each a tuple of tensors whose first axis counts the samples.

    Args:
        dataset: a :class:`TensorDataset`, or anything with a length that gives a tuple of tensors at each position.
        batch_size: samples in a batch; the last batch may be smaller.
        shuffle: whether each epoch takes the samples in a new random order.
        drop_last: whether a last batch that would be smaller is left out.
        seed: decides all that is random; without one it follows from :func:`tinygrad_cnn.seed`.
        transform: changes the first tensor of each batch, called as ``transform(inputs, random_generator)``.

    The order of an epoch, and what ``transform`` does in it, follow from ``seed`` and the number of the epoch alone.
    Each iteration is an epoch and counts :attr:`epoch` up; set it to go on where an earlier training ended.

    Raises :class:`ArgumentError` for a ``batch_size`` below 1 or a negative ``seed``.

    >>> loader = DataLoader(TensorDataset(Tensor([1.0, 2.0, 3.0])), batch_size=2)
    >>> [batch for (batch,) in loader]
    [Tensor([1., 2.]), Tensor([3.])]
    """

    def __init__(
        self,
        dataset: Dataset,
        batch_size: int = 1,
        shuffle: bool = False,
        drop_last: bool = False,
        seed: int | None = None,
        transform: Transform | None = None,
    ) -> None:
        if batch_size != int(batch_size) or batch_size < 1:
            raise ArgumentError(
                "DataLoader", "there are no such batches", got=f"batch_size={batch_size!r}",
                expected="a whole number of samples, at least 1",
            )  # fmt: skip
        if seed is not None and seed < 0:
            raise ArgumentError("DataLoader", "a seed is not negative", got=f"seed={seed}", expected="seed >= 0")
        self.dataset = dataset
        self.batch_size = int(batch_size)
        self.shuffle = shuffle
        self.drop_last = drop_last
        self.transform = transform
        self.epoch = 0
        """How many iterations were begun, and so the number of the next one, from 0."""
        self._seed = default_generator.spawn_seed() if seed is None else (seed,)

    def __len__(self) -> int:
        """The number of batches."""
        whole, rest = divmod(len(self.dataset), self.batch_size)
        return whole + bool(rest and not self.drop_last)

    def __iter__(self) -> Iterator[Sample]:
        random = np.random.default_rng((*self._seed, self.epoch))
        self.epoch += 1
        return self._batches(random)

    def _batches(self, random: np.random.Generator) -> Iterator[Sample]:
        count = len(self.dataset)
        order = random.permutation(count) if self.shuffle else None
        for start in range(0, len(self) * self.batch_size, self.batch_size):
            inputs, *others = self._batch(start, min(start + self.batch_size, count), order)
            yield (inputs if self.transform is None else self.transform(inputs, random), *others)

    def _batch(self, start: int, stop: int, order: np.ndarray | None) -> Sample:
        if isinstance(self.dataset, TensorDataset):
            if order is None:
                return self.dataset[start:stop]
            return self.dataset[Tensor(order[start:stop], device=self.dataset.tensors[0].device)]
        samples = [self.dataset[int(i)] for i in (range(start, stop) if order is None else order[start:stop])]
        return tuple(stack(parts) for parts in zip(*samples, strict=True))

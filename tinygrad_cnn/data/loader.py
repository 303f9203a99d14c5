"""Data sets, and batches of them in an order that a seed decides."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextvars import copy_context
from itertools import islice
from typing import Protocol

import numpy as np

from ..backend.random import default_generator
from ..errors import ArgumentError, PositionError, ShapeError, TinygradCnnError, user_place
from ..ops.shape import stack
from ..tensor import Tensor
from .sampler import RandomSampler, Sampler, SequentialSampler

Sample = tuple[Tensor, ...]
"""What a data set holds at one position, such as an image and its label; or a batch of that."""

Transform = Callable[[Tensor, "np.random.Generator"], Tensor]
"""Changes a batch of inputs at random, such as :class:`RandomAffine`."""

BatchTransform = Callable[[Sample, "np.random.Generator"], Sample]
"""Changes a whole batch at random, such as :class:`MixUp`."""


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


class Subset:
    """Some samples of a data set, in the order given.

    Args:
        dataset: any data set.
        indices: positions in it.

    Raises :class:`PositionError` for a position that it does not have.

    >>> Subset(TensorDataset(Tensor([5.0, 6.0, 7.0])), [2, 0])[0]
    (Tensor(7.),)
    """

    def __init__(self, dataset: Dataset, indices: Sequence[int] | np.ndarray) -> None:
        self.dataset = dataset
        self.indices = np.asarray(indices, np.int64).reshape(-1)
        outside = self.indices[(self.indices < 0) | (self.indices >= len(dataset))]
        if len(outside):
            raise PositionError(
                "Subset", "a position is outside the data set", got=str(outside[0]), expected=f"0 to {len(dataset) - 1}"
            )

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, index: int) -> Sample:
        return self.dataset[int(self.indices[index])]

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
        sampler: says which samples an epoch takes, in place of ``shuffle``; see :class:`WeightedRandomSampler`.
        num_workers: how many threads make batches ahead of time; 0 makes each when it is asked for. Threads, because
            reading files, Pillow and NumPy let others run meanwhile. The data set is then asked by several at once.
        batch_transform: changes all tensors of a batch, called as ``batch_transform(batch, random_generator)`` after
            ``transform``; see :class:`MixUp`.

    The order of an epoch, and what the transforms do in it, follow from ``seed`` and the number of the epoch alone,
    whatever the number of workers. Each iteration is an epoch and counts :attr:`epoch` up; set it to go on where an
    earlier training ended.

    At most two batches for each worker are ready or in the making, so memory does not grow with the data set. An error
    in a worker is raised where its batch was to come. The workers end with the iteration, also one that is left early.

    Raises :class:`ArgumentError` for a ``batch_size`` below 1, a negative ``seed`` or ``num_workers``, and ``shuffle``
    together with a ``sampler``.

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
        sampler: Sampler | None = None,
        num_workers: int = 0,
        batch_transform: BatchTransform | None = None,
    ) -> None:
        if batch_size != int(batch_size) or batch_size < 1:
            raise ArgumentError(
                "DataLoader", "there are no such batches", got=f"batch_size={batch_size!r}",
                expected="a whole number of samples, at least 1",
            )  # fmt: skip
        if seed is not None and seed < 0:
            raise ArgumentError("DataLoader", "a seed is not negative", got=f"seed={seed}", expected="seed >= 0")
        if num_workers != int(num_workers) or num_workers < 0:
            raise ArgumentError(
                "DataLoader", "there is no such number of threads", got=f"num_workers={num_workers!r}",
                expected="a whole number, 0 for none beside the one that asks",
            )  # fmt: skip
        if shuffle and sampler is not None:
            raise ArgumentError(
                "DataLoader", "the sampler decides the order already", got=f"shuffle=True, sampler={sampler!r}",
                fix="leave `shuffle` out; a RandomSampler shuffles",
            )  # fmt: skip
        self.dataset = dataset
        self.batch_size = int(batch_size)
        self.sampler = sampler or (RandomSampler(dataset) if shuffle else SequentialSampler(dataset))
        self.drop_last = drop_last
        self.transform = transform
        self.batch_transform = batch_transform
        self.num_workers = int(num_workers)
        self.epoch = 0
        """How many iterations were begun, and so the number of the next one, from 0."""
        self._seed = default_generator.spawn_seed() if seed is None else (seed,)

    def __len__(self) -> int:
        """The number of batches."""
        whole, rest = divmod(len(self.sampler), self.batch_size)
        return whole + bool(rest and not self.drop_last)

    def __iter__(self) -> Iterator[Sample]:
        seed = (*self._seed, self.epoch)
        self.epoch += 1
        positions = self.sampler.positions(np.random.default_rng(seed))
        plans = (
            # batches are numbered from 1: NumPy takes a seed that ends in 0 for the same seed without it
            ((*seed, number + 1), positions[number * self.batch_size : (number + 1) * self.batch_size])
            for number in range(len(self))
        )
        return self._ahead(plans) if self.num_workers else (self._batch(*plan) for plan in plans)

    def _batch(self, seed: tuple[int, ...], positions: np.ndarray) -> Sample:
        try:
            batch = _samples(self.dataset, positions)
            if self.transform is None and self.batch_transform is None:
                return batch
            random = np.random.default_rng(seed)
            if self.transform is not None:
                batch = (self.transform(batch[0], random), *batch[1:])
            return batch if self.batch_transform is None else self.batch_transform(batch, random)
        except Exception as error:
            error.add_note(f"while a batch was made of samples {_shortened(positions)}")
            raise

    def _ahead(self, plans: Iterator[tuple[tuple[int, ...], np.ndarray]]) -> Iterator[Sample]:
        """The batches in their order, made by threads: as many ahead as two for each thread."""
        pool = ThreadPoolExecutor(self.num_workers, "tinygrad_cnn-data")

        def submit(plan: tuple[tuple[int, ...], np.ndarray]) -> Future[Sample]:
            context = copy_context()  # device and mode of the thread that asks
            return pool.submit(lambda: context.run(self._batch, *plan))

        try:
            waiting = deque(map(submit, islice(plans, 2 * self.num_workers)))
            while waiting:
                first = waiting.popleft()
                try:
                    batch = first.result()
                except TinygradCnnError as error:
                    error.place = user_place()  # where the batch is asked for, instead of inside the thread
                    error.args = (error._message(),)
                    raise
                del first
                waiting.extend(map(submit, islice(plans, 1)))
                yield batch
                del batch
        finally:
            pool.shutdown(cancel_futures=True)


def _samples(dataset: Dataset, positions: np.ndarray) -> Sample:
    """The samples at these positions, stacked; from a :class:`TensorDataset` without going through each."""
    if isinstance(dataset, Subset):
        return _samples(dataset.dataset, dataset.indices[positions])
    if isinstance(dataset, TensorDataset):
        start, stop = int(positions[0]), int(positions[-1]) + 1
        if stop - start == len(positions) and (np.diff(positions) == 1).all():
            return dataset[start:stop]  # neighbours are not copied
        return dataset[Tensor(positions, device=dataset.tensors[0].device)]
    samples = [dataset[position] for position in positions.tolist()]
    return tuple(stack(parts) for parts in zip(*samples, strict=True))


def _shortened(positions: np.ndarray) -> str:
    shown = ", ".join(map(str, positions[:8].tolist()))
    return shown if len(positions) <= 8 else f"{shown}, ... ({len(positions)} in all)"

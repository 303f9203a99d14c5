from __future__ import annotations

import numpy as np
import pytest

import tinygrad_cnn as tg
from tinygrad_cnn.data import (
    DataLoader,
    RandomSampler,
    SequentialSampler,
    SubsetRandomSampler,
    TensorDataset,
    WeightedRandomSampler,
    balanced_weights,
)


def draw(sampler, seed: int = 0) -> list[int]:
    positions = sampler.positions(np.random.default_rng(seed))
    assert len(positions) == len(sampler)
    return positions.tolist()


def test_sequential():
    assert draw(SequentialSampler(range(4))) == [0, 1, 2, 3]


def test_random():
    sampler = RandomSampler(range(30))
    assert sorted(draw(sampler)) == list(range(30))
    assert draw(sampler) == draw(sampler) != draw(sampler, 1)
    some = draw(RandomSampler(range(30), num_samples=10))
    assert len(set(some)) == 10
    many = draw(RandomSampler(range(3), replacement=True, num_samples=3000))
    counts = np.bincount(many)
    assert len(counts) == 3
    assert counts.min() > 1000 - 5 * 26  # standard deviation 25.8
    with pytest.raises(tg.ArgumentError, match=r"num_samples=4[^$]*3 at most[^$]*replacement=True"):
        RandomSampler(range(3), num_samples=4)
    with pytest.raises(tg.ArgumentError, match="at least one"):
        RandomSampler(range(3), num_samples=0)


def test_subset():
    sampler = SubsetRandomSampler([3, 5, 9, 7])
    assert sorted(draw(sampler)) == [3, 5, 7, 9]
    assert len({tuple(draw(sampler, seed)) for seed in range(20)}) > 5


def test_weights_are_shares():
    sampler = WeightedRandomSampler([1.0, 0.0, 3.0], 4000)
    counts = np.bincount(draw(sampler))
    assert counts[1] == 0
    assert abs(counts[2] - 3000) < 5 * 28  # standard deviation 27.4
    assert sorted(draw(WeightedRandomSampler(tg.Tensor([0.5, 0.1, 0.0]), 2, replacement=False))) == [0, 1]
    for weights in ([1.0, -1.0], [0.0, 0.0], [np.nan], [[1.0]], []):
        with pytest.raises(tg.ArgumentError, match="no weights"):
            WeightedRandomSampler(weights, 1)
    with pytest.raises(tg.ArgumentError, match="2 at most"):
        WeightedRandomSampler([1.0, 2.0, 0.0], 3, replacement=False)


def test_balanced_weights_draw_all_classes_equally():
    labels = np.repeat([7, 2, 5], [900, 90, 10])
    np.testing.assert_allclose(balanced_weights(labels), np.repeat([1 / 900, 1 / 90, 1 / 10], [900, 90, 10]))
    np.testing.assert_array_equal(balanced_weights(tg.Tensor(labels)), balanced_weights(labels))
    dataset = TensorDataset(tg.Tensor(labels))
    loader = DataLoader(dataset, 100, sampler=WeightedRandomSampler(balanced_weights(labels), 3000), seed=0)
    drawn = np.concatenate([batch.numpy() for (batch,) in loader])
    assert len(drawn) == 3000
    for label in (2, 5, 7):
        assert abs((drawn == label).sum() - 1000) < 5 * 26

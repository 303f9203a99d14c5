from __future__ import annotations

import numpy as np
import pytest

import tinygrad_cnn as tg
from tinygrad_cnn.data import DataLoader, Subset, TensorDataset, k_fold, random_split, stratified_split

ROUGH = [0.13, 0.29, 0.58]  # in binary, 100 of the last two are a little less than 29 and 58


def positions(parts: list[Subset]) -> list[list[int]]:
    return [part.indices.tolist() for part in parts]


def test_subset_gives_the_samples_it_names():
    dataset = TensorDataset(tg.Tensor(np.arange(6.0)), tg.Tensor(np.arange(6) * 10))
    part = Subset(dataset, [4, 1, 5])
    assert len(part) == 3
    assert [[one.item() for one in sample] for sample in part] == [[4, 40], [1, 10], [5, 50]]
    (inputs, labels) = next(iter(DataLoader(Subset(part, [2, 0]), 2)))
    assert inputs.tolist() == [5, 4]
    assert labels.tolist() == [50, 40]
    with pytest.raises(tg.PositionError, match=r"6[^$]*0 to 5"):
        Subset(dataset, [0, 6])
    with pytest.raises(tg.PositionError, match="-1"):
        Subset(dataset, [-1])


def test_random_split_by_counts_and_by_shares():
    parts = random_split(range(10), [3, 7], seed=1)
    assert [len(part) for part in parts] == [3, 7]
    assert sorted(position for part in parts for position in part.indices) == list(range(10))
    assert positions(random_split(range(10), [3, 7], seed=1)) == positions(parts)
    assert positions(random_split(range(10), [3, 7], seed=2)) != positions(parts)
    # As in PyTorch: 3.33 samples each, and the one left over goes to the first.
    assert [len(part) for part in random_split(range(10), [1 / 3, 1 / 3, 1 / 3])] == [4, 3, 3]
    assert [len(part) for part in random_split(range(10), [0.3, 0.7])] == [3, 7]
    assert [len(part) for part in random_split(range(7), [0.0, 1.0])] == [0, 7]
    assert [len(part) for part in random_split(range(100), ROUGH)] == [13, 29, 58]
    assert [len(part) for part in random_split(range(1), [1])] == [1]


def test_without_a_seed_the_global_one_decides():
    found = []
    for seed in (3, 3, 4):
        tg.seed(seed)
        found.append(positions(random_split(range(20), [10, 10])))
    assert found[0] == found[1] != found[2]


@pytest.mark.parametrize("lengths", [[3, 6], [0.5, 0.4], [-1, 11], [[10]], []])
def test_lengths_that_do_not_add_up(lengths):
    with pytest.raises(tg.ArgumentError, match=r"do not add up[^$]*add up to 10"):
        random_split(range(10), lengths)


def test_stratified_split_keeps_the_shares_of_classes():
    labels = np.repeat([3, 1, 2], [50, 30, 20])
    np.random.default_rng(0).shuffle(labels)
    parts = stratified_split(range(100), labels, [0.7, 0.2, 0.1], seed=0)
    assert [[int((labels[part.indices] == c).sum()) for c in (3, 1, 2)] for part in parts] == [
        [35, 21, 14], [10, 6, 4], [5, 3, 2],
    ]  # fmt: skip
    assert sorted(position for part in parts for position in part.indices) == list(range(100))
    assert positions(stratified_split(range(100), tg.Tensor(labels), [0.7, 0.2, 0.1], seed=0)) == positions(parts)
    assert [len(part) for part in stratified_split(range(100), np.zeros(100), ROUGH)] == [13, 29, 58]
    classes = labels[parts[0].indices]
    assert (np.diff(classes) != 0).sum() > 20  # the classes are mixed within a part


def test_stratified_split_shares_out_what_is_left_over():
    labels = np.repeat(np.arange(5), 3)  # halves of 3: 1 each and 1 left over, for each class
    counts = [len(part) for part in stratified_split(range(15), labels, [0.5, 0.5], seed=0)]
    assert sorted(counts) == [7, 8]
    parts = stratified_split(range(15), labels, [0.5, 0.0, 0.5], seed=0)
    assert [len(part) for part in parts][1] == 0
    assert sum(len(part) for part in parts) == 15


def test_stratified_split_refuses():
    with pytest.raises(tg.ShapeError, match=r"labels \(2,\)[^$]*\(3,\)"):
        stratified_split(range(3), [0, 1], [0.5, 0.5])
    with pytest.raises(tg.ArgumentError, match="add up to 1"):
        stratified_split(range(3), [0, 1, 0], [2, 1])


def test_k_fold_holds_each_sample_out_once():
    folds = list(k_fold(range(11), 3, seed=0))
    assert [(len(train), len(test)) for train, test in folds] == [(7, 4), (7, 4), (8, 3)]
    assert sorted(position for _, test in folds for position in test.indices) == list(range(11))
    for train, test in folds:
        assert sorted([*train.indices, *test.indices]) == list(range(11))
    for wrong in (1, 12, 2.5):
        with pytest.raises(tg.ArgumentError, match=r"2 <= k <= 11"):
            k_fold(range(11), wrong)  # type: ignore[arg-type]

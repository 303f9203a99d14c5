from __future__ import annotations

import numpy as np
import pytest

import tinygrad_cnn as tg
from tinygrad_cnn.data import DataLoader, TensorDataset


def numbers(count: int) -> TensorDataset:
    return TensorDataset(tg.Tensor(np.arange(count, dtype=np.float32)), tg.Tensor(np.arange(count) * 10))


def order(loader: DataLoader) -> list[list[float]]:
    return [inputs.tolist() for inputs, _ in loader]


def test_batches_in_order():
    loader = DataLoader(numbers(5), batch_size=2)
    assert len(loader) == 3
    assert order(loader) == [[0, 1], [2, 3], [4]]
    loader = DataLoader(numbers(5), batch_size=2, drop_last=True)
    assert len(loader) == 2
    assert order(loader) == [[0, 1], [2, 3]]
    assert order(DataLoader(numbers(4), batch_size=2)) == [[0, 1], [2, 3]]
    assert order(DataLoader(numbers(3), batch_size=10)) == [[0, 1, 2]]
    assert order(DataLoader(numbers(0))) == []


def test_shuffled_samples_stay_together_and_each_comes_once():
    loader = DataLoader(numbers(50), batch_size=8, shuffle=True, seed=1)
    inputs = np.concatenate([inputs.numpy() for inputs, _ in loader])
    labels = np.concatenate([labels.numpy() for _, labels in DataLoader(numbers(50), 8, shuffle=True, seed=1)])
    assert sorted(inputs) == list(range(50))
    assert list(inputs) != list(range(50))
    np.testing.assert_array_equal(labels, inputs * 10)


def test_order_follows_from_seed_and_epoch_alone():
    first = DataLoader(numbers(20), 4, shuffle=True, seed=7)
    epochs = [order(first) for _ in range(3)]
    assert epochs[0] != epochs[1] != epochs[2]
    assert first.epoch == 3
    second = DataLoader(numbers(20), 4, shuffle=True, seed=7)
    second.epoch = 2
    np.random.default_rng().random(5)
    assert order(second) == epochs[2]
    assert order(DataLoader(numbers(20), 4, shuffle=True, seed=8)) != epochs[0]


def test_an_epoch_that_was_left_does_not_disturb_the_next():
    whole, broken = (DataLoader(numbers(20), 4, shuffle=True, seed=7) for _ in range(2))
    order(whole)
    next(iter(broken))
    assert order(broken) == order(whole)


def test_without_a_seed_the_global_one_decides():
    orders = []
    for seed in (3, 3, 4):
        tg.seed(seed)
        orders.append(order(DataLoader(numbers(20), 20, shuffle=True)))
    assert orders[0] == orders[1] != orders[2]


def test_transform_changes_inputs_only_and_repeats():
    def noise(inputs: tg.Tensor, random: np.random.Generator) -> tg.Tensor:
        return inputs + tg.Tensor(random.random(inputs.shape, np.float32))

    def epoch() -> list[tuple[list[float], list[int]]]:
        loader = DataLoader(numbers(6), 4, seed=0, transform=noise)
        return [(inputs.tolist(), labels.tolist()) for inputs, labels in loader]

    assert epoch() == epoch()
    assert [labels for _, labels in epoch()] == [[0, 10, 20, 30], [40, 50]]
    first = np.array(epoch()[0][0])
    assert (first > np.arange(4)).all()
    assert (first < np.arange(4) + 1).all()


def test_any_data_set_with_length_and_positions():
    class Squares:
        def __len__(self) -> int:
            return 5

        def __getitem__(self, index: int) -> tuple[tg.Tensor, ...]:
            return tg.Tensor([float(index), index**2.0]), tg.Tensor(index)

    batches = list(DataLoader(Squares(), 3))
    assert [inputs.tolist() for inputs, _ in batches] == [[[0, 0], [1, 1], [2, 4]], [[3, 9], [4, 16]]]
    assert batches[1][1].tolist() == [3, 4]


def test_data_set_by_position_and_slice():
    dataset = numbers(5)
    assert len(dataset) == 5
    assert [part.item() for part in dataset[2]] == [2, 20]
    assert [part.tolist() for part in dataset[1:3]] == [[1, 2], [10, 20]]
    assert len(list(dataset)) == 5


def test_errors_teach():
    with pytest.raises(tg.ShapeError, match="different numbers of samples: 3 and 2"):
        TensorDataset(tg.Tensor([1.0, 2.0, 3.0]), tg.Tensor([1, 2]))
    with pytest.raises(tg.ShapeError, match="first axis"):
        TensorDataset(tg.Tensor(1.0))
    with pytest.raises(tg.ArgumentError, match="no tensors"):
        TensorDataset()
    for wrong in (0, -3, 2.5):
        with pytest.raises(tg.ArgumentError, match=f"batch_size={wrong}"):
            DataLoader(numbers(3), batch_size=wrong)  # type: ignore[arg-type]
    with pytest.raises(tg.ArgumentError, match="seed=-1"):
        DataLoader(numbers(3), seed=-1)

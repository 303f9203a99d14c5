from __future__ import annotations

import threading
import time

import numpy as np
import pytest

import tinygrad_cnn as tg
from tinygrad_cnn.data import DataLoader, SubsetRandomSampler, TensorDataset


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


def test_sampler_decides_which_samples_come():
    loader = DataLoader(numbers(10), 2, sampler=SubsetRandomSampler([1, 4, 8]), seed=0)
    assert len(loader) == 2
    assert sorted(position for batch in order(loader) for position in batch) == [1, 4, 8]
    assert len(DataLoader(numbers(10), 2, sampler=SubsetRandomSampler([1, 4, 8]), drop_last=True)) == 1


def test_batch_transform_sees_the_whole_batch_after_the_other():
    def double(inputs: tg.Tensor, random: np.random.Generator) -> tg.Tensor:
        return inputs * 2

    def turn(batch: tuple[tg.Tensor, ...], random: np.random.Generator) -> tuple[tg.Tensor, ...]:
        return batch[1] + random.integers(1000), batch[0]

    loader = DataLoader(numbers(6), 2, seed=0, transform=double, batch_transform=turn)
    first = [[part.tolist() for part in batch] for batch in loader]
    assert [batch[1] for batch in first] == [[0, 2], [4, 6], [8, 10]]
    added = [batch[0][0] - 20 * i for i, batch in enumerate(first)]
    assert len(set(added)) == 3  # each batch has its own random numbers
    loader.epoch = 0
    assert [[part.tolist() for part in batch] for batch in loader] == first


class Slow:
    """Counts how many samples were read, and notes the device that new tensors are put on."""

    def __init__(self, count: int, wait: float = 0.0, broken: int | None = None) -> None:
        self.count, self.wait, self.broken = count, wait, broken
        self.read: list[int] = []
        self.devices: set[str] = set()

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> tuple[tg.Tensor, ...]:
        time.sleep(self.wait)
        if index == self.broken:
            raise KeyError("no such sample")
        self.read.append(index)
        sample = tg.Tensor(float(index))
        self.devices.add(sample.device)
        return (sample,)


def workers() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name.startswith("tinygrad_cnn-data")]


def test_workers_give_the_same_batches_on_the_same_device(device_name):
    def epochs(num_workers: int) -> list[list[list[float]]]:
        def noise(inputs: tg.Tensor, random: np.random.Generator) -> tg.Tensor:
            return inputs + tg.Tensor(random.random(inputs.shape, np.float32))

        dataset = Slow(21)
        loader = DataLoader(dataset, 4, shuffle=True, seed=1, transform=noise, num_workers=num_workers)
        found = [[inputs.tolist() for (inputs,) in loader] for _ in range(2)]
        assert dataset.devices == {device_name}
        return found

    alone = epochs(0)
    assert epochs(1) == epochs(3) == alone
    assert alone[0] != alone[1]
    assert not workers()


def test_workers_read_ahead_but_not_far():
    dataset = Slow(100)
    batches = iter(DataLoader(dataset, 2, num_workers=3))
    next(batches)
    limit = 2 * (1 + 2 * 3)  # the batch that was taken, and two for each worker
    for _ in range(200):
        time.sleep(0.005)
        if len(dataset.read) == limit:
            break
    time.sleep(0.02)
    assert sorted(dataset.read) == list(range(limit))


def test_workers_read_at_the_same_time():
    start = time.perf_counter()
    assert len(list(DataLoader(Slow(8, wait=0.1), 1, num_workers=8))) == 8
    assert time.perf_counter() - start < 0.6  # 0.8 one after the other


@pytest.mark.parametrize("end", ["dropped", "error", "interrupt"])
def test_workers_end_when_the_loop_is_left(end):
    dataset = Slow(1000, wait=0.001)
    batches = iter(DataLoader(dataset, 2, num_workers=2))
    next(batches)
    assert workers()
    if end == "dropped":
        del batches
    else:
        with pytest.raises(KeyboardInterrupt if end == "interrupt" else ValueError):
            batches.throw(KeyboardInterrupt() if end == "interrupt" else ValueError())  # type: ignore[attr-defined]
    assert not workers()
    read = len(dataset.read)
    time.sleep(0.02)
    assert len(dataset.read) == read < 30


def test_error_in_a_worker_comes_where_its_batch_would():
    for num_workers in (0, 2):
        got: list[list[float]] = []
        with pytest.raises(KeyError, match="no such sample") as error:
            got.extend(inputs.tolist() for (inputs,) in DataLoader(Slow(40, broken=13), 2, num_workers=num_workers))
        assert got == [[i, i + 1] for i in range(0, 12, 2)]
        assert error.value.__notes__ == ["while a batch was made of samples 12, 13"]
    assert not workers()


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
    for wrong in (-1, 0.5):
        with pytest.raises(tg.ArgumentError, match=f"num_workers={wrong}"):
            DataLoader(numbers(3), num_workers=wrong)  # type: ignore[arg-type]
    with pytest.raises(tg.ArgumentError, match="the sampler decides"):
        DataLoader(numbers(3), shuffle=True, sampler=SubsetRandomSampler([0]))

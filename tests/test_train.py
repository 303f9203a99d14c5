from __future__ import annotations

import os
import signal
import sys

import numpy as np
import pytest

import tinygrad_cnn as tg
from tinygrad_cnn import train as training
from tinygrad_cnn.data import DataLoader, TensorDataset
from tinygrad_cnn.nn import functional as F
from tinygrad_cnn.train import Epoch, Score, evaluate, fit

CENTRES = np.array([[2.0, 0.0], [-2.0, 1.0], [0.0, -3.0]], np.float32)


def clouds(count: int = 60) -> TensorDataset:
    """Points around three centres, with the centre's number."""
    labels = np.arange(count) % 3
    noise = np.random.default_rng(0).normal(size=(count, 2), scale=0.5)
    return TensorDataset(tg.Tensor((CENTRES[labels] + noise).astype(np.float32)), tg.Tensor(labels))


class Net(tg.nn.Module):
    def __init__(self) -> None:
        self.hidden = tg.nn.Linear(2, 8)
        self.drop = tg.nn.Dropout(0.5)
        self.out = tg.nn.Linear(8, 3)

    def forward(self, x: tg.Tensor) -> tg.Tensor:
        return self.out(self.drop(self.hidden(x).tanh()))


def setting(seed: int = 0) -> tuple[tg.nn.Module, tg.optim.Optimizer, DataLoader]:
    tg.seed(seed)
    model = tg.nn.Sequential(tg.nn.Linear(2, 8), tg.nn.Tanh(), tg.nn.Linear(8, 3))
    optimizer = tg.optim.Adam(model.parameters(), lr=0.05)
    return model, optimizer, DataLoader(clouds(), 16, shuffle=True, seed=seed)


def weights(model: tg.nn.Module) -> list[bytes]:
    return [tensor.numpy().tobytes() for tensor in model.state_dict().values()]


def test_learns():
    model, optimizer, loader = setting()
    history = fit(model, optimizer, loader, DataLoader(clouds(), 60), epochs=15, progress=False)
    assert [epoch.number for epoch in history.epochs] == list(range(1, 16))
    first, last = history.epochs[0], history.epochs[-1]
    assert last.train.loss < first.train.loss / 5
    assert last.test is not None
    assert last.test.accuracy == 1
    assert last.seconds > 0


def test_training_scores_are_means_over_samples_before_each_step():
    model, optimizer, loader = setting()
    optimizer.lr = 1e-12  # the weights stay, so the batches together say what one large batch says
    epoch = fit(model, optimizer, loader, epochs=1, progress=False).epochs[0]
    points, labels = clouds().tensors
    logits = model(points).numpy()
    loss = F.cross_entropy(model(points), labels).item()
    accuracy = (logits.argmax(1) == labels.numpy()).mean()
    assert len(clouds()) % 16  # the last batch is smaller, and must count for less
    np.testing.assert_allclose(epoch.train, (loss, accuracy), rtol=1e-5)
    assert epoch.test is None


def test_evaluate_counts_restores_modes_and_records_nothing():
    tg.seed(0)
    model = Net()
    model.train()
    model.drop.eval()
    dataset = clouds(10)
    seen = []

    def loss(logits: tg.Tensor, labels: tg.Tensor) -> tg.Tensor:
        seen.append((logits.requires_grad, model.training, model.hidden.training, len(labels)))
        return F.cross_entropy(logits, labels)

    score = evaluate(model, DataLoader(dataset, 4), loss)
    assert seen == [(False, False, False, 4), (False, False, False, 4), (False, False, False, 2)]
    assert (model.training, model.hidden.training, model.drop.training) == (True, True, False)
    model.eval()
    points, labels = dataset.tensors
    np.testing.assert_allclose(score.loss, F.cross_entropy(model(points), labels).item(), rtol=1e-5)
    assert score.accuracy == (model(points).numpy().argmax(1) == labels.numpy()).mean()


def test_modes_are_restored_after_an_error():
    model = Net()
    with pytest.raises(tg.ShapeError):
        evaluate(model, DataLoader(TensorDataset(tg.Tensor([[1.0]]), tg.Tensor([0]))))
    assert model.training
    assert model.drop.training


def test_training_mode_comes_back_after_each_test():
    model, modes = Net(), []

    def loss(logits: tg.Tensor, labels: tg.Tensor) -> tg.Tensor:
        modes.append(model.drop.training)
        return F.cross_entropy(logits, labels)

    loader = DataLoader(clouds(4), 4)
    fit(model, tg.optim.SGD(model.parameters(), lr=0.1), loader, loader, epochs=2, loss=loss, progress=False)
    assert modes == [True, False, True, False]
    assert model.training


def test_targets_that_are_no_classes_have_no_accuracy():
    tg.seed(0)
    model = tg.nn.Linear(2, 1)
    x = tg.Tensor(np.random.default_rng(0).normal(size=(8, 2)).astype(np.float32))
    loader = DataLoader(TensorDataset(x, x.sum(1, keepdim=True)), 8)
    optimizer = tg.optim.Adam(model.parameters(), lr=0.1)
    history = fit(model, optimizer, loader, loader, epochs=60, loss=F.mse_loss, progress=False)
    assert history.epochs[-1].train.accuracy is None
    assert history.epochs[-1].train.loss < 0.02
    assert "accuracy" not in str(history.epochs[-1])


def test_the_same_seed_gives_the_same_weights():
    results = []
    for seed in (0, 0, 1):
        model, optimizer, loader = setting(seed)
        fit(model, optimizer, loader, epochs=2, progress=False)
        results.append(weights(model))
    assert results[0] == results[1] != results[2]


def test_going_on_equals_never_stopping():
    whole, optimizer, loader = setting()
    fit(whole, optimizer, loader, epochs=4, progress=False)

    model, optimizer, loader = setting()
    fit(model, optimizer, loader, epochs=2, progress=False)
    kept, memory = model.state_dict(), optimizer.state_dict()

    model, optimizer, loader = setting()
    model.load_state_dict(kept)
    optimizer.load_state_dict(memory)
    loader.epoch = 2
    history = fit(model, optimizer, loader, epochs=4, initial_epoch=2, progress=False)
    assert [epoch.number for epoch in history.epochs] == [3, 4]
    assert weights(model) == weights(whole)


def test_ctrl_c_ends_after_a_whole_step():
    model, optimizer, loader = setting()
    steps = []
    original = optimizer.step

    def step() -> None:
        if len(steps) == 5:
            os.kill(os.getpid(), signal.SIGINT)
            for _ in range(1000):  # time for the signal to be handled inside the step
                pass
        original()
        steps.append(weights(model))

    optimizer.step = step  # type: ignore[method-assign]
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        fit(model, optimizer, loader, epochs=10, progress=False)
    assert len(steps) == 6
    assert weights(model) == steps[-1]
    assert signal.getsignal(signal.SIGINT) is before


def test_a_second_ctrl_c_does_not_wait():
    model, optimizer, loader = setting()

    def step() -> None:
        for _ in range(2):
            os.kill(os.getpid(), signal.SIGINT)
        pytest.fail("the second signal did nothing")

    optimizer.step = step  # type: ignore[method-assign]
    with pytest.raises(KeyboardInterrupt):
        fit(model, optimizer, loader, epochs=1, progress=False)


def test_a_line_for_each_epoch(capsys):
    model, optimizer, loader = setting()
    fit(model, optimizer, loader, loader, epochs=2)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2
    assert lines[1].startswith("epoch   2   train loss ")
    text = str(Epoch(12, Score(0.5, 0.75), Score(1.25, 1.0), 2.0))
    assert (
        text == "epoch  12   train loss 0.5000, accuracy 75.00 %   held-out loss 1.2500, accuracy 100.00 %   (2.00 s)"
    )
    fit(model, optimizer, loader, epochs=1, progress=False)
    assert capsys.readouterr().out == ""


def test_a_bar_on_a_terminal(capsys, monkeypatch):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    model, optimizer, loader = setting()
    fit(model, optimizer, loader, epochs=1)
    assert "epoch 1/1" in capsys.readouterr().err

    monkeypatch.setitem(sys.modules, "tqdm", None)
    fit(model, optimizer, loader, epochs=1)
    seen = capsys.readouterr()
    assert seen.err == ""
    assert seen.out.startswith("epoch   1   train loss")


def test_the_bar_shows_loss_and_accuracy(monkeypatch):
    shown = []

    class Bar:
        def set_postfix_str(self, text: str, refresh: bool) -> None:
            shown.append(text)

        def update(self) -> None: ...

    monkeypatch.setattr(training, "_NoBar", Bar)
    model, optimizer, loader = setting()
    history = fit(model, optimizer, loader, epochs=1, progress=False)
    assert len(shown) == len(loader)
    train = history.epochs[0].train
    assert train.accuracy is not None
    assert shown[-1] == f"loss {train.loss:.4f}, accuracy {100 * train.accuracy:.2f} %"


def test_a_callback_sees_each_epoch_and_may_end_the_training():
    model, optimizer, loader = setting()
    seen = []

    def stop_at_two(epoch: Epoch) -> None:
        seen.append(epoch.number)
        if epoch.number == 2:
            raise StopIteration

    with pytest.raises(StopIteration):
        fit(model, optimizer, loader, epochs=5, on_epoch_end=stop_at_two, progress=False)
    assert seen == [1, 2]


def test_errors_teach():
    model, optimizer, loader = setting()
    with pytest.raises(tg.ArgumentError, match="epochs=2, initial_epoch=3"):
        fit(model, optimizer, loader, epochs=2, initial_epoch=3)
    empty = DataLoader(clouds(3), 16, drop_last=True)
    with pytest.raises(tg.ArgumentError, match="drop_last"):
        fit(model, optimizer, empty, epochs=1)


def test_batches_are_moved_to_the_model():
    model = tg.nn.Linear(2, 3).to("strict")
    with tg.device("cpu"):
        loader = DataLoader(clouds(6), 6)
    fit(model, tg.optim.SGD(model.parameters(), lr=0.1), loader, loader, epochs=1, progress=False)
    assert next(model.parameters()).device == "strict"

"""Winograd's convolutions as native code: against eager operations in float64, and that they are taken."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tinygrad_cnn as tg
from tinygrad_cnn import nn
from tinygrad_cnn.compile.native import machine

executor = importlib.import_module("tinygrad_cnn.compile.native.executor")
pytestmark = [
    pytest.mark.native, pytest.mark.cpu("native code runs on the CPU"), pytest.mark.usefixtures("watched"),
]  # fmt: skip
FORWARD, GRADIENT = "Winograd", "WinogradGradient"
TOLERANCE = 2e-5
"""Of a whole array: the greatest error, by the greatest number."""


@pytest.fixture(autouse=True)
def _examples_in_lanes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(executor, "lanes_of", lambda _traced, _graph, total, _width: 16 if total > 8 else 8)


def images(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape)


def in_both(make: Callable[[], nn.Module], function: Callable[..., Any], *arrays: np.ndarray) -> tuple[list[str], Any]:
    """Which kernels are taken, and pairs of what is found and what is right: ``function(module, *tensors)``."""

    def module(dtype: str) -> nn.Module:
        tg.seed(3)
        return make().to(dtype)

    def tensors(dtype: str) -> list[tg.Tensor]:
        return [tg.Tensor(each.astype(dtype), requires_grad=True) for each in arrays]

    exact = module("float64")
    taken = module("float32")
    for mine, other in zip(taken.state_dict().values(), exact.state_dict().values(), strict=True):
        assert np.abs(mine.numpy() - other.numpy()).max() < 1e-6 * max(1, np.abs(other.numpy()).max())
    right = function(exact, *tensors("float64"))
    call = tg.compile(lambda *given: function(taken, *given), executor="native")
    found = call(*tensors("float32"))
    names = [type(getattr(step.kernel, "head", None) or step.kernel).__name__ for step in call.plan.steps]
    return names, [(mine.numpy(), other.numpy()) for mine, other in zip(found, right, strict=True)]


def assert_close(pairs: list[tuple[np.ndarray, np.ndarray]]) -> None:
    for found, right in pairs:
        assert found.shape == right.shape
        assert np.abs(found - right).max() <= TOLERANCE * np.abs(right).max()


def gradients(module: nn.Module, x: tg.Tensor, above: tg.Tensor) -> list[tg.Tensor]:
    """The result, and the gradients in the image and the parameters."""
    out = module(x)
    return [out, *tg.grad(out, [x, *module.parameters()], above)]


@pytest.mark.parametrize("batch", [16, 33, 6])
@pytest.mark.parametrize(
    ("size", "channels", "outs"), [(8, 16, 16), (16, 32, 48), (32, 16, 32), (12, 48, 32), (20, 32, 16)]
)
def test_a_convolution_and_its_gradients(size, channels, outs, batch):
    names, pairs = in_both(
        lambda: nn.Conv2d(channels, outs, 3, padding=1), gradients,
        images(batch, channels, size, size), images(batch, outs, size, size, seed=1),
    )  # fmt: skip
    assert names.count(FORWARD) == 2
    assert names.count(GRADIENT) == 1
    assert_close(pairs)


@pytest.mark.parametrize(("height", "width"), [(9, 12), (14, 14), (8, 11), (7, 10), (5, 6)])
@pytest.mark.parametrize("padding", [0, 1, 2])
def test_sizes_that_tiles_do_not_fill(height, width, padding):
    above = images(17, 16, height + 2 * padding - 2, width + 2 * padding - 2, seed=1)
    names, pairs = in_both(
        lambda: nn.Conv2d(16, 16, 3, padding=padding), gradients, images(17, 16, height, width), above
    )
    assert FORWARD in names
    assert_close(pairs)


@pytest.mark.parametrize("batch", [16, 6])
def test_channels_that_vectors_do_not_fill(batch):
    names, pairs = in_both(
        lambda: nn.Conv2d(24, 40, 3, padding=1), gradients, images(batch, 24, 16, 16), images(batch, 40, 16, 16, seed=1)
    )
    assert names.count(FORWARD) == 2
    assert_close(pairs)


def test_work_behind_a_convolution_is_done_with_it():
    class Net(nn.Module):
        def __init__(self) -> None:
            self.conv = nn.Conv2d(16, 16, 3, padding=1)

        def forward(self, x: tg.Tensor) -> tg.Tensor:
            return tg.relu(self.conv(x) + x) * 2.0

    names, pairs = in_both(Net, lambda net, x: [net(x)], images(33, 16, 12, 12))
    assert FORWARD in names
    assert "Loop" not in names
    assert_close(pairs)


@pytest.mark.parametrize("batch", [16, 33, 6])
def test_a_block_with_sums_over_the_batch(batch):
    class Block(nn.Module):
        def __init__(self) -> None:
            self.first, self.second = (nn.Conv2d(16, 16, 3, padding=1, bias=False) for _ in range(2))
            self.norm, self.last = nn.BatchNorm2d(16), nn.BatchNorm2d(16)

        def forward(self, x: tg.Tensor) -> tg.Tensor:
            y = tg.relu(self.norm(self.first(x)))
            return tg.relu(self.last(self.second(y)) + x)

    x = images(batch, 16, 8, 8)
    names, pairs = in_both(Block, gradients, x, images(batch, 16, 8, 8, seed=1))
    assert names.count(FORWARD) == 4
    assert names.count(GRADIENT) == 2
    assert_close(pairs)


@pytest.mark.parametrize(
    "make",
    [
        lambda: nn.Conv2d(16, 16, 3, padding=1, stride=2),
        lambda: nn.Conv2d(16, 16, 3, padding=2, dilation=2),
        lambda: nn.Conv2d(16, 16, 3, padding=1, groups=2),
        lambda: nn.Conv2d(16, 16, 5, padding=2),
        lambda: nn.Conv2d(3, 16, 3, padding=1),
    ],
)
def test_other_convolutions_are_computed_directly(make):
    channels = make().weight.shape[1] * (2 if make().groups == 2 else 1)
    names, pairs = in_both(make, lambda net, x: [net(x)], images(16, channels, 8, 8))
    assert FORWARD not in names
    assert_close(pairs)


@pytest.mark.parametrize(("channels", "size"), [(16, 3), (8, 16), (256, 4)])
def test_few_places_or_channels_are_computed_directly(channels, size):
    names, pairs = in_both(
        lambda: nn.Conv2d(channels, channels, 3, padding=1), lambda net, x: [net(x)],
        images(16, channels, size, size),
    )  # fmt: skip
    assert FORWARD not in names
    assert_close(pairs)


@pytest.mark.parametrize("batch", [16, 33])
def test_with_the_registers_of_a_smaller_processor(batch, monkeypatch):
    monkeypatch.setattr(executor, "host", lambda: machine.host()._replace(features=""))
    names, pairs = in_both(
        lambda: nn.Conv2d(16, 24, 3, padding=1), gradients, images(batch, 16, 8, 8), images(batch, 24, 8, 8, seed=1)
    )
    assert names.count(FORWARD) == 2
    assert_close(pairs)


def test_weights_are_transformed_when_they_are_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    """On the level before the first that reads them, so that those of one layer take the place of another's."""
    monkeypatch.setattr(executor, "checked", False)  # else no two arrays share memory
    layers = [layer for _ in range(4) for layer in (nn.Conv2d(32, 32, 3, padding=1), nn.BatchNorm2d(32), nn.ReLU())]
    model = nn.Sequential(*layers)
    optimizer = tg.optim.SGD(model.parameters(), lr=0.1)

    def training(x: tg.Tensor) -> tg.Tensor:
        optimizer.zero_grad()
        loss = (model(x) ** 2).mean()
        loss.backward()
        optimizer.step()
        return loss

    step = tg.compile(training, executor="native")
    step(tg.Tensor(np.random.default_rng(0).standard_normal((32, 32, 16, 16)).astype("float32")))
    plan = step.plan
    made = [each for each in plan.steps if each.made is not None]
    assert len(made) == 7  # four forward, and the gradients in three inputs
    for each in made:
        first = min(other.level for other in plan.steps if each.made in other.buffers and other is not each)
        assert not any(each.level < other.level < first for other in plan.steps)
    assert len({each.made.address for each in made}) < len(made)

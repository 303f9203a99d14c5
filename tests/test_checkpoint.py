"""Checkpoints: the same numbers to the last bit, from less memory."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable

import numpy as np
import pytest

import tinygrad_cnn as tg
from tinygrad_cnn import nn
from tinygrad_cnn.compile import plan
from tinygrad_cnn.errors import ArgumentError

Wrap = Callable[[Callable[..., tg.Tensor]], Callable[..., tg.Tensor]]


def as_it_is(function: Callable[..., tg.Tensor]) -> Callable[..., tg.Tensor]:
    return function


def make_blocks(count: int) -> list[nn.Module]:
    tg.seed(0)
    return [
        nn.Sequential(
            nn.Conv2d(4, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(), nn.Dropout(0.3),
            nn.Conv2d(4, 4, 3, padding=1), nn.Tanh(),
        )
        for _ in range(count)
    ]  # fmt: skip


class Task:
    """A training whose blocks are checkpoints, or are not."""

    def __init__(self, wrap: Wrap, count: int = 3, size: int = 6) -> None:
        self.wrap, self.blocks = wrap, make_blocks(count)
        self.parameters = [each for block in self.blocks for each in block.parameters()]
        self.optimizer = tg.optim.SGD(self.parameters, lr=0.1, momentum=0.9)
        self.x = tg.Tensor(np.random.default_rng(0).standard_normal((8, 4, size, size)).astype("float32"))

    def loss(self, x: tg.Tensor) -> tg.Tensor:
        for block in self.blocks:
            x = self.wrap(block)(x)
        return (x * x).mean()

    def step(self, x: tg.Tensor) -> tg.Tensor:
        self.optimizer.zero_grad()
        loss = self.loss(x)
        loss.backward()
        self.optimizer.step()
        return loss

    def run(self, step: Callable[[tg.Tensor], tg.Tensor]) -> None:
        tg.seed(1)
        for _ in range(3):
            step(self.x)

    def numbers(self) -> list[np.ndarray]:
        return [each.numpy() for block in self.blocks for each in block.state_dict().values()]


def test_steps_are_the_same_to_the_last_bit() -> None:
    """Parameters, running statistics (moved once), and dropout with the same noise."""
    tasks = [Task(as_it_is), Task(tg.checkpoint)]
    for task in tasks:
        task.run(task.step)
    for one, other in zip(tasks[0].numbers(), tasks[1].numbers(), strict=True):
        np.testing.assert_array_equal(one, other)


def test_nothing_inside_is_kept() -> None:
    x = tg.Tensor([0.5, -1.0], requires_grad=True)
    y = tg.checkpoint(lambda x: (x.exp() * x.tanh()).sigmoid().exp())(x)
    inner, todo = [], list(y.node.inputs)
    while todo:
        node = todo.pop()
        if node.inputs:
            inner.append(node)
            todo.extend(node.inputs)
    assert len(inner) == 4
    assert all(node.value is None for node in inner)
    y.sum().backward()
    assert all(node.value is None for node in inner)


def test_memory() -> None:
    peaks = []
    for wrap in (as_it_is, tg.checkpoint):
        task = Task(wrap, count=20, size=32)
        tracemalloc.start()
        task.loss(task.x).backward()
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 0.65 * peaks[0]  # the columns of one convolution are as large as several blocks


@pytest.mark.parametrize("inside", [lambda f: f, tg.checkpoint], ids=["once", "nested"])
def test_gradients_of_gradients(inside: Wrap) -> None:
    def function(x: tg.Tensor) -> tg.Tensor:
        return inside(lambda x: x.exp() * x.tanh())(x).sigmoid().exp()

    found = []
    for wrap in (as_it_is, tg.checkpoint):
        x = tg.Tensor([0.3, -0.7], requires_grad=True, dtype="float64")
        slope = tg.grad(wrap(function)(x).sum(), x)
        bend = tg.grad(slope.sum(), x)
        found.append([slope.numpy(), bend.numpy(), tg.grad(bend.sum(), x).numpy()])
    np.testing.assert_array_equal(found[0], found[1])


def test_what_is_used_from_outside() -> None:
    """Weights, tensors that were computed outside, several results, and a second backward pass."""
    weight = tg.Tensor([[1.0, 2.0], [3.0, 4.0]], requires_grad=True, dtype="float64")
    outside = weight.exp()

    @tg.checkpoint
    def function(x: tg.Tensor, *, more: dict[str, tg.Tensor]) -> tuple[tg.Tensor, list[tg.Tensor]]:
        y = (x @ outside).tanh()
        return y * more["scale"], [y.exp(), x]

    x = tg.Tensor([[0.1, -0.2]], requires_grad=True, dtype="float64")
    scale = tg.Tensor([3.0, 0.5], requires_grad=True, dtype="float64")

    def loss(function: Callable[..., tuple[tg.Tensor, list[tg.Tensor]]]) -> tg.Tensor:
        a, (b, c) = function(x, more={"scale": scale})
        return (a * b).sum() + c.sum()

    expected = tg.grad(loss(function.__wrapped__), [x, scale, weight])
    result = loss(function)
    for _ in range(2):
        for one, other in zip(expected, tg.grad(result, [x, scale, weight]), strict=True):
            np.testing.assert_array_equal(one.numpy(), other.numpy())


def test_compiled_steps_are_the_same_and_take_less_memory(device_name: str) -> None:
    tasks = [Task(wrap, count=6) for wrap in (as_it_is, tg.checkpoint, tg.checkpoint)]
    steps = [tg.compile(tasks[0].step, executor="numpy"), tg.compile(tasks[1].step, executor="numpy"), tasks[2].step]
    for task, step in zip(tasks, steps, strict=True):
        task.run(step)
    for numbers in zip(*[task.numbers() for task in tasks], strict=True):
        for other in numbers[1:]:
            np.testing.assert_allclose(numbers[0], other, rtol=1e-4, atol=1e-5)
    if device_name == "cpu":
        plain, again = steps[0].plan, steps[1].plan
        assert again.programs[0].arena_bytes < 0.5 * plain.programs[0].arena_bytes
        convolutions = [
            sum("conv(" in str(node.op) for node in each.programs[0].part.graph.nodes) for each in (plain, again)
        ]
        assert convolutions == [12, 18]  # the last convolution of a block is kept: its output is the block's


def test_what_cannot_be_looked_through() -> None:
    with pytest.raises(ArgumentError, match="checkpoint: this argument or result is neither a tensor nor a constant"):
        tg.checkpoint(lambda x: {x.shape})(tg.Tensor([1.0]))


def test_a_plan_of_two_parts_computes_again_only_when_the_gradient_has_come(
    device_name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its parts wait for each other in every normalisation; meanwhile nothing is computed that is needed later."""
    if device_name != "cpu":
        pytest.skip("plans run on the CPU")
    monkeypatch.setattr(plan, "PARALLEL_MACS", 1)
    monkeypatch.setattr(plan.os, "cpu_count", lambda: 2)
    sizes = []
    for wrap in (as_it_is, tg.checkpoint):
        task = Task(wrap, count=6, size=16)
        step = tg.compile(task.step, executor="numpy")
        step(task.x)
        sizes.append(step.plan.programs[0].arena_bytes)
    assert len(step.plan.parts) == 2
    assert sizes[1] < 0.5 * sizes[0]


def test_images_with_a_margin_share_their_memory(device_name: str) -> None:
    if device_name != "cpu":
        pytest.skip("plans run on the CPU")
    layers = [nn.Conv2d(4, 4, 3, padding=1) for _ in range(8)]
    x = tg.Tensor(np.ones((8, 4, 16, 16), "float32"))
    used = []
    for count in (4, 8):
        compiled = tg.compile(nn.Sequential(*layers[:count]), executor="numpy")
        compiled(x)
        used.append(compiled.plan.programs[0].other_bytes)
    assert used[1] - used[0] < x.array.nbytes  # four more layers, and not one more image


def test_a_described_checkpoint_is_drawn() -> None:
    x = tg.symbol((2, 3), name="x")
    y = tg.checkpoint(lambda x: x.exp().tanh())(x)
    assert "tanh" in tg.draw(y).dot
    assert tg.evaluate(y, {x: np.zeros((2, 3), "float32")}).shape == (2, 3)


def test_what_is_read_before_the_gradient_is_computed_again_too() -> None:
    """The rule of tanh takes the square of its output first, which needs no gradient: the copy waits all the same."""
    weight = nn.Parameter(np.array([1.0, 2.0, 3.0], "float32"))

    def function(x: tg.Tensor) -> tuple[tg.Tensor, tg.Tensor | None]:
        weight.grad = None
        y = tg.checkpoint(lambda z: z.exp().tanh().exp())(x * weight).sum()
        y.backward()
        return y, weight.grad

    x = tg.Tensor([[0.1, -0.2, 0.3]] * 4)
    compiled = tg.compile(function, executor="numpy")
    for one, other in zip(compiled(x), function(x), strict=True):
        assert one is not None
        assert other is not None
        np.testing.assert_allclose(one.numpy(), other.numpy(), rtol=1e-6)
    if x.device == "cpu":
        names = [node.op.name for node in compiled.stages()["recompute"].nodes]
        assert names.count("exp") == 3
        assert names.count("tanh") == 2


def test_two_checkpoints_side_by_side() -> None:
    weight = nn.Parameter(np.array([1.0, 2.0, 3.0], "float32"))

    def function(x: tg.Tensor) -> tg.Tensor:
        a = tg.checkpoint(lambda z: (z * weight).exp().tanh().exp())(x)
        b = tg.checkpoint(lambda z: (z * weight).tanh().exp().tanh())(a) * tg.checkpoint(lambda z: z.exp().tanh())(x)
        return tg.grad((a * b).sum(), weight)

    x = tg.Tensor([[0.1, -0.2, 0.3]] * 4)
    np.testing.assert_allclose(tg.compile(function, executor="numpy")(x).numpy(), function(x).numpy(), rtol=1e-5)

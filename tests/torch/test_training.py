"""Layers, normalisation and optimisers against PyTorch: weights are taken over by name, then both do the same."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tinygrad_cnn as tg

torch = pytest.importorskip("torch", reason="PyTorch is not installed")

from .test_agreement import TOLERANCE, largest_error  # noqa: E402

pytestmark = pytest.mark.torch

Shape = tuple[int, ...]
Build = Callable[[Any], Any]

LAYERS: list[tuple[str, Build, Shape]] = [
    ("Linear", lambda nn: nn.Linear(5, 4), (3, 5)),
    ("Linear without bias", lambda nn: nn.Linear(5, 4, bias=False), (2, 6, 5)),
    ("Linear of nothing", lambda nn: nn.Linear(5, 4), (0, 5)),
    ("Conv1d", lambda nn: nn.Conv1d(4, 6, 3, stride=2, padding=1, groups=2), (2, 4, 9)),
    ("Conv2d", lambda nn: nn.Conv2d(3, 4, (3, 2), stride=(2, 1), padding=1, dilation=2), (2, 3, 8, 7)),
    ("Conv2d same", lambda nn: nn.Conv2d(2, 4, 3, padding="same", bias=False), (2, 2, 5, 6)),
    ("Conv3d", lambda nn: nn.Conv3d(2, 3, 2), (2, 2, 3, 4, 3)),
    ("ConvTranspose1d", lambda nn: nn.ConvTranspose1d(4, 2, 3, 2, 1, 1), (2, 4, 5)),
    ("ConvTranspose2d", lambda nn: nn.ConvTranspose2d(4, 6, 3, 2, 1, 1, 2, False, 2), (2, 4, 4, 3)),
    ("ConvTranspose3d", lambda nn: nn.ConvTranspose3d(2, 3, 2, stride=2), (1, 2, 2, 3, 2)),
    ("MaxPool1d", lambda nn: nn.MaxPool1d(3, 2, 1), (2, 3, 8)),
    ("MaxPool2d", lambda nn: nn.MaxPool2d(2, ceil_mode=True), (2, 3, 5, 7)),
    ("MaxPool3d", lambda nn: nn.MaxPool3d(2, 1, dilation=2), (1, 2, 4, 4, 5)),
    ("AvgPool1d", lambda nn: nn.AvgPool1d(3, 2, 1), (2, 3, 8)),
    ("AvgPool2d", lambda nn: nn.AvgPool2d(3, 2, 1, True, False), (2, 3, 6, 7)),
    ("AvgPool3d", lambda nn: nn.AvgPool3d(2), (1, 2, 4, 4, 5)),
    ("BatchNorm1d", lambda nn: nn.BatchNorm1d(3), (5, 3)),
    ("BatchNorm1d of nothing", lambda nn: nn.BatchNorm1d(3), (0, 3)),
    ("BatchNorm1d of signals", lambda nn: nn.BatchNorm1d(3, eps=1e-2, momentum=0.3), (2, 3, 4)),
    ("BatchNorm2d", lambda nn: nn.BatchNorm2d(3), (2, 3, 4, 1)),
    ("BatchNorm2d not affine", lambda nn: nn.BatchNorm2d(3, affine=False), (2, 3, 2, 2)),
    ("BatchNorm2d untracked", lambda nn: nn.BatchNorm2d(3, track_running_stats=False), (2, 3, 2, 2)),
    ("BatchNorm3d", lambda nn: nn.BatchNorm3d(2), (2, 2, 2, 3, 2)),
    ("Flatten", lambda nn: nn.Flatten(), (2, 3, 4)),
    ("Identity", lambda nn: nn.Identity(), (2, 3)),
    ("ReLU", lambda nn: nn.ReLU(), (2, 3)),
    ("LeakyReLU", lambda nn: nn.LeakyReLU(0.2), (2, 3)),
    ("Sigmoid", lambda nn: nn.Sigmoid(), (2, 3)),
    ("Tanh", lambda nn: nn.Tanh(), (2, 3)),
    ("Softplus", lambda nn: nn.Softplus(), (2, 3)),
    ("GELU", lambda nn: nn.GELU(), (2, 3)),
    ("GELU tanh", lambda nn: nn.GELU(approximate="tanh"), (2, 3)),
    ("Softmax", lambda nn: nn.Softmax(dim=1), (2, 3, 4)),
    (
        "a small network",
        lambda nn: nn.Sequential(
            nn.Conv2d(1, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(), nn.MaxPool2d(2),
            nn.Sequential(nn.Flatten(), nn.Linear(36, 8), nn.Tanh()), nn.Linear(8, 3),
        ),
        (4, 1, 6, 6),
    ),
]  # fmt: skip


def pair(build: Build, dtype: str) -> tuple[Any, Any]:
    """The module in both libraries, with the same numbers."""
    torch.manual_seed(0)
    theirs = build(torch.nn).to(getattr(torch, dtype))
    for name, numbers in theirs.state_dict().items():
        if "running" in name:
            numbers.uniform_(0.5, 2.0)  # else they would be 0 and 1
    ours = build(tg.nn).to(dtype)
    ours.load_state_dict({name: numbers.numpy().copy() for name, numbers in theirs.state_dict().items()})
    return ours, theirs


def states(ours: Any, theirs: Any) -> tuple[list[np.ndarray], list[np.ndarray]]:
    one, other = ours.state_dict(), theirs.state_dict()
    assert list(one) == list(other)
    return [each.numpy() for each in one.values()], [each.numpy() for each in other.values()]


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("training", [True, False], ids=["training", "evaluation"])
@pytest.mark.parametrize(("build", "shape"), [layer[1:] for layer in LAYERS], ids=[layer[0] for layer in LAYERS])
def test_layers_agree(build, shape, training, dtype):
    ours, theirs = pair(build, dtype)
    ours.train(training)
    theirs.train(training)
    random = np.random.default_rng(3)
    for _ in range(2):  # running statistics move twice
        x = random.standard_normal(shape).astype(dtype)
        a, b = tg.Tensor(x, requires_grad=True), torch.tensor(x, requires_grad=True)
        y, z = ours(a), theirs(b)
        above = random.standard_normal(y.shape).astype(dtype)
        ours.zero_grad()
        theirs.zero_grad()
        y.backward(above)
        z.backward(torch.tensor(above))
        largest_error(
            [y.numpy(), a.grad.numpy(), *[each.grad.numpy() for each in ours.parameters()]],
            [z.detach().numpy(), b.grad.numpy(), *[each.grad.numpy() for each in theirs.parameters()]],
            TOLERANCE[dtype],
        )
        largest_error(*states(ours, theirs), TOLERANCE[dtype])


def test_the_text_form_says_what_pytorchs_says():
    for _, build, _ in LAYERS[:9]:
        ours, theirs = repr(build(tg.nn)), repr(build(torch.nn))
        assert ours.split("(")[0] == theirs.split("(")[0]
        assert "kernel_size" not in theirs or ours.split("kernel_size=")[1][:6] == theirs.split("kernel_size=")[1][:6]


@pytest.mark.parametrize("loss", ["CrossEntropyLoss", "BCEWithLogitsLoss", "MSELoss"])
@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
def test_loss_modules_agree(loss, reduction):
    random = np.random.default_rng(4)
    x, t = random.standard_normal((5, 3)), random.uniform(0.0, 1.0, (5, 3))
    ours = getattr(tg.nn, loss)(reduction=reduction)(tg.Tensor(x), tg.Tensor(t))
    theirs = getattr(torch.nn, loss)(reduction=reduction)(torch.tensor(x), torch.tensor(t))
    largest_error([ours.numpy()], [np.asarray(theirs)], 1e-12)


OPTIMISERS: list[tuple[str, dict[str, Any]]] = [
    ("SGD", {"lr": 0.1}),
    ("SGD", {"lr": 0.1, "momentum": 0.9}),
    ("SGD", {"lr": 0.1, "momentum": 0.9, "nesterov": True}),
    ("SGD", {"lr": 0.1, "momentum": 0.5, "weight_decay": 0.1}),
    ("SGD", {"lr": 0.1, "weight_decay": 0.1}),
    ("SGD", {"lr": 0.1, "momentum": 0.8, "weight_decay": 0.2, "nesterov": True}),
    ("Adam", {}),
    ("Adam", {"lr": 0.1, "betas": (0.7, 0.9), "eps": 1e-3}),
    ("Adam", {"lr": 0.1, "weight_decay": 0.3}),
    ("AdamW", {}),
    ("AdamW", {"lr": 0.1, "weight_decay": 0.3, "betas": (0.5, 0.8)}),
]


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize(("name", "settings"), OPTIMISERS, ids=str)
def test_optimisers_agree_over_steps(name, settings, dtype):
    ours, theirs = pair(lambda nn: nn.Sequential(nn.Linear(4, 6), nn.Tanh(), nn.Linear(6, 3)), dtype)
    one = getattr(tg.optim, name)(ours.parameters(), **settings)
    other = getattr(torch.optim, name)(theirs.parameters(), **settings)
    random = np.random.default_rng(5)
    for step in range(8):
        x, t = random.standard_normal((7, 4)).astype(dtype), random.integers(0, 3, 7)
        one.zero_grad()
        other.zero_grad()
        tg.nn.functional.cross_entropy(ours(tg.Tensor(x)), tg.Tensor(t)).backward()
        torch.nn.functional.cross_entropy(theirs(torch.tensor(x)), torch.tensor(t)).backward()
        if step == 4:  # the rate may be changed on the way
            one.lr = other.param_groups[0]["lr"] = 0.02
        one.step()
        other.step()
        largest_error(*states(ours, theirs), TOLERANCE[dtype])

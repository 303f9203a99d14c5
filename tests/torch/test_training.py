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
    ("AvgPool3d", lambda nn: nn.AvgPool3d(2, divisor_override=3), (1, 2, 4, 4, 5)),
    ("MaxPool2d in order", lambda nn: nn.MaxPool2d(3, 2, 1, 2, False, True), (2, 3, 6, 7)),
    ("LPPool1d", lambda nn: nn.LPPool1d(2, 3, 2), (2, 3, 8)),
    ("LPPool2d", lambda nn: nn.LPPool2d(2, (2, 3), ceil_mode=True), (2, 3, 5, 7)),
    ("LPPool3d", lambda nn: nn.LPPool3d(2, 2, 1), (1, 2, 3, 3, 4)),
    ("AdaptiveAvgPool1d", lambda nn: nn.AdaptiveAvgPool1d(3), (2, 3, 7)),
    ("AdaptiveAvgPool2d", lambda nn: nn.AdaptiveAvgPool2d((None, 2)), (2, 3, 5, 7)),
    ("AdaptiveAvgPool3d", lambda nn: nn.AdaptiveAvgPool3d(2), (1, 2, 3, 4, 5)),
    ("AdaptiveMaxPool1d", lambda nn: nn.AdaptiveMaxPool1d(3), (2, 3, 7)),
    ("AdaptiveMaxPool2d", lambda nn: nn.AdaptiveMaxPool2d((3, 2)), (2, 3, 5, 7)),
    ("AdaptiveMaxPool3d", lambda nn: nn.AdaptiveMaxPool3d(1), (1, 2, 3, 4, 5)),
    ("Upsample", lambda nn: nn.Upsample(scale_factor=2), (2, 3, 3, 4)),
    ("Upsample bilinear", lambda nn: nn.Upsample((7, 5), mode="bilinear", align_corners=True), (2, 3, 3, 4)),
    ("PixelShuffle", lambda nn: nn.PixelShuffle(2), (2, 8, 3, 2)),
    ("PixelUnshuffle", lambda nn: nn.PixelUnshuffle(2), (2, 3, 4, 6)),
    ("BatchNorm1d", lambda nn: nn.BatchNorm1d(3), (5, 3)),
    ("BatchNorm1d of nothing", lambda nn: nn.BatchNorm1d(3), (0, 3)),
    ("BatchNorm1d of signals", lambda nn: nn.BatchNorm1d(3, eps=1e-2, momentum=0.3), (2, 3, 4)),
    ("BatchNorm2d", lambda nn: nn.BatchNorm2d(3), (2, 3, 4, 1)),
    ("BatchNorm2d not affine", lambda nn: nn.BatchNorm2d(3, affine=False), (2, 3, 2, 2)),
    ("BatchNorm2d untracked", lambda nn: nn.BatchNorm2d(3, track_running_stats=False), (2, 3, 2, 2)),
    ("BatchNorm3d", lambda nn: nn.BatchNorm3d(2), (2, 2, 2, 3, 2)),
    ("BatchNorm2d averaging", lambda nn: nn.BatchNorm2d(3, momentum=None), (2, 3, 2, 2)),
    ("LayerNorm", lambda nn: nn.LayerNorm((3, 4)), (2, 3, 4)),
    ("LayerNorm without bias", lambda nn: nn.LayerNorm(4, eps=1e-3, bias=False), (2, 3, 4)),
    ("LayerNorm not affine", lambda nn: nn.LayerNorm(4, elementwise_affine=False), (2, 3, 4)),
    ("GroupNorm", lambda nn: nn.GroupNorm(2, 4), (2, 4, 3, 2)),
    ("GroupNorm not affine", lambda nn: nn.GroupNorm(4, 4, affine=False), (2, 4, 3)),
    ("InstanceNorm1d", lambda nn: nn.InstanceNorm1d(3), (2, 3, 4)),
    ("InstanceNorm2d", lambda nn: nn.InstanceNorm2d(3, affine=True), (2, 3, 4, 2)),
    ("InstanceNorm2d tracked", lambda nn: nn.InstanceNorm2d(3, track_running_stats=True, momentum=0.3), (2, 3, 4, 2)),
    ("InstanceNorm3d", lambda nn: nn.InstanceNorm3d(2, affine=True, track_running_stats=True), (2, 2, 2, 3, 2)),
    ("LocalResponseNorm", lambda nn: nn.LocalResponseNorm(3, 0.5, 0.6, 1.5), (2, 5, 3, 2)),
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
    ("Softmin", lambda nn: nn.Softmin(dim=1), (2, 3, 4)),
    ("LogSoftmax", lambda nn: nn.LogSoftmax(dim=1), (2, 3, 4)),
    ("GLU", lambda nn: nn.GLU(dim=1), (2, 4, 3)),
    ("PReLU", lambda nn: nn.PReLU(), (2, 3)),
    ("PReLU of channels", lambda nn: nn.PReLU(3, init=0.1), (2, 3, 4)),
    ("ELU", lambda nn: nn.ELU(0.5), (2, 3)),
    ("CELU", lambda nn: nn.CELU(0.5), (2, 3)),
    ("SELU", lambda nn: nn.SELU(), (2, 3)),
    ("SiLU", lambda nn: nn.SiLU(), (2, 3)),
    ("Mish", lambda nn: nn.Mish(), (2, 3)),
    ("ReLU6", lambda nn: nn.ReLU6(), (2, 3)),
    ("Hardtanh", lambda nn: nn.Hardtanh(-0.5, 0.7), (2, 3)),
    ("Hardswish", lambda nn: nn.Hardswish(), (2, 3)),
    ("Softsign", lambda nn: nn.Softsign(), (2, 3)),
    ("Tanhshrink", lambda nn: nn.Tanhshrink(), (2, 3)),
    ("LogSigmoid", lambda nn: nn.LogSigmoid(), (2, 3)),
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


@pytest.mark.parametrize(
    "loss", ["CrossEntropyLoss", "BCEWithLogitsLoss", "MSELoss", "L1Loss", "SmoothL1Loss", "HuberLoss"]
)
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


SCHEDULES: dict[str, Callable[[Any, Any], Any]] = {
    "StepLR": lambda lib, o: lib.StepLR(o, 3, 0.5),
    "MultiStepLR": lambda lib, o: lib.MultiStepLR(o, [2, 5], 0.5),
    "ExponentialLR": lambda lib, o: lib.ExponentialLR(o, 0.9),
    "LambdaLR": lambda lib, o: lib.LambdaLR(o, lambda epoch: 1 / (epoch + 1)),
    "LinearLR": lambda lib, o: lib.LinearLR(o, 0.2, 0.9, 4),
    "CosineAnnealingLR": lambda lib, o: lib.CosineAnnealingLR(o, 6, 0.01),
    "CosineAnnealingWarmRestarts": lambda lib, o: lib.CosineAnnealingWarmRestarts(o, 2, 2, 0.01),
    "OneCycleLR": lambda lib, o: lib.OneCycleLR(o, 0.5, 12),
    "OneCycleLR linear": lambda lib, o: lib.OneCycleLR(o, 0.5, None, 3, 4, 0.25, "linear"),
}


@pytest.mark.parametrize("name", SCHEDULES)
@pytest.mark.filterwarnings("ignore:Detected call of")
def test_schedules_agree(name):
    ours = tg.optim.SGD([tg.Tensor([1.0], requires_grad=True)], lr=0.3)
    theirs = torch.optim.SGD([torch.ones(1, requires_grad=True)], lr=0.3, momentum=0.9)
    one = SCHEDULES[name](tg.optim, ours)
    other = SCHEDULES[name](torch.optim.lr_scheduler, theirs)
    for _ in range(11):
        assert one.get_last_lr() == pytest.approx(other.get_last_lr(), rel=1e-9)
        one.step()
        other.step()


@pytest.mark.filterwarnings("ignore:Detected call of")
def test_plateaus_and_sequences_agree():
    ours = tg.optim.SGD([tg.Tensor([1.0], requires_grad=True)], lr=0.3)
    theirs = torch.optim.SGD([torch.ones(1, requires_grad=True)], lr=0.3)
    one = tg.optim.ReduceLROnPlateau(ours, factor=0.5, patience=2, cooldown=1, min_lr=0.05)
    other = torch.optim.lr_scheduler.ReduceLROnPlateau(theirs, factor=0.5, patience=2, cooldown=1, min_lr=0.05)
    for loss in np.random.default_rng(6).uniform(0.9, 1.1, 40):
        one.step(loss)
        other.step(loss)
        assert ours.lr == pytest.approx(theirs.param_groups[0]["lr"], rel=1e-12)


@pytest.mark.parametrize("kind", [1.0, 2.0, 3.0, float("inf")])
def test_clipping_agrees(kind):
    ours, theirs = pair(lambda nn: nn.Linear(4, 3), "float64")
    x = np.random.default_rng(7).standard_normal((5, 4))
    ours(tg.Tensor(x)).sum().backward()
    theirs(torch.tensor(x)).sum().backward()
    norms = [lib.utils.clip_grad_norm_(m.parameters(), 0.7, kind) for lib, m in ((tg.nn, ours), (torch.nn, theirs))]
    assert norms[0].item() == pytest.approx(norms[1].item(), rel=1e-12)
    for a, b in zip(ours.parameters(), theirs.parameters(), strict=True):
        np.testing.assert_allclose(a.grad.numpy(), b.grad.numpy(), rtol=1e-12)

"""PyTorch: eager, four ways to make it faster, and compiled."""

from __future__ import annotations

import nets
import torch
from nets import RATE, Case, NotForThisError, Task
from torch import nn
from torch.nn import functional as F

VERSION = torch.__version__


class Residual(nn.Module):
    def __init__(self, body: nn.Module, shortcut: nn.Module) -> None:
        super().__init__()
        self.body, self.shortcut = body, shortcut

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.body(x) + self.shortcut(x)


class Halve(nn.Module):
    def __init__(self, added: int) -> None:
        super().__init__()
        self.added = added

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        half = self.added // 2
        return F.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, half, self.added - half))


class Chain(nn.Module):
    def __init__(self, chain: nets.Chain) -> None:
        super().__init__()
        self.chain = chain

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for _ in range(self.chain.length // 2):
            x = x * self.chain.factor
            x = x + self.chain.term
        return x


def build(layer: nets.Layer) -> nn.Module:
    match layer:
        case nets.Conv():
            return nn.Conv2d(layer.inputs, layer.outputs, layer.size, layer.stride, layer.padding, bias=layer.bias)
        case nets.ConvTranspose():
            return nn.ConvTranspose2d(layer.inputs, layer.outputs, layer.size, layer.stride, layer.padding)
        case nets.BatchNorm():
            return nn.BatchNorm2d(layer.channels)
        case nets.Linear():
            return nn.Linear(layer.inputs, layer.outputs)
        case nets.ReLU():
            return nn.ReLU(inplace=True)
        case nets.MaxPool():
            return nn.MaxPool2d(layer.size, layer.stride, layer.padding)
        case nets.GlobalAverage():
            return nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())
        case nets.Flatten():
            return nn.Flatten()
        case nets.Halve():
            return Halve(layer.added)
        case nets.Chain():
            return Chain(layer)
        case nets.Residual():
            return Residual(sequence(layer.body), sequence(layer.shortcut))


def sequence(layers: tuple[nets.Layer, ...]) -> nn.Module:
    return nn.Sequential(*[build(layer) for layer in layers]) if layers else nn.Identity()


def make(case: Case, variant: str) -> Task:
    if variant == "channels last" and case.images.ndim != 4:
        raise NotForThisError("the net has no images")
    if variant == "fused Adam" and not (case.training and case.net.loss != "sum"):
        raise NotForThisError("nothing is trained")
    if variant == "flushed denormals":
        torch.set_flush_denormal(True)
    model = sequence(case.net.layers).train(case.training)
    state = [each for name, each in model.state_dict().items() if not name.endswith("num_batches_tracked")]
    images, labels = torch.from_numpy(case.images), torch.from_numpy(case.labels)
    if variant == "channels last":
        model = model.to(memory_format=torch.channels_last)
        images = images.to(memory_format=torch.channels_last)
        state = [each for name, each in model.state_dict().items() if not name.endswith("num_batches_tracked")]

    def load() -> None:
        with torch.no_grad():
            for own, numbers in zip(state, case.weights(), strict=True):
                own.copy_(torch.from_numpy(numbers))

    load()
    forward = torch.compile(model) if variant == "compile" else model
    if not case.training:

        @torch.inference_mode()
        def infer() -> torch.Tensor:
            return forward(images)

        return Task(infer, torch.Tensor.numpy)
    if case.net.loss == "sum":

        def slope() -> torch.Tensor:
            x = images.clone().requires_grad_()
            y = forward(x).sum()
            y.backward()
            return y

        return Task(slope, lambda y: y.detach().numpy())

    optimizer = torch.optim.Adam(model.parameters(), lr=RATE, fused=variant == "fused Adam" or None)

    def train() -> torch.Tensor:
        optimizer.zero_grad()
        outputs = forward(images)
        loss = F.cross_entropy(outputs, labels) if case.net.loss == "classes" else F.mse_loss(outputs, images)
        loss.backward()
        optimizer.step()
        return loss

    def reset() -> None:
        load()
        for memory in optimizer.state.values():
            for each in memory.values():
                each.zero_()

    return Task(train, lambda loss: loss.detach().numpy(), reset)

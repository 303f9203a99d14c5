"""Dense layers against convolutions on digits that do not stand in the middle."""

from __future__ import annotations

import numpy as np

from .. import nn
from ..data import TensorDataset, digits
from ..models import mlp
from ..nn import functional as F
from ..ops.shape import concatenate, pad
from ..tensor import Tensor
from ..train import Epoch
from .base import Painter, Recipe, Result, predict
from .digits import accuracy, count_parameters, most_frequent

SIZE, MARGIN = 32, 8
"""Pixels of the canvas, and how far a digit can move from its middle in each direction."""


class ShiftBothWays:
    """Images (N, 1, H, W) to (N, 2, H, W): each as it is, and shifted by a random number of pixels down and across.

    >>> ShiftBothWays(1)(Tensor([[[[0.0, 1.0, 0.0]] * 3]]), np.random.default_rng(0)).shape
    (1, 2, 3, 3)
    """

    def __init__(self, margin: int) -> None:
        self.margin = margin

    def __repr__(self) -> str:
        return f"ShiftBothWays({self.margin})"

    def __call__(self, images: Tensor, random: np.random.Generator) -> Tensor:
        """The pairs. What is pushed out over one edge would come in at the other, so there must be a margin."""
        pixels = images.numpy()
        moves = random.integers(-self.margin, self.margin + 1, (len(pixels), 2))
        moved = [np.roll(image, move, (1, 2)) for image, move in zip(pixels, moves.tolist(), strict=True)]
        return Tensor(np.concatenate([pixels, np.stack(moved)], 1), device=images.device)


class FourReaders(nn.Module):
    """An MLP and a CNN that see centred digits, and the same again that see shifted ones."""

    def __init__(self) -> None:
        self.mlp_centred, self.mlp_shifted = (mlp((SIZE**2, 32, 10)) for _ in range(2))
        self.cnn_centred, self.cnn_shifted = (_cnn() for _ in range(2))

    def forward(self, pairs: Tensor) -> tuple[Tensor, ...]:
        """``(N, 2, H, W)``, centred and shifted, to the logits of the four, ``(N, 10)`` each."""
        centred, shifted = pairs[:, :1], pairs[:, 1:]
        return (
            self.mlp_centred(centred), self.cnn_centred(centred), self.mlp_shifted(shifted), self.cnn_shifted(shifted)
        )  # fmt: skip


def _cnn() -> nn.Sequential:
    """Convolutions, then the largest answer of each kernel wherever it is: what is found counts, not where."""
    return nn.Sequential(
        nn.Conv2d(1, 12, 5, stride=2, padding=2), nn.ReLU(),  # (N, 12, 16, 16)
        nn.Conv2d(12, 24, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),  # (N, 24, 8, 8)
        nn.Conv2d(24, 48, 3, padding=1), nn.ReLU(), nn.MaxPool2d(8), nn.Flatten(),  # (N, 48)
        nn.Linear(48, 10),
    )  # fmt: skip


class Shifted(Recipe):
    """Four networks at once; each has its own weights and loss, so none knows of the others."""

    name = "shifted"
    text = "dense layers against convolutions on digits that are shifted"
    data = f"1,437 digits of 15x15 pixels, tested on the 360 others; shifted by up to {MARGIN} pixels on {SIZE}x{SIZE}"
    epochs = 20
    lr = 0.004
    lr_decay = 0.93
    augment = ShiftBothWays(MARGIN)
    loss_name = "cross entropy (nats), mean of the four"
    model: FourReaders

    def __init__(self) -> None:
        margin = (SIZE - 20) // 2
        self.train_set, test_set = (
            TensorDataset(pad(images, (margin,) * 4), labels)
            for images, labels in (digits(split, 20).tensors for split in ("train", "test"))
        )
        # Held-out digits are shifted once for all, so that every test is the same.
        images, labels = test_set.tensors
        self.test_set = TensorDataset(self.augment(images, np.random.default_rng(0)), labels)
        self.model = FourReaders()

    def loss(self, outputs: tuple[Tensor, ...], *targets: Tensor) -> Tensor:
        return F.cross_entropy(concatenate(outputs), concatenate([targets[0]] * len(outputs)))

    def measure(self) -> Result:
        table = self.table()
        labels = self.test_set.tensors[1]
        _, how = accuracy(predict(self.model.cnn_centred, self.test_set.tensors[0][:, 1:]), labels)
        shifted = {name: row[1] for name, row in table.items()}
        value = shifted.pop("CNN, trained on centred digits")
        shifted["always the most frequent class"] = most_frequent(self.train_set.tensors[1], labels)
        details = {f"{name}: accuracy on centred digits (%)": row[0] for name, row in table.items()}
        sizes = {
            f"parameters of the {kind}": count_parameters(model)
            for kind, model in (("MLP", self.model.mlp_centred), ("CNN", self.model.cnn_centred))
        }
        figure = "accuracy on shifted digits of the CNN that was trained on centred ones"
        return Result(figure, value, "%", how, shifted, details | sizes)

    def table(self) -> dict[str, tuple[float, float]]:
        """Accuracies in % on the held-out digits, centred and shifted, of each network."""
        images, labels = self.test_set.tensors
        networks = {
            "MLP, trained on centred digits": self.model.mlp_centred,
            "CNN, trained on centred digits": self.model.cnn_centred,
            "MLP, trained on shifted digits": self.model.mlp_shifted,
            "CNN, trained on shifted digits": self.model.cnn_shifted,
        }
        return {
            name: (accuracy(predict(network, images[:, :1]), labels)[0],
                   accuracy(predict(network, images[:, 1:]), labels)[0])
            for name, network in networks.items()
        }  # fmt: skip

    def pictures(self, epochs: list[Epoch]) -> dict[str, Painter]:
        from .. import pictures

        table = self.table()
        bars = {name: {"centred digits": row[0], "shifted digits": row[1]} for name, row in table.items()}
        sizes = f"MLP {count_parameters(self.model.mlp_centred):,}, CNN {count_parameters(self.model.cnn_centred):,}"
        shown = self.test_set.tensors[0][:10]
        return super().pictures(epochs) | {
            "bars.png": lambda path: pictures.draw_bars(
                bars, path, f"Held-out digits read rightly; parameters: {sizes}", "accuracy (%)"
            ),
            "digits.png": lambda path: pictures.draw_image_rows(
                {"centred": shown[:, :1], "shifted": shown[:, 1:]}, path, "The first ten held-out digits"
            ),
        }

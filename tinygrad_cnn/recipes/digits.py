"""Networks that read handwritten digits."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from .. import models
from ..data import RandomAffine, digits
from ..nn.module import Module
from ..tensor import Tensor
from ..train import Epoch
from .base import Augment, Painter, Recipe, Result, predict


class Digits(Recipe):
    """A classifier of scikit-learn's digits."""

    data = "1,437 of scikit-learn's handwritten digits, tested on the 360 others"
    augment: ClassVar[Augment | None] = RandomAffine(degrees=8, translate=(0.05, 0.05), scale=(0.92, 1.08))
    size: ClassVar[int] = 32
    """Height and width of the images."""

    def __init__(self) -> None:
        self.train_set, self.test_set = digits("train", self.size), digits("test", self.size)

    def measure(self) -> Result:
        value, how = accuracy(self.logits(), self.test_set.tensors[1])
        baselines = {
            "always the most frequent class": most_frequent(self.train_set.tensors[1], self.test_set.tensors[1]),
            "the class of the nearest training image": nearest_image(self.train_set.tensors, self.test_set.tensors),
        }
        return Result("test accuracy", value, "%", how, baselines, {"parameters": count_parameters(self.model)})

    def logits(self) -> Tensor:
        """What the network says to the held-out digits, (N, 10)."""
        return predict(self.model, self.test_set.tensors[0], 120)

    def pictures(self, epochs: list[Epoch]) -> dict[str, Painter]:
        from .. import pictures

        labels = self.test_set.tensors[1].numpy()
        logits = self.logits().numpy()
        counts = pictures.count_confusions(labels, logits.argmax(1), logits.shape[1])
        wrong = int(counts.sum() - counts.trace())
        title = f"{len(labels)} held-out digits, {wrong} read wrongly"
        return super().pictures(epochs) | {"confusion.png": lambda path: pictures.draw_confusion(counts, path, title)}


class LeNet(Digits):
    """LeNet-5, as commonly implemented. (LeCun et al., 1998)"""

    name = "lenet"
    text = "LeNet-5 reads handwritten digits"

    def __init__(self) -> None:
        super().__init__()
        self.model = models.lenet5()

    def pictures(self, epochs: list[Epoch]) -> dict[str, Painter]:
        from .. import pictures

        kernels = next(iter(self.model.parameters()))
        return super().pictures(epochs) | {
            "kernels.png": lambda path: pictures.draw_kernels(kernels, path, "lenet: kernels of the first layer")
        }


class ResNet(Digits):
    """Eight layers in three residual blocks. (after He et al., 2016)"""

    name = "resnet"
    text = "a residual network of eight layers reads handwritten digits"
    size = 16
    epochs = 8
    lr_decay = 0.75

    def __init__(self) -> None:
        super().__init__()
        self.model = models.resnet8()


class MLP(Digits):
    """Dense layers only."""

    name = "mlp"
    text = "a perceptron of three dense layers reads handwritten digits"
    size = 16
    lr = 0.002

    def __init__(self) -> None:
        super().__init__()
        self.model = models.mlp((self.size**2, 128, 64, 10))


def accuracy(logits: Tensor, labels: Tensor) -> tuple[float, str]:
    """The share of right answers in %, and the counts in words.

    >>> accuracy(Tensor([[1.0, 0.0], [1.0, 0.0]]), Tensor([0, 1]))
    (50.0, '1 of 2 held-out digits')
    """
    right = int((logits.argmax(1) == labels).sum().item())
    return 100 * right / len(labels), f"{right} of {len(labels)} held-out digits"


def most_frequent(train_labels: Tensor, test_labels: Tensor) -> float:
    """The accuracy in % of the answer that is right most often in training.

    >>> most_frequent(Tensor([1, 1, 0]), Tensor([0, 1, 0, 0]))
    25.0
    """
    answer = np.bincount(train_labels.numpy()).argmax()
    return 100 * float((test_labels.numpy() == answer).mean())


def nearest_image(train: tuple[Tensor, ...], test: tuple[Tensor, ...]) -> float:
    """The accuracy in % of giving each image the class of the training image with the least squared difference.

    >>> known = Tensor([[0.0], [1.0]]), Tensor([0, 1])
    >>> nearest_image(known, (Tensor([[0.2], [0.9]]), Tensor([0, 1])))
    100.0
    """
    known, images = (part[0].numpy().reshape(len(part[0]), -1) for part in (train, test))
    # |a - b|^2 = |a|^2 - 2 ab + |b|^2, where the image's |a|^2 is the same for all candidates
    nearest = ((known**2).sum(1) - 2 * images @ known.T).argmin(1)
    return 100 * float((train[1].numpy()[nearest] == test[1].numpy()).mean())


def count_parameters(model: Module) -> int:
    """How many numbers are trained."""
    return sum(parameter.numel() for parameter in model.parameters())

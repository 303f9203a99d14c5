"""What a recipe is: one small training, from its data to a measured figure and a picture."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar, Protocol

import numpy as np

from ..data import TensorDataset
from ..data.loader import DataLoader
from ..draw import Drawing, draw
from ..mode import no_grad
from ..nn import functional as F
from ..nn.module import Module
from ..ops.shape import concatenate
from ..optim import Adam, Optimizer
from ..runs import Result
from ..tensor import Tensor
from ..train import Epoch, Score, evaluate, take_step

__all__ = ["Augment", "Painter", "Recipe", "Result", "predict"]

Painter = Callable[[Path], object]
"""Makes a picture and writes it to that file."""


class Augment(Protocol):
    """Changes a batch of inputs at random, such as :class:`RandomAffine`."""

    def __call__(self, images: Tensor, random: np.random.Generator, /) -> Tensor: ...


class Recipe:
    """One training by name. Making it reads the data and makes the networks, with the seed already set.

    A recipe says in ``__init__`` what ``train_set``, ``test_set`` and ``model`` are, and in ``measure`` what they
    reached. The rest has defaults for a network whose output is compared with a target.
    """

    name: ClassVar[str]
    """What ``train NAME`` calls it."""
    text: ClassVar[str]
    """What is learned, in one line."""
    data: ClassVar[str]
    """What it is learned from, in a few words."""
    epochs: ClassVar[int] = 20
    batch_size: ClassVar[int] = 64
    lr: ClassVar[float] = 0.005
    """The learning rate of the first epoch."""
    lr_decay: ClassVar[float] = 0.88
    """The learning rate of each epoch as a share of the one before. It does not depend on how many epochs there will
    be, so a training that is resumed, or made longer, goes on as if it had never stopped."""
    loss_name: ClassVar[str] = "mean cross entropy (nats)"
    """For the axis of the curves."""
    compiled: ClassVar[bool] = True
    """Whether the step can be compiled. One that draws random numbers by itself cannot."""
    augment: ClassVar[Augment | None] = None
    """Changes the training images at random."""

    train_set: TensorDataset
    test_set: TensorDataset
    model: Module
    """All networks that are trained, as one module: it is what the weight file holds."""
    optimizers: dict[str, Optimizer]

    def make_optimizers(self, lr: float) -> dict[str, Optimizer]:
        """The optimisers by name, all with the learning rate of the first epoch; none for a model without gradients."""
        return {"adam": Adam(self.model.parameters(), lr=lr)}

    def loss(self, outputs: Any, *targets: Tensor) -> Tensor:
        """The mean loss of a batch."""
        return F.cross_entropy(outputs, targets[0])

    def step(self, *batch: Tensor) -> tuple[Tensor, Any]:
        """Learn from a batch; gives the loss from before the step and the model's outputs."""
        return take_step(self.model, self.optimizers["adam"], self.loss, *batch)

    def test(self) -> Score | None:
        """Loss and accuracy after an epoch, on data held out."""
        return evaluate(self.model, DataLoader(self.test_set, 120), self.loss)

    def end_epoch(self, number: int) -> None:
        """What is to be kept of each epoch; only what lies in the model's buffers outlasts a resumed run."""

    def measure(self) -> Result:
        """The final figure; the model is in evaluation mode."""
        raise NotImplementedError

    def drawing(self) -> Drawing:
        """The network as a graph."""
        return draw(self.model, (1, *self.test_set.tensors[0].shape[1:]))

    def pictures(self, epochs: list[Epoch]) -> dict[str, Painter]:
        """The pictures by file name; each painter is called in evaluation mode and without recording."""
        from .. import pictures  # matplotlib takes a while

        return {"curves.png": lambda path: pictures.draw_curves(epochs, path, self.loss_name)}


def predict(model: Callable[[Tensor], Tensor], inputs: Tensor, batch_size: int = 64) -> Tensor:
    """The outputs for many inputs, made in batches so that the intermediate results need little memory.

    >>> predict(lambda x: x + 1, Tensor([1.0, 2.0, 3.0]), batch_size=2)
    Tensor([2., 3., 4.])
    """
    with no_grad():
        parts = [model(inputs[start : start + batch_size]) for start in range(0, len(inputs), batch_size)]
        return concatenate(parts)

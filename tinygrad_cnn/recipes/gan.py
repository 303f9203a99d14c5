"""Digits that nobody wrote."""

from __future__ import annotations

from typing import Any

import numpy as np

from .. import nn
from ..backend.random import default_generator
from ..data import DataLoader, TensorDataset, digits
from ..draw import Drawing, draw
from ..mode import no_grad
from ..models import dcgan_discriminator, dcgan_generator, lenet5
from ..nn import functional as F
from ..ops.base import full_like
from ..optim import Adam, Optimizer
from ..tensor import Tensor
from ..train import Epoch, fit
from .base import Painter, Recipe, Result, predict

SIZE, LATENT, WIDTH = 16, 32, 16
STAGES, SHOWN = 8, 10
"""After epochs 1, 2, 4, ... 128 the same ten points are made into images, and kept."""
SURE = 0.9


class Game(nn.Module):
    """Both players, and the images that the same random numbers gave after epochs 1, 2, 4, 8 ..."""

    def __init__(self) -> None:
        self.generator = dcgan_generator(LATENT, SIZE, 1, WIDTH)
        self.discriminator = dcgan_discriminator(SIZE, 1, WIDTH)
        self.points = nn.Buffer(noise(SHOWN))
        self.stages = nn.Buffer(Tensor(np.full((STAGES, SHOWN, 1, SIZE, SIZE), -1, np.float32)))


def noise(count: int) -> Tensor:
    """Normally distributed random numbers (count, LATENT)."""
    return Tensor(default_generator.numpy.standard_normal((count, LATENT), dtype=np.float32))


class GAN(Recipe):
    """Generator and discriminator in turn. (Goodfellow et al., 2014; Radford et al., 2016)"""

    name = "gan"
    text = "a generator learns to make digits by deceiving a discriminator"
    data = f"1,437 of scikit-learn's handwritten digits, {SIZE}x{SIZE} pixels, without their labels"
    epochs = 32
    batch_size = 64
    compiled = False  # the noise is drawn in the step
    lr = 0.0005
    lr_decay = 0.98
    loss_name = "discriminator's cross entropy (nats)"
    model: Game

    def __init__(self) -> None:
        images, labels = digits("train", SIZE).tensors
        self.train_set = TensorDataset(images * 2 - 1, labels)
        self.model = Game()

    def make_optimizers(self, lr: float) -> dict[str, Optimizer]:
        players = {"generator": self.model.generator, "discriminator": self.model.discriminator}
        return {name: Adam(player.parameters(), lr, betas=(0.5, 0.999)) for name, player in players.items()}

    def step(self, *batch: Tensor) -> tuple[Tensor, Any]:
        """The discriminator learns to tell the batch from as many made images, then the generator to deceive it."""
        real = batch[0]
        made = self.model.generator(noise(len(real)).to(real.device))
        loss = self._move("discriminator", (real, 0.9), (made.detach(), 0.0))  # 0.9: never quite sure
        self._move("generator", (made, 1.0))
        return loss, None

    def _move(self, player: str, *beliefs: tuple[Tensor, float]) -> Tensor:
        """One step of a player towards the discriminator saying of these images what is given with them."""
        for optimizer in self.optimizers.values():
            optimizer.zero_grad()
        loss = Tensor(0.0)
        for images, belief in beliefs:
            logits = self.model.discriminator(images)
            loss = loss + F.binary_cross_entropy_with_logits(logits, full_like(logits, belief)) / len(beliefs)
        loss.backward()
        self.optimizers[player].step()
        return loss

    def test(self) -> None:
        """Nothing is held out: there is no right answer to compare with."""

    def end_epoch(self, number: int) -> None:
        stage = number.bit_length() - 1
        if number == 1 << stage and stage < STAGES:
            self.model.eval()
            stages = self.model.stages.numpy().copy()
            with no_grad():
                stages[stage] = self.model.generator(self.model.points).numpy()
            self.model.stages.assign(stages)

    def measure(self) -> Result:
        judge = Judge()
        made = predict(self.model.generator, noise(500))
        pixels = self.train_set.tensors[0].numpy()
        random = np.random.default_rng(0)
        spread = random.normal(pixels.mean(0), pixels.std(0), (500, *pixels.shape[1:])).astype(np.float32)
        others = {
            "digits held out": digits("test", SIZE).tensors[0] * 2 - 1,
            "pixels drawn apart, each with its mean and spread": Tensor(spread.clip(-1, 1)),
            "noise, each pixel between paper and ink": Tensor(random.uniform(-1, 1, spread.shape).astype(np.float32)),
        }
        share, classes = judge.sure_of(made)
        return Result(
            f"made images that a LeNet-5 is at least {SURE:.0%} sure of", share, "%",
            "500 images; the LeNet-5 was trained on the same digits with their labels",
            {name: judge.sure_of(images)[0] for name, images in others.items()},
            {"classes with at least 2 % of the images": sum(count >= 0.02 * len(made) for count in classes)}
            | {f"images read as {digit}": count for digit, count in enumerate(classes)},
        )  # fmt: skip

    def drawing(self) -> Drawing:
        return draw(nn.Sequential(self.model.generator, self.model.discriminator), (1, LATENT), name="GAN")

    def pictures(self, epochs: list[Epoch]) -> dict[str, Painter]:
        from .. import pictures

        stages = self.model.stages.numpy()
        done = [stage for stage in range(STAGES) if 1 << stage <= len(epochs)]
        rows = {f"epoch {1 << stage}": (stages[stage] + 1) / 2 for stage in done}
        rows["real"] = (self.train_set.tensors[0].numpy()[:SHOWN] + 1) / 2
        return super().pictures(epochs) | {
            "samples.png": lambda path: pictures.draw_image_rows(
                rows, path, "The same ten random points, made into images as training goes on"
            )
        }


class Judge:
    """A LeNet-5 that reads the digits, trained here and now."""

    def __init__(self) -> None:
        self.model = lenet5()
        images, labels = digits("train", SIZE).tensors
        loader = DataLoader(TensorDataset(_enlarged(images), labels), 64, shuffle=True, seed=0)
        fit(self.model, Adam(self.model.parameters(), 0.003), loader, epochs=8, progress=False)
        self.model.eval()

    def sure_of(self, images: Tensor) -> tuple[float, list[int]]:
        """The share in % of images (N, 1, SIZE, SIZE) that it is sure of, and how many of these are in each class."""
        shares = F.softmax(predict(self.model, _enlarged((images + 1) / 2)), 1).numpy()
        classes = np.bincount(shares.argmax(1)[shares.max(1) >= SURE], minlength=10)
        return 100 * float(classes.sum()) / len(images), classes.tolist()


def _enlarged(images: Tensor) -> Tensor:
    """Images of twice the height and width, four pixels for one."""
    return Tensor(images.numpy().repeat(2, 2).repeat(2, 3), device=images.device)

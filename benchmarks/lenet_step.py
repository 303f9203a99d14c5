"""A training step of LeNet-5 run eagerly: 64 images of 28x28, cross entropy, backward, SGD with momentum."""

from __future__ import annotations

import numpy as np
from harness import Task, main

IMAGES = np.random.default_rng(0).random((64, 1, 28, 28), dtype=np.float32)
LABELS = np.random.default_rng(1).integers(0, 10, 64)


def tinygrad_cnn() -> Task:
    import tinygrad_cnn as tg

    model = tg.models.lenet5(image_size=28)
    optimizer = tg.optim.SGD(model.parameters(), lr=0.01, momentum=0.9)
    images, labels = tg.Tensor(IMAGES), tg.Tensor(LABELS)

    def task() -> float:
        optimizer.zero_grad()
        loss = tg.nn.functional.cross_entropy(model(images), labels)
        loss.backward()
        optimizer.step()
        return loss.item()

    return task


def torch() -> Task:
    import torch
    from torch import nn

    torch.set_num_threads(2)
    model = nn.Sequential(
        nn.Conv2d(1, 6, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(6, 16, 5), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Linear(400, 120), nn.ReLU(), nn.Linear(120, 84), nn.ReLU(), nn.Linear(84, 10),
    )  # fmt: skip
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9)
    images, labels = torch.tensor(IMAGES), torch.tensor(LABELS)

    def task() -> float:
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(model(images), labels)
        loss.backward()
        optimizer.step()
        return loss.item()

    return task


def dezero() -> Task:
    import dezero.functions as F
    import dezero.layers as L
    from dezero import Model, optimizers

    class LeNet(Model):
        def __init__(self) -> None:
            super().__init__()
            self.conv1 = L.Conv2d(6, 5, pad=2)
            self.conv2 = L.Conv2d(16, 5)
            self.fc1, self.fc2, self.fc3 = L.Linear(120), L.Linear(84), L.Linear(10)

        def forward(self, x):
            x = F.pooling(F.relu(self.conv1(x)), 2, 2)
            x = F.pooling(F.relu(self.conv2(x)), 2, 2)
            x = F.reshape(x, (x.shape[0], -1))
            return self.fc3(F.relu(self.fc2(F.relu(self.fc1(x)))))

    model = LeNet()
    optimizer = optimizers.MomentumSGD(lr=0.01, momentum=0.9).setup(model)

    def task() -> float:
        loss = F.softmax_cross_entropy(model(IMAGES), LABELS)
        model.cleargrads()
        loss.backward()
        optimizer.update()
        return float(loss.data)

    return task


if __name__ == "__main__":
    main(
        "LeNet-5, one training step on 64 images of 28x28",
        {"tinygrad_cnn": tinygrad_cnn, "dezero": dezero, "torch": torch},
        baseline="dezero",
        repeat=5,
    )

"""The neocognitron's idea: layers that find patterns without being told, and layers that forgive where they are."""

from __future__ import annotations

import numpy as np

from .. import nn
from ..filters import kmeans_kernels
from ..mode import no_grad
from ..nn import functional as F
from ..ops.shape import flatten
from ..tensor import Tensor

__all__ = ["Neocognitron", "fit_neocognitron"]


class Neocognitron(nn.Module):
    """Two pairs of an S layer (what) and a C layer (roughly where), and a read-out: ``(N, 1, H, W)`` to scores.

    An S cell answers to one pattern in its window: a convolution with a kernel that nobody chose, and a threshold. A C
    cell answers where any S cell of its kind near it does: pooling. Only the read-out needs labels. The first S layer
    of the original learned by letting the strongest cell win; here clusters of patches take that part, so that this
    is a demonstration of the idea, not the network of the paper. (Fukushima, 1980)

    Args:
        first: how many kinds of patterns the first S layer tells apart.
        second: and the second.
        num_classes: how many classes the read-out tells apart.
        in_channels: 1 for grey images.

    :func:`fit_neocognitron` finds the kernels and the read-out. On scikit-learn's digits, random kernels with a
    trained read-out do at least as well as those of the clusters: pooling and the read-out do most of the work.

    >>> import tinygrad_cnn as tg
    >>> Neocognitron()(tg.symbol((1, 1, 16, 16))).shape
    (1, 10)
    """

    def __init__(self, first: int = 24, second: int = 96, num_classes: int = 10, in_channels: int = 1) -> None:
        self.s1 = nn.Conv2d(in_channels, first, 5, padding=2, bias=False)
        self.c1 = nn.MaxPool2d(2)
        self.s2 = nn.Conv2d(first, second, 3, padding=1, bias=False)
        self.c2 = nn.AdaptiveAvgPool2d(3)
        self.readout = nn.Linear(9 * second, num_classes)

    def features(self, images: Tensor) -> Tensor:
        """``(N, C, H, W)`` to what the last C layer tells, ``(N, 9 * second)``."""
        x = self.c1(F.relu(self.s1(images)))
        x = self.c2(F.relu(self.s2(x)))
        return flatten(x, 1)

    def forward(self, images: Tensor) -> Tensor:
        """``(N, C, H, W)`` to a score for each class."""
        scores: Tensor = self.readout(self.features(images))
        return scores


def fit_neocognitron(
    model: Neocognitron, images: Tensor, labels: Tensor, unsupervised: bool = True, ridge: float = 0.05, seed: int = 0
) -> Neocognitron:
    """Find the kernels layer by layer without labels, then the read-out by least squares.

    Args:
        model: is changed.
        images: ``(N, C, H, W)``.
        labels: ``(N,)``; only the read-out sees them.
        unsupervised: whether kernels come from clusters of patches; else they stay as they were drawn.
        ridge: how much the weights of the read-out cost, which keeps them small.
        seed: decides patches and clusters.

    Returns the model.

    Raises :class:`MissingPackageError` without scikit-learn.
    """
    with no_grad():
        if unsupervised:
            first, second = model.s1.out_channels, model.s2.out_channels
            model.s1.weight.assign(kmeans_kernels(images, first, 5, seed=seed))
            inner = model.c1(F.relu(model.s1(images)))
            model.s2.weight.assign(kmeans_kernels(inner, second, 3, whiten=False, seed=seed))
        found = model.features(images).numpy().astype(np.float64)
        center, spread = found.mean(0), found.std(0) + 1e-6
        rows = np.column_stack([(found - center) / spread, np.ones(len(found))])
        wanted = np.eye(model.readout.out_features)[labels.numpy()] * 2 - 1
        cost = ridge * len(rows) * np.eye(rows.shape[1])
        cost[-1, -1] = 0
        weights = np.linalg.solve(rows.T @ rows + cost, rows.T @ wanted)
        weight = (weights[:-1] / spread[:, None]).T
        bias = weights[-1] - weight @ center
        numbers = {"weight": Tensor(weight.astype(np.float32)), "bias": Tensor(bias.astype(np.float32))}
        model.readout.load_state_dict(numbers)
    return model

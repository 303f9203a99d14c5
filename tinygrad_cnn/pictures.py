"""Pictures of a training: curves, kernels, a confusion matrix. Each is a PNG file that repeats byte by byte.

matplotlib is imported on first use and draws into memory; the program's own figures and settings are not touched.
"""

from __future__ import annotations

import io
import math
import os
from collections.abc import Sequence
from typing import Any

import numpy as np

from .errors import ShapeError
from .extras import require
from .io.safetensors import write_atomically
from .tensor import Tensor
from .train import Epoch

TRAIN, TEST = "#9a3b00", "#00589c"  # orange and blue stay apart for the colour-blind and in grey


def draw_curves(epochs: Sequence[Epoch], path: str | os.PathLike[str]) -> None:
    """Loss and accuracy over the epochs, training and held-out.

    Raises :class:`MissingPackageError` without matplotlib, :class:`FileError` where the file cannot be written.
    """
    figure = _figure(9.0, 3.8)
    loss, accuracy = figure.subplots(1, 2)
    numbers = [epoch.number for epoch in epochs]
    marker = "o" if len(epochs) < 40 else ""
    for label, color, scores in (
        ("training (before each step)", TRAIN, [epoch.train for epoch in epochs]),
        ("held out (after the epoch)", TEST, [epoch.test for epoch in epochs if epoch.test]),
    ):
        shown = numbers[len(numbers) - len(scores) :]
        style = {"color": color, "marker": marker, "markersize": 3.5, "linewidth": 1.5}
        loss.plot(shown, [score.loss for score in scores], **style)
        shares = [math.nan if score.accuracy is None else 100 * score.accuracy for score in scores]
        last = f": {shares[-1]:.2f} % at last" if shares else ""
        accuracy.plot(shown, shares, **style, label=label + last)
    loss.set(yscale="log", ylabel="mean cross entropy (nats, log scale)", title="Loss")
    accuracy.set(ylabel="right answers (%)", title="Accuracy")
    loss.yaxis.set_major_formatter("{x:g}")
    for axes in (loss, accuracy):
        axes.set_xlabel("epoch (passes over the training data)")
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.grid(True, which="both", color="#e4e4e4", linewidth=0.6)
        axes.set_axisbelow(True)
        axes.spines[["top", "right"]].set_visible(False)
    accuracy.legend(frameon=False, loc="lower right")
    _save(figure, path)


def draw_kernels(weight: Tensor, path: str | os.PathLike[str], title: str = "Kernels") -> None:
    """The kernels of a 2-D convolution (F, C, kH, kW) on one colour scale, titled "input → output channel".

    Blue is positive, red negative, white zero.

    Raises :class:`ShapeError` for another number of axes, and what :func:`draw_curves` raises.
    """
    if weight.ndim != 4:
        raise ShapeError(
            "draw_kernels", "these are no kernels of a 2-D convolution", got=repr(weight.spec),
            expected="(out_channels, in_channels, height, width)",
        )  # fmt: skip
    kernels = weight.numpy()
    outputs, inputs = kernels.shape[:2]
    columns = min(outputs, 8) if inputs == 1 else outputs
    panels = [(f, c) for c in range(inputs) for f in range(outputs)]
    rows = math.ceil(len(panels) / columns)
    limit = float(np.abs(kernels).max()) or 1.0
    figure = _figure(1.35 * columns + 1.2, 1.55 * rows + 0.6)
    grid = figure.subplots(rows, columns, squeeze=False)
    for axes in grid.flat:
        axes.axis("off")
    scale = require("pictures", "matplotlib.cm", "matplotlib", "train").ScalarMappable(cmap="RdBu")
    scale.set_clim(-limit, limit)
    for axes, (f, c) in zip(grid.flat, panels, strict=False):
        axes.axis("on")
        axes.set(xticks=[], yticks=[])
        axes.spines[:].set_color("#bbbbbb")
        axes.imshow(kernels[f, c], cmap="RdBu", vmin=-limit, vmax=limit)
        axes.set_title(f"{f}" if inputs == 1 else f"{c} → {f}", fontsize=10)
    figure.colorbar(scale, ax=grid, label="weight", shrink=0.9, fraction=0.04)
    figure.suptitle(title, fontsize=12)
    _save(figure, path)


def draw_confusion(counts: np.ndarray, path: str | os.PathLike[str], title: str = "Confusion matrix") -> None:
    """How often each class was taken for which: ``counts[true, predicted]``.

    Raises what :func:`draw_curves` raises.
    """
    classes = len(counts)
    figure = _figure(5.6, 5.2)
    axes = figure.subplots()
    shares = counts / np.maximum(1, counts.sum(axis=1, keepdims=True))
    picture = axes.imshow(100 * shares, cmap="Blues", vmin=0, vmax=100)
    for true in range(classes):
        for predicted in range(classes):
            count = int(counts[true, predicted])
            wrong = count > 0 and true != predicted
            axes.text(
                predicted, true, str(count) if count else "·", ha="center", va="center", fontsize=10,
                color="white" if shares[true, predicted] > 0.5 else "#b00020" if wrong else "#888888",
                weight="bold" if count else "normal",
            )  # fmt: skip
    axes.set(
        xticks=range(classes), yticks=range(classes), xlabel="predicted class", ylabel="true class", title=title
    )  # fmt: skip
    axes.tick_params(length=0)
    figure.colorbar(picture, ax=axes, label="share of the true class (%)", shrink=0.85)
    _save(figure, path)


def count_confusions(targets: np.ndarray, predicted: np.ndarray, classes: int) -> np.ndarray:
    """The matrix ``counts[true, predicted]`` (classes, classes) of two lists of class numbers.

    >>> count_confusions(np.array([0, 1, 1]), np.array([0, 1, 0]), 2)
    array([[1, 0],
           [1, 1]])
    """
    return np.bincount(targets * classes + predicted, minlength=classes**2).reshape(classes, classes)


def _figure(width: float, height: float) -> Any:
    figure = require("pictures", "matplotlib.figure", "matplotlib", "train").Figure
    return figure(figsize=(width, height), dpi=120, layout="constrained")


def _save(figure: Any, path: str | os.PathLike[str]) -> None:
    buffer = io.BytesIO()
    # The version of matplotlib would be written into the file: it says nothing about the picture.
    figure.savefig(buffer, format="png", metadata={"Software": None})
    write_atomically(path, buffer.getvalue())

"""Pictures of a training: curves, kernels, a confusion matrix. Each is a PNG file that repeats byte by byte.

matplotlib is imported on first use and draws into memory; the program's own figures and settings are not touched.
"""

from __future__ import annotations

import io
import math
import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from .errors import ShapeError
from .extras import require
from .io.safetensors import write_atomically
from .tensor import Tensor
from .train import Epoch

TRAIN, TEST = "#9a3b00", "#00589c"  # orange and blue stay apart for the colour-blind and in grey


def draw_curves(
    epochs: Sequence[Epoch], path: str | os.PathLike[str], loss_name: str = "mean cross entropy (nats)"
) -> None:
    """Loss and accuracy over the epochs, training and held-out; the loss alone where there is no accuracy.

    Raises :class:`MissingPackageError` without matplotlib, :class:`FileError` where the file cannot be written.
    """
    parts = (
        ("training (before each step)", TRAIN, [epoch.train for epoch in epochs]),
        ("held out (after the epoch)", TEST, [epoch.test for epoch in epochs if epoch.test]),
    )
    with_accuracy = any(score.accuracy is not None for _, _, scores in parts for score in scores)
    figure = new_figure(9.0 if with_accuracy else 5.4, 3.8)
    panels = figure.subplots(1, 2 if with_accuracy else 1, squeeze=False)[0]
    numbers = [epoch.number for epoch in epochs]
    for label, color, scores in parts:
        if not scores:
            continue
        shown = numbers[len(numbers) - len(scores) :]
        style = {"color": color, "marker": "o" if len(epochs) < 40 else "", "markersize": 3.5, "linewidth": 1.5}
        if with_accuracy:
            shares = [math.nan if score.accuracy is None else 100 * score.accuracy for score in scores]
            panels[1].plot(shown, shares, **style, label=f"{label}: {shares[-1]:.2f} % at last")
        panels[0].plot(shown, [score.loss for score in scores], **style, label=label)
    panels[0].set(yscale="log", ylabel=f"{loss_name}, log scale", title="Loss")
    panels[0].yaxis.set_major_formatter("{x:g}")
    panels[0].yaxis.set_minor_formatter("{x:g}")
    if with_accuracy:
        panels[1].set(ylabel="right answers (%)", title="Accuracy")
    for axes in panels:
        axes.set_xlabel("epoch (passes over the training data)")
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.grid(True, which="both", color="#e4e4e4", linewidth=0.6)
        axes.set_axisbelow(True)
        axes.spines[["top", "right"]].set_visible(False)
    panels[-1].legend(frameon=False, loc="lower right" if with_accuracy else "upper right")
    save_figure(figure, path)


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
    figure = new_figure(1.35 * columns + 1.2, 1.55 * rows + 0.6)
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
    save_figure(figure, path)


def draw_confusion(counts: np.ndarray, path: str | os.PathLike[str], title: str = "Confusion matrix") -> None:
    """How often each class was taken for which: ``counts[true, predicted]``.

    Raises what :func:`draw_curves` raises.
    """
    classes = len(counts)
    figure = new_figure(5.6, 5.2)
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
    save_figure(figure, path)


def draw_image_rows(
    rows: Mapping[str, Tensor | np.ndarray], path: str | os.PathLike[str], title: str = "", scale: float = 1.0
) -> None:
    """Images below each other: each row is named and holds images (N, C, H, W) of 0 to 1, with 1 or 3 channels.

    Args:
        rows: such as inputs, outputs and what they should be; rows may differ in size and number of images.
        path: the PNG file.
        title: stands above.
        scale: how large the images are drawn.

    Raises :class:`ShapeError` for other shapes, and what :func:`draw_curves` raises.
    """
    images = {name: row.numpy() if isinstance(row, Tensor) else row for name, row in rows.items()}
    for name, row in images.items():
        if row.ndim != 4 or row.shape[1] not in (1, 3):
            raise ShapeError(
                "draw_image_rows", f"the row {name!r} holds no images", got=repr(row.shape),
                expected="(N, 1, height, width) or (N, 3, height, width)",
            )  # fmt: skip
    columns = max(len(row) for row in images.values())
    figure = new_figure(scale * columns + 1.6, scale * len(images) + (0.5 if title else 0.1))
    grid = figure.subplots(len(images), columns, squeeze=False)
    for axes in grid.flat:
        axes.axis("off")
    for line, (name, row) in zip(grid, images.items(), strict=True):
        for axes, image in zip(line, row, strict=False):
            axes.imshow(image.transpose(1, 2, 0).clip(0, 1), cmap="gray", vmin=0, vmax=1, interpolation="nearest")
        line[0].text(-0.12, 0.5, name, transform=line[0].transAxes, ha="right", va="center", fontsize=9)
    if title:
        figure.suptitle(title, fontsize=11)
    save_figure(figure, path)


def draw_boxes(
    images: np.ndarray,
    boxes: Mapping[str, np.ndarray],
    names: Sequence[str],
    path: str | os.PathLike[str],
    title: str = "",
) -> None:
    """Grey images with boxes drawn on them.

    Args:
        images: (N, 1, H, W) from 0 to 1.
        boxes: (N, 4) by what they are: centre's x and y, width and height, as shares of the image's.
        names: what is written above each image.
        path: the PNG file.
        title: stands above all.

    Raises what :func:`draw_curves` raises.
    """
    rectangle = require("pictures", "matplotlib.patches", "matplotlib", "train").Rectangle
    columns = 8
    rows = math.ceil(len(images) / columns)
    figure = new_figure(1.25 * columns, 1.45 * rows + 0.6)
    grid = figure.subplots(rows, columns, squeeze=False)
    for axes in grid.flat:
        axes.axis("off")
    height, width = images.shape[2:]
    for number, (axes, image) in enumerate(zip(grid.flat, images[:, 0], strict=False)):
        axes.imshow(image, cmap="gray", vmin=0, vmax=1)
        axes.set_title(names[number], fontsize=9)
        for color, (label, found) in zip(("#ffb000", "#39c5ff"), boxes.items(), strict=False):
            x, y, w, h = found[number] * [width, height, width, height]
            corner = (x - w / 2 - 0.5, y - h / 2 - 0.5)
            axes.add_patch(rectangle(corner, w, h, fill=False, edgecolor=color, linewidth=1.6, label=label))
    figure.legend(*grid[0, 0].get_legend_handles_labels(), frameon=False, loc="outside lower center", ncols=2)
    figure.suptitle(title, fontsize=11)
    save_figure(figure, path)


def draw_bars(
    values: Mapping[str, Mapping[str, float]], path: str | os.PathLike[str], title: str = "", unit: str = ""
) -> None:
    """Horizontal bars in groups: for each group the value of each of its members, written at the bar's end.

    Args:
        values: groups by name; each a value by name, the same names in all groups.
        path: the PNG file.
        title: stands above.
        unit: of the values, for the axis.

    Raises what :func:`draw_curves` raises.
    """
    members = list(next(iter(values.values())))
    colors = [TEST, TRAIN, "#6b6b6b", "#7a9a01"]
    figure = new_figure(7.2, 0.8 + 0.32 * len(values) * (len(members) + 0.6))
    axes = figure.subplots()
    thickness = 0.85 / len(members)
    for number, member in enumerate(members):
        places = [group + (number - (len(members) - 1) / 2) * thickness for group in range(len(values))]
        lengths = [group[member] for group in values.values()]
        bars = axes.barh(places, lengths, 0.92 * thickness, color=colors[number % len(colors)], label=member)
        axes.bar_label(bars, [f" {length:.1f}" for length in lengths], fontsize=9)
    axes.set_yticks(range(len(values)), list(values))
    axes.invert_yaxis()
    axes.margins(x=0.12)
    axes.set_xlabel(unit)
    figure.suptitle(title, fontsize=11)
    axes.spines[["top", "right"]].set_visible(False)
    if len(members) > 1:
        figure.legend(*axes.get_legend_handles_labels(), frameon=False, loc="outside lower center", ncols=len(members))
    save_figure(figure, path)


def draw_heat_maps(
    maps: Mapping[str, tuple[np.ndarray, Sequence[str], Sequence[str]]],
    path: str | os.PathLike[str],
    title: str = "",
    axes_names: tuple[str, str] = ("", ""),
    columns: int = 4,
    unit: str = "",
) -> None:
    """Tables of numbers from 0 to 1 as shades, side by side.

    Args:
        maps: for each title the table (rows, columns), the names of its rows and those of its columns.
        path: the PNG file.
        title: stands above all.
        axes_names: what rows and columns are.
        columns: how many tables stand in a line.
        unit: of the numbers, for the colour bar.

    Raises what :func:`draw_curves` raises.
    """
    lines = math.ceil(len(maps) / columns)
    figure = new_figure(2.6 * min(columns, len(maps)) + 0.9, 2.6 * lines + 0.5)
    grid = figure.subplots(lines, min(columns, len(maps)), squeeze=False)
    for axes in grid.flat[len(maps) :]:
        axes.axis("off")
    for axes, (name, (table, rows, names)) in zip(grid.flat, maps.items(), strict=False):
        axes.imshow(table, cmap="Blues", vmin=0, vmax=1, aspect="auto")
        axes.set_xticks(range(len(names)), names, rotation=0 if max(map(len, names)) < 3 else 60, fontsize=8)
        axes.set_yticks(range(len(rows)), rows, fontsize=8)
        axes.tick_params(length=0)
        axes.set_title(name, fontsize=9)
    for line in grid:
        line[0].set_ylabel(axes_names[0])
    for axes in grid[-1]:
        axes.set_xlabel(axes_names[1])
    scale = require("pictures", "matplotlib.cm", "matplotlib", "train").ScalarMappable(cmap="Blues")
    scale.set_clim(0, 1)
    figure.colorbar(scale, ax=grid, label=unit, shrink=0.85)
    figure.suptitle(title, fontsize=11)
    save_figure(figure, path)


def draw_network(
    places: np.ndarray,
    edges: Sequence[tuple[int, int]],
    shares: np.ndarray,
    path: str | os.PathLike[str],
    title: str = "",
    rings: Mapping[str, Sequence[int]] | None = None,
    unit: str = "",
) -> None:
    """Nodes and edges; each node has its number and the colour of a share from 0 (red) to 1 (blue).

    Args:
        places: (n, 2).
        edges: pairs of nodes.
        shares: (n,).
        path: the PNG file.
        title: stands above.
        rings: nodes with a ring around them, by what it means; two kinds at most.
        unit: of the shares, for the colour bar.

    Raises what :func:`draw_curves` raises.
    """
    figure = new_figure(7.4, 5.6)
    axes = figure.subplots()
    for one, other in edges:
        axes.plot(*places[[one, other]].T, color="#c4c4c4", linewidth=0.9, zorder=1)
    nodes = axes.scatter(*places.T, c=shares, cmap="RdBu", vmin=0, vmax=1, s=330, edgecolors="#555555", zorder=2)
    for (name, ringed), color in zip((rings or {}).items(), ("#000000", "#e0007a"), strict=False):
        if len(ringed):
            style = {"s": 520, "facecolors": "none", "edgecolors": color, "linewidths": 2.2, "zorder": 3}
            axes.scatter(*places[list(ringed)].T, label=name, **style)
    for number, (x, y) in enumerate(places):
        ink = "white" if abs(shares[number] - 0.5) > 0.3 else "black"
        axes.text(x, y, str(number + 1), ha="center", va="center", fontsize=8, color=ink, zorder=4)
    axes.set_title(title, fontsize=11)
    axes.axis("off")
    if rings:
        axes.legend(frameon=False, loc="lower center", ncols=2, bbox_to_anchor=(0.5, -0.06))
    figure.colorbar(nodes, ax=axes, label=unit, shrink=0.8)
    save_figure(figure, path)


def count_confusions(targets: np.ndarray, predicted: np.ndarray, classes: int) -> np.ndarray:
    """The matrix ``counts[true, predicted]`` (classes, classes) of two lists of class numbers.

    >>> count_confusions(np.array([0, 1, 1]), np.array([0, 1, 0]), 2)
    array([[1, 0],
           [1, 1]])
    """
    return np.bincount(targets * classes + predicted, minlength=classes**2).reshape(classes, classes)


def new_figure(width: float, height: float) -> Any:
    """An empty figure, in inches. Raises :class:`MissingPackageError` without matplotlib."""
    figure = require("pictures", "matplotlib.figure", "matplotlib", "train").Figure
    return figure(figsize=(width, height), dpi=120, layout="constrained")


def save_figure(figure: Any, path: str | os.PathLike[str]) -> None:
    """Write the figure as PNG: all of it, or nothing."""
    buffer = io.BytesIO()
    # The version of matplotlib would be written into the file: it says nothing about the picture.
    figure.savefig(buffer, format="png", metadata={"Software": None})
    write_atomically(path, buffer.getvalue())

"""Kernels that need no training: the classics by name, random ones, and those that patches of images suggest.

>>> import tinygrad_cnn as tg
>>> tg.filters.apply("sharpen", tg.Tensor([[0.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 0.0]]), padding="valid")
Tensor([[5.]])
"""

from __future__ import annotations

import difflib
import os
from collections.abc import Iterator

import numpy as np

from .data.photos import patches as cut_patches
from .data.photos import photograph
from .errors import ArgumentError, ShapeError
from .extras import require
from .nn import functional as F
from .ops.base import as_tensor
from .ops.conv_forms import correlate2d
from .ops.shape import flatten, permute, reshape
from .tensor import Tensor, TensorLike

__all__ = [
    "FILTERS",
    "apply",
    "draw_bank",
    "features",
    "get_filter",
    "kmeans_kernels",
    "laplacian_sharpen",
    "random_kernels",
]


def laplacian_sharpen(amount: float = 1.0) -> np.ndarray:
    """``identity + amount * (4 times the middle minus its four neighbours)``: 1 gives the classic sharpening kernel.

    >>> laplacian_sharpen(1.0).tolist()[1]
    [-1.0, 5.0, -1.0]
    """
    edges = np.array([[0, -1, 0], [-1, 4, -1], [0, -1, 0]], dtype=np.float32)
    return np.asarray(_IDENTITY + amount * edges, dtype=np.float32)


_IDENTITY = np.array([[0, 0, 0], [0, 1, 0], [0, 0, 0]], dtype=np.float32)
_BORDER = [(0, 0), (0, 1), (0, 2), (1, 2), (2, 2), (2, 1), (2, 0), (1, 0)]
"""The cells around the middle, clockwise."""


def _kirsch() -> Iterator[np.ndarray]:
    """Eight directions, each the one before with its border moved on by one cell. (Kirsch, 1971)"""
    values = [5, 5, 5, -3, -3, -3, -3, -3]
    for turn in range(8):
        kernel = np.zeros((3, 3), dtype=np.float32)
        for number, cell in enumerate(_BORDER):
            kernel[cell] = values[(number - turn) % 8]
        yield kernel


def _array(rows: list[list[float]]) -> np.ndarray:
    return np.array(rows, dtype=np.float32)


FILTERS: dict[str, np.ndarray] = {
    "identity": _IDENTITY,
    "sharpen": laplacian_sharpen(1.0),
    "laplacian": _array([[0, 1, 0], [1, -4, 1], [0, 1, 0]]),
    "emboss": _array([[-2, -1, 0], [-1, 1, 1], [0, 1, 2]]),
    "outline": _array([[-1, -1, -1], [-1, 8, -1], [-1, -1, -1]]),
    "sobel_top": _array([[1, 2, 1], [0, 0, 0], [-1, -2, -1]]),
    "sobel_bottom": _array([[-1, -2, -1], [0, 0, 0], [1, 2, 1]]),
    "sobel_left": _array([[1, 0, -1], [2, 0, -2], [1, 0, -1]]),
    "sobel_right": _array([[-1, 0, 1], [-2, 0, 2], [-1, 0, 1]]),
    "edge": _array([[-1, 0, 1]] * 3),
    "prewitt_x": _array([[-1, 0, 1]] * 3),
    "prewitt_y": _array([[1, 1, 1], [0, 0, 0], [-1, -1, -1]]),
    "box_blur": np.full((3, 3), 1 / 9, dtype=np.float32),
    "box_blur_9": np.full((9, 9), 1 / 81, dtype=np.float32),
    **dict(zip([f"kirsch_{way}" for way in ("n", "ne", "e", "se", "s", "sw", "w", "nw")], _kirsch(), strict=True)),
}
"""The bank: square kernels by name, for cross-correlation, so laid on the image as they are written here."""


def get_filter(name: str) -> np.ndarray:
    """A kernel of the bank.

    Raises :class:`ArgumentError` for a name that is not in it.

    >>> get_filter("emboss").shape
    (3, 3)
    """
    if name not in FILTERS:
        near = difflib.get_close_matches(name, FILTERS, 3, 0.4)
        raise ArgumentError(
            "filters", f"there is no filter {name!r}", got=repr(name), expected=", ".join(FILTERS),
            fix=f"did you mean {' or '.join(map(repr, near))}?" if near else "",
        )  # fmt: skip
    return FILTERS[name].copy()


def apply(kernel: str | np.ndarray | Tensor, image: TensorLike, padding: str | int = "same") -> Tensor:
    """An image seen through a kernel: each channel for itself.

    Args:
        kernel: a name of :data:`FILTERS`, or ``(kH, kW)`` numbers.
        image: ``(H, W)``, ``(C, H, W)`` or ``(N, C, H, W)``; an array ``(H, W, 3)`` or ``(H, W, 4)`` is taken for a
            picture with its colours last, and comes back so.
        padding: zeros on each side: ``"same"`` keeps the size, ``"valid"`` is none, or a number.

    Returns the image, its numbers neither cut off nor scaled.

    Raises :class:`ArgumentError` for a name that is not in the bank, :class:`ShapeError` for another shape.

    >>> apply("box_blur", np.ones((4, 4), "float32"))[1, 1].item()
    1.0
    """
    x = as_tensor(image)
    x = x if x.dtype.kind == "f" else x.to("float32")
    numbers = get_filter(kernel) if isinstance(kernel, str) else kernel
    w = as_tensor(numbers).to(x.dtype).to(x.device)
    if w.ndim != 2 or not 2 <= x.ndim <= 4:
        raise ShapeError(
            "filters.apply", "kernel and image do not fit together", got=f"kernel {w.spec!r}, image {x.spec!r}",
            expected="kernel (kH, kW), image (H, W), (C, H, W), (N, C, H, W) or (H, W, 3)",
        )  # fmt: skip
    if x.ndim == 2:
        return correlate2d(x, w, padding=padding)
    colours_last = x.ndim == 3 and x.shape[2] in (3, 4) and x.shape[0] not in (1, 3, 4)
    planes = permute(x, (2, 0, 1)) if colours_last else x
    flat = reshape(planes, (-1, 1, *planes.shape[-2:]))
    y = F.conv2d(flat, reshape(w, (1, 1, *w.shape)), padding=padding)
    y = reshape(y, (*planes.shape[:-2], *y.shape[-2:]))
    return permute(y, (1, 2, 0)) if colours_last else y


def random_kernels(count: int, channels: int = 1, size: int = 3, seed: int = 0) -> Tensor:
    """Kernels ``(count, channels, size, size)`` of normal numbers, each with mean 0 and length 1.

    >>> random_kernels(4, size=5).shape
    (4, 1, 5, 5)
    """
    numbers = np.random.default_rng(seed).standard_normal((count, channels, size, size))
    return Tensor(_normalised(numbers).astype(np.float32))


def kmeans_kernels(
    images: TensorLike, count: int, size: int = 3, patches: int = 4000, whiten: bool = True, seed: int = 0
) -> Tensor:
    """Kernels without labels: the centres of clusters of image patches. (Coates et al., 2011)

    Args:
        images: ``(N, C, H, W)``.
        count: how many kernels.
        size: their height and width.
        patches: how many patches are looked at, from random places.
        whiten: whether the patches' pixels are made uncorrelated first; the centres are then much sharper.
        seed: decides the places and the clusters' first centres.

    Returns ``(count, C, size, size)``, each with mean 0 and length 1.

    Raises :class:`ArgumentError` where images are smaller than the kernels, :class:`MissingPackageError` without
    scikit-learn.
    """
    x = as_tensor(images).numpy()
    if x.ndim != 4 or min(x.shape[2:]) < size or not x.shape[0]:
        raise ArgumentError(
            "kmeans_kernels", "no patch fits into the images", got=f"images {x.shape}, size {size}",
            expected=f"(N, C, H, W) with H and W at least {size}",
        )  # fmt: skip
    cluster = require("kmeans_kernels", "sklearn.cluster", "scikit-learn", "data")
    cut = cut_patches(list(as_tensor(images)), size, count=patches, seed=seed).numpy()
    flat = cut.reshape(patches, -1).astype(np.float64)
    flat = flat[flat.std(1) > 0.05 * flat.std()]  # plain background suggests nothing
    flat = _normalised(flat)
    if whiten:
        values, vectors = np.linalg.eigh(np.cov(flat.T))
        flat = flat @ (vectors / np.sqrt(np.maximum(values, 0) + 0.01)) @ vectors.T
    found = cluster.KMeans(count, n_init=3, random_state=seed).fit(flat).cluster_centers_
    return Tensor(_normalised(found).reshape(count, x.shape[1], size, size).astype(np.float32))


def _normalised(rows: np.ndarray) -> np.ndarray:
    """Each entry of the first axis with mean 0 and length 1."""
    flat = rows.reshape(len(rows), -1)
    flat = flat - flat.mean(1, keepdims=True)
    return np.asarray(flat / np.maximum(np.linalg.norm(flat, axis=1, keepdims=True), 1e-8)).reshape(rows.shape)


def features(images: TensorLike, kernels: Tensor, bins: int = 3) -> Tensor:
    """What fixed kernels make of images: convolution, ReLU, averages over ``bins`` by ``bins`` parts of the image.

    They are computed once; a last layer is then trained on them.

    Args:
        images: ``(N, C, H, W)``.
        kernels: ``(O, C, kH, kW)``.
        bins: into how many parts height and width are divided.

    Returns ``(N, O * bins * bins)``.

    >>> features(Tensor(np.ones((2, 1, 8, 8), "float32")), random_kernels(4)).shape
    (2, 36)
    """
    return flatten(F.adaptive_avg_pool2d(F.relu(F.conv2d(images, kernels, padding="same")), bins), 1)


def draw_bank(path: str | os.PathLike[str], image: TensorLike | None = None) -> None:
    """A picture of an image seen through every kernel of the bank.

    Args:
        path: the file, by its suffix.
        image: ``(H, W)`` or ``(C, H, W)`` from 0 to 1; without it a photograph that comes with scikit-learn.

    Raises :class:`MissingPackageError` without matplotlib, or without scikit-learn where no image is given.
    """
    from .pictures import new_figure, save_figure

    x = as_tensor(photograph("china") if image is None else image)
    grey = x if x.ndim == 2 else x.mean(0)
    panels = [("image", grey), *[(name, apply(name, grey)) for name in FILTERS if name != "identity"]]
    columns = 6
    lines = -(-len(panels) // columns)
    figure = new_figure(2.2 * columns, 1.75 * lines)
    for axes, (name, picture) in zip(figure.subplots(lines, columns).flat, panels, strict=False):
        numbers = picture.numpy()
        reach = float(np.quantile(abs(numbers), 0.99)) or 1.0
        signed = name in FILTERS and abs(FILTERS[name].sum()) < 0.5  # differences, of either sign, around grey
        axes.imshow(numbers, cmap="gray", vmin=-reach if signed else 0, vmax=reach if signed else 1)
        axes.set_title(name.replace("_", " "), fontsize=9)
    for axes in figure.axes:
        axes.set_axis_off()
    save_figure(figure, path)

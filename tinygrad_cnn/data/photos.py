"""Real photographs that lie inside scikit-learn and scikit-image, and patches cut from them. Nothing is downloaded."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.resources import as_file, files
from typing import Literal, NamedTuple

import numpy as np

from ..errors import ArgumentError, DTypeError, ShapeError
from ..extras import require
from ..tensor import Tensor

Kind = Literal["scene", "grey", "texture", "science"]
Split = Literal["train", "test"]


class Photograph(NamedTuple):
    """Where a photograph lies, and what it is used for."""

    package: str
    """The package that brings it."""
    file: str
    kind: Kind
    split: Split
    """The side on which all its patches are."""


PHOTOGRAPHS = {
    "astronaut": Photograph("skimage", "data/astronaut.png", "scene", "train"),
    "china": Photograph("sklearn", "datasets/images/china.jpg", "scene", "train"),
    "coffee": Photograph("skimage", "data/coffee.png", "scene", "train"),
    "motorcycle": Photograph("skimage", "data/motorcycle_left.png", "scene", "train"),
    "rocket": Photograph("skimage", "data/rocket.jpg", "scene", "train"),
    "chelsea": Photograph("skimage", "data/chelsea.png", "scene", "test"),
    "flower": Photograph("sklearn", "datasets/images/flower.jpg", "scene", "test"),
    "clock": Photograph("skimage", "data/clock_motion.png", "grey", "train"),
    "coins": Photograph("skimage", "data/coins.png", "grey", "train"),
    "camera": Photograph("skimage", "data/camera.png", "grey", "test"),
    "brick": Photograph("skimage", "data/brick.png", "texture", "train"),
    "grass": Photograph("skimage", "data/grass.png", "texture", "train"),
    "gravel": Photograph("skimage", "data/gravel.png", "texture", "test"),
    "cell": Photograph("skimage", "data/cell.png", "science", "train"),
    "hubble_deep_field": Photograph("skimage", "data/hubble_deep_field.jpg", "science", "train"),
    "immunohistochemistry": Photograph("skimage", "data/ihc.png", "science", "train"),
    "moon": Photograph("skimage", "data/moon.png", "science", "test"),
    "retina": Photograph("skimage", "data/retina.jpg", "science", "test"),
}
"""Every photograph by name. The packages state where each comes from and that it may be passed on."""

_PACKAGES = {"skimage": "scikit-image", "sklearn": "scikit-learn"}


def photographs(split: Split | None = None, kind: Kind | None = None) -> list[str]:
    """The names of the photographs, all or those of one side and one kind.

    Args:
        split: ``"train"`` or ``"test"``. Each photograph is on one side, in every run, so patches that are held out
            never come from a photograph that was trained on.
        kind: ``"scene"`` (things and people, in colour), ``"grey"`` (the same without colour), ``"texture"`` (a
            surface that fills the photograph, without colour), ``"science"`` (through microscope or telescope).

    Raises :class:`ArgumentError` for another ``split`` or ``kind``.

    >>> photographs("test", "scene")
    ['chelsea', 'flower']
    """
    for name, given, known in (
        ("split", split, [photo.split for photo in PHOTOGRAPHS.values()]),
        ("kind", kind, [photo.kind for photo in PHOTOGRAPHS.values()]),
    ):
        if given is not None and given not in known:
            raise ArgumentError(
                "photographs", f"there is no such {name}", got=f"{name}={given!r}",
                expected=f"None or one of {', '.join(map(repr, dict.fromkeys(known)))}",
            )  # fmt: skip
    return [name for name, photo in PHOTOGRAPHS.items() if split in (None, photo.split) and kind in (None, photo.kind)]


def photograph(name: str) -> Tensor:
    """One photograph, (3, H, W) as float32 from 0 (black) to 1; one without colour has three equal planes.

    Args:
        name: one of :func:`photographs`. ``"china"`` and ``"flower"`` come with scikit-learn, the others with
            scikit-image.

    Raises :class:`ArgumentError` for another name, :class:`MissingPackageError` without the package or without Pillow.

    >>> photograph("china").shape
    (3, 427, 640)
    """
    if name not in PHOTOGRAPHS:
        raise ArgumentError("photograph", "there is no such photograph", got=repr(name),
                            expected=f"one of {', '.join(PHOTOGRAPHS)}")  # fmt: skip
    package, file, *_ = PHOTOGRAPHS[name]
    pillow = require("photograph", "PIL.Image", "Pillow", "photos")
    require("photograph", package, _PACKAGES[package], "photos")
    # Read from the package's own folder: scikit-image's functions may ask the network for a newer copy.
    with as_file(files(package).joinpath(file)) as path, pillow.open(path) as image:
        pixels = np.asarray(image.convert("RGB"), np.float32)
    return Tensor(np.ascontiguousarray(pixels.transpose(2, 0, 1)) / np.float32(255))  # (H, W, C) -> (C, H, W)


def patches(
    images: Tensor | Sequence[Tensor],
    size: int | tuple[int, int],
    *,
    stride: int | None = None,
    count: int | None = None,
    seed: int = 0,
) -> Tensor:
    """Rectangles cut from images, as one batch (N, C, height, width).

    Args:
        images: one image (C, H, W) or several, each with its own height and width.
        size: height and width of a patch in pixels; one number for a square.
        stride: cut on a grid, this many pixels apart, image after image and row after row.
        count: cut this many at random instead, each place in any of the images equally likely.
        seed: decides the random places.

    Raises :class:`ShapeError` for an image that is smaller than a patch or has other channels than the first,
    :class:`DTypeError` for mixed element types, :class:`ArgumentError` unless exactly one of ``stride`` and ``count``
    is given, as a whole number from 1 up.

    >>> patches(Tensor([[[1.0, 2.0, 3.0, 4.0]]]), (1, 2), stride=2).tolist()
    [[[[1.0, 2.0]]], [[[3.0, 4.0]]]]
    """
    images = [images] if isinstance(images, Tensor) else list(images)
    height, width = (size, size) if isinstance(size, int) else size
    _check_images(images, height, width)
    if (stride is None) == (count is None):
        raise ArgumentError(
            "patches", "give either a stride or a count", got=f"stride={stride}, count={count}",
            expected="exactly one of them", fix="stride=16 cuts on a grid, count=1000 at random places",
        )  # fmt: skip
    number = stride if stride is not None else count
    if number != int(number or 0) or number < 1:
        raise ArgumentError("patches", "this cuts nothing", got=f"stride={stride}, count={count}",
                            expected="a whole number from 1 up")  # fmt: skip
    # How many rows and columns of places a patch's upper left corner has in each image.
    room = np.array([(image.shape[1] - height + 1, image.shape[2] - width + 1) for image in images])
    if stride is not None:
        corners = [(i, y, x) for i, (h, w) in enumerate(room) for y in range(0, h, stride) for x in range(0, w, stride)]
    else:
        ends = room.prod(1).cumsum()
        places = np.random.default_rng(seed).integers(ends[-1], size=count)
        owners = ends.searchsorted(places, side="right")
        rows, columns = np.divmod(places - (ends - room.prod(1))[owners], room[owners, 1])
        corners = list(zip(owners.tolist(), rows.tolist(), columns.tolist(), strict=True))
    arrays = [image.numpy() for image in images]
    result = np.empty((len(corners), images[0].shape[0], height, width), arrays[0].dtype)
    for patch, (i, y, x) in zip(result, corners, strict=True):
        patch[...] = arrays[i][:, y : y + height, x : x + width]
    return Tensor(result, device=images[0].device)


def _check_images(images: list[Tensor], height: int, width: int) -> None:
    if not images:
        raise ArgumentError("patches", "there are no images", fix='pass some: [photograph("china")]')
    if min(height, width) < 1:
        raise ArgumentError("patches", "a patch has at least one pixel", got=f"size=({height}, {width})")
    first = images[0]
    for i, image in enumerate(images):
        if image.ndim != 3 or image.shape[0] != first.shape[0]:
            raise ShapeError(
                "patches", f"image {i} does not fit", got=repr(image.spec),
                expected="(C, H, W)" + (f" with C = {first.shape[0]} as in image 0" if i else ""),
                fix="a batch (N, C, H, W) is taken apart by list(batch)" if image.ndim == 4 else "",
            )  # fmt: skip
        if image.dtype != first.dtype:
            raise DTypeError("patches", "the images have different element types",
                             got=f"image 0 {first.dtype}, image {i} {image.dtype}")  # fmt: skip
        if image.shape[1] < height or image.shape[2] < width:
            raise ShapeError(
                "patches", f"image {i} is smaller than a patch", got=repr(image.spec),
                expected=f"H >= {height} and W >= {width}",
            )  # fmt: skip

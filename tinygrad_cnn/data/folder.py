"""Images in folders: read when they are needed, so a data set may be larger than memory."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from ..errors import ArgumentError
from ..extras import MissingPackageError, require
from ..io.safetensors import FileError
from ..tensor import Tensor
from .loader import Sample

SUFFIXES = (".bmp", ".gif", ".jpeg", ".jpg", ".npy", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp")
"""The files that count as images, by the end of their names."""


class ImageFolder:
    """A data set of the images under a folder; each of its subfolders is a class.

    ``root/cat/a.png`` and ``root/cat/2023/b.jpg`` are images of the class ``cat``. Classes are numbered in the order of
    their names, and images come in the order of their paths. Only the paths are kept: ``dataset[i]`` reads a file. Give
    the data set to a :class:`DataLoader` with ``num_workers`` to read ahead.

    Args:
        root: the folder.
        size: height and width of all images; one number for a square. Each image is made smaller or larger until it
            just covers this, and its middle is cut out. Without a size images stay as they are, and those of a batch
            must be alike.
        color: whether all images have three channels, or one (grey).

    Images are read by Pillow as float32 from 0 to 1. Files ``.npy`` hold an array (C, H, W), (H, W, 3) or (H, W), of
    bytes or of floating-point numbers that are taken as they are; these must be of the right size and colour already.

    Raises :class:`FileError` when there is no such folder, no class in it or a class without images, and, when a file
    is read, for one that is damaged or does not fit; :class:`ArgumentError` for a ``size`` below 1.
    """

    def __init__(
        self, root: str | os.PathLike[str], size: int | tuple[int, int] | None = None, color: bool = True
    ) -> None:
        self.root = Path(root)
        self.size = (size, size) if isinstance(size, int) else size
        self.color = color
        if self.size is not None and min(self.size) < 1:
            raise ArgumentError("ImageFolder", "an image has at least one pixel", got=f"size={size}")
        if not self.root.is_dir():
            raise FileError("ImageFolder", "there is no such folder", got=str(self.root.absolute()))
        self.classes = sorted(entry.name for entry in self.root.iterdir() if entry.is_dir())
        """The names of the classes, in the order of their numbers."""
        self.class_to_idx = {name: number for number, name in enumerate(self.classes)}
        self.samples = [
            (path, number) for number, name in enumerate(self.classes) for path in _images(self.root / name)
        ]
        """Path and class of each image."""
        self.targets = [number for _, number in self.samples]
        filled = set(self.targets)
        empty = [name for name, number in self.class_to_idx.items() if number not in filled]
        if empty or not self.classes:
            raise FileError(
                "ImageFolder", f"there are no images of the class {empty[0]!r}" if empty else "there are no classes",
                got=str(self.root.absolute()), expected=f"root/CLASS/image, with image names in {', '.join(SUFFIXES)}",
                fix="pass the folder above those of the classes; each holds the images of one class",
            )  # fmt: skip

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, index: int) -> Sample:
        """Image (C, H, W) and class number () of the file at this position."""
        path, number = self.samples[index]
        try:
            pixels = self._read_array(path) if path.suffix.lower() == ".npy" else self._read_image(path)
        except MissingPackageError:
            raise
        except Exception as error:  # a damaged file may raise anything
            raise FileError(
                "ImageFolder", f"{path} cannot be read", got=f"{type(error).__name__}: {error}",
                fix="get the file again, or take it out of the folder",
            ) from error  # fmt: skip
        return Tensor(pixels), Tensor(number)

    def __iter__(self) -> Iterator[Sample]:
        return (self[position] for position in range(len(self)))

    def _read_image(self, path: Path) -> np.ndarray:
        pillow = require("ImageFolder", "PIL.Image", "Pillow", "photos")
        with pillow.open(path) as image:
            image.draft(
                "RGB" if self.color else "L", self.size and self.size[::-1]
            )  # JPEG: decoded no larger than needed
            if image.mode.startswith(("I", "F")):
                raise ValueError(f"pixels of mode {image.mode} have no known range: save it with 8 bits, or as .npy")
            image = image.convert("RGB" if self.color else "L")
        if self.size is not None:
            image = require("ImageFolder", "PIL.ImageOps", "Pillow", "photos").fit(
                image, self.size[::-1], pillow.Resampling.BILINEAR
            )
        pixels = np.asarray(image, np.float32) / np.float32(255)
        return np.ascontiguousarray(pixels.transpose(2, 0, 1)) if self.color else pixels[None]

    def _read_array(self, path: Path) -> np.ndarray:
        array = np.load(path, allow_pickle=False)
        if array.ndim == 2:
            array = array[None]
        elif array.ndim == 3 and array.shape[2] == 3 and array.shape[0] not in (1, 3):
            array = array.transpose(2, 0, 1)
        channels = 3 if self.color else 1
        size = self.size or array.shape[1:]
        if array.ndim != 3 or array.shape != (channels, *size) or array.dtype.kind not in "uf":
            height, width = self.size or ("H", "W")
            raise ValueError(
                f"it holds {array.dtype} {array.shape}; expected are bytes or floating-point numbers "
                f"({channels}, {height}, {width})"
            )
        largest = np.iinfo(array.dtype).max if array.dtype.kind == "u" else 1
        pixels: np.ndarray = np.ascontiguousarray(array, np.float32) / np.float32(largest)
        return pixels


def _images(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES and path.is_file())

"""Well-known data sets, read from files that the user has: MNIST, Fashion-MNIST, CIFAR-10. Nothing is downloaded."""

from __future__ import annotations

import gzip
import hashlib
import io
import os
import pickle
import tarfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import numpy as np

from ..errors import ArgumentError
from ..io.safetensors import FileError
from ..tensor import Tensor
from .loader import TensorDataset

Folder = str | os.PathLike[str]

FASHION_CLASSES = (
    "T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot",
)  # fmt: skip
"""What the labels 0 to 9 of :func:`fashion_mnist` mean."""

CIFAR10_CLASSES = (
    "airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck",
)  # fmt: skip
"""What the labels 0 to 9 of :func:`cifar10` mean."""

# MD5 sums of the files as they are after gunzip, so that a file that was packed anew passes as well.
_IDX_SUMS = {
    "mnist": {
        "train-images-idx3-ubyte": "6bbc9ace898e44ae57da46a324031adb",
        "train-labels-idx1-ubyte": "a25bea736e30d166cdddb491f175f624",
        "t10k-images-idx3-ubyte": "2646ac647ad5339dbf082846283269ea",
        "t10k-labels-idx1-ubyte": "27ae3e4e09519cfbb04c329615203637",
    },
    "fashion_mnist": {
        "train-images-idx3-ubyte": "f4a8712d7a061bf5bd6d2ca38dc4d50a",
        "train-labels-idx1-ubyte": "9018921c3c673c538a1fc5bad174d6f9",
        "t10k-images-idx3-ubyte": "8181f5470baa50b63fa0f6fddb340f0a",
        "t10k-labels-idx1-ubyte": "15d484375f8d13e6eb1aabb0c3f46965",
    },
}
_IDX_SOURCES = {
    "mnist": "MNIST (LeCun, Cortes and Burges, 1998)",
    "fashion_mnist": "Fashion-MNIST (Xiao, Rasul and Vollgraf, 2017)",
}

_CIFAR_ARCHIVES = {
    "cifar-10-binary.tar.gz": "c32a1d4ab5d03f1284b67883e8d87530",
    "cifar-10-python.tar.gz": "c58f30108f718f92721af3b95e74349a",
}
_CIFAR_BATCHES = {
    "data_batch_1": "c99cafc152244af753f735de768cd75f",
    "data_batch_2": "d4bba439e000b95fd0a9bffe97cbabec",
    "data_batch_3": "54ebc095f3ab1f0389bbae665268c751",
    "data_batch_4": "634d18415352ddfa80567beed471001a",
    "data_batch_5": "482c414d41f54cd18b22e5b47cb7c3cb",
    "test_batch": "40351d587109b95175f43aff81a1287e",
}
"""MD5 sums of the Python version's files; its authors give none for those of the binary version."""
_CIFAR_COUNT = 10_000
"""Images in a file."""

_PICKLED = {
    ("numpy", "ndarray"), ("numpy", "dtype"), ("_codecs", "encode"),
    ("numpy.core.multiarray", "_reconstruct"), ("numpy._core.multiarray", "_reconstruct"),
}  # fmt: skip
"""What a pickle of an array calls."""


def mnist(root: Folder, split: Literal["train", "test"] = "train", verify: bool = True) -> TensorDataset:
    """Handwritten digits with their labels: 60,000 to train on or 10,000 to test. (LeCun et al., 1998)

    Args:
        root: the folder that holds the four files of the data set, such as ``train-images-idx3-ubyte.gz``, packed or
            not; its subfolder ``MNIST/raw``, where torchvision puts them, will do as well.
        split: ``"train"`` or ``"test"``.
        verify: whether the files must be the published ones, by their MD5 sums.

    Returns images (N, 1, 28, 28) as float32 from 0 (paper) to 1 (ink), 188 MB for training, and labels (N,) as int64.

    Raises :class:`FileError` when a file is missing, is not in the IDX format or is not the published one,
    :class:`ArgumentError` for another ``split``.
    """
    return _read_idx_pair("mnist", Path(root), "MNIST", split, verify)


def fashion_mnist(root: Folder, split: Literal["train", "test"] = "train", verify: bool = True) -> TensorDataset:
    """Articles of clothing, in the form of :func:`mnist`; see ``FASHION_CLASSES``. (Xiao et al., 2017)

    Args:
        root: the folder that holds the four files, named as those of MNIST; or above ``FashionMNIST/raw``.
        split: ``"train"`` or ``"test"``.
        verify: whether the files must be the published ones, by their MD5 sums.

    Returns and raises the same as :func:`mnist`.
    """
    return _read_idx_pair("fashion_mnist", Path(root), "FashionMNIST", split, verify)


def cifar10(root: Folder, split: Literal["train", "test"] = "train", verify: bool = True) -> TensorDataset:
    """Small photographs of ten kinds of things: 50,000 to train on or 10,000 to test. (Krizhevsky, 2009)

    Args:
        root: the folder that holds the data set: ``cifar-10-binary.tar.gz`` or ``cifar-10-python.tar.gz``, or what is
            in one of them, in its own folder or not.
        split: ``"train"`` or ``"test"``.
        verify: whether the files must be the published ones, by their MD5 sums. There is none for the single files of
            the binary version.

    Returns images (N, 3, 32, 32) as float32 from 0 to 1, 614 MB for training, and labels (N,) as int64; see
    ``CIFAR10_CLASSES``. The Python version consists of pickles, which can hold programs: of these nothing is run
    but what makes an array.

    Raises :class:`FileError` when a file is missing, damaged or not the published one, :class:`ArgumentError` for
    another ``split``.
    """
    _check_split("cifar10", split)
    names = [name for name in _CIFAR_BATCHES if name.startswith("data_batch" if split == "train" else "test")]
    images = np.empty((len(names) * _CIFAR_COUNT, 3, 32, 32), np.float32)
    labels = np.empty(len(images), np.int64)
    for i, (path, content) in enumerate(_cifar_files(Path(root), names, verify)):
        pixels, classes = (_from_binary if str(path).endswith(".bin") else _from_pickle)(path, content)
        if pixels.shape != (_CIFAR_COUNT, 3072) or classes.shape != (_CIFAR_COUNT,) or classes.max(initial=0) > 9:
            raise FileError(
                "cifar10", f"{path} does not hold what it should",
                got=f"pixels {pixels.shape}, labels {classes.shape}, the largest {classes.max(initial=0)}",
                expected=f"pixels ({_CIFAR_COUNT}, 3072), labels ({_CIFAR_COUNT},) from 0 to 9",
            )  # fmt: skip
        part = slice(i * _CIFAR_COUNT, (i + 1) * _CIFAR_COUNT)
        np.divide(pixels.reshape(-1, 3, 32, 32), np.float32(255), out=images[part])
        labels[part] = classes
    return TensorDataset(Tensor(images), Tensor(labels))


def _read_idx_pair(operation: str, root: Path, subfolder: str, split: str, verify: bool) -> TensorDataset:
    _check_split(operation, split)
    part = "train" if split == "train" else "t10k"
    pixels, labels = (
        _read_idx(operation, root, subfolder, f"{part}-{what}-ubyte", axes, verify)
        for what, axes in (("images-idx3", 3), ("labels-idx1", 1))
    )
    if len(pixels) != len(labels):
        raise FileError(operation, f"there are {len(pixels)} images and {len(labels)} labels",
                        fix="put files into the folder that belong together")  # fmt: skip
    images = np.divide(pixels[:, None], np.float32(255), dtype=np.float32)
    return TensorDataset(Tensor(images), Tensor(labels.astype(np.int64)))


def _read_idx(operation: str, root: Path, subfolder: str, name: str, axes: int, verify: bool) -> np.ndarray:
    """The array in an IDX file: two zeros, type (8 for bytes), number of axes, their lengths as big-endian 32-bit
    numbers, and the numbers.
    """
    folders = (root, root / subfolder / "raw")
    found = [path for folder in folders for path in (folder / name, folder / f"{name}.gz") if path.is_file()]
    if not found:
        raise FileError(
            operation, f"there is no {name} or {name}.gz", got=f"folder {root.absolute()}{_listing(root)}",
            expected="the four files " + ", ".join(f"{file}.gz" for file in _IDX_SUMS[operation]),
            fix=f"get the data set {_IDX_SOURCES[operation]} from its authors' page, put the files into one folder, "
                "unpacked or not, and pass the folder",
        )  # fmt: skip
    path = found[0]
    content = path.read_bytes()
    if content[:2] == b"\x1f\x8b":  # gzip, whatever the name
        try:
            content = gzip.decompress(content)
        except (EOFError, OSError, zlib.error) as error:
            raise _damaged(operation, path, f"it cannot be unpacked: {error}") from error
    start = 4 + 4 * axes
    if content[:4] != bytes((0, 0, 8, axes)) or len(content) < start:
        raise FileError(
            operation, f"{path} is no IDX file of bytes with {axes} axes", got=f"first bytes {content[:4].hex(' ')}",
            expected=f"00 00 08 {axes:02x}: type 08, unsigned bytes; {axes} axes",
            fix="a saved web page begins with 3c; an image file where labels should be has 03 as its fourth byte",
        )  # fmt: skip
    shape = tuple(int.from_bytes(content[i : i + 4], "big") for i in range(4, start, 4))
    if len(content) - start != np.prod(shape, dtype=np.int64):
        raise _damaged(
            operation, path, f"its header says {shape}, so {start + np.prod(shape, dtype=np.int64)} bytes in all; "
            f"it has {len(content)}",
        )  # fmt: skip
    if verify:
        _check_sum(operation, path, content, _IDX_SUMS[operation][name])
    return np.frombuffer(content, np.uint8, offset=start).reshape(shape)


def _cifar_files(root: Path, names: list[str], verify: bool) -> Iterator[tuple[Path, bytes]]:
    """Path and content of each batch, from what there is: single files before archives, binary before Python."""
    for folder in (root, root / "cifar-10-batches-bin"):
        paths = [folder / f"{name}.bin" for name in names]
        if all(path.is_file() for path in paths):
            yield from ((path, path.read_bytes()) for path in paths)
            return
    for folder in (root, root / "cifar-10-batches-py"):
        paths = [folder / name for name in names]
        if all(path.is_file() for path in paths):
            for path in paths:
                content = path.read_bytes()
                if verify:
                    _check_sum("cifar10", path, content, _CIFAR_BATCHES[path.name])
                yield path, content
            return
    for archive, expected in _CIFAR_ARCHIVES.items():
        if (root / archive).is_file():
            if verify:
                with (root / archive).open("rb") as file:
                    _compare_sums("cifar10", root / archive, hashlib.file_digest(file, _md5).hexdigest(), expected)
            inside, suffix = ("cifar-10-batches-bin", ".bin") if "binary" in archive else ("cifar-10-batches-py", "")
            yield from _from_archive(root / archive, [f"{inside}/{name}{suffix}" for name in names])
            return
    raise FileError(
        "cifar10", "the data set is not there", got=f"folder {root.absolute()}{_listing(root)}",
        expected=f"{' or '.join(_CIFAR_ARCHIVES)}, or the files in one of them: {names[0]}.bin ... or {names[0]} ...",
        fix="get the data set CIFAR-10 (Krizhevsky, 2009) from its author's page, the binary version, and pass the "
            "folder that holds the archive",
    )  # fmt: skip


def _from_archive(path: Path, names: list[str]) -> Iterator[tuple[Path, bytes]]:
    try:
        with tarfile.open(path) as archive:
            for name in names:
                file = archive.extractfile(name)
                if file is None:
                    raise KeyError(name)
                yield path / name, file.read()
    except (EOFError, KeyError, tarfile.TarError, zlib.error, gzip.BadGzipFile) as error:
        raise _damaged("cifar10", path, f"it cannot be unpacked: {error}") from error


def _from_binary(path: Path, content: bytes) -> tuple[np.ndarray, np.ndarray]:
    """One byte for the label, then 3072 for the pixels: red, green, blue, each row by row."""
    if len(content) != _CIFAR_COUNT * 3073:
        raise _damaged("cifar10", path, f"it has {len(content)} bytes, {_CIFAR_COUNT} * (1 + 3 * 32 * 32) = "
                                        f"{_CIFAR_COUNT * 3073} are expected")  # fmt: skip
    records = np.frombuffer(content, np.uint8).reshape(-1, 3073)
    return records[:, 1:], records[:, 0]


def _from_pickle(path: Path, content: bytes) -> tuple[np.ndarray, np.ndarray]:
    try:
        batch = _ArrayUnpickler(io.BytesIO(content), encoding="bytes").load()
        pixels, labels = np.asarray(batch[b"data"]), np.asarray(batch[b"labels"])
    except FileError:
        raise
    except Exception as error:  # a damaged pickle may raise anything
        raise _damaged("cifar10", path, f"it cannot be read: {error!r}") from error
    if pixels.dtype != np.uint8 or labels.dtype.kind not in "iu":
        raise _damaged("cifar10", path, f"it holds {pixels.dtype} pixels and {labels.dtype} labels")
    return pixels, labels


class _ArrayUnpickler(pickle.Unpickler):
    """Reads pickles of built-in things and NumPy arrays, and refuses to call anything else."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _PICKLED:
            raise FileError(
                "cifar10", f"the pickle wants to call {module}.{name}, and is not read any further",
                expected="numbers, texts and NumPy arrays only", fix="use the binary version of the data set",
            )  # fmt: skip
        return super().find_class(module.replace("numpy.core", "numpy._core"), name)


def _check_split(operation: str, split: str) -> None:
    if split not in ("train", "test"):
        raise ArgumentError(operation, "there is no such split", got=repr(split), expected="'train' or 'test'")


def _md5() -> Any:
    return hashlib.md5(usedforsecurity=False)


def _check_sum(operation: str, path: Path, content: bytes, expected: str) -> None:
    _compare_sums(operation, path, hashlib.md5(content, usedforsecurity=False).hexdigest(), expected)


def _compare_sums(operation: str, path: Path, found: str, expected: str) -> None:
    if found != expected:
        raise FileError(
            operation, f"{path} is not the published file", got=f"MD5 {found}", expected=f"MD5 {expected}",
            fix="get it again; for data of your own in this format pass verify=False",
        )  # fmt: skip


def _damaged(operation: str, path: Path, how: str) -> FileError:
    return FileError(operation, f"{path} is damaged: {how}", fix="get the file again: it may not have arrived whole")


def _listing(folder: Path) -> str:
    """What is in a folder, for the message that something is not."""
    if not folder.is_dir():
        return ", which does not exist"
    names = sorted(path.name for path in folder.iterdir())
    return f" with {', '.join(names[:6])}{' ...' if len(names) > 6 else ''}" if names else ", which is empty"

from __future__ import annotations

import gzip
import hashlib
import io
import os
import pickle
import tarfile
from pathlib import Path

import numpy as np
import pytest

import tinygrad_cnn as tg
from tinygrad_cnn.data import CIFAR10_CLASSES, FASHION_CLASSES, cifar10, fashion_mnist, files, mnist
from tinygrad_cnn.io.safetensors import FileError

RANDOM = np.random.default_rng(0)
PIXELS = RANDOM.integers(0, 256, (5, 28, 28), dtype=np.uint8)
LABELS = np.array([7, 2, 1, 0, 4], np.uint8)
IMAGES, CLASSES = "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"


def idx(array: np.ndarray) -> bytes:
    header = bytes([0, 0, 8, array.ndim]) + b"".join(length.to_bytes(4, "big") for length in array.shape)
    return header + array.tobytes()


@pytest.fixture
def idx_folder(tmp_path: Path) -> Path:
    (tmp_path / f"{IMAGES}.gz").write_bytes(gzip.compress(idx(PIXELS)))
    (tmp_path / CLASSES).write_bytes(idx(LABELS))
    return tmp_path


@pytest.mark.parametrize("read", [mnist, fashion_mnist])
def test_idx_files_packed_and_not(read, idx_folder):
    images, labels = read(idx_folder, "test", verify=False).tensors
    assert images.dtype == np.float32
    assert labels.dtype == np.int64
    np.testing.assert_allclose(images.numpy(), PIXELS[:, None] / 255, rtol=1e-6)
    np.testing.assert_array_equal(labels.numpy(), LABELS)


@pytest.mark.parametrize(("read", "subfolder"), [(mnist, "MNIST/raw"), (fashion_mnist, "FashionMNIST/raw")])
def test_idx_files_where_torchvision_puts_them(read, subfolder, tmp_path):
    folder = tmp_path / subfolder
    folder.mkdir(parents=True)
    for name, array in (("train-images-idx3-ubyte", PIXELS), ("train-labels-idx1-ubyte", LABELS)):
        (folder / f"{name}.gz").write_bytes(idx(array))  # unpacked already, in spite of its name
    assert len(read(str(tmp_path), verify=False)) == 5


def test_the_published_sum_is_that_of_the_unpacked_file(idx_folder, monkeypatch):
    sums = {IMAGES: hashlib.md5(idx(PIXELS)).hexdigest(), CLASSES: hashlib.md5(idx(LABELS)).hexdigest()}
    monkeypatch.setitem(files._IDX_SUMS, "mnist", sums)
    assert len(mnist(idx_folder, "test")) == 5
    (idx_folder / CLASSES).write_bytes(idx(LABELS[::-1].copy()))
    with pytest.raises(FileError, match=rf"{CLASSES} is not the published file[^$]*MD5 {sums[CLASSES]}[^$]*verify=Fal"):
        mnist(idx_folder, "test")


def test_the_sums_are_of_four_files_each():
    for sums in files._IDX_SUMS.values():
        assert len(sums) == len(set(sums.values())) == 4
        assert all(len(total) == 32 for total in sums.values())
    assert len(FASHION_CLASSES) == len(CIFAR10_CLASSES) == 10


def test_missing_idx_files(tmp_path):
    with pytest.raises(FileError, match=r"no train-images-idx3-ubyte[^$]*which is empty[^$]*t10k-labels[^$]*LeCun"):
        mnist(tmp_path)
    (tmp_path / "cats.zip").touch()
    with pytest.raises(FileError, match=r"with cats\.zip[^$]*Xiao"):
        fashion_mnist(tmp_path, "test")
    with pytest.raises(FileError, match="which does not exist"):
        mnist(tmp_path / "nowhere")
    with pytest.raises(tg.ArgumentError, match="'train' or 'test'"):
        mnist(tmp_path, "val")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"<html>404</html>", r"no IDX file of bytes with 3 axes[^$]*3c 68 74 6d[^$]*00 00 08 03"),
        (idx(LABELS), r"no IDX file of bytes with 3 axes[^$]*00 00 08 01"),
        (idx(PIXELS)[:-10], r"damaged: its header says \(5, 28, 28\), so 3936 bytes in all; it has 3926"),
        (idx(PIXELS)[:6], "no IDX file"),
        (b"", "no IDX file"),
        (gzip.compress(idx(PIXELS))[:-20], "damaged: it cannot be unpacked"),
        (b"\x1f\x8b" + b"x" * 40, "damaged: it cannot be unpacked"),
    ],
)
def test_wrong_idx_files(content, problem, idx_folder):
    (idx_folder / IMAGES).write_bytes(content)  # found before the packed one
    with pytest.raises(FileError, match=problem) as error:
        mnist(idx_folder, "test", verify=False)
    assert IMAGES in str(error.value)


def test_images_and_labels_of_different_sets(idx_folder):
    (idx_folder / CLASSES).write_bytes(idx(LABELS[:3]))
    with pytest.raises(FileError, match="5 images and 3 labels"):
        mnist(idx_folder, "test", verify=False)


COUNT = 4
NAMES = [*(f"data_batch_{i}" for i in range(1, 6)), "test_batch"]


@pytest.fixture
def batches(monkeypatch) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Labels and pixels of six small batches."""
    monkeypatch.setattr(files, "_CIFAR_COUNT", COUNT)
    random = np.random.default_rng(2)
    return {
        name: (random.integers(0, 10, COUNT, np.uint8), random.integers(0, 256, (COUNT, 3072), np.uint8))
        for name in NAMES
    }


def binary(labels: np.ndarray, pixels: np.ndarray) -> bytes:
    return np.concatenate([labels[:, None], pixels], 1).tobytes()


def pickled(labels: np.ndarray, pixels: np.ndarray) -> bytes:
    return pickle.dumps({b"data": pixels, b"labels": labels.tolist(), b"batch_label": b"batch"}, protocol=2)


def write(folder: Path, version: str, batches: dict[str, tuple[np.ndarray, np.ndarray]]) -> None:
    folder.mkdir(exist_ok=True)
    for name, batch in batches.items():
        path = folder / (f"{name}.bin" if version == "bin" else name)
        path.write_bytes((binary if version == "bin" else pickled)(*batch))


def pack(archive: Path, folder: Path) -> None:
    with tarfile.open(archive, "w:gz") as file:
        file.add(folder, folder.name)


def check(root: Path, batches: dict[str, tuple[np.ndarray, np.ndarray]], verify: bool = False) -> None:
    for split, names in (("train", NAMES[:5]), ("test", NAMES[5:])):
        images, labels = cifar10(root, split, verify=verify).tensors  # type: ignore[arg-type]
        assert images.dtype == np.float32
        assert labels.dtype == np.int64
        np.testing.assert_array_equal(labels.numpy(), np.concatenate([batches[name][0] for name in names]))
        expected = np.concatenate([batches[name][1] for name in names]).reshape(-1, 3, 32, 32) / 255
        np.testing.assert_allclose(images.numpy(), expected, rtol=1e-6)


@pytest.mark.parametrize("version", ["bin", "py"])
def test_cifar_files_and_archives(version, batches, tmp_path):
    folder = tmp_path / f"cifar-10-batches-{version}"
    write(folder, version, batches)
    check(tmp_path, batches)
    check(folder, batches)
    packed = tmp_path / "packed"
    packed.mkdir()
    pack(packed / f"cifar-10-{'binary' if version == 'bin' else 'python'}.tar.gz", folder)
    check(packed, batches)


def test_cifar_red_is_the_first_plane(batches, tmp_path):
    pixels = np.repeat(np.array([[255, 0, 51]], np.uint8), 1024, 1).repeat(COUNT, 0)
    write(tmp_path, "bin", batches | {"test_batch": (np.arange(COUNT, dtype=np.uint8), pixels)})
    images, _ = cifar10(tmp_path, "test").tensors
    np.testing.assert_allclose(images.numpy()[:, :, 31, 0], np.tile([1, 0, 0.2], (COUNT, 1)), rtol=1e-6)


def test_cifar_sums(batches, tmp_path, monkeypatch):
    write(tmp_path / "cifar-10-batches-py", "py", batches)
    sums = {name: hashlib.md5(pickled(*batch)).hexdigest() for name, batch in batches.items()}
    monkeypatch.setattr(files, "_CIFAR_BATCHES", sums)
    check(tmp_path, batches, verify=True)
    packed = tmp_path / "packed"
    packed.mkdir()
    archive = packed / "cifar-10-python.tar.gz"
    pack(archive, tmp_path / "cifar-10-batches-py")
    with pytest.raises(FileError, match=r"cifar-10-python\.tar\.gz is not the published file[^$]*c58f30108f718f92721"):
        cifar10(packed)
    monkeypatch.setitem(files._CIFAR_ARCHIVES, archive.name, hashlib.md5(archive.read_bytes()).hexdigest())
    check(packed, batches, verify=True)
    (tmp_path / "cifar-10-batches-py/data_batch_3").write_bytes(pickled(*batches["data_batch_2"]))
    with pytest.raises(FileError, match="data_batch_3 is not the published file"):
        cifar10(tmp_path)


class Harmful:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, ("harmed",)


def test_a_pickle_runs_no_program(batches, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write(tmp_path, "py", batches)
    (tmp_path / "test_batch").write_bytes(pickle.dumps({b"data": Harmful()}))
    with pytest.raises(FileError, match=r"wants to call (posix|nt)\.mkdir[^$]*binary version"):
        cifar10(tmp_path, "test", verify=False)
    assert not (tmp_path / "harmed").exists()


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"", "cannot be read: EOFError"),
        (b"junk", "cannot be read"),
        (pickle.dumps({b"data": 1}), "cannot be read: KeyError"),
        (pickled(np.zeros(COUNT, np.uint8), np.zeros((COUNT, 3072))), "float64 pixels"),
        (pickled(np.zeros(COUNT, np.uint8), np.zeros((COUNT, 3), np.uint8)), r"pixels \(4, 3\)[^$]*\(4, 3072\)"),
        (pickled(np.full(COUNT, 10), np.zeros((COUNT, 3072), np.uint8)), "largest 10[^$]*from 0 to 9"),
    ],
)
def test_wrong_pickles(content, problem, batches, tmp_path):
    write(tmp_path, "py", batches)
    (tmp_path / "test_batch").write_bytes(content)
    with pytest.raises(FileError, match=problem) as error:
        cifar10(tmp_path, "test", verify=False)
    assert "test_batch" in str(error.value)


def test_wrong_binary_files_and_archives(batches, tmp_path):
    write(tmp_path, "bin", batches)
    content = (tmp_path / "test_batch.bin").read_bytes()
    (tmp_path / "test_batch.bin").write_bytes(content[:-1])
    with pytest.raises(FileError, match=r"12291 bytes, 4 \* \(1 \+ 3 \* 32 \* 32\) = 12292"):
        cifar10(tmp_path, "test")
    packed = tmp_path / "packed"
    packed.mkdir()
    archive = packed / "cifar-10-binary.tar.gz"
    archive.write_bytes(b"no archive")
    with pytest.raises(FileError, match=r"binary\.tar\.gz is damaged: it cannot be unpacked"):
        cifar10(packed, verify=False)
    with tarfile.open(archive, "w:gz") as file:
        file.addfile(tarfile.TarInfo("readme"), io.BytesIO())
    with pytest.raises(FileError, match=r"cannot be unpacked.*data_batch_1\.bin"):
        cifar10(packed, verify=False)


def test_missing_cifar(tmp_path):
    with pytest.raises(FileError, match=r"not there[^$]*cifar-10-binary\.tar\.gz[^$]*Krizhevsky"):
        cifar10(tmp_path)
    with pytest.raises(tg.ArgumentError, match="'train' or 'test'"):
        cifar10(tmp_path, "all")  # type: ignore[arg-type]

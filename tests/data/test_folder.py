from __future__ import annotations

import gc
import threading
import time
import tracemalloc
from pathlib import Path

import numpy as np
import pytest

import tinygrad_cnn as tg
from tinygrad_cnn.data import DataLoader, ImageFolder
from tinygrad_cnn.io.safetensors import FileError

image_module = pytest.importorskip("PIL.Image", reason="Pillow comes with the extra photos")


def picture(path: Path, pixels: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    image_module.fromarray(pixels).save(path)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Two classes, five images of 6x8 pixels; the k-th has the value 10 k everywhere."""
    names = ["ant/b.png", "ant/a.png", "ant/deep/c.PNG", "bee/2.bmp", "bee/10.png"]
    for value, name in enumerate(sorted(names)):
        picture(tmp_path / name, np.full((6, 8, 3), 10 * value, np.uint8))
    (tmp_path / "bee/notes.txt").write_text("no image")
    (tmp_path / "readme.txt").write_text("no class")
    return tmp_path


def test_classes_are_folders_and_images_come_in_the_order_of_their_paths(root: Path):
    dataset = ImageFolder(root)
    assert dataset.classes == ["ant", "bee"]
    assert dataset.class_to_idx == {"ant": 0, "bee": 1}
    assert [path.relative_to(root).as_posix() for path, _ in dataset.samples] == [
        "ant/a.png", "ant/b.png", "ant/deep/c.PNG", "bee/10.png", "bee/2.bmp",
    ]  # fmt: skip
    assert dataset.targets == [0, 0, 0, 1, 1]
    assert len(dataset) == len(list(dataset)) == 5
    for i, (image, label) in enumerate(dataset):
        assert image.dtype == np.float32
        np.testing.assert_allclose(image.numpy(), np.full((3, 6, 8), 10 * i / 255), rtol=1e-6)
        assert label.item() == dataset.targets[i]
    (batch, labels) = next(iter(DataLoader(dataset, 4)))
    assert batch.shape == (4, 3, 6, 8)
    assert labels.tolist() == [0, 0, 0, 1]


def test_channels_and_orientation_are_kept(tmp_path: Path):
    pixels = np.random.default_rng(0).integers(0, 256, (5, 7, 3), dtype=np.uint8)
    picture(tmp_path / "a/x.png", pixels)
    image, _ = ImageFolder(tmp_path)[0]
    np.testing.assert_allclose(image.numpy(), pixels.transpose(2, 0, 1) / 255, rtol=1e-6)
    grey, _ = ImageFolder(tmp_path, color=False)[0]
    assert grey.shape == (1, 5, 7)
    np.testing.assert_allclose(grey.numpy()[0], pixels @ [0.299, 0.587, 0.114] / 255, atol=0.6 / 255)


def test_size_covers_and_cuts_the_middle(tmp_path: Path):
    pixels = np.zeros((40, 80), np.uint8)
    pixels[:, 20:60] = 255  # exactly the middle square
    picture(tmp_path / "a/x.png", pixels)
    image, _ = ImageFolder(tmp_path, size=10)[0]
    assert image.shape == (3, 10, 10)
    np.testing.assert_array_equal(image.numpy()[:, :, 1:9], 1)
    assert ImageFolder(tmp_path, size=(10, 20))[0][0].shape == (3, 10, 20)
    wide = ImageFolder(tmp_path, size=(10, 20))[0][0].numpy()
    assert wide[:, :, :4].max() == 0
    assert wide[:, :, 6:14].min() == 1


def test_arrays(tmp_path: Path):
    random = np.random.default_rng(0)
    bytes_first = random.integers(0, 256, (3, 4, 5), dtype=np.uint8)
    (tmp_path / "a").mkdir()
    np.save(tmp_path / "a/1.npy", bytes_first)
    np.save(tmp_path / "a/2.npy", bytes_first.transpose(1, 2, 0))
    np.save(tmp_path / "a/3.npy", (bytes_first / 255).astype(np.float64))
    for image, _ in ImageFolder(tmp_path):
        assert image.dtype == np.float32
        np.testing.assert_allclose(image.numpy(), bytes_first / 255, rtol=1e-6)
    np.save(tmp_path / "a/1.npy", np.arange(4, dtype=np.uint16).reshape(2, 2))
    image, _ = ImageFolder(tmp_path, color=False)[0]
    np.testing.assert_allclose(image.numpy(), np.arange(4).reshape(1, 2, 2) / 65535, rtol=1e-6)
    with pytest.raises(FileError, match=r"1\.npy.*\n.*uint16 \(1, 2, 2\); expected.*\(3, H, W\)"):
        ImageFolder(tmp_path)[0]
    np.save(tmp_path / "a/1.npy", np.array([{}]))
    with pytest.raises(FileError, match=r"1\.npy.*\n.*allow_pickle"):
        ImageFolder(tmp_path)[0]


def test_any_number_of_workers_gives_the_same_epochs(root: Path):
    def epochs(workers: int) -> list[list[np.ndarray]]:
        transform = tg.data.Compose([tg.data.RandomCrop(4, padding=1), tg.data.GaussianNoise(sigma=0.1)])
        loader = DataLoader(ImageFolder(root), 2, shuffle=True, seed=3, transform=transform, num_workers=workers)
        return [[part.numpy() for batch in loader for part in batch] for _ in range(2)]

    alone = epochs(0)
    for workers in (1, 3):
        for expected, found in zip(alone, epochs(workers), strict=True):
            for a, b in zip(expected, found, strict=True):
                np.testing.assert_array_equal(a, b)
    assert alone[0][0].tobytes() != alone[1][0].tobytes()


def test_damaged_file_is_named_in_the_loop(root: Path):
    (root / "bee/10.png").write_bytes((root / "bee/10.png").read_bytes()[:45])
    for workers in (0, 2):
        got: list[tg.Tensor] = []
        with pytest.raises(FileError, match=r"10\.png cannot be read") as error:
            got.extend(images for images, _ in DataLoader(ImageFolder(root), 1, num_workers=workers))
        assert len(got) == 3  # all before it
        assert error.value.place is not None
        assert error.value.place.file == "test_folder.py"
        assert "test_folder.py" in str(error.value)
        assert "samples 3" in error.value.__notes__[0]
    assert "tinygrad_cnn-data" not in "".join(thread.name for thread in threading.enumerate())


def test_wide_numbers_are_refused(tmp_path: Path):
    picture(tmp_path / "a/x.png", np.full((2, 2), 300, np.uint16))
    with pytest.raises(FileError, match="no known range"):
        ImageFolder(tmp_path)[0]


def test_folders_that_are_none(tmp_path: Path):
    with pytest.raises(FileError, match="no such folder"):
        ImageFolder(tmp_path / "missing")
    with pytest.raises(FileError, match="there are no classes"):
        ImageFolder(tmp_path)
    (tmp_path / "cat").mkdir()
    with pytest.raises(FileError, match="no images of the class 'cat'"):
        ImageFolder(tmp_path)
    with pytest.raises(tg.ArgumentError, match="size=0"):
        ImageFolder(tmp_path, size=0)


def test_memory_stays_bounded(tmp_path: Path):
    count, side = 60, 128
    (tmp_path / "a").mkdir()
    one = 3 * side * side * 4  # bytes of an image as float32
    for i in range(count):
        np.save(tmp_path / f"a/{i:03}.npy", np.full((3, side, side), i, np.uint8))
    loader = DataLoader(ImageFolder(tmp_path), 4, num_workers=2)
    gc.collect()
    tracemalloc.start()
    try:
        sums = []
        for images, _ in loader:
            sums.append(images.numpy()[:, 0, 0, 0] * 255)
            time.sleep(0.01)  # the workers are faster than this, and must wait
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    np.testing.assert_allclose(np.concatenate(sums), np.arange(count), rtol=1e-5)
    # Four batches are ready or in the making and one is in use; two more are there while samples are being stacked.
    assert peak < 8 * 4 * one < 0.6 * count * one

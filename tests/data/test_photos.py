from __future__ import annotations

import socket
import subprocess
import sys

import numpy as np
import pytest

import tinygrad_cnn as tg
from tinygrad_cnn.data import patches, photograph, photographs
from tinygrad_cnn.data.photos import PHOTOGRAPHS
from tinygrad_cnn.extras import MissingPackageError


@pytest.mark.parametrize("name", PHOTOGRAPHS)
def test_every_photograph_is_there_without_a_network(name, monkeypatch):
    def refuse(*_: object) -> None:
        raise AssertionError("a photograph asked for the network")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    pytest.importorskip(PHOTOGRAPHS[name].package)
    image = photograph(name)
    pixels = image.numpy()
    assert image.shape[0] == 3
    assert min(image.shape[1:]) >= 300
    assert image.dtype == np.float32
    assert pixels.min() >= 0
    assert 0.6 < pixels.max() <= 1
    colourless = bool((pixels[0] == pixels[1]).all() and (pixels[0] == pixels[2]).all())
    assert colourless == (PHOTOGRAPHS[name].kind in ("grey", "texture") or name in ("cell", "moon"))


def test_pixels_are_those_of_the_package():
    from sklearn.datasets import load_sample_image

    expected = load_sample_image("flower.jpg").transpose(2, 0, 1) / 255
    np.testing.assert_allclose(photograph("flower").numpy(), expected, rtol=1e-6)


def test_no_photograph_is_on_both_sides():
    train, test = photographs("train"), photographs("test")
    assert not set(train) & set(test)
    assert sorted(train + test) == sorted(photographs()) == sorted(PHOTOGRAPHS)
    for kind in ("scene", "grey", "texture", "science"):
        assert photographs("train", kind)
        assert photographs("test", kind)
    files = [(photo.package, photo.file) for photo in PHOTOGRAPHS.values()]
    assert len(set(files)) == len(files)
    # What comes with scikit-learn alone serves both sides.
    assert {photo.split for photo in PHOTOGRAPHS.values() if photo.package == "sklearn"} == {"train", "test"}


def test_names_and_sides_that_do_not_exist():
    with pytest.raises(tg.ArgumentError, match="one of astronaut, china"):
        photograph("lena")
    with pytest.raises(tg.ArgumentError, match="split='validation'"):
        photographs("validation")  # type: ignore[arg-type]
    with pytest.raises(tg.ArgumentError, match="kind='gray'"):
        photographs(kind="gray")  # type: ignore[arg-type]


def test_missing_packages(monkeypatch):
    monkeypatch.setitem(sys.modules, "skimage", None)
    with pytest.raises(MissingPackageError, match="scikit-image"):
        photograph("coffee")
    assert photograph("china").shape == (3, 427, 640)  # needs scikit-learn only
    monkeypatch.setitem(sys.modules, "PIL.Image", None)
    with pytest.raises(MissingPackageError, match=r'Pillow[^$]*pip install "tinygrad_cnn\[photos\]"'):
        photograph("china")


def test_importing_brings_no_package_for_images():
    check = "import sys, tinygrad_cnn.data; print(sorted({'PIL', 'skimage', 'sklearn'} & set(sys.modules)))"
    result = subprocess.run([sys.executable, "-c", check], check=True, capture_output=True, text=True)
    assert result.stdout.strip() == "[]"


def numbered(height: int, width: int, first: int = 0, channels: int = 2) -> tg.Tensor:
    count = channels * height * width
    return tg.Tensor(np.arange(first, first + count, dtype=np.float32).reshape(channels, height, width))


def test_grid_of_patches():
    images = [numbered(5, 7), numbered(3, 4, 1000)]
    found = patches(images, (3, 2), stride=2).numpy()
    expected = [
        image.numpy()[:, y : y + 3, x : x + 2]
        for image in images
        for y in range(0, image.shape[1] - 2, 2)
        for x in range(0, image.shape[2] - 1, 2)
    ]
    np.testing.assert_array_equal(found, expected)
    assert found.shape == (2 * 3 + 1 * 2, 2, 3, 2)
    np.testing.assert_array_equal(patches(images[0], (3, 2), stride=2).numpy(), expected[:6])


def test_random_patches_are_true_ones_each_place_equally_likely():
    images = [numbered(4, 5), numbered(3, 3, 1000)]  # 3 * 4 and 2 * 2 places for 2x2
    found = patches(images, 2, count=8000, seed=1)
    assert found.shape == (8000, 2, 2, 2)
    every = {part.tobytes() for part in patches(images, 2, stride=1).numpy()}
    counts = dict.fromkeys(every, 0)
    for part in found.numpy():
        counts[part.tobytes()] += 1
    assert len(counts) == 16  # none but real patches
    assert min(counts.values()) > 500 - 5 * 22  # each about 500 times, standard deviation 21.7
    assert max(counts.values()) < 500 + 5 * 22
    np.testing.assert_array_equal(patches(images, 2, count=8000, seed=1).numpy(), found.numpy())
    assert (patches(images, 2, count=8000, seed=2).numpy() != found.numpy()).any()


def test_patches_refuse():
    image = numbered(4, 5)
    for arguments in ({}, {"stride": 1, "count": 1}):
        with pytest.raises(tg.ArgumentError, match="exactly one"):
            patches(image, 2, **arguments)
    for arguments in ({"stride": 0}, {"count": 0}, {"count": 1.5}):
        with pytest.raises(tg.ArgumentError, match="cuts nothing"):
            patches(image, 2, **arguments)
    with pytest.raises(tg.ArgumentError, match="no images"):
        patches([], 2, count=1)
    with pytest.raises(tg.ArgumentError, match="at least one pixel"):
        patches(image, 0, count=1)
    with pytest.raises(tg.ShapeError, match=r"image 1 does not fit[^$]*C = 2 as in image 0"):
        patches([image, numbered(4, 5, channels=1)], 2, count=1)
    with pytest.raises(tg.ShapeError, match=r"smaller than a patch[^$]*H >= 5"):
        patches(image, (5, 5), count=1)
    with pytest.raises(tg.ShapeError, match=r"list\(batch\)"):
        patches(tg.Tensor(np.zeros((2, 3, 8, 8), np.float32)), 2, count=1)
    with pytest.raises(tg.DTypeError, match="image 0 float32, image 1 float64"):
        patches([image, tg.Tensor(image.numpy().astype(np.float64))], 2, count=1)

"""The bank of kernels, and kernels that patches suggest."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import tinygrad_cnn as tg
from tinygrad_cnn import filters
from tinygrad_cnn.errors import ArgumentError, ShapeError


def test_bank():
    bank = filters.FILTERS
    np.testing.assert_array_equal(bank["sharpen"], [[0, -1, 0], [-1, 5, -1], [0, -1, 0]])
    np.testing.assert_array_equal(filters.laplacian_sharpen(0.5), [[0, -0.5, 0], [-0.5, 3, -0.5], [0, -0.5, 0]])
    np.testing.assert_array_equal(bank["kirsch_n"], [[5, 5, 5], [-3, 0, -3], [-3, -3, -3]])
    np.testing.assert_array_equal(bank["kirsch_ne"], [[-3, 5, 5], [-3, 0, 5], [-3, -3, -3]])
    np.testing.assert_array_equal(bank["kirsch_s"], [[-3, -3, -3], [-3, 0, -3], [5, 5, 5]])
    np.testing.assert_array_equal(bank["sobel_right"], -bank["sobel_left"])
    np.testing.assert_array_equal(bank["sobel_top"], bank["sobel_right"].T[::-1])
    np.testing.assert_array_equal(bank["prewitt_x"], [[-1, 0, 1]] * 3)
    for name, kernel in bank.items():
        total = kernel.sum()
        expected = 1 if name in ("identity", "sharpen", "emboss", "box_blur", "box_blur_9") else 0
        np.testing.assert_allclose(total, expected, atol=1e-6, err_msg=name)


def test_one_line_for_any_image():
    image = np.random.default_rng(0).random((3, 6, 5)).astype("float32")
    planes = filters.apply("sobel_left", image)
    assert planes.shape == (3, 6, 5)
    np.testing.assert_allclose(planes.numpy()[1], filters.apply("sobel_left", image[1]).numpy(), rtol=1e-6)
    last = filters.apply("sobel_left", image.transpose(1, 2, 0))
    np.testing.assert_allclose(last.numpy().transpose(2, 0, 1), planes.numpy(), rtol=1e-6)
    assert filters.apply("sobel_left", image[None]).shape == (1, 3, 6, 5)
    assert filters.apply("emboss", image[0], padding="valid").shape == (4, 3)
    np.testing.assert_allclose(filters.apply("identity", image).numpy(), image)
    assert filters.apply(np.ones((2, 2), "float32"), (image * 255).astype("uint8"), padding=0).shape == (3, 5, 4)


def test_an_edge_is_found_where_it_is():
    image = np.zeros((5, 6), "float32")
    image[:, 3:] = 1
    found = filters.apply("sobel_right", image, padding="valid").numpy()
    np.testing.assert_array_equal(found, [[0, 4, 4, 0]] * 3)


def test_kmeans():
    random = np.random.default_rng(0)
    images = np.zeros((60, 1, 12, 12), "float32")
    for image in images:  # bars, upright or lying
        at = random.integers(2, 10)
        if random.random() < 0.5:
            image[0, at] = 1
        else:
            image[0, :, at] = 1
    kernels = filters.kmeans_kernels(tg.Tensor(images), 6, size=3, whiten=False).numpy()
    assert kernels.shape == (6, 1, 3, 3)
    np.testing.assert_allclose(kernels.mean((1, 2, 3)), 0, atol=1e-6)
    np.testing.assert_allclose((kernels**2).sum((1, 2, 3)), 1, rtol=1e-4)
    flat = [kernel[0] for kernel in kernels]
    lying = [k for k in flat if k.std(1).max() < 0.05 and k.mean(1).std() > 0.1]
    upright = [k for k in flat if k.std(0).max() < 0.05 and k.mean(0).std() > 0.1]
    assert lying
    assert upright
    again = filters.kmeans_kernels(tg.Tensor(images), 6, size=3, whiten=False).numpy()
    np.testing.assert_array_equal(kernels, again)


def test_features_are_computed_by_fixed_kernels():
    kernels = filters.random_kernels(5, channels=2, size=3, seed=1)
    assert not kernels.requires_grad
    np.testing.assert_allclose((kernels.numpy() ** 2).sum((1, 2, 3)), 1, rtol=1e-5)
    images = np.random.default_rng(0).random((4, 2, 9, 9)).astype("float32")
    assert filters.features(tg.Tensor(images), kernels, bins=2).shape == (4, 20)


def test_a_picture_of_the_bank(tmp_path: Path):
    image = np.random.default_rng(0).random((20, 30)).astype("float32")
    filters.draw_bank(tmp_path / "bank.png", image)
    assert (tmp_path / "bank.png").read_bytes().startswith(b"\x89PNG")


def test_errors():
    with pytest.raises(ArgumentError, match="did you mean 'sobel_left'"):
        filters.apply("sobel_leftt", np.zeros((3, 3)))
    with pytest.raises(ShapeError, match="do not fit together"):
        filters.apply("sharpen", np.zeros(3))
    with pytest.raises(ArgumentError, match="no patch fits into the images"):
        filters.kmeans_kernels(tg.Tensor(np.zeros((1, 1, 2, 2), "float32")), 3)

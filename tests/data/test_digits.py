from __future__ import annotations

import sys

import numpy as np
import pytest

import tinygrad_cnn as tg
from tinygrad_cnn.data import digits
from tinygrad_cnn.data.digits import enlarge
from tinygrad_cnn.extras import MissingPackageError


def test_sizes_and_types():
    for split, count in (("train", 1437), ("test", 360)):
        images, labels = digits(split).tensors
        assert images.shape == (count, 1, 32, 32)
        assert images.dtype == np.float32
        assert labels.shape == (count,)
        assert labels.dtype == np.int64
        assert images.numpy().min() == 0
        assert images.numpy().max() == 1


def test_the_split_is_stratified_complete_and_fixed():
    from sklearn.datasets import load_digits

    original = load_digits()
    parts = {split: digits(split, size=8).tensors for split in ("train", "test")}
    together = np.concatenate([images.numpy() for images, _ in parts.values()]).reshape(1797, 64) * 16
    order, expected = np.lexsort(together.T), np.lexsort(original.data.T)
    np.testing.assert_array_equal(together[order], original.data[expected])
    labels = np.concatenate([labels.numpy() for _, labels in parts.values()])
    np.testing.assert_array_equal(labels[order], original.target[expected])

    np.testing.assert_array_equal(np.bincount(parts["test"][1].numpy()), [36, 36, 36, 36, 37, 36, 36, 36, 35, 36])
    tg.seed(123)  # no seed has a say
    np.testing.assert_array_equal(digits("test", size=8).tensors[0].numpy(), parts["test"][0].numpy())
    zeros = np.flatnonzero(original.target == 0)
    np.testing.assert_array_equal(parts["test"][0].numpy()[0, 0] * 16, original.images[zeros[0]])


def test_enlarged_images_keep_their_centre_and_ink():
    small = np.zeros((1, 8, 8), np.float32)
    small[0, 2, 5] = 1
    large = enlarge(small, 32)[0]
    places = np.arange(32) - 15.5
    centre = [(large.sum(axis=axis) @ places) / large.sum() for axis in (1, 0)]
    np.testing.assert_allclose(centre, [3 * (2 - 3.5), 3 * (5 - 3.5)], atol=1e-5)
    np.testing.assert_allclose(large.sum(), 9, rtol=1e-6)
    np.testing.assert_array_equal(enlarge(small, 8), small)
    constant = enlarge(np.ones((1, 8, 8), np.float32), 32)[0]
    np.testing.assert_allclose(constant[4:28, 4:28], 1, rtol=1e-6)
    assert constant.sum() == pytest.approx(24 * 24)


def test_wrong_arguments():
    with pytest.raises(tg.ArgumentError, match="'train' or 'test'"):
        digits("validation")  # type: ignore[arg-type]
    with pytest.raises(tg.ArgumentError, match="size=7"):
        digits(size=7)


def test_missing_scikit_learn(monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn.datasets", None)
    with pytest.raises(MissingPackageError, match=r'pip install "tinygrad_cnn\[data\]"') as error:
        digits()
    assert isinstance(error.value, ImportError)
    assert "scikit-learn" in str(error.value)

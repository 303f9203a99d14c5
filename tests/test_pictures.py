from __future__ import annotations

import numpy as np
import pytest

import tinygrad_cnn as tg
from tinygrad_cnn import pictures
from tinygrad_cnn.train import Epoch, Score

EPOCHS = [
    Epoch(number, Score(1 / number, 1 - 0.5 / number), Score(1.2 / number, 1 - 0.6 / number), 1.0)
    for number in (1, 2, 3)
]


def pixels(path) -> np.ndarray:
    from matplotlib.image import imread

    return imread(path)[..., :3]


def test_files_repeat_byte_by_byte_and_show_the_numbers(tmp_path):
    kernels = np.random.default_rng(0).normal(size=(6, 1, 5, 5)).astype(np.float32)
    counts = np.diag([3, 4, 5])
    makers = {
        "curves": (pictures.draw_curves, EPOCHS, EPOCHS[:2]),
        "kernels": (pictures.draw_kernels, tg.Tensor(kernels), tg.Tensor(kernels**3)),
        "confusion": (pictures.draw_confusion, counts, counts + 1),
    }
    for name, (draw, value, other) in makers.items():
        for file, what in (("a", value), ("b", value), ("c", other)):
            draw(what, tmp_path / f"{name}-{file}.png")
        one, same, different = ((tmp_path / f"{name}-{file}.png").read_bytes() for file in "abc")
        assert one == same != different, name
        picture = pixels(tmp_path / f"{name}-a.png")
        assert len(np.unique(picture.reshape(-1, 3), axis=0)) > 20, name


def test_kernel_colours_have_their_sign(tmp_path):
    for value, strong, weak in ((1.0, 2, 0), (-1.0, 0, 2)):  # blue over red, red over blue
        pictures.draw_kernels(tg.Tensor(np.full((1, 1, 3, 3), value)), tmp_path / "k.png", title="")
        picture = pixels(tmp_path / "k.png")
        red, green, blue = picture[picture.shape[0] // 2, picture.shape[1] // 3]
        channels = (red, green, blue)
        assert channels[strong] > channels[weak] + 0.2


def test_odd_shapes(tmp_path):
    pictures.draw_kernels(tg.Tensor(np.zeros((1, 1, 1, 1))), tmp_path / "k.png")
    pictures.draw_kernels(tg.Tensor(np.ones((3, 3, 2, 4))), tmp_path / "k.png")
    pictures.draw_confusion(np.zeros((2, 2), int), tmp_path / "c.png")
    untested = [Epoch(1, Score(1.0, None), None, 1.0)]
    pictures.draw_curves(untested, tmp_path / "u.png")
    with pytest.raises(tg.ShapeError, match="out_channels"):
        pictures.draw_kernels(tg.Tensor([[1.0]]), tmp_path / "x.png")


def test_confusions_are_counted():
    targets, predicted = np.array([0, 2, 2, 2, 1]), np.array([0, 2, 1, 1, 1])
    np.testing.assert_array_equal(pictures.count_confusions(targets, predicted, 3), [[1, 0, 0], [0, 1, 0], [0, 2, 1]])

"""Saliency, Grad-CAM and adversarial examples on a network whose reasons are known."""

from __future__ import annotations

import numpy as np
import pytest

import tinygrad_cnn as tg
from tinygrad_cnn import nn
from tinygrad_cnn.errors import ArgumentError
from tinygrad_cnn.inspect import fgsm, grad_cam, receptive_field, saliency, smooth_grad
from tinygrad_cnn.nn import functional as F

from .conftest import squares


def test_it_reads_squares(trained):
    images, labels = squares(200, 2)
    assert (trained(tg.Tensor(images)).numpy().argmax(1) == labels).mean() > 0.95


def test_saliency_is_the_slope_of_the_score(trained):
    images, labels = squares(2, 3)
    found = saliency(trained, tg.Tensor(images), tg.Tensor(labels)).numpy()
    for n in range(2):
        x = tg.Tensor(images[n : n + 1], requires_grad=True)
        trained(x)[0, int(labels[n])].backward()
        np.testing.assert_allclose(found[n], abs(x.grad.numpy()[0, 0]), rtol=1e-5, atol=1e-7)


def test_saliency_is_zero_outside_the_receptive_field():
    model = nn.Sequential(nn.Conv2d(1, 3, 3), nn.Sigmoid(), nn.Conv2d(3, 2, 3))

    class Middle(nn.Module):
        def __init__(self) -> None:
            self.model = model

        def forward(self, x: tg.Tensor) -> tg.Tensor:
            return self.model(x)[:, :, 2, 4]

    images = np.random.default_rng(0).random((1, 1, 12, 12), dtype=np.float32)
    seen = saliency(Middle(), tg.Tensor(images)).numpy()[0] != 0
    field = receptive_field(model, (1, 1, 12, 12), unit=(2, 4))
    expected = np.zeros((12, 12), bool)
    expected[field.first[0] : field.last[0] + 1, field.first[1] : field.last[1] + 1] = True
    np.testing.assert_array_equal(seen, expected)


def test_averaging_over_noise_repeats_under_a_seed(trained):
    images = tg.Tensor(squares(2, 4)[0])
    one, again, other = (smooth_grad(trained, images, samples=3, seed=seed).numpy() for seed in (1, 1, 2))
    np.testing.assert_array_equal(one, again)
    assert (one != other).any()
    assert one.shape == (2, 12, 12)


def test_grad_cam_points_at_the_square():
    """A network that is made, not trained: it finds 3x3 squares by their brightness, and dark corners of them."""
    model = nn.Sequential(
        nn.Conv2d(1, 2, 3, padding=1), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(2, 2)
    )
    kernel = np.full((2, 1, 3, 3), 1 / 9, "float32")
    kernel[1] *= -1
    model.load_state_dict({
        "0.weight": tg.Tensor(kernel), "0.bias": tg.Tensor([-0.5, 0.5]),
        "4.weight": tg.Tensor([[0.0, 1.0], [1.0, 0.0]]), "4.bias": tg.Tensor([0.0, 0.0]),
    })  # fmt: skip
    images = squares(20, 5)[0]
    square = images[:, 0] == 1.0
    bright, dark = (
        grad_cam(model, "1", tg.Tensor(images), tg.Tensor(np.full(20, label))).numpy() for label in (1, 0)
    )  # fmt: skip
    assert bright.shape == dark.shape == (20, 12, 12)
    for heat, where in zip(bright, square, strict=True):
        assert where.reshape(-1)[heat.argmax()]  # the warmest pixel lies on the square
        assert heat[~where].mean() < 0.1 * heat[where].mean()
    for heat, where in zip(dark, square, strict=True):
        assert heat[where].mean() < 0.5 * heat[~where].mean()


def test_an_adversarial_example_raises_the_loss(trained):
    images, labels = squares(64, 6)
    x, t = tg.Tensor(images), tg.Tensor(labels)
    changed = fgsm(trained, x, t, epsilon=0.3)
    assert abs(changed.images.numpy() - images).max() <= 0.3 + 1e-6
    assert 0 <= changed.images.numpy().min() <= changed.images.numpy().max() <= 1
    loss, attacked = (F.cross_entropy(trained(each), t).item() for each in (x, changed.images))
    assert attacked > 5 * loss
    np.testing.assert_array_equal(changed.after.numpy(), trained(changed.images).numpy().argmax(1))
    assert (changed.after.numpy() == labels).mean() < (changed.before.numpy() == labels).mean()
    assert all(each.grad is None or each.requires_grad for each in trained.parameters())


def test_nothing_moved_changes_nothing(trained):
    images, labels = squares(4, 7)
    changed = fgsm(trained, tg.Tensor(images), tg.Tensor(labels), epsilon=0.0)
    np.testing.assert_array_equal(changed.images.numpy(), images)


def test_errors(trained):
    images, labels = squares(2, 8)
    with pytest.raises(ArgumentError, match="epsilon is a distance"):
        fgsm(trained, tg.Tensor(images), tg.Tensor(labels), epsilon=-1.0)
    with pytest.raises(ArgumentError, match="there must be a class for each image"):
        saliency(trained, tg.Tensor(images), tg.Tensor([0]))
    with pytest.raises(ArgumentError, match="the output of '5' has no places"):
        grad_cam(trained, "5", tg.Tensor(images))

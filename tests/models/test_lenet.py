"""LeNet-5: its size, that it learns, and that all ways of running it agree."""

from __future__ import annotations

import numpy as np
import pytest

import tinygrad_cnn as tg
from tinygrad_cnn import optim
from tinygrad_cnn.errors import ArgumentError, ShapeError
from tinygrad_cnn.nn import functional as F

PARAMETERS = {
    "conv1.weight": (6, 1, 5, 5), "conv1.bias": (6,), "conv2.weight": (16, 6, 5, 5), "conv2.bias": (16,),
    "fc1.weight": (120, 400), "fc1.bias": (120,), "fc2.weight": (84, 120), "fc2.bias": (84,),
    "fc3.weight": (10, 84), "fc3.bias": (10,),
}  # fmt: skip


def patterns(n: int, size: int, dtype: str = "float32") -> tuple[np.ndarray, np.ndarray]:
    """One pattern of blobs for each class, shifted a little and with noise, as digits are."""
    random = np.random.default_rng(0)
    classes = np.kron(random.random((10, size // 4, size // 4)) < 0.4, np.ones((4, 4)))
    labels = np.arange(n) % 10
    images = [np.roll(classes[label], random.integers(-1, 2, 2), (0, 1)) for label in labels]
    noisy = np.stack(images) + 0.1 * random.standard_normal((n, size, size))
    return noisy[:, None].astype(dtype), labels


def test_parameters():
    model = tg.models.lenet5()
    assert {name: each.shape for name, each in model.named_parameters()} == PARAMETERS
    assert sum(each.numel() for each in model.parameters()) == 61_706
    wide = tg.models.lenet5(num_classes=3, in_channels=3)
    assert wide(tg.symbol((2, 3, 32, 32))).shape == (2, 3)


def test_a_symbol_needs_no_numbers():
    model = tg.models.lenet5()
    output = model(tg.symbol((8, 1, 32, 32)))
    tg.grad(output.sum(), list(model.parameters()))
    assert all(each._array is None and each.node.value is None for each in model.parameters())


@pytest.mark.parametrize("size", [28, 32])
def test_it_learns(size):
    images, labels = patterns(64, size)
    x, t = tg.Tensor(images), tg.Tensor(labels)
    model = tg.models.lenet5(image_size=size)
    optimizer = optim.Adam(model.parameters(), lr=3e-3)
    losses = []
    for _ in range(25):
        loss = F.cross_entropy(model(x), t)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert 2.2 < losses[0] < 2.5  # log(10) = 2.30: it knows nothing yet
    assert losses[-1] < 0.3
    assert (model(x).numpy().argmax(1) == labels).mean() > 0.9


@pytest.mark.parametrize("size", [28, 32])
def test_a_symbolic_graph_gives_what_eager_gives(size):
    images, labels = patterns(6, size)
    model = tg.models.lenet5(image_size=size)
    x, t = tg.symbol(images.shape), tg.symbol(labels.shape, "int64")
    logits = model(x)
    loss = F.cross_entropy(logits, t)
    graphs = tg.grad(loss, list(model.parameters()))
    found = tg.evaluate([logits, loss, *graphs], {x: images, t: labels})

    eager = model(tg.Tensor(images))
    eager_loss = F.cross_entropy(eager, tg.Tensor(labels))
    eager_loss.backward()
    expected = [eager, eager_loss, *[each.grad for each in model.parameters()]]
    for one, other in zip(found, expected, strict=True):
        assert one.spec == other.spec
        np.testing.assert_allclose(one.numpy(), other.numpy(), rtol=1e-6, atol=1e-7)


def test_a_graph_made_before_a_step_uses_the_weights_after_it():
    images, labels = patterns(4, 32)
    model = tg.models.lenet5()
    x = tg.symbol(images.shape)
    logits = model(x)
    before = tg.evaluate(logits, {x: images}).numpy()
    F.cross_entropy(model(tg.Tensor(images)), tg.Tensor(labels)).backward()
    optim.SGD(model.parameters(), lr=0.5).step()
    after = tg.evaluate(logits, {x: images}).numpy()
    np.testing.assert_allclose(after, model(tg.Tensor(images)).numpy(), rtol=1e-5, atol=1e-6)
    assert np.abs(after - before).max() > 1e-3


def test_the_gradient_is_right():
    images, labels = patterns(2, 28, "float64")
    model = tg.models.lenet5(image_size=28).to("float64")
    model(tg.Tensor(images))

    def loss(weight, bias):
        features = F.max_pool2d(F.conv2d(tg.Tensor(images), weight, bias, padding=2).relu(), 2)
        x = model.flatten(model.pool2(model.relu2(model.conv2(features))))
        return F.cross_entropy(model.fc3(model.relu4(model.fc2(model.relu3(model.fc1(x))))), tg.Tensor(labels))

    weight, bias = model.conv1.weight, model.conv1.bias
    F.cross_entropy(model(tg.Tensor(images)), tg.Tensor(labels)).backward()
    w, g = weight.numpy(), weight.grad.numpy()
    for place in [(0, 0, 0, 0), (3, 0, 2, 4), (5, 0, 4, 1)]:
        slope = 0.0
        for sign in (1, -1):
            shifted = w.copy()
            shifted[place] += sign * 1e-6
            slope += sign * loss(tg.Tensor(shifted), bias).item() / 2e-6
        assert g[place] == pytest.approx(slope, rel=1e-4, abs=1e-8)


def test_another_size_is_refused():
    with pytest.raises(
        ArgumentError, match="lenet5: the network is made for two sizes\n  got       64\n  expected  28 or 32"
    ):
        tg.models.lenet5(image_size=64)
    with pytest.raises(ShapeError, match="linear: the input has 256 features, the weight takes 400") as caught:
        tg.models.lenet5()(tg.symbol((1, 1, 28, 28)))
    assert caught.value.scope == "lenet5/fc1"

"""Losses against plain loops, at extreme logits, and their errors."""

from __future__ import annotations

import math

import numpy as np
import pytest

import tinygrad_cnn as tg
from tinygrad_cnn import nn
from tinygrad_cnn.errors import ArgumentError, DTypeError, ShapeError
from tinygrad_cnn.nn import functional as F

REDUCE = {"mean": np.mean, "sum": np.sum, "none": np.asarray}


def draw(shape: tuple[int, ...], seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape)


def loops(logits: np.ndarray, target: np.ndarray, smoothing: float = 0.0) -> np.ndarray:
    """Cross entropy of each prediction, from the definition; classes on axis 1, probabilities as the target."""
    n, classes = logits.shape[:2]
    result = np.empty((n, *logits.shape[2:]))
    for place in np.ndindex(*result.shape):
        x = [logits[(place[0], c, *place[1:])] for c in range(classes)]
        total = sum(math.exp(each) for each in x)
        result[place] = 0.0
        for c in range(classes):
            share = target[(place[0], c, *place[1:])] * (1 - smoothing) + smoothing / classes
            result[place] -= share * math.log(math.exp(x[c]) / total)
    return result


def as_probabilities(labels: np.ndarray, classes: int) -> np.ndarray:
    result = np.zeros((labels.shape[0], classes, *labels.shape[1:]))
    for place in np.ndindex(*labels.shape):
        result[(place[0], labels[place], *place[1:])] = 1.0
    return result


@pytest.mark.parametrize("reduction", REDUCE)
@pytest.mark.parametrize("smoothing", [0.0, 0.2, 1.0])
@pytest.mark.parametrize("shape", [(5, 4), (2, 3, 4), (2, 3, 2, 2), (3, 1)], ids=str)
def test_cross_entropy_follows_its_definition(shape, smoothing, reduction):
    logits = draw(shape)
    labels = np.random.default_rng(1).integers(0, shape[1], (shape[0], *shape[2:]))
    expected = REDUCE[reduction](loops(logits, as_probabilities(labels, shape[1]), smoothing))
    found = F.cross_entropy(tg.Tensor(logits), tg.Tensor(labels), None, None, reduction, smoothing)
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-12)

    target = np.exp(draw(shape, 2))
    target /= target.sum(1, keepdims=True)
    expected = REDUCE[reduction](loops(logits, target, smoothing))
    found = F.cross_entropy(tg.Tensor(logits), tg.Tensor(target), None, None, reduction, smoothing)
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-12)


def test_cross_entropy_of_a_single_example():
    logits = draw((4,))
    found = F.cross_entropy(tg.Tensor(logits), tg.Tensor(2))
    assert found.shape == ()
    assert found.item() == pytest.approx(loops(logits[None], np.array([[0, 0, 1, 0]]))[0])


def test_the_gradient_of_cross_entropy_is_softmax_less_target():
    logits, labels = draw((5, 4)), np.array([0, 3, 1, 1, 2])
    x = tg.Tensor(logits, requires_grad=True)
    F.cross_entropy(x, tg.Tensor(labels)).backward()
    softmax = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    np.testing.assert_allclose(x.grad.numpy(), (softmax - as_probabilities(labels, 4)) / 5, rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("size", [40.0, 1000.0, 1e6])
def test_extreme_logits_give_finite_losses_and_gradients(size, dtype):
    x = tg.Tensor([[size, -size], [-size, size], [size, size]], dtype=dtype, requires_grad=True)
    loss = F.cross_entropy(x, tg.Tensor([0, 0, 1]), reduction="none")
    np.testing.assert_allclose(loss.numpy(), [0.0, 2 * size, math.log(2)], rtol=1e-6, atol=1e-30)
    loss.sum().backward()
    np.testing.assert_allclose(x.grad.numpy(), [[0, 0], [-1, 1], [0.5, -0.5]], atol=1e-6)

    x = tg.Tensor([size, -size, size, -size], dtype=dtype, requires_grad=True)
    loss = F.binary_cross_entropy_with_logits(x, tg.Tensor([1.0, 1.0, 0.0, 0.0], dtype=dtype), reduction="none")
    np.testing.assert_allclose(loss.numpy(), [math.exp(-size), size, size, math.exp(-size)], rtol=1e-6, atol=1e-300)
    loss.sum().backward()
    np.testing.assert_allclose(x.grad.numpy(), [0.0, -1.0, 1.0, 0.0], atol=1e-15)


@pytest.mark.parametrize("reduction", REDUCE)
def test_binary_cross_entropy_follows_its_definition(reduction):
    x, t = draw((3, 4)), np.random.default_rng(1).random((3, 4))
    p = 1 / (1 + np.exp(-x))
    expected = REDUCE[reduction](-t * np.log(p) - (1 - t) * np.log(1 - p))
    found = F.binary_cross_entropy_with_logits(tg.Tensor(x), tg.Tensor(t), reduction=reduction)
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-12)


@pytest.mark.parametrize("reduction", REDUCE)
def test_mean_squared_error_follows_its_definition(reduction):
    x, t = draw((3, 4)), draw((3, 4), 1)
    found = F.mse_loss(tg.Tensor(x), tg.Tensor(t), reduction)
    np.testing.assert_allclose(found.numpy(), REDUCE[reduction]((x - t) ** 2), rtol=1e-12)


LOSSES = {
    "cross entropy": lambda x, t: F.cross_entropy(x, tg.Tensor([1, 0, 3, 2]), label_smoothing=0.1),
    "cross entropy, probabilities": F.cross_entropy,
    "binary cross entropy": F.binary_cross_entropy_with_logits,
    "mean squared error": F.mse_loss,
}


@pytest.mark.parametrize("loss", LOSSES.values(), ids=LOSSES)
def test_gradients_of_both_orders(loss):
    tg.testing.check_grad(loss, (draw((4, 4)), np.random.default_rng(1).random((4, 4))), order=2, directions=1)


@pytest.mark.parametrize("loss", LOSSES.values(), ids=LOSSES)
def test_float32_stays_float32(loss):
    x = tg.Tensor(draw((4, 4)), dtype="float32", requires_grad=True)
    value = loss(x, tg.Tensor(np.ones((4, 4)), dtype="float32"))
    value.backward()
    assert value.array.dtype == x.grad.array.dtype == np.float32


def test_modules_pass_their_settings_on():
    x, t = tg.Tensor(draw((4, 4))), tg.Tensor(np.random.default_rng(1).random((4, 4)))
    expected = F.cross_entropy(x, t, None, None, "sum", 0.3)
    assert nn.CrossEntropyLoss(reduction="sum", label_smoothing=0.3)(x, t).item() == expected.item()
    assert (
        nn.BCEWithLogitsLoss(reduction="sum")(x, t).item()
        == F.binary_cross_entropy_with_logits(x, t, reduction="sum").item()
    )
    assert nn.MSELoss("sum")(x, t).item() == F.mse_loss(x, t, "sum").item()


LOGITS = np.zeros((2, 3), np.float32)
ERRORS = [
    (lambda: F.cross_entropy(tg.Tensor(LOGITS), tg.Tensor([0, 3])), ArgumentError, "outside an axis of length 3"),
    (lambda: F.cross_entropy(tg.Tensor(LOGITS), tg.Tensor([0, -1])), ArgumentError, "outside an axis of length 3"),
    (
        lambda: F.cross_entropy(tg.Tensor(LOGITS), tg.Tensor([[0], [1]])),
        ShapeError,
        r"class numbers do not fit the logits\n  got       input \(2, 3\) float32, target \(2, 1\) int64\n"
        r"  expected  one class number for each prediction: target.shape = \(2,\)\n",
    ),
    (
        lambda: F.cross_entropy(tg.Tensor(LOGITS), tg.Tensor([0.0, 1.0])),
        ShapeError,
        r"probabilities do not fit the logits\n.*\n.*target.shape = \(2, 3\)\n  fix       class numbers need",
    ),
    (lambda: F.cross_entropy(tg.Tensor(1.0), tg.Tensor(0)), ShapeError, "the input has no class axis"),
    (
        lambda: F.cross_entropy(tg.Tensor(LOGITS), tg.Tensor([0, 1]), reduction="avg"),
        ArgumentError,
        "no such reduction\n  got       'avg'",
    ),
    (
        lambda: F.mse_loss(tg.Tensor(LOGITS), tg.Tensor(LOGITS[0])),
        ShapeError,
        r"input and target have different shapes\n  got       input \(2, 3\) float32, target \(3,\) float32\n",
    ),
    (lambda: F.mse_loss(tg.Tensor(LOGITS), tg.Tensor(LOGITS.astype(float))), DTypeError, "different element types"),
    (
        lambda: F.binary_cross_entropy_with_logits(tg.Tensor([[1.0]]), tg.Tensor([1.0])),
        ShapeError,
        "input and target have different shapes",
    ),
]


@pytest.mark.parametrize(("call", "kind", "text"), ERRORS)
def test_errors_say_what_is_wrong(call, kind, text):
    with pytest.raises(kind, match=text):
        call()


def test_weights_and_ignored_classes():
    logits, labels = draw((5, 3)), np.array([0, 2, 1, 2, 0])
    weight = np.array([0.5, 2.0, 1.0])
    each = loops(logits, as_probabilities(labels, 3))
    counts = weight[labels] * (labels != 2)
    found = F.cross_entropy(tg.Tensor(logits), tg.Tensor(labels), tg.Tensor(weight), ignore_index=2)
    np.testing.assert_allclose(found.item(), (each * counts).sum() / counts.sum(), rtol=1e-12)
    layer = nn.CrossEntropyLoss(tg.Tensor(weight), ignore_index=2, reduction="none")
    np.testing.assert_allclose(layer(tg.Tensor(logits), tg.Tensor(labels)).numpy(), each * counts, rtol=1e-12)
    logarithms = tg.ops.log_softmax(tg.Tensor(logits), 1)
    found = nn.NLLLoss(tg.Tensor(weight), ignore_index=2)(logarithms, tg.Tensor(labels))
    np.testing.assert_allclose(found.item(), (each * counts).sum() / counts.sum(), rtol=1e-12)
    assert [name for name, _ in layer.named_buffers()] == ["weight"]


def test_a_prediction_that_does_not_count_may_be_nan():
    x = tg.Tensor([[0.0, 0.0], [float("nan"), 0.0]], requires_grad=True)
    loss = F.cross_entropy(x, tg.Tensor([1, -100]), ignore_index=-100)
    np.testing.assert_allclose(loss.item(), math.log(2), rtol=1e-6)


def formula(name, x, t):
    d = abs(x - t)
    return {
        "l1": d,
        "smooth": d * d / 0.6 if d < 0.3 else d - 0.15,
        "huber": d * d / 2 if d <= 0.3 else 0.3 * (d - 0.15),
    }[name]


DISTANCES = {
    "l1": nn.L1Loss,
    "smooth": lambda reduction: nn.SmoothL1Loss(reduction, beta=0.3),
    "huber": lambda reduction: nn.HuberLoss(reduction, delta=0.3),
}


@pytest.mark.parametrize("reduction", REDUCE)
@pytest.mark.parametrize("name", DISTANCES)
def test_distances(name, reduction):
    x, t = draw((3, 4)), draw((3, 4), 1)
    x[0] = t[0] + [0.1, -0.2, 0.0, 0.25]
    expected = [[formula(name, a, b) for a, b in zip(*rows, strict=True)] for rows in zip(x, t, strict=True)]
    layer = DISTANCES[name](reduction)
    np.testing.assert_allclose(layer(tg.Tensor(x), tg.Tensor(t)).numpy(), REDUCE[reduction](expected), rtol=1e-10)
    x[0, 2] += 0.05  # not at the kink of |d|
    tg.testing.check_grad(lambda x: layer(x, tg.Tensor(t)), [x], order=2)


def test_probabilities_of_0_and_1_cost_at_most_100():
    p = tg.Tensor([0.0, 1.0, 0.25], requires_grad=True)
    loss = nn.BCELoss(reduction="none")(p, tg.Tensor([1.0, 1.0, 0.0]))
    np.testing.assert_allclose(loss.numpy(), [100, 0, -math.log(0.75)], rtol=1e-3, atol=1e-6)
    loss.sum().backward()
    assert np.isfinite(p.grad.numpy()).all()


def test_divergence():
    q, p = np.log([[0.2, 0.8], [0.5, 0.5]]), np.array([[0.5, 0.5], [1.0, 0.0]])
    expected = 0.5 * math.log(0.5 / 0.2) + 0.5 * math.log(0.5 / 0.8) + math.log(1 / 0.5)
    found = nn.KLDivLoss("batchmean")(tg.Tensor(q), tg.Tensor(p)).item()
    np.testing.assert_allclose(found, expected / 2, rtol=1e-12)
    with np.errstate(divide="ignore"):
        logarithms = np.log(np.maximum(p, 1e-300))
    found = F.kl_div(tg.Tensor(q), tg.Tensor(logarithms), "sum", log_target=True).item()
    np.testing.assert_allclose(found, expected, rtol=1e-12)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda x, t: F.cross_entropy(x, t, label_smoothing=1.5), "label_smoothing is no share"),
        (lambda x, t: F.cross_entropy(x, t, tg.Tensor([1.0])), "weight has shape (1,) for 3 classes"),
        (lambda x, t: F.cross_entropy(x, x, ignore_index=0), "probabilities have no class number to ignore"),
        (lambda x, t: F.huber_loss(x, x, delta=0.0), "delta is a length"),
        (lambda x, t: F.smooth_l1_loss(x, x, beta=-1.0), "beta is a length"),
        (lambda x, t: F.l1_loss(x, tg.Tensor([1.0])), "input and target have different shapes"),
    ],
)
def test_mistakes(call, words):
    with pytest.raises((ArgumentError, ShapeError)) as caught:
        call(tg.Tensor(draw((2, 3)), dtype="float32"), tg.Tensor([0, 1]))
    assert words in str(caught.value)

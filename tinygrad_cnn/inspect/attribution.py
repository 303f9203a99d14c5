"""Which pixels a decision rests on, and how little must change to turn it."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from ..autodiff import grad
from ..errors import ArgumentError
from ..mode import no_grad
from ..nn import functional as F
from ..nn.module import Module
from ..ops.elementwise import abs, mul, relu, sign
from ..ops.reduce import amax, argmax, mean, sum
from ..ops.resample import interpolate
from ..ops.shape import stack
from ..tensor import Tensor
from .activations import layer_and_result, untouched


def _scores_of(logits: Tensor, classes: Tensor | None) -> Tensor:
    """The sum over the batch of the score of each image's class; without classes, of the largest."""
    chosen = argmax(logits.detach(), 1) if classes is None else classes
    if chosen.shape != logits.shape[:1]:
        raise ArgumentError(
            "saliency", "there must be a class for each image", got=repr(chosen.spec), expected=f"{logits.shape[:1]}"
        )
    return sum(mul(logits, F.one_hot(chosen, logits.shape[1]).to(logits.dtype)))


def _slope(model: Module, images: Tensor, classes: Tensor | None) -> Tensor:
    x = Tensor(images.numpy(), requires_grad=True, device=images.device)
    return grad(_scores_of(model(x), classes), x)


def saliency(model: Module, images: Tensor, classes: Tensor | None = None) -> Tensor:
    """``max over channels of |d score / d pixel|``: how much each pixel could change a decision. (Simonyan, 2014)

    Args:
        model: left as it is; it is run in evaluation and gives logits ``(N, classes)``.
        images: ``(N, C, H, W)``.
        classes: ``(N,)``, whose scores are meant; without it, for each image the largest.

    Returns ``(N, H, W)``.

    Raises :class:`ArgumentError` where images and classes do not go together.

    >>> from tinygrad_cnn import nn
    >>> saliency(nn.Sequential(nn.Flatten(), nn.Linear(4, 2)), Tensor([[[[0.0, 1.0], [2.0, 3.0]]]])).shape
    (1, 2, 2)
    """
    with untouched(model):
        return amax(abs(_slope(model, images, classes)), 1)


def smooth_grad(
    model: Module, images: Tensor, classes: Tensor | None = None, samples: int = 16, noise: float = 0.1, seed: int = 0
) -> Tensor:
    """:func:`saliency` averaged over noisy copies of the image: less speckled. (Smilkov et al., 2017)

    Args:
        model: as for :func:`saliency`.
        images: ``(N, C, H, W)``.
        classes: ``(N,)``, as for :func:`saliency`, chosen once for the images without noise.
        samples: how many copies.
        noise: their standard deviation, as a share of the range of the images.
        seed: decides the noise.

    Returns ``(N, H, W)``.

    Raises :class:`ArgumentError` for less than one copy, and what :func:`saliency` raises.

    >>> from tinygrad_cnn import nn
    >>> model = nn.Sequential(nn.Flatten(), nn.Linear(4, 2))
    >>> smooth_grad(model, Tensor([[[[0.0, 1.0], [2.0, 3.0]]]]), samples=2).shape
    (1, 2, 2)
    """
    if samples < 1:
        raise ArgumentError("smooth_grad", "copies are counted from 1", got=f"samples={samples}")
    random = np.random.default_rng(seed)
    numbers = images.numpy()
    spread = noise * float(numbers.max() - numbers.min()) if numbers.size else 0.0
    with untouched(model):
        if classes is None:
            with no_grad():
                classes = argmax(model(images), 1)
        slopes = []
        for _ in range(samples):
            noisy = numbers + (spread * random.standard_normal(numbers.shape)).astype(numbers.dtype)
            slopes.append(abs(_slope(model, Tensor(noisy, device=images.device), classes)))
        return amax(mean(stack(slopes), 0), 1)


def grad_cam(model: Module, layer: str, images: Tensor, classes: Tensor | None = None) -> Tensor:
    """Where a convolutional layer sees what speaks for a class. (Selvaraju et al., 2017, equations 1 and 2)

    The channels of the layer, each weighted by the mean of its gradient, are added up; what is negative is cut off.

    Args:
        model: as for :func:`saliency`.
        layer: a layer whose output is ``(N, C, h, w)``: usually the last convolution.
        images: ``(N, C, H, W)``.
        classes: as for :func:`saliency`.

    Returns ``(N, H, W)``: the map enlarged to the size of the images.

    Raises :class:`ArgumentError` for a layer that does not exist or has no places.

    >>> from tinygrad_cnn import nn
    >>> model = nn.Sequential(nn.Conv2d(1, 3, 3), nn.GlobalAvgPool2d(), nn.Linear(3, 2))
    >>> grad_cam(model, "0", Tensor(np.ones((1, 1, 6, 6), "float32"))).shape
    (1, 6, 6)
    """
    with untouched(model):
        x = Tensor(images.numpy(), requires_grad=True, device=images.device)
        output, logits = layer_and_result(model, layer, x)
        if output.ndim != 4:
            raise ArgumentError(
                "grad_cam", f"the output of {layer!r} has no places", got=repr(output.spec), expected="(N, C, h, w)",
                fix="choose a convolution, or what follows it, before the image is flattened",
            )  # fmt: skip
        slope = grad(_scores_of(logits, classes), output)
        heat = relu(sum(mul(mean(slope, [2, 3], keepdim=True), output.detach()), 1, keepdim=True))
        return interpolate(heat.detach(), images.shape[2:], mode="bilinear", align_corners=False).squeeze(1)


class Adversarial(NamedTuple):
    """Images that were changed to be misread."""

    images: Tensor
    before: Tensor
    """The class that each image was given."""
    after: Tensor
    """The class that the changed image is given."""


def fgsm(
    model: Module, images: Tensor, classes: Tensor, epsilon: float = 0.1, low: float = 0.0, high: float = 1.0
) -> Adversarial:
    """Each pixel moved by ``epsilon`` in the direction that makes the loss grow. (Goodfellow et al., 2015, section 4)

    Args:
        model: as for :func:`saliency`.
        images: ``(N, C, H, W)``.
        classes: ``(N,)``, the true ones.
        epsilon: how far, in grey values.
        low: the least grey value there is.
        high: the largest.

    Raises :class:`ArgumentError` for an ``epsilon`` below 0.

    >>> from tinygrad_cnn import nn
    >>> model = nn.Sequential(nn.Flatten(), nn.Linear(4, 2))
    >>> changed = fgsm(model, Tensor([[[[0.0, 1.0], [0.5, 0.5]]]]), Tensor([1]), epsilon=0.25)
    >>> changed.images.shape, changed.after.shape
    ((1, 1, 2, 2), (1,))
    """
    if epsilon < 0:
        raise ArgumentError("fgsm", "epsilon is a distance", got=f"epsilon={epsilon}", expected="0 or more")
    with untouched(model):
        x = Tensor(images.numpy(), requires_grad=True, device=images.device)
        logits = model(x)
        slope = grad(F.cross_entropy(logits, classes), x)
        changed = (images.detach() + sign(slope) * epsilon).clip(low, high)
        with no_grad():
            after = argmax(model(changed), 1)
        return Adversarial(changed, argmax(logits.detach(), 1), after)

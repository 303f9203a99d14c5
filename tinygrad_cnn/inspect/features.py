"""What a unit looks for: images made by climbing the gradient in the input."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from ..autodiff import grad
from ..errors import ArgumentError
from ..nn.module import Module
from ..ops.elementwise import sqrt, square
from ..ops.reduce import mean
from ..ops.resample import interpolate
from ..tensor import Tensor
from .activations import layer_output, untouched

Objective = Callable[[Tensor], Tensor]
"""From the output of a layer ``(1, C, ...)`` to the number that is to grow."""


def unit(channel: int, place: Sequence[int] | None = None) -> Objective:
    """One channel (or class) of a layer: its mean over all places, or one place of it.

    >>> unit(1)(Tensor([[0.0, 7.0]]))
    Tensor(7.)
    """

    def objective(output: Tensor) -> Tensor:
        if not -output.shape[1] <= channel < output.shape[1]:
            raise ArgumentError(
                "unit", f"there is no channel {channel}", got=repr(output.spec),
                expected=f"0 to {output.shape[1] - 1}",
            )  # fmt: skip
        whole = output[:, channel]
        return mean(whole if place is None else whole[(slice(None), *place)])

    return objective


def ascend(
    model: Module,
    layer: str,
    objective: Objective | int,
    input_shape: Sequence[int] | None = None,
    start: Tensor | None = None,
    steps: int = 100,
    lr: float = 0.05,
    decay: float = 0.0,
    jitter: int = 0,
    seed: int = 0,
) -> Tensor:
    """An image that makes a unit as active as possible, found by gradient ascent on the input.

    It starts from grey with a little noise. Each step goes along the gradient, divided by its root mean square, and
    cuts the image off at 0 and 1. (Erhan et al., 2009; Simonyan et al., 2014, section 2)

    Args:
        model: left as it is; it is run in evaluation.
        layer: a name of ``model.named_modules()``; ``""`` is the model itself, whose channels are the classes.
        objective: the channel, see :func:`unit`, or a function of the layer's output.
        input_shape: the shape of the image with its batch axis, such as ``(1, 1, 32, 32)``.
        start: the image to start from, instead.
        steps: how many.
        lr: how large, in grey values.
        decay: the share of the distance from grey that is taken back in each step: keeps unimportant pixels grey.
        jitter: the image is moved by up to so many pixels before each step, and back after it: smooths it.
        seed: decides noise and jitter.

    Returns the image.

    Raises :class:`ArgumentError` for a layer or channel that does not exist, and unless one of ``input_shape`` and
    ``start`` is given.

    >>> from tinygrad_cnn import nn
    >>> ascend(nn.Conv2d(1, 2, 3), "", 0, (1, 1, 8, 8), steps=2).shape
    (1, 1, 8, 8)
    """
    if (input_shape is None) == (start is None):
        raise ArgumentError(
            "ascend", "one of input_shape and start must be given", got=f"input_shape={input_shape}, start={start}"
        )
    random = np.random.default_rng(seed)
    aim = unit(objective) if isinstance(objective, int) else objective
    if start is None:
        start = Tensor((0.5 + 0.05 * random.standard_normal(tuple(input_shape or ()))).astype(np.float32))
    image = start.numpy()
    with untouched(model):
        for _ in range(steps):
            shift = random.integers(-jitter, jitter + 1, 2)
            x = Tensor(np.roll(image, shift, (-2, -1)), requires_grad=True, device=start.device)
            slope = grad(aim(layer_output(model, layer, x)), x)
            size = float(sqrt(mean(square(slope))).item())
            x = x.detach() + slope * (lr / max(size, 1e-12))
            x = (0.5 + (x - 0.5) * (1.0 - decay)).clip(0.0, 1.0)
            image = np.roll(x.numpy(), -shift, (-2, -1))
    return Tensor(image, device=start.device)


def deep_dream(
    model: Module,
    layer: str,
    image: Tensor,
    objective: Objective | int | None = None,
    octaves: int = 3,
    octave_scale: float = 1.4,
    steps: int = 10,
    lr: float = 0.02,
    jitter: int = 2,
    seed: int = 0,
) -> Tensor:
    """A picture with more of what a layer sees in it, at several sizes. (Mordvintsev et al., 2015)

    The picture is made small, changed, enlarged by ``octave_scale``, its lost detail added again, changed, and so on
    up to its own size.

    Args:
        model: left as it is; it must take images of any size up to that of ``layer``.
        layer: a name of ``model.named_modules()``.
        image: ``(1, C, H, W)`` from 0 to 1.
        objective: what is to grow; without it the mean square of the layer's output.
        octaves: how many sizes.
        octave_scale: how much larger each is than the one before.
        steps: how many on each size.
        lr: how large, in grey values.
        jitter: see :func:`ascend`.
        seed: decides the jitter.

    Returns an image of the same shape.

    Raises :class:`ArgumentError` for a layer that does not exist.

    >>> from tinygrad_cnn import nn
    >>> deep_dream(nn.Conv2d(1, 2, 3), "", Tensor(np.full((1, 1, 9, 9), 0.5, "float32")), octaves=2, steps=1).shape
    (1, 1, 9, 9)
    """
    aim = objective if objective is not None else lambda output: mean(square(output))
    height, width = image.shape[-2:]
    sizes = [
        (max(1, round(height / octave_scale**back)), max(1, round(width / octave_scale**back)))
        for back in reversed(range(octaves))
    ]
    dream = _resized(image.detach(), sizes[0])
    for number, size in enumerate(sizes):
        original = _resized(image.detach(), size)
        if number:
            lost = original - _resized(_resized(image.detach(), sizes[number - 1]), size)
            dream = (_resized(dream, size) + lost).clip(0.0, 1.0)
        dream = ascend(model, layer, aim, start=dream, steps=steps, lr=lr, jitter=jitter, seed=seed + number)
    return dream


def _resized(image: Tensor, size: tuple[int, int]) -> Tensor:
    return image if image.shape[-2:] == size else interpolate(image, size, mode="bilinear", align_corners=False)

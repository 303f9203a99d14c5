"""Changes of images: random ones that leave the meaning as it is, so that a network sees more than was collected, and
fixed ones of size and scale.

Each is called as ``transform(images, random)`` on a batch (N, C, H, W), changes every image by its own random amounts
and gives a new batch of the same type on the same device. The amounts come from the generator alone, so a seed repeats
them; without one they follow from :func:`tinygrad_cnn.seed`. Names and settings are torchvision's where it has such a
thing. Pairs of spoilt and good images come from a data set that holds each image twice, in a loader whose
``transform`` spoils the first.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from ..backend.random import default_generator
from ..errors import ArgumentError, DTypeError, ShapeError
from ..tensor import Tensor


class ImageTransform:
    """The form that all changes have: the batch is checked, then changed as a NumPy array."""

    needs_numbers = False
    """Whether the pixels are computed with, so that they must be floating-point numbers."""

    def __call__(self, images: Tensor, random: np.random.Generator | None = None) -> Tensor:
        """The changed images, on the same device.

        Raises :class:`ShapeError` unless they are (N, C, H, W), :class:`DTypeError` for whole numbers where a change
        computes with pixels.
        """
        name = type(self).__name__
        if images.ndim != 4:
            raise ShapeError(
                name, "these are no images", got=repr(images.spec), expected="(N, C, H, W)",
                fix="one image is a batch of one: image.unsqueeze(0)" if images.ndim == 3 else "",
            )  # fmt: skip
        if self.needs_numbers and images.dtype.kind != "f":
            raise DTypeError(
                name, f"pixels of {images.dtype} cannot be changed by fractions", got=repr(images.spec),
                expected="floating-point pixels, usually from 0 to 1",
                fix='pixels 0 to 255: tg.Tensor(images.numpy() / 255, dtype="float32")',
            )  # fmt: skip
        changed = self.change(images.numpy(), default_generator.numpy if random is None else random)
        return Tensor(changed.astype(images.dtype, copy=False), device=images.device)

    def change(self, images: np.ndarray, random: np.random.Generator) -> np.ndarray:
        """The changed images, (N, C, H, W) before and after."""
        raise NotImplementedError


@dataclass(frozen=True)
class Compose:
    """Several changes, one after the other.

    >>> Compose([Normalize(0.5, 0.5), Normalize(0, 2)])(Tensor([[[[1.0]]]])).item()
    0.5
    """

    transforms: Sequence[Callable[[Tensor, np.random.Generator | None], Tensor]]

    def __call__(self, images: Tensor, random: np.random.Generator | None = None) -> Tensor:
        for transform in self.transforms:
            images = transform(images, random)
        return images


@dataclass(frozen=True)
class RandomAffine(ImageTransform):
    """Turns, shifts and scales each image of a batch by its own random amounts; what comes in from outside is 0.

    Args:
        degrees: the largest angle to either side.
        translate: the largest shift, down and across, as shares of height and width.
        scale: smallest and largest factor.

    Pixels are read between four neighbours, linearly. Raises :class:`ArgumentError` for amounts out of range.

    >>> shift = RandomAffine(degrees=0, translate=(0, 0.5))
    >>> image = Tensor([[[[0.0, 1.0, 0.0, 0.0]]]])
    >>> shift(image, np.random.default_rng(0)).shape
    (1, 1, 1, 4)
    """

    degrees: float
    translate: tuple[float, float] = (0.0, 0.0)
    scale: tuple[float, float] = (1.0, 1.0)
    needs_numbers = True

    def __post_init__(self) -> None:
        if self.degrees < 0 or min(self.translate) < 0 or not 0 < self.scale[0] <= self.scale[1]:
            raise _out_of_range(self, "degrees >= 0, translate >= 0, 0 < smallest scale <= largest scale")

    def change(self, images: np.ndarray, random: np.random.Generator) -> np.ndarray:
        n, _, height, width = images.shape
        angle = np.deg2rad(random.uniform(-self.degrees, self.degrees, n))
        scale = random.uniform(*self.scale, n)
        down = random.uniform(-1, 1, n) * self.translate[0] * height
        across = random.uniform(-1, 1, n) * self.translate[1] * width
        # Each new pixel (y, x), seen from the image's centre, is read where the inverse change takes it: (N, H, W).
        y = (np.arange(height) - (height - 1) / 2)[None, :, None] - down[:, None, None]
        x = (np.arange(width) - (width - 1) / 2)[None, None, :] - across[:, None, None]
        cos, sin = ((f(angle) / scale)[:, None, None] for f in (np.cos, np.sin))
        return _read(images, cos * y - sin * x + (height - 1) / 2, sin * y + cos * x + (width - 1) / 2)


@dataclass(frozen=True)
class RandomHorizontalFlip(ImageTransform):
    """Mirrors each image left to right, with probability ``p``.

    >>> RandomHorizontalFlip(p=1)(Tensor([[[[1.0, 2.0]]]])).tolist()
    [[[[2.0, 1.0]]]]
    """

    p: float = 0.5

    def __post_init__(self) -> None:
        _check_probability(self, self.p)

    def change(self, images: np.ndarray, random: np.random.Generator) -> np.ndarray:
        return np.where(_chosen(self.p, images, random), images[:, :, :, ::-1], images)


@dataclass(frozen=True)
class RandomVerticalFlip(ImageTransform):
    """Turns each image upside down, as in a lake, with probability ``p``.

    >>> RandomVerticalFlip(p=1)(Tensor([[[[1.0], [2.0]]]])).tolist()
    [[[[2.0], [1.0]]]]
    """

    p: float = 0.5

    def __post_init__(self) -> None:
        _check_probability(self, self.p)

    def change(self, images: np.ndarray, random: np.random.Generator) -> np.ndarray:
        return np.where(_chosen(self.p, images, random), images[:, :, ::-1], images)


@dataclass(frozen=True)
class RandomCrop(ImageTransform):
    """Cuts a rectangle out of each image, at a random place.

    Args:
        size: height and width of the rectangle; one number for a square.
        padding: pixels of value 0 that are put around the image first. So ``RandomCrop(32, padding=4)`` shifts images
            of 32x32 pixels by up to 4. (Krizhevsky et al., 2012; He et al., 2016, section 4.2)

    Raises :class:`ArgumentError` for a ``size`` below 1 or negative ``padding``, :class:`ShapeError` for an image that
    is smaller with its padding.

    >>> RandomCrop((1, 1))(Tensor([[[[3.0, 3.0]]]])).tolist()
    [[[[3.0]]]]
    """

    size: int | tuple[int, int]
    padding: int = 0

    def __post_init__(self) -> None:
        if min(_pair(self.size)) < 1 or self.padding < 0:
            raise _out_of_range(self, "size >= 1, padding >= 0")

    def change(self, images: np.ndarray, random: np.random.Generator) -> np.ndarray:
        height, width = _pair(self.size)
        border = (self.padding, self.padding)
        padded = np.pad(images, ((0, 0), (0, 0), border, border))
        n, channels = images.shape[:2]
        _check_room(self, padded, height, width)
        top = random.integers(padded.shape[2] - height + 1, size=n)
        left = random.integers(padded.shape[3] - width + 1, size=n)
        result = np.empty((n, channels, height, width), images.dtype)
        for i, (y, x) in enumerate(zip(top.tolist(), left.tolist(), strict=True)):
            result[i] = padded[i, :, y : y + height, x : x + width]
        return result


@dataclass(frozen=True)
class CenterCrop(ImageTransform):
    """Cuts the middle out of each image.

    Args:
        size: height and width of the rectangle; one number for a square. Where it cannot lie exactly in the middle, it
            lies half a pixel higher or further left.

    Raises :class:`ArgumentError` for a ``size`` below 1, :class:`ShapeError` for smaller images.

    >>> CenterCrop(1)(Tensor([[[[1.0, 2.0, 3.0]]]])).tolist()
    [[[[2.0]]]]
    """

    size: int | tuple[int, int]

    def __post_init__(self) -> None:
        if min(_pair(self.size)) < 1:
            raise _out_of_range(self, "size >= 1")

    def change(self, images: np.ndarray, random: np.random.Generator) -> np.ndarray:
        height, width = _pair(self.size)
        _check_room(self, images, height, width)
        top, left = (images.shape[2] - height) // 2, (images.shape[3] - width) // 2
        return images[:, :, top : top + height, left : left + width]


@dataclass(frozen=True)
class Resize(ImageTransform):
    """Makes images larger or smaller, by linear interpolation; smaller ones of all pixels that fall together.

    Args:
        size: the new height and width, or one number for the shorter side, with the shape kept.

    Raises :class:`ArgumentError` for a ``size`` below 1.

    >>> Resize((1, 2))(Tensor([[[[1.0, 3.0, 5.0, 7.0]]]])).shape
    (1, 1, 1, 2)
    """

    size: int | tuple[int, int]
    needs_numbers = True

    def __post_init__(self) -> None:
        if min(_pair(self.size)) < 1:
            raise _out_of_range(self, "size >= 1")

    def change(self, images: np.ndarray, random: np.random.Generator) -> np.ndarray:
        old = images.shape[2:]
        size = self.size
        height, width = (max(size, size * side // min(old)) for side in old) if isinstance(size, int) else size
        rows, columns = (interpolation(a, b).astype(images.dtype) for a, b in zip(old, (height, width), strict=True))
        resized: np.ndarray = rows @ images @ columns.T  # (height, H) @ (N, C, H, W) @ (W, width)
        return resized


@dataclass(frozen=True)
class ColorJitter(ImageTransform):
    """Makes each image brighter or darker, then of more or less contrast.

    Args:
        brightness: all pixels are multiplied by a factor from ``max(0, 1 - brightness)`` to ``1 + brightness``.
        contrast: the distance of all pixels from the image's mean grey is multiplied by such a factor.

    What leaves the range 0 to 1 is put at its end. The mean grey of three channels is that of
    :class:`Grayscale`; of any other number it is the plain mean. Raises :class:`ArgumentError` for negative amounts.

    >>> ColorJitter()(Tensor([[[[0.25]]]])).item()
    0.25
    """

    brightness: float = 0.0
    contrast: float = 0.0
    needs_numbers = True

    def __post_init__(self) -> None:
        if min(self.brightness, self.contrast) < 0:
            raise _out_of_range(self, "brightness >= 0, contrast >= 0")

    def change(self, images: np.ndarray, random: np.random.Generator) -> np.ndarray:
        bright, contrast = (
            random.uniform(max(0, 1 - amount), 1 + amount, len(images)).astype(images.dtype)[:, None, None, None]
            for amount in (self.brightness, self.contrast)
        )
        images = np.clip(images * bright, 0, 1) if self.brightness else images
        if not self.contrast:
            return images
        grey = (_luma(images) if images.shape[1] == 3 else images.mean(1)).mean((1, 2))[:, None, None, None]
        changed: np.ndarray = np.clip(grey + contrast * (images - grey), 0, 1)
        return changed


@dataclass(frozen=True)
class Grayscale(ImageTransform):
    """Takes the colour out: ``0.299 red + 0.587 green + 0.114 blue``, as bright as it looks. (ITU-R BT.601, 1982)

    Args:
        num_output_channels: 1, or 3 for three equal channels.

    Raises :class:`ArgumentError` for another number, :class:`ShapeError` for images without three channels.

    >>> Grayscale()(Tensor(np.ones((1, 3, 1, 1), np.float32))).tolist()
    [[[[1.0]]]]
    """

    num_output_channels: int = 1
    needs_numbers = True

    def __post_init__(self) -> None:
        if self.num_output_channels not in (1, 3):
            raise _out_of_range(self, "num_output_channels 1 or 3")

    def change(self, images: np.ndarray, random: np.random.Generator) -> np.ndarray:
        if images.shape[1] != 3:
            raise ShapeError("Grayscale", f"images of {images.shape[1]} channels have no colour to take out",
                             got=f"{images.shape}", expected="(N, 3, H, W): red, green, blue")  # fmt: skip
        grey = _luma(images)[:, None]  # (N, 1, H, W)
        return grey.repeat(self.num_output_channels, 1)


@dataclass(frozen=True)
class Watermark(ImageTransform):
    """Puts a white grid of slanting lines over each image, at a random place.

    Args:
        opacity: how much the lines cover, from 0 to 1: ``(1 - opacity) * image + opacity``.
        spacing: pixels from a line to the next, across.
        thickness: of a line, in pixels across.

    Raises :class:`ArgumentError` for amounts out of range.

    >>> Watermark(opacity=0.5, spacing=1, thickness=1)(Tensor([[[[0.0]]]])).item()
    0.5
    """

    opacity: float = 0.5
    spacing: int = 16
    thickness: int = 2
    needs_numbers = True

    def __post_init__(self) -> None:
        if not 0 <= self.opacity <= 1 or not 1 <= self.thickness <= self.spacing:
            raise _out_of_range(self, "0 <= opacity <= 1, 1 <= thickness <= spacing")

    def change(self, images: np.ndarray, random: np.random.Generator) -> np.ndarray:
        y, x = np.indices(images.shape[2:])
        down, across = random.integers(self.spacing, size=(2, len(images), 1, 1))
        lines = [(x + across + slope * (y + down)) % self.spacing < self.thickness for slope in (-1, 1)]
        mark = (lines[0] | lines[1])[:, None].astype(images.dtype) * images.dtype.type(self.opacity)
        marked: np.ndarray = images * (1 - mark) + mark
        return marked


@dataclass(frozen=True)
class GaussianNoise(ImageTransform):
    """Adds to each number its own normally distributed random one.

    Args:
        mean: of the distribution.
        sigma: its standard deviation, in units of the pixels.
        clip: whether what leaves the range 0 to 1 is put at its end.

    Raises :class:`ArgumentError` for a negative ``sigma``.

    >>> GaussianNoise(mean=0.5, sigma=0)(Tensor([[[[0.25]]]])).item()
    0.75
    """

    mean: float = 0.0
    sigma: float = 0.1
    clip: bool = True
    needs_numbers = True

    def __post_init__(self) -> None:
        if self.sigma < 0:
            raise _out_of_range(self, "sigma >= 0")

    def change(self, images: np.ndarray, random: np.random.Generator) -> np.ndarray:
        noise = random.standard_normal(images.shape, np.float32) * np.float32(self.sigma) + np.float32(self.mean)
        noisy: np.ndarray = images + noise
        return noisy.clip(0, 1) if self.clip else noisy


@dataclass(frozen=True)
class Cutout(ImageTransform):
    """Sets a square of each image to 0. Its centre is any pixel, so part of the square may lie outside. (DeVries and
    Taylor, 2017)

    Args:
        size: side of the square in pixels.

    Raises :class:`ArgumentError` for a ``size`` below 1.

    >>> Cutout(1)(Tensor([[[[5.0]]]])).item()
    0.0
    """

    size: int

    def __post_init__(self) -> None:
        if self.size < 1:
            raise _out_of_range(self, "size >= 1")

    def change(self, images: np.ndarray, random: np.random.Generator) -> np.ndarray:
        n, _, height, width = images.shape
        inside = [
            (np.arange(side) >= start) & (np.arange(side) < start + self.size)  # (N, side)
            for side in (height, width)
            for start in [random.integers(side, size=(n, 1)) - self.size // 2]
        ]
        square = inside[0][:, None, :, None] & inside[1][:, None, None, :]
        return np.where(square, images.dtype.type(0), images)


@dataclass(frozen=True)
class Normalize(ImageTransform):
    """``(images - mean) / std``, channel by channel.

    Args:
        mean: one number for each channel, or one for all.
        std: likewise; not 0.

    Raises :class:`ArgumentError` for a ``std`` of 0, :class:`ShapeError` for images of another number of channels.

    >>> Normalize(0.5, 0.25)(Tensor([[[[1.0]]]])).item()
    2.0
    """

    mean: float | Sequence[float]
    std: float | Sequence[float]
    needs_numbers = True

    def __post_init__(self) -> None:
        if not np.all(self.std):
            raise _out_of_range(self, "std != 0")

    def change(self, images: np.ndarray, random: np.random.Generator) -> np.ndarray:
        mean, std = (np.asarray(value, images.dtype).reshape(-1, 1, 1) for value in (self.mean, self.std))
        channels = images.shape[1]
        if {len(mean), len(std)} - {1, channels}:
            raise ShapeError(
                "Normalize", f"there are not as many numbers as channels: {channels}", got=repr(self),
                expected=f"mean and std of {channels} numbers, or one each",
            )  # fmt: skip
        normalized: np.ndarray = (images - mean) / std
        return normalized


@dataclass(frozen=True)
class MixUp:
    """Mixes each image of a batch with another one of it, and their labels alike. (Zhang et al., 2018)

    ``images = lam * images + (1 - lam) * others`` with one ``lam`` for the batch, drawn from Beta(alpha, alpha).
    Give it to a loader as ``batch_transform``; :func:`~tinygrad_cnn.nn.functional.cross_entropy` takes mixed labels.

    Args:
        num_classes: how many classes there are.
        alpha: above 0; the smaller, the nearer is ``lam`` to 0 or 1.

    Raises :class:`ArgumentError` for an ``alpha`` of 0 or less.

    >>> images, labels = MixUp(2)((Tensor([[1.0]]), Tensor([1])))
    >>> images.tolist(), labels.tolist()
    ([[1.0]], [[0.0, 1.0]])
    """

    num_classes: int
    alpha: float = 1.0

    def __post_init__(self) -> None:
        if self.alpha <= 0 or self.num_classes < 1:
            raise _out_of_range(self, "alpha > 0, num_classes >= 1")

    def __call__(self, batch: tuple[Tensor, ...], random: np.random.Generator | None = None) -> tuple[Tensor, ...]:
        """Images (N, ...) and labels (N,) to mixed images and soft labels (N, num_classes) of the images' type.

        Raises :class:`ShapeError` for another batch, :class:`DTypeError` for labels that are no whole numbers or images
        that are, :class:`ArgumentError` for labels outside the classes.
        """
        if len(batch) != 2 or batch[1].ndim != 1 or not batch[0].ndim or len(batch[0]) != len(batch[1]):
            raise ShapeError("MixUp", "this is no batch of images and labels",
                             got=", ".join(repr(tensor.spec) for tensor in batch),
                             expected="images (N, ...) and labels (N,)")  # fmt: skip
        images, labels = (tensor.numpy() for tensor in batch)
        if images.dtype.kind != "f" or labels.dtype.kind not in "iu":
            raise DTypeError("MixUp", "images are mixed as fractions, labels are class numbers",
                             got=f"images {images.dtype}, labels {labels.dtype}",
                             expected="floating-point images, integer labels")  # fmt: skip
        if labels.size and not 0 <= labels.min() <= labels.max() < self.num_classes:
            raise ArgumentError("MixUp", "a label is outside the classes", got=f"{labels.min()} to {labels.max()}",
                                expected=f"0 to {self.num_classes - 1}")  # fmt: skip
        random = default_generator.numpy if random is None else random
        lam = images.dtype.type(random.beta(self.alpha, self.alpha))
        others = random.permutation(len(images))
        soft = np.eye(self.num_classes, dtype=images.dtype)[labels]
        return tuple(Tensor(lam * part + (1 - lam) * part[others], device=batch[0].device) for part in (images, soft))


@dataclass(frozen=True)
class Together:
    """The same random change of all images of a batch, such as a photograph and the mask that belongs to it.

    Give it to a loader as ``batch_transform``. Tensors that are no images (N, C, H, W) stay as they are.

    Args:
        transform: a change, or a :class:`Compose` of several.

    >>> flip = Together(RandomHorizontalFlip(p=1))
    >>> [part.tolist() for part in flip((Tensor([[[[1.0, 2.0]]]]), Tensor([7])))]
    [[[[[2.0, 1.0]]]], [7]]
    """

    transform: Callable[[Tensor, np.random.Generator], Tensor]

    def __call__(self, batch: tuple[Tensor, ...], random: np.random.Generator | None = None) -> tuple[Tensor, ...]:
        seed = (default_generator.numpy if random is None else random).integers(2**63)
        return tuple(self.transform(part, np.random.default_rng(seed)) if part.ndim == 4 else part for part in batch)


def interpolation(old: int, new: int) -> np.ndarray:
    """The matrix (new, old) that makes a row of ``new`` pixels from one of ``old``.

    A pixel is weighed by its distance from the place that is read, down to 0 at one pixel of the coarser of both rows.

    >>> interpolation(4, 2)[0]
    array([0.42857143, 0.42857143, 0.14285714, 0.        ])
    """
    places = (np.arange(new) + 0.5) * old / new - 0.5
    weights = np.maximum(0, 1 - np.abs(places[:, None] - np.arange(old)) / max(1, old / new))
    result: np.ndarray = weights / weights.sum(1, keepdims=True)
    return result


def _luma(images: np.ndarray) -> np.ndarray:
    """The brightness of images in red, green and blue: (N, 3, H, W) to (N, H, W)."""
    luma: np.ndarray = np.einsum("nchw,c->nhw", images, np.array([0.299, 0.587, 0.114], images.dtype))
    return luma


def _pair(size: int | tuple[int, int]) -> tuple[int, int]:
    return (size, size) if isinstance(size, int) else size


def _chosen(p: float, images: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Which images are changed, (N, 1, 1, 1)."""
    return random.random((len(images), 1, 1, 1)) < p


def _check_probability(transform: object, p: float) -> None:
    if not 0 <= p <= 1:
        raise _out_of_range(transform, "0 <= p <= 1")


def _check_room(transform: object, images: np.ndarray, height: int, width: int) -> None:
    if images.shape[2] < height or images.shape[3] < width:
        raise ShapeError(
            type(transform).__name__, "the images are smaller than what is cut out of them",
            got=f"{images.shape[2]}x{images.shape[3]} pixels (with padding), {transform!r}",
            expected=f"H >= {height} and W >= {width}", fix="make them larger first, with Resize, or use padding",
        )  # fmt: skip


def _out_of_range(transform: object, expected: str) -> ArgumentError:
    return ArgumentError(type(transform).__name__, "an amount is out of range", got=repr(transform), expected=expected)


def _read(images: np.ndarray, y: np.ndarray, x: np.ndarray) -> np.ndarray:
    """Images (N, C, H, W) read at places (N, H, W) between pixels; 0 outside."""
    n, channels, height, width = images.shape
    wide = width + 2
    padded = np.pad(images, ((0, 0), (0, 0), (1, 1), (1, 1))).reshape(n, channels, wide * (height + 2))
    y, x = np.clip(y + 1, 0, height + 1), np.clip(x + 1, 0, width + 1)
    top, left = np.minimum(y.astype(np.intp), height), np.minimum(x.astype(np.intp), width)
    fy, fx = (y - top).astype(images.dtype), (x - left).astype(images.dtype)
    corner = (top * wide + left).reshape(n, 1, height * width)
    result = np.zeros(images.shape, images.dtype)
    for step, weight in ((0, (1 - fy) * (1 - fx)), (1, (1 - fy) * fx), (wide, fy * (1 - fx)), (wide + 1, fy * fx)):
        result += weight[:, None] * np.take_along_axis(padded, corner + step, 2).reshape(images.shape)
    return result

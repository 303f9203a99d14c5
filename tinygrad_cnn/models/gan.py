"""Generative adversarial networks: one network makes images, the other tells them from real ones."""

from __future__ import annotations

from .. import nn
from ..errors import ArgumentError, ShapeError
from ..tensor import Tensor


def _halvings(name: str, image_size: int) -> tuple[int, int]:
    """The side of the smallest map, from 4 to 7, and how many doublings make the image of it."""
    side, doublings = image_size, 0
    while side > 7 and side % 2 == 0:
        side, doublings = side // 2, doublings + 1
    if side > 7 or not doublings:
        raise ArgumentError(
            name, "the image cannot be made by doubling a small one", got=f"image_size={image_size}",
            expected="4, 5, 6 or 7 times 2, 4, 8 ..., such as 28, 32, 48 or 64",
        )  # fmt: skip
    return side, doublings


class Generator(nn.Module):
    """Transposed convolutions that make images of random numbers. See :func:`dcgan_generator`."""

    def __init__(self, latent: int, image_size: int, channels: int, width: int) -> None:
        side, doublings = _halvings("dcgan_generator", image_size)
        self.latent = latent
        filters = width * 2 ** (doublings - 1)
        layers: list[nn.Module] = [
            nn.ConvTranspose2d(latent, filters, side, bias=False), nn.BatchNorm2d(filters), nn.ReLU()
        ]  # fmt: skip
        for _ in range(doublings - 1):
            layers += [
                nn.ConvTranspose2d(filters, filters // 2, 4, 2, 1, bias=False), nn.BatchNorm2d(filters // 2), nn.ReLU()
            ]  # fmt: skip
            filters //= 2
        layers += [nn.ConvTranspose2d(filters, channels, 4, 2, 1, bias=False), nn.Tanh()]
        self.main = nn.Sequential(*layers)
        _initialise(self)

    def forward(self, latent: Tensor) -> Tensor:
        """``(N, latent)`` or ``(N, latent, 1, 1)`` to images ``(N, channels, image_size, image_size)`` in -1 to 1."""
        if latent.shape[1:] not in ((self.latent,), (self.latent, 1, 1)):
            raise ShapeError(
                "dcgan_generator", "the input is no batch of random vectors", got=repr(latent.spec),
                expected=f"(N, {self.latent})", fix=f"tg.Tensor(numpy.random.randn(N, {self.latent}), 'float32')",
            )  # fmt: skip
        images: Tensor = self.main(latent.reshape(-1, self.latent, 1, 1))
        return images


class Discriminator(nn.Module):
    """Convolutions that tell real images from made ones. See :func:`dcgan_discriminator`."""

    def __init__(self, image_size: int, channels: int, width: int) -> None:
        side, halvings = _halvings("dcgan_discriminator", image_size)
        self.image_shape = (channels, image_size, image_size)
        layers: list[nn.Module] = [nn.Conv2d(channels, width, 4, 2, 1, bias=False), nn.LeakyReLU(0.2)]
        filters = width
        for _ in range(halvings - 1):
            layers += [
                nn.Conv2d(filters, filters * 2, 4, 2, 1, bias=False), nn.BatchNorm2d(filters * 2), nn.LeakyReLU(0.2)
            ]  # fmt: skip
            filters *= 2
        layers.append(nn.Conv2d(filters, 1, side, bias=False))
        self.main = nn.Sequential(*layers)
        self.flatten = nn.Flatten(0)
        _initialise(self)

    def forward(self, images: Tensor) -> Tensor:
        """``(N, channels, image_size, image_size)`` to logits ``(N,)``: large for what looks real."""
        if images.shape[1:] != self.image_shape:
            raise ShapeError(
                "dcgan_discriminator", "the images are not of the size it was made for", got=repr(images.spec),
                expected=f"(N, {', '.join(map(str, self.image_shape))})",
                fix=f"resize them, or make it with image_size={images.shape[-1]}",
            )  # fmt: skip
        logits: Tensor = self.flatten(self.main(images))
        return logits


def _initialise(model: nn.Module) -> None:
    """As the paper has it: weights around 0, scales of normalisations around 1, both with deviation 0.02."""
    for part in model.modules():
        if isinstance(part, nn.Conv2d | nn.ConvTranspose2d):
            nn.init.normal_(part.weight, 0.0, 0.02)
        elif isinstance(part, nn.BatchNorm2d) and part.weight is not None:
            nn.init.normal_(part.weight, 1.0, 0.02)


def dcgan_generator(latent: int = 100, image_size: int = 64, channels: int = 3, width: int = 64) -> Generator:
    """The half of a DCGAN that makes images of random numbers. (Radford, Metz and Chintala, 2016, figure 1)

    Args:
        latent: how many random numbers one image is made of.
        image_size: height and width of the images: 4, 5, 6 or 7 times 2, 4, 8 ...
        channels: 1 for grey images, 3 for colour.
        width: filters in front of the last layer; each layer further back has twice as many.

    With the usual settings it has 3,576,704 parameters, those of PyTorch's DCGAN example, and the same names.

    Raises :class:`ArgumentError` for another image size.

    >>> import tinygrad_cnn as tg
    >>> dcgan_generator(16, image_size=28, channels=1, width=8)(tg.symbol((4, 16))).shape
    (4, 1, 28, 28)
    """
    return Generator(latent, image_size, channels, width)


def dcgan_discriminator(image_size: int = 64, channels: int = 3, width: int = 64) -> Discriminator:
    """The half of a DCGAN that tells real images from made ones; the arguments are those of :func:`dcgan_generator`.

    With the usual settings it has 2,765,568 parameters, those of PyTorch's DCGAN example. It gives logits, for
    ``BCEWithLogitsLoss``.

    Raises :class:`ArgumentError` for another image size, :class:`ShapeError` for images of another size than that.

    >>> import tinygrad_cnn as tg
    >>> dcgan_discriminator(28, 1, 8)(tg.symbol((4, 1, 28, 28))).shape
    (4,)
    """
    return Discriminator(image_size, channels, width)

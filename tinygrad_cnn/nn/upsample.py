"""Layers that give images more pixels, without weights."""

from __future__ import annotations

from collections.abc import Sequence

from ..ops.resample import interpolate, pixel_shuffle, pixel_unshuffle
from ..tensor import Tensor
from .conv import Size
from .layout import check_data_format, from_channels_first, to_channels_first
from .module import Module


class Upsample(Module):
    """The image at another resolution: ``(N, C, *S)`` to ``(N, C, *P)``, with one to three spatial axes.

    Args:
        size: the new size in pixels, one number for all spatial axes or one for each. Either this,
        scale_factor: or how many times as large.
        mode: ``"nearest"``, or ``"linear"``, ``"bilinear"``, ``"trilinear"`` for one, two, three spatial axes.
        align_corners: whether the centres of the corner pixels stay where they are.
        recompute_scale_factor: whether the scale is that of the sizes, rather than ``scale_factor``.
        data_format: ``"channels_first"``, or ``"channels_last"`` for ``(N, H, W, C)``; by name only.

    All as in :func:`~tinygrad_cnn.nn.functional.interpolate`, which also raises the errors.

    >>> Upsample(scale_factor=2)(Tensor([[[1.0, 2.0]]]))
    Tensor([[[1., 1., 2., 2.]]])
    """

    def __init__(
        self, size: Size | None = None, scale_factor: float | Sequence[float] | None = None, mode: str = "nearest",
        align_corners: bool | None = None, recompute_scale_factor: bool | None = None,
        *, data_format: str = "channels_first",
    ) -> None:  # fmt: skip
        self.size, self.scale_factor, self.mode = size, scale_factor, mode
        self.align_corners, self.recompute_scale_factor = align_corners, recompute_scale_factor
        self.data_format = check_data_format(type(self).__name__, data_format)

    def forward(self, input: Tensor) -> Tensor:
        """``(N, C, *S)`` to ``(N, C, *P)``."""
        x = to_channels_first(input, self.data_format, input.ndim - 2)
        y = interpolate(x, self.size, self.scale_factor, self.mode, self.align_corners, self.recompute_scale_factor)
        return from_channels_first(y, self.data_format, y.ndim - 2)

    def extra_repr(self) -> str:
        """The size or the scale, the mode, and the other settings that were given."""
        parts = [f"size={self.size}" if self.size is not None else f"scale_factor={self.scale_factor}"]
        parts.append(f"mode={self.mode!r}")
        for name in ("align_corners", "recompute_scale_factor", "data_format"):
            value = vars(self)[name]
            parts += [f"{name}={value!r}"] if value not in (None, "channels_first") else []
        return ", ".join(parts)


class PixelShuffle(Module):
    """Channels laid out as pixels: ``(N, C * r * r, H, W)`` to ``(N, C, H * r, W * r)``. (Shi et al., 2016)

    Args:
        upscale_factor: the ``r``.

    Raises :class:`ShapeError`, when called, for channels that cannot be divided by ``r * r``.

    >>> PixelShuffle(2)(Tensor([[[[1.0]], [[2.0]], [[3.0]], [[4.0]]]]))
    Tensor([[[[1., 2.],
              [3., 4.]]]])
    """

    def __init__(self, upscale_factor: int) -> None:
        self.upscale_factor = upscale_factor

    def forward(self, input: Tensor) -> Tensor:
        """``(N, C * r * r, H, W)`` to ``(N, C, H * r, W * r)``."""
        return pixel_shuffle(input, self.upscale_factor)

    def extra_repr(self) -> str:
        """The factor."""
        return f"upscale_factor={self.upscale_factor}"


class PixelUnshuffle(Module):
    """The inverse of :class:`PixelShuffle`: ``(N, C, H * r, W * r)`` to ``(N, C * r * r, H, W)``.

    Args:
        downscale_factor: the ``r``.

    Raises :class:`ShapeError`, when called, for an image that cannot be divided into such squares.

    >>> PixelUnshuffle(2)(Tensor([[[[1.0, 2.0], [3.0, 4.0]]]])).shape
    (1, 4, 1, 1)
    """

    def __init__(self, downscale_factor: int) -> None:
        self.downscale_factor = downscale_factor

    def forward(self, input: Tensor) -> Tensor:
        """``(N, C, H * r, W * r)`` to ``(N, C * r * r, H, W)``."""
        return pixel_unshuffle(input, self.downscale_factor)

    def extra_repr(self) -> str:
        """The factor."""
        return f"downscale_factor={self.downscale_factor}"

"""Convolution layers and their transposes, for one, two and three spatial axes."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import ClassVar

from ..errors import ArgumentError
from ..ops.conv import conv1d, conv2d, conv3d, conv_transpose1d, conv_transpose2d, conv_transpose3d
from ..ops.window import per_axis
from ..tensor import Tensor
from .init import default_weight
from .layout import check_data_format, from_channels_first, to_channels_first
from .module import Module

Size = int | Sequence[int]
"""One number for all spatial axes, or one for each."""


class _ConvNd(Module):
    """What convolutions and their transposes share: settings, weight, bias and the text form."""

    axes: ClassVar[int]

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Size,
        stride: Size,
        padding: Size | str,
        dilation: Size,
        groups: int,
        bias: bool,
        transposed: bool,
        data_format: str,
    ) -> None:
        name = type(self).__name__
        self.data_format = check_data_format(name, data_format)
        if min(in_channels, out_channels, groups) < 1:
            raise ArgumentError(
                name, "channels and groups are counted from 1", got=f"{in_channels} to {out_channels}, groups {groups}"
            )
        if in_channels % groups or out_channels % groups:
            raise ArgumentError(
                name,
                f"{in_channels} and {out_channels} channels cannot be divided into {groups} equal groups",
                got=f"in_channels={in_channels}, out_channels={out_channels}, groups={groups}",
                expected="both numbers of channels divisible by groups",
            )
        self.in_channels, self.out_channels, self.groups = in_channels, out_channels, groups
        self.kernel_size = per_axis(name, "kernel_size", kernel_size, self.axes, least=1)
        self.stride, self.padding, self.dilation = stride, padding, dilation
        first, second = (in_channels, out_channels) if transposed else (out_channels, in_channels)
        shape = (first, second // groups, *self.kernel_size)
        fan_in = math.prod(shape[1:])
        self.weight = default_weight(shape, fan_in)
        self.bias = default_weight((out_channels,), fan_in) if bias else None

    def extra_repr(self) -> str:
        """The settings that differ from the defaults."""
        parts = [f"{self.in_channels}, {self.out_channels}, kernel_size={self.kernel_size}"]
        for name, default in (("stride", 1), ("padding", 0), ("output_padding", 0), ("dilation", 1), ("groups", 1)):
            if getattr(self, name, default) != default:
                parts.append(f"{name}={getattr(self, name)!r}")
        if self.bias is None:
            parts.append("bias=False")
        if self.data_format != "channels_first":
            parts.append(f"data_format={self.data_format!r}")
        return ", ".join(parts)


class _Conv(_ConvNd):
    function: ClassVar[Callable[..., Tensor]]

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Size,
        stride: Size = 1,
        padding: Size | str = 0,
        dilation: Size = 1,
        groups: int = 1,
        bias: bool = True,
        data_format: str = "channels_first",
    ) -> None:
        super().__init__(
            in_channels, out_channels, kernel_size, stride, padding, dilation, groups, bias, False, data_format
        )  # fmt: skip

    def forward(self, input: Tensor) -> Tensor:
        """``(N, in_channels, ...)`` to ``(N, out_channels, ...)``, or channels last."""
        x = to_channels_first(input, self.data_format, self.axes)
        y = type(self).function(x, self.weight, self.bias, self.stride, self.padding, self.dilation, self.groups)
        return from_channels_first(y, self.data_format, self.axes)


class Conv1d(_Conv):
    """A convolution along one axis: ``(N, in_channels, L)`` to ``(N, out_channels, L')``.

    The arguments are those of :class:`Conv2d`.

    >>> Conv1d(1, 4, 3)(Tensor([[[1.0, 2.0, 3.0, 4.0]]])).shape
    (1, 4, 2)
    """

    axes = 1
    function = staticmethod(conv1d)


class Conv2d(_Conv):
    """A convolution over images: ``(N, in_channels, H, W)`` to ``(N, out_channels, H', W')``.

    Args:
        in_channels: channels of the input.
        out_channels: how many filters.
        kernel_size: the height and width of a filter.
        stride: how far the filter moves from one output to the next.
        padding: how many zeros are put around the image, or ``"same"`` or ``"valid"``.
        dilation: the distance between neighbouring taps of the filter.
        groups: the channels are divided into so many groups that do not see each other; ``in_channels`` for a
            depthwise convolution.
        bias: whether a number is added to each output channel.
        data_format: ``"channels_last"`` for images ``(N, H, W, C)``, in and out; the weight stays as it is.

    ``H' = floor((H + 2 padding - dilation (kernel_size - 1) - 1) / stride) + 1``, and so for ``W'``. The weight has
    shape ``(out_channels, in_channels / groups, kH, kW)`` and starts uniform within ``1 / sqrt(fan_in)``. What is
    computed is the cross-correlation, as everywhere in deep learning: the filter is not flipped. (LeCun et al., 1989)

    Raises :class:`ArgumentError` for settings that do not fit together.

    >>> Conv2d(3, 8, 5, stride=2, padding=2)
    Conv2d(3, 8, kernel_size=(5, 5), stride=2, padding=2)
    """

    axes = 2
    function = staticmethod(conv2d)


class Conv3d(_Conv):
    """A convolution over volumes: ``(N, in_channels, D, H, W)`` to ``(N, out_channels, D', H', W')``.

    The arguments are those of :class:`Conv2d`.

    >>> Conv3d(1, 4, 3).weight.shape
    (4, 1, 3, 3, 3)
    """

    axes = 3
    function = staticmethod(conv3d)


class _ConvTranspose(_ConvNd):
    function: ClassVar[Callable[..., Tensor]]

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Size,
        stride: Size = 1,
        padding: Size = 0,
        output_padding: Size = 0,
        groups: int = 1,
        bias: bool = True,
        dilation: Size = 1,
        data_format: str = "channels_first",
    ) -> None:
        super().__init__(
            in_channels, out_channels, kernel_size, stride, padding, dilation, groups, bias, True, data_format
        )  # fmt: skip
        self.output_padding = output_padding

    def forward(self, input: Tensor) -> Tensor:
        """``(N, in_channels, ...)`` to ``(N, out_channels, ...)``, or channels last."""
        x = to_channels_first(input, self.data_format, self.axes)
        y = type(self).function(
            x, self.weight, self.bias, self.stride, self.padding, self.output_padding, self.groups, self.dilation
        )  # fmt: skip
        return from_channels_first(y, self.data_format, self.axes)


class ConvTranspose1d(_ConvTranspose):
    """The transpose of :class:`Conv1d`: ``(N, in_channels, L)`` to ``(N, out_channels, L')``.

    The arguments are those of :class:`ConvTranspose2d`.

    >>> ConvTranspose1d(1, 1, 2, stride=2)(Tensor([[[1.0, 2.0]]])).shape
    (1, 1, 4)
    """

    axes = 1
    function = staticmethod(conv_transpose1d)


class ConvTranspose2d(_ConvTranspose):
    """The transpose of a convolution: ``(N, in_channels, H, W)`` to ``(N, out_channels, H', W')``.

    It does to a tensor what the backward pass of :class:`Conv2d` does to the gradient in its output; with a stride it
    enlarges the image. (Dumoulin and Visin, 2016, chapter 4)

    Args:
        in_channels: channels of the input.
        out_channels: channels of the output.
        kernel_size: the height and width of a filter.
        stride: the stride of the convolution that this is the transpose of.
        padding: its padding.
        output_padding: rows and columns added at the end, to choose among the input sizes that the convolution maps
            to one output size; smaller than the stride or the dilation.
        groups: as in :class:`Conv2d`.
        bias: whether a number is added to each output channel.
        dilation: as in :class:`Conv2d`.
        data_format: as in :class:`Conv2d`.

    ``H' = (H - 1) stride - 2 padding + dilation (kernel_size - 1) + output_padding + 1``. The weight has shape
    ``(in_channels, out_channels / groups, kH, kW)``.

    Raises :class:`ArgumentError` for settings that do not fit together.

    >>> ConvTranspose2d(8, 4, 2, stride=2).weight.shape
    (8, 4, 2, 2)
    """

    axes = 2
    function = staticmethod(conv_transpose2d)


class ConvTranspose3d(_ConvTranspose):
    """The transpose of :class:`Conv3d`: ``(N, in_channels, D, H, W)`` to ``(N, out_channels, D', H', W')``.

    The arguments are those of :class:`ConvTranspose2d`.

    >>> ConvTranspose3d(8, 4, 2, stride=2).weight.shape
    (8, 4, 2, 2, 2)
    """

    axes = 3
    function = staticmethod(conv_transpose3d)

"""Locally connected layers: windows as in a convolution, but filters of its own at each place."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import ClassVar

from ..ops.conv_forms import locally_connected1d, locally_connected2d
from ..ops.window import padding_pairs, per_axis, places
from ..tensor import Tensor
from .conv import Size
from .init import default_weight
from .module import Module


class _LocallyConnected(Module):
    axes: ClassVar[int]
    function: ClassVar[Callable[..., Tensor]]

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Size,
        input_size: Size,
        stride: Size = 1,
        padding: Size | str = 0,
        dilation: Size = 1,
        bias: bool = True,
    ) -> None:
        name = type(self).__name__
        kernel = per_axis(name, "kernel_size", kernel_size, self.axes, least=1)
        size = per_axis(name, "input_size", input_size, self.axes, least=1)
        steps = per_axis(name, "stride", stride, self.axes, least=1)
        spread = per_axis(name, "dilation", dilation, self.axes, least=1)
        count = places(name, size, kernel, steps, padding_pairs(name, padding, size, kernel, steps, spread), spread)
        self.in_channels, self.out_channels, self.kernel_size, self.input_size = in_channels, out_channels, kernel, size
        self.stride, self.padding, self.dilation = stride, padding, dilation
        fan_in = in_channels * math.prod(kernel)
        self.weight = default_weight((out_channels, *count, in_channels, *kernel), fan_in)
        self.bias = default_weight((out_channels, *count), fan_in) if bias else None

    def forward(self, input: Tensor) -> Tensor:
        """``(N, in_channels, ...)`` to ``(N, out_channels, ...)``."""
        return type(self).function(input, self.weight, self.bias, self.stride, self.padding, self.dilation)

    def extra_repr(self) -> str:
        """The sizes and the settings that differ from the defaults."""
        parts = [
            f"{self.in_channels}, {self.out_channels}, kernel_size={self.kernel_size}, input_size={self.input_size}"
        ]
        for name, default in (("stride", 1), ("padding", 0), ("dilation", 1)):
            parts += [f"{name}={getattr(self, name)!r}"] if getattr(self, name) != default else []
        return ", ".join(parts + (["bias=False"] if self.bias is None else []))


class LocallyConnected1d(_LocallyConnected):
    """``(N, in_channels, L)`` to ``(N, out_channels, L')``; arguments as for :class:`LocallyConnected2d`.

    >>> LocallyConnected1d(1, 4, 3, input_size=10).weight.shape
    (4, 8, 1, 3)
    """

    axes = 1
    function = staticmethod(locally_connected1d)


class LocallyConnected2d(_LocallyConnected):
    """A convolution whose filters are not shared: ``(N, in_channels, H, W)`` to ``(N, out_channels, H', W')``.

    Args:
        in_channels: channels of the input.
        out_channels: channels of the output.
        kernel_size: the height and width of a filter.
        input_size: the height and width of the images; there are weights for just these.
        stride: as for :class:`Conv2d`.
        padding: as for :class:`Conv2d`.
        dilation: as for :class:`Conv2d`.
        bias: whether a number is added to each output.

    The weight has shape ``(out_channels, H', W', in_channels, kH, kW)``. (LeCun, 1989; Taigman et al., 2014)

    Raises :class:`ShapeError` for a kernel larger than the padded image.

    >>> sum(each.numel() for each in LocallyConnected2d(1, 1, 3, input_size=5).parameters())
    90
    """

    axes = 2
    function = staticmethod(locally_connected2d)

"""Pooling layers, for one, two and three spatial axes."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

from ..ops.pool import avg_pool1d, avg_pool2d, avg_pool3d, max_pool1d, max_pool2d, max_pool3d
from ..tensor import Tensor
from .conv import Size
from .module import Module


class _Pool(Module):
    def extra_repr(self) -> str:
        """The settings that differ from the defaults."""
        defaults = {"stride": None, "padding": 0, "dilation": 1, "ceil_mode": False, "count_include_pad": True}
        parts = [f"kernel_size={vars(self)['kernel_size']}"]
        parts += [
            f"{name}={vars(self)[name]}" for name, usual in defaults.items() if vars(self).get(name, usual) != usual
        ]
        return ", ".join(parts)


class _MaxPool(_Pool):
    function: ClassVar[Callable[..., Tensor]]

    def __init__(
        self, kernel_size: Size, stride: Size | None = None, padding: Size = 0, dilation: Size = 1,
        ceil_mode: bool = False,
    ) -> None:  # fmt: skip
        self.kernel_size, self.stride, self.padding = kernel_size, stride, padding
        self.dilation, self.ceil_mode = dilation, ceil_mode

    def forward(self, input: Tensor) -> Tensor:
        """``(N, C, ...)`` to ``(N, C, ...)``."""
        return type(self).function(
            input, self.kernel_size, self.stride, self.padding, self.dilation, self.ceil_mode
        )  # fmt: skip


class MaxPool1d(_MaxPool):
    """The largest element of each window: ``(N, C, L)`` to ``(N, C, L')``; arguments as for :class:`MaxPool2d`.

    >>> MaxPool1d(2)(Tensor([[[1.0, 2.0, 4.0, 3.0]]]))
    Tensor([[[2., 4.]]])
    """

    function = staticmethod(max_pool1d)


class MaxPool2d(_MaxPool):
    """The largest element of each window: ``(N, C, H, W)`` to ``(N, C, H', W')``. (Ranzato et al., 2007)

    Args:
        kernel_size: the height and width of the window.
        stride: how far the window moves; without it, ``kernel_size``.
        padding: how far windows may reach over the border; what lies there is never the largest.
        dilation: the distance between neighbouring elements of the window.
        ceil_mode: whether a last window that is not filled counts.

    The gradient goes to the first of the largest elements.

    >>> MaxPool2d(2)
    MaxPool2d(kernel_size=2)
    """

    function = staticmethod(max_pool2d)


class MaxPool3d(_MaxPool):
    """The largest element of each window: ``(N, C, D, H, W)`` to ``(N, C, D', H', W')``; as :class:`MaxPool2d`.

    >>> MaxPool3d(2, stride=1)
    MaxPool3d(kernel_size=2, stride=1)
    """

    function = staticmethod(max_pool3d)


class _AvgPool(_Pool):
    function: ClassVar[Callable[..., Tensor]]

    def __init__(
        self, kernel_size: Size, stride: Size | None = None, padding: Size = 0, ceil_mode: bool = False,
        count_include_pad: bool = True,
    ) -> None:  # fmt: skip
        self.kernel_size, self.stride, self.padding = kernel_size, stride, padding
        self.ceil_mode, self.count_include_pad = ceil_mode, count_include_pad

    def forward(self, input: Tensor) -> Tensor:
        """``(N, C, ...)`` to ``(N, C, ...)``."""
        return type(self).function(
            input, self.kernel_size, self.stride, self.padding, self.ceil_mode, self.count_include_pad
        )  # fmt: skip


class AvgPool1d(_AvgPool):
    """The average of each window: ``(N, C, L)`` to ``(N, C, L')``; arguments as for :class:`AvgPool2d`.

    >>> AvgPool1d(2)(Tensor([[[1.0, 2.0, 4.0, 3.0]]]))
    Tensor([[[1.5, 3.5]]])
    """

    function = staticmethod(avg_pool1d)


class AvgPool2d(_AvgPool):
    """The average of each window: ``(N, C, H, W)`` to ``(N, C, H', W')``. (LeCun et al., 1990)

    Args:
        kernel_size: the height and width of the window.
        stride: how far the window moves; without it, ``kernel_size``.
        padding: how many zeros are put around the image.
        ceil_mode: whether a last window that is not filled counts.
        count_include_pad: whether these zeros count as elements of the average.

    >>> AvgPool2d(3, padding=1)
    AvgPool2d(kernel_size=3, padding=1)
    """

    function = staticmethod(avg_pool2d)


class AvgPool3d(_AvgPool):
    """The average of each window: ``(N, C, D, H, W)`` to ``(N, C, D', H', W')``; as :class:`AvgPool2d`.

    >>> AvgPool3d(2)
    AvgPool3d(kernel_size=2)
    """

    function = staticmethod(avg_pool3d)

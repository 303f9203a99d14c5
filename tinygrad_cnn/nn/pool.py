"""Pooling layers, for one, two and three spatial axes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import ClassVar

from ..ops.adaptive import (
    AdaptiveSize,
    adaptive_avg_pool1d,
    adaptive_avg_pool2d,
    adaptive_avg_pool3d,
    adaptive_max_pool1d,
    adaptive_max_pool2d,
    adaptive_max_pool3d,
    global_avg_pool1d,
    global_avg_pool2d,
    global_avg_pool3d,
    global_max_pool1d,
    global_max_pool2d,
    global_max_pool3d,
)  # fmt: skip
from ..ops.pool import (
    MaxPooled,
    avg_pool1d,
    avg_pool2d,
    avg_pool3d,
    max_pool1d,
    max_pool2d,
    max_pool3d,
    max_unpool1d,
    max_unpool2d,
    max_unpool3d,
    sum_pool1d,
    sum_pool2d,
    sum_pool3d,
)  # fmt: skip
from ..ops.pool_forms import (
    lp_pool1d,
    lp_pool2d,
    lp_pool3d,
    maxout,
    weighted_pool1d,
    weighted_pool2d,
    weighted_pool3d,
)  # fmt: skip
from ..tensor import Tensor
from .conv import Size
from .layout import check_data_format, from_channels_first, to_channels_first
from .module import Module

_DEFAULTS = {
    "stride": None, "padding": 0, "dilation": 1, "return_indices": False, "ceil_mode": False, "count_include_pad": True,
    "divisor_override": None, "weights": "inverse", "keepdim": False, "data_format": "channels_first",
}  # fmt: skip
_REQUIRED = ("norm_type", "kernel_size", "output_size")


class _Pool(Module):
    axes: ClassVar[int]
    function: ClassVar[Callable[..., MaxPooled]]
    data_format: str

    def extra_repr(self) -> str:
        """The settings that differ from the defaults."""
        parts = [f"{name}={vars(self)[name]}" for name in _REQUIRED if name in vars(self)]
        parts += [
            f"{name}={vars(self)[name]!r}" for name, usual in _DEFAULTS.items() if vars(self).get(name, usual) != usual
        ]
        return ", ".join(parts)

    def _pooled(self, input: Tensor, *settings: object) -> MaxPooled:
        """The function's result, or its results, in the user's order of axes."""
        x = to_channels_first(input, self.data_format, self.axes)
        y = type(self).function(x, *settings)
        if isinstance(y, tuple):
            return tuple([from_channels_first(each, self.data_format, self.axes) for each in y])
        return from_channels_first(y, self.data_format, self.axes)


class _MaxPool(_Pool):
    def __init__(
        self, kernel_size: Size, stride: Size | None = None, padding: Size | str = 0, dilation: Size = 1,
        return_indices: bool = False, ceil_mode: bool = False, *, data_format: str = "channels_first",
    ) -> None:  # fmt: skip
        self.kernel_size, self.stride, self.padding = kernel_size, stride, padding
        self.dilation, self.return_indices, self.ceil_mode = dilation, return_indices, ceil_mode
        self.data_format = check_data_format(type(self).__name__, data_format)

    def forward(self, input: Tensor) -> MaxPooled:
        """``(N, C, ...)`` to ``(N, C, ...)``; with ``return_indices`` the pair of that and the places."""
        return self._pooled(
            input, self.kernel_size, self.stride, self.padding, self.dilation, self.ceil_mode, self.return_indices
        )


class _AvgPool1d(_Pool):
    def __init__(
        self, kernel_size: Size, stride: Size | None = None, padding: Size | str = 0, ceil_mode: bool = False,
        count_include_pad: bool = True, *, data_format: str = "channels_first",
    ) -> None:  # fmt: skip
        self.kernel_size, self.stride, self.padding = kernel_size, stride, padding
        self.ceil_mode, self.count_include_pad = ceil_mode, count_include_pad
        self.data_format = check_data_format(type(self).__name__, data_format)

    def forward(self, input: Tensor) -> Tensor:
        """``(N, C, ...)`` to ``(N, C, ...)``."""
        y: Tensor = self._pooled(
            input, self.kernel_size, self.stride, self.padding, self.ceil_mode, self.count_include_pad
        )
        return y


class _AvgPool(_Pool):
    def __init__(
        self, kernel_size: Size, stride: Size | None = None, padding: Size | str = 0, ceil_mode: bool = False,
        count_include_pad: bool = True, divisor_override: int | None = None, *, data_format: str = "channels_first",
    ) -> None:  # fmt: skip
        self.kernel_size, self.stride, self.padding = kernel_size, stride, padding
        self.ceil_mode, self.count_include_pad = ceil_mode, count_include_pad
        self.divisor_override = divisor_override
        self.data_format = check_data_format(type(self).__name__, data_format)

    def forward(self, input: Tensor) -> Tensor:
        """``(N, C, ...)`` to ``(N, C, ...)``."""
        window = (self.kernel_size, self.stride, self.padding, self.ceil_mode)
        y: Tensor = self._pooled(input, *window, self.count_include_pad, self.divisor_override)
        return y


class _SumPool(_Pool):
    def __init__(
        self, kernel_size: Size, stride: Size | None = None, padding: Size | str = 0, ceil_mode: bool = False,
        *, data_format: str = "channels_first",
    ) -> None:  # fmt: skip
        self.kernel_size, self.stride, self.padding, self.ceil_mode = kernel_size, stride, padding, ceil_mode
        self.data_format = check_data_format(type(self).__name__, data_format)

    def forward(self, input: Tensor) -> Tensor:
        """``(N, C, ...)`` to ``(N, C, ...)``."""
        y: Tensor = self._pooled(input, self.kernel_size, self.stride, self.padding, self.ceil_mode)
        return y


class _LPPool(_Pool):
    def __init__(
        self, norm_type: float, kernel_size: Size, stride: Size | None = None, ceil_mode: bool = False,
        *, data_format: str = "channels_first",
    ) -> None:  # fmt: skip
        self.norm_type, self.kernel_size, self.stride, self.ceil_mode = norm_type, kernel_size, stride, ceil_mode
        self.data_format = check_data_format(type(self).__name__, data_format)

    def forward(self, input: Tensor) -> Tensor:
        """``(N, C, ...)`` to ``(N, C, ...)``."""
        y: Tensor = self._pooled(input, self.norm_type, self.kernel_size, self.stride, self.ceil_mode)
        return y


class _WeightedAvgPool(_Pool):
    def __init__(
        self, kernel_size: Size, stride: Size | None = None, padding: Size | str = 0, weights: str = "inverse",
        *, data_format: str = "channels_first",
    ) -> None:  # fmt: skip
        self.kernel_size, self.stride, self.padding, self.weights = kernel_size, stride, padding, weights
        self.data_format = check_data_format(type(self).__name__, data_format)

    def forward(self, input: Tensor) -> Tensor:
        """``(N, C, ...)`` to ``(N, C, ...)``."""
        y: Tensor = self._pooled(input, self.kernel_size, self.stride, self.padding, self.weights)
        return y


class _AdaptiveAvgPool(_Pool):
    def __init__(self, output_size: AdaptiveSize, *, data_format: str = "channels_first") -> None:
        self.output_size = output_size
        self.data_format = check_data_format(type(self).__name__, data_format)

    def forward(self, input: Tensor) -> Tensor:
        """``(N, C, ...)`` to ``(N, C, *output_size)``."""
        y: Tensor = self._pooled(input, self.output_size)
        return y


class _AdaptiveMaxPool(_Pool):
    def __init__(
        self, output_size: AdaptiveSize, return_indices: bool = False, *, data_format: str = "channels_first"
    ) -> None:
        self.output_size, self.return_indices = output_size, return_indices
        self.data_format = check_data_format(type(self).__name__, data_format)

    def forward(self, input: Tensor) -> MaxPooled:
        """``(N, C, ...)`` to ``(N, C, *output_size)``; with ``return_indices`` the pair of that and the places."""
        return self._pooled(input, self.output_size, self.return_indices)


class _GlobalPool(_Pool):
    def __init__(self, keepdim: bool = False, *, data_format: str = "channels_first") -> None:
        self.keepdim = keepdim
        self.data_format = check_data_format(type(self).__name__, data_format)

    def forward(self, input: Tensor) -> Tensor:
        """``(N, C, ...)`` to ``(N, C)``, or with ``keepdim`` to axes of length 1."""
        x = to_channels_first(input, self.data_format, self.axes)
        y: Tensor = type(self).function(x, self.keepdim)
        return from_channels_first(y, self.data_format, self.axes) if self.keepdim else y


class _MaxUnpool(_Pool):
    def __init__(
        self, kernel_size: Size, stride: Size | None = None, padding: Size = 0, *, data_format: str = "channels_first"
    ) -> None:
        self.kernel_size, self.stride, self.padding = kernel_size, stride, padding
        self.data_format = check_data_format(type(self).__name__, data_format)

    def forward(self, input: Tensor, indices: Tensor, output_size: Sequence[int] | None = None) -> Tensor:
        """What was pooled, its places, and the size of the image if it is not the usual one."""
        places = to_channels_first(indices, self.data_format, self.axes)
        if output_size is not None and self.data_format == "channels_last" and len(output_size) == self.axes + 2:
            output_size = tuple(output_size)[1:-1]  # (N, *S, C) -> S
        y: Tensor = self._pooled(input, places, self.kernel_size, self.stride, self.padding, output_size)
        return y


class MaxPool1d(_MaxPool):
    """The largest element of each window: ``(N, C, L)`` to ``(N, C, L')``; as :class:`MaxPool2d`.

    >>> MaxPool1d(2)(Tensor([[[1.0, 2.0, 4.0, 3.0]]]))
    Tensor([[[2., 4.]]])
    """

    axes = 1
    function = staticmethod(max_pool1d)


class MaxPool2d(_MaxPool):
    """The largest element of each window: ``(N, C, H, W)`` to ``(N, C, H', W')``. (Ranzato et al., 2007)

    Args:
        kernel_size: the height and width of the window.
        stride: how far the window moves; without it, ``kernel_size``.
        padding: how far windows may reach over the border; what lies there is never the largest.
        dilation: the distance between neighbouring elements of the window.
        return_indices: whether to give the pair of the elements and their places, for :class:`MaxUnpool2d`.
        ceil_mode: whether a last window that is not filled counts.
        data_format: ``"channels_first"``, or ``"channels_last"`` for ``(N, H, W, C)``; by name only.

    The gradient goes to the first of the largest elements.

    >>> MaxPool2d(2)
    MaxPool2d(kernel_size=2)
    """

    axes = 2
    function = staticmethod(max_pool2d)


class MaxPool3d(_MaxPool):
    """The largest element of each window: ``(N, C, D, H, W)`` to ``(N, C, D', H', W')``; as :class:`MaxPool2d`.

    >>> MaxPool3d(2, stride=1)
    MaxPool3d(kernel_size=2, stride=1)
    """

    axes = 3
    function = staticmethod(max_pool3d)


class MaxUnpool1d(_MaxUnpool):
    """Each number back at its place: ``(N, C, L')`` to ``(N, C, L)``; as :class:`MaxUnpool2d`.

    >>> MaxUnpool1d(2)(Tensor([[[3.0, 2.0]]]), Tensor([[[1, 2]]]))
    Tensor([[[0., 3., 2., 0.]]])
    """

    axes = 1
    function = staticmethod(max_unpool1d)


class MaxUnpool2d(_MaxUnpool):
    """Each number back at the place that :class:`MaxPool2d` took it from: ``(N, C, H', W')`` to ``(N, C, H, W)``.

    Elsewhere are zeros. (Zeiler and Fergus, 2014)

    Args:
        kernel_size: the window of the pooling.
        stride: how far its window moved; without it, ``kernel_size``.
        padding: how far its windows reached over the border.
        data_format: ``"channels_first"``, or ``"channels_last"`` for ``(N, H, W, C)``; by name only.

    Called with what was pooled, the places, and ``output_size`` where the image was larger than the windows.

    >>> pooled, places = MaxPool2d((1, 2), return_indices=True)(Tensor([[[[5.0, 1.0, 2.0, 3.0]]]]))
    >>> MaxUnpool2d((1, 2))(pooled, places)
    Tensor([[[[5., 0., 0., 3.]]]])
    """

    axes = 2
    function = staticmethod(max_unpool2d)


class MaxUnpool3d(_MaxUnpool):
    """Each number back at its place: ``(N, C, D', H', W')`` to ``(N, C, D, H, W)``; as :class:`MaxUnpool2d`.

    >>> MaxUnpool3d(2)
    MaxUnpool3d(kernel_size=2)
    """

    axes = 3
    function = staticmethod(max_unpool3d)


class AvgPool1d(_AvgPool1d):
    """The average of each window: ``(N, C, L)`` to ``(N, C, L')``; as :class:`AvgPool2d`.

    >>> AvgPool1d(2)(Tensor([[[1.0, 2.0, 4.0, 3.0]]]))
    Tensor([[[1.5, 3.5]]])
    """

    axes = 1
    function = staticmethod(avg_pool1d)


class AvgPool2d(_AvgPool):
    """The average of each window: ``(N, C, H, W)`` to ``(N, C, H', W')``. (LeCun et al., 1990)

    Args:
        kernel_size: the height and width of the window.
        stride: how far the window moves; without it, ``kernel_size``.
        padding: how many zeros are put around the image.
        ceil_mode: whether a last window that is not filled counts.
        count_include_pad: whether these zeros count as elements of the average.
        divisor_override: what the sum is divided by, instead of the number of elements; one spatial axis has none.
        data_format: ``"channels_first"``, or ``"channels_last"`` for ``(N, H, W, C)``; by name only.

    >>> AvgPool2d(3, padding=1)
    AvgPool2d(kernel_size=3, padding=1)
    """

    axes = 2
    function = staticmethod(avg_pool2d)


class AvgPool3d(_AvgPool):
    """The average of each window: ``(N, C, D, H, W)`` to ``(N, C, D', H', W')``; as :class:`AvgPool2d`.

    >>> AvgPool3d(2)
    AvgPool3d(kernel_size=2)
    """

    axes = 3
    function = staticmethod(avg_pool3d)


class SumPool1d(_SumPool):
    """The sum of each window: ``(N, C, L)`` to ``(N, C, L')``; as :class:`SumPool2d`.

    >>> SumPool1d(2)(Tensor([[[1.0, 2.0, 4.0, 3.0]]]))
    Tensor([[[3., 7.]]])
    """

    axes = 1
    function = staticmethod(sum_pool1d)


class SumPool2d(_SumPool):
    """The sum of each window: ``(N, C, H, W)`` to ``(N, C, H', W')``.

    Args:
        kernel_size: the height and width of the window.
        stride: how far the window moves; without it, ``kernel_size``.
        padding: how many zeros are put around the image.
        ceil_mode: whether a last window that is not filled counts.
        data_format: ``"channels_first"``, or ``"channels_last"`` for ``(N, H, W, C)``; by name only.

    >>> SumPool2d(2)(Tensor([[[[1.0, 2.0], [4.0, 3.0]]]]))
    Tensor([[[[10.]]]])
    """

    axes = 2
    function = staticmethod(sum_pool2d)


class SumPool3d(_SumPool):
    """The sum of each window: ``(N, C, D, H, W)`` to ``(N, C, D', H', W')``; as :class:`SumPool2d`.

    >>> SumPool3d(2)
    SumPool3d(kernel_size=2)
    """

    axes = 3
    function = staticmethod(sum_pool3d)


class LPPool1d(_LPPool):
    """The norm of each window: ``(N, C, L)`` to ``(N, C, L')``; as :class:`LPPool2d`.

    >>> LPPool1d(2, 2)(Tensor([[[3.0, 4.0, 0.0, 2.0]]]))
    Tensor([[[5., 2.]]])
    """

    axes = 1
    function = staticmethod(lp_pool1d)


class LPPool2d(_LPPool):
    """The p-norm of each window, ``(sum of x ** p) ** (1 / p)``: ``(N, C, H, W)`` to ``(N, C, H', W')``.

    (Sermanet et al., 2012)

    Args:
        norm_type: the ``p``: 2 for the root of the sum of squares.
        kernel_size: the height and width of the window.
        stride: how far the window moves; without it, ``kernel_size``.
        ceil_mode: whether a last window that is not filled counts.
        data_format: ``"channels_first"``, or ``"channels_last"`` for ``(N, H, W, C)``; by name only.

    Raises :class:`ArgumentError`, when called, for a ``p`` that is not positive and finite.

    >>> LPPool2d(2, 3, stride=2)
    LPPool2d(norm_type=2, kernel_size=3, stride=2)
    """

    axes = 2
    function = staticmethod(lp_pool2d)


class LPPool3d(_LPPool):
    """The norm of each window: ``(N, C, D, H, W)`` to ``(N, C, D', H', W')``; as :class:`LPPool2d`.

    >>> LPPool3d(2, 2)
    LPPool3d(norm_type=2, kernel_size=2)
    """

    axes = 3
    function = staticmethod(lp_pool3d)


class WeightedAvgPool1d(_WeightedAvgPool):
    """The weighted average of each window: ``(N, C, L)`` to ``(N, C, L')``; as :class:`WeightedAvgPool2d`.

    >>> WeightedAvgPool1d(3)(Tensor([[[4.0, 8.0, 0.0]]]))
    Tensor([[[5.]]])
    """

    axes = 1
    function = staticmethod(weighted_pool1d)


class WeightedAvgPool2d(_WeightedAvgPool):
    """An average of each window in which elements near its centre count more: ``(N, C, H, W)`` to ``(N, C, H', W')``.

    Args:
        kernel_size: the height and width of the window.
        stride: how far the window moves; without it, ``kernel_size``.
        padding: how far windows may reach over the border; what lies there does not count.
        weights: ``"inverse"`` for ``1 / (1 + d)`` at the distance ``d`` from the centre, or ``"gaussian"``; see
            :func:`~tinygrad_cnn.nn.functional.distance_weights`.
        data_format: ``"channels_first"``, or ``"channels_last"`` for ``(N, H, W, C)``; by name only.

    >>> WeightedAvgPool2d(3, stride=1, padding="same", weights="gaussian")
    WeightedAvgPool2d(kernel_size=3, stride=1, padding='same', weights='gaussian')
    """

    axes = 2
    function = staticmethod(weighted_pool2d)


class WeightedAvgPool3d(_WeightedAvgPool):
    """Weighted averages: ``(N, C, D, H, W)`` to ``(N, C, D', H', W')``; as :class:`WeightedAvgPool2d`.

    >>> WeightedAvgPool3d(3)
    WeightedAvgPool3d(kernel_size=3)
    """

    axes = 3
    function = staticmethod(weighted_pool3d)


class AdaptiveAvgPool1d(_AdaptiveAvgPool):
    """The averages over bins: ``(N, C, L)`` to ``(N, C, *output_size)``; as :class:`AdaptiveAvgPool2d`.

    >>> AdaptiveAvgPool1d(2)(Tensor([[[1.0, 2.0, 6.0]]]))
    Tensor([[[1.5, 4. ]]])
    """

    axes = 1
    function = staticmethod(adaptive_avg_pool1d)


class AdaptiveAvgPool2d(_AdaptiveAvgPool):
    """The averages over a grid of bins, whatever the size of the image: ``(N, C, H, W)`` to ``(N, C, *output_size)``.

    Args:
        output_size: height and width of the grid, or one number for both; ``None`` keeps an axis as it is.
        data_format: ``"channels_first"``, or ``"channels_last"`` for ``(N, H, W, C)``; by name only.

    Bins are those of :func:`~tinygrad_cnn.nn.functional.adaptive_avg_pool2d`.

    >>> AdaptiveAvgPool2d((1, 2))(Tensor([[[[1.0, 2.0, 6.0], [3.0, 4.0, 8.0]]]]))
    Tensor([[[[2.5, 5. ]]]])
    """

    axes = 2
    function = staticmethod(adaptive_avg_pool2d)


class AdaptiveAvgPool3d(_AdaptiveAvgPool):
    """The averages over bins: ``(N, C, D, H, W)`` to ``(N, C, *output_size)``; as :class:`AdaptiveAvgPool2d`.

    >>> AdaptiveAvgPool3d((None, 7, 7))
    AdaptiveAvgPool3d(output_size=(None, 7, 7))
    """

    axes = 3
    function = staticmethod(adaptive_avg_pool3d)


class AdaptiveMaxPool1d(_AdaptiveMaxPool):
    """The largest element of each bin: ``(N, C, L)`` to ``(N, C, *output_size)``; as :class:`AdaptiveMaxPool2d`.

    >>> AdaptiveMaxPool1d(2)(Tensor([[[1.0, 6.0, 2.0]]]))
    Tensor([[[6., 6.]]])
    """

    axes = 1
    function = staticmethod(adaptive_max_pool1d)


class AdaptiveMaxPool2d(_AdaptiveMaxPool):
    """The largest element of each bin of a grid: ``(N, C, H, W)`` to ``(N, C, *output_size)``.

    Args:
        output_size: height and width of the grid, or one number for both; ``None`` keeps an axis as it is.
        return_indices: whether to give the pair of the elements and their places in the image.
        data_format: ``"channels_first"``, or ``"channels_last"`` for ``(N, H, W, C)``; by name only.

    Bins are those of :func:`~tinygrad_cnn.nn.functional.adaptive_avg_pool2d`.

    >>> AdaptiveMaxPool2d(1)(Tensor([[[[1.0, 2.0, 6.0], [3.0, 4.0, 8.0]]]]))
    Tensor([[[[8.]]]])
    """

    axes = 2
    function = staticmethod(adaptive_max_pool2d)


class AdaptiveMaxPool3d(_AdaptiveMaxPool):
    """The largest element of each bin: ``(N, C, D, H, W)`` to ``(N, C, *output_size)``; as :class:`AdaptiveMaxPool2d`.

    >>> AdaptiveMaxPool3d(2)
    AdaptiveMaxPool3d(output_size=2)
    """

    axes = 3
    function = staticmethod(adaptive_max_pool3d)


class GlobalAvgPool1d(_GlobalPool):
    """The average of each channel: ``(N, C, L)`` to ``(N, C)``; as :class:`GlobalAvgPool2d`.

    >>> GlobalAvgPool1d()(Tensor([[[1.0, 5.0]]]))
    Tensor([[3.]])
    """

    axes = 1
    function = staticmethod(global_avg_pool1d)


class GlobalAvgPool2d(_GlobalPool):
    """The average of each channel's whole image: ``(N, C, H, W)`` to ``(N, C)``. (Lin et al., 2014)

    Equal to ``AdaptiveAvgPool2d(1)``, followed by ``Flatten`` unless ``keepdim`` is set.

    Args:
        keepdim: whether the spatial axes stay, with length 1.
        data_format: ``"channels_first"``, or ``"channels_last"`` for ``(N, H, W, C)``; by name only.

    >>> GlobalAvgPool2d()(Tensor([[[[1.0, 2.0], [3.0, 6.0]]]]))
    Tensor([[3.]])
    """

    axes = 2
    function = staticmethod(global_avg_pool2d)


class GlobalAvgPool3d(_GlobalPool):
    """The average of each channel: ``(N, C, D, H, W)`` to ``(N, C)``; as :class:`GlobalAvgPool2d`.

    >>> GlobalAvgPool3d(keepdim=True)
    GlobalAvgPool3d(keepdim=True)
    """

    axes = 3
    function = staticmethod(global_avg_pool3d)


class GlobalMaxPool1d(_GlobalPool):
    """The largest element of each channel: ``(N, C, L)`` to ``(N, C)``; as :class:`GlobalMaxPool2d`.

    >>> GlobalMaxPool1d()(Tensor([[[1.0, 5.0]]]))
    Tensor([[5.]])
    """

    axes = 1
    function = staticmethod(global_max_pool1d)


class GlobalMaxPool2d(_GlobalPool):
    """The largest element of each channel's whole image: ``(N, C, H, W)`` to ``(N, C)``.

    Equal to ``AdaptiveMaxPool2d(1)``, followed by ``Flatten`` unless ``keepdim`` is set.

    Args:
        keepdim: whether the spatial axes stay, with length 1.
        data_format: ``"channels_first"``, or ``"channels_last"`` for ``(N, H, W, C)``; by name only.

    >>> GlobalMaxPool2d()(Tensor([[[[1.0, 2.0], [3.0, 6.0]]]]))
    Tensor([[6.]])
    """

    axes = 2
    function = staticmethod(global_max_pool2d)


class GlobalMaxPool3d(_GlobalPool):
    """The largest element of each channel: ``(N, C, D, H, W)`` to ``(N, C)``; as :class:`GlobalMaxPool2d`.

    >>> GlobalMaxPool3d(keepdim=True)
    GlobalMaxPool3d(keepdim=True)
    """

    axes = 3
    function = staticmethod(global_max_pool3d)


class Maxout(Module):
    """The largest of each group of neighbouring channels: ``(N, C, ...)`` to ``(N, C / kernel_size, ...)``.

    (Goodfellow et al., 2013)

    Args:
        kernel_size: how many neighbours make a group.
        dim: the axis of the channels.

    >>> Maxout(2)(Tensor([[1.0, 5.0, 4.0, 2.0]]))
    Tensor([[5., 4.]])
    """

    def __init__(self, kernel_size: int, dim: int = 1) -> None:
        self.kernel_size, self.dim = kernel_size, dim

    def forward(self, input: Tensor) -> Tensor:
        """``(N, C, ...)`` to ``(N, C / kernel_size, ...)``."""
        return maxout(input, self.kernel_size, self.dim)

    def extra_repr(self) -> str:
        """The size of a group, and the axis if it is not the usual one."""
        return f"kernel_size={self.kernel_size}" + (f", dim={self.dim}" if self.dim != 1 else "")

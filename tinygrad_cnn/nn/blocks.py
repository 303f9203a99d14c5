"""Blocks of convolutions that networks are put together from. Each is a module, and so one box in a picture."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ..errors import ArgumentError, ShapeError
from ..ops.reduce import mean
from ..ops.shape import cat
from ..tensor import Tensor
from .activation import ReLU, Sigmoid, Softmax
from .container import Flatten, Sequential
from .conv import Conv2d
from .linear import Linear
from .module import Module
from .norm import BatchNorm2d
from .pool import MaxPool2d

NormLayer = Callable[[int], Module]
"""Makes a normalisation for so many channels, such as ``BatchNorm2d``."""
ActivationLayer = Callable[[], Module]
"""Makes an activation, such as ``ReLU`` or ``PReLU``; called anew for each place, for it may have parameters."""


def require_makers(name: str, **makers: object) -> None:
    """Raise :class:`ArgumentError` where a layer is given for what makes layers: places would share its parameters.

    >>> require_makers("block", activation_layer=ReLU)
    """
    for argument, maker in makers.items():
        if isinstance(maker, Module):
            kind = type(maker).__name__
            raise ArgumentError(
                name,
                f"{argument} makes a layer for each place, and is none itself",
                got=f"{argument}={maker!r}",
                expected="a class, or a function that makes a layer",
                fix=f"{argument}=nn.{kind}, or with settings functools.partial(nn.{kind}, ...)",
            )


class ConvNormActivation(Module):
    """A convolution, a normalisation and an activation: ``(N, in_channels, H, W)`` to ``(N, out_channels, H', W')``.

    Args:
        in_channels: channels of the input.
        out_channels: how many filters.
        kernel_size: the height and width of a filter.
        stride: as in :class:`Conv2d`.
        padding: without it, half the kernel, so that with stride 1 the image keeps its size.
        groups: as in :class:`Conv2d`.
        norm_layer: makes the normalisation ``bn``; ``None`` for none.
        activation_layer: makes the activation; ``None`` for none.
        dilation: as in :class:`Conv2d`.
        bias: whether the convolution has a bias; without it, only where no normalisation would take it away again.

    (Ioffe and Szegedy, 2015, section 3.2)

    Raises :class:`ArgumentError` where a layer is given for what makes layers.

    >>> [name for name, _ in ConvNormActivation(3, 8).named_parameters()]
    ['conv.weight', 'bn.weight', 'bn.bias']
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int = 3,
        stride: int = 1,
        padding: int | None = None,
        groups: int = 1,
        norm_layer: NormLayer | None = BatchNorm2d,
        activation_layer: ActivationLayer | None = ReLU,
        dilation: int = 1,
        bias: bool | None = None,
    ) -> None:
        require_makers(type(self).__name__, norm_layer=norm_layer, activation_layer=activation_layer)
        padding = dilation * (kernel_size - 1) // 2 if padding is None else padding
        bias = norm_layer is None if bias is None else bias
        self.conv = Conv2d(in_channels, out_channels, kernel_size, stride, padding, dilation, groups, bias)
        self.bn = norm_layer(out_channels) if norm_layer else None
        self.activation = activation_layer() if activation_layer else None

    def forward(self, input: Tensor) -> Tensor:
        """``(N, in_channels, H, W)`` to ``(N, out_channels, H', W')``."""
        x: Tensor = self.conv(input)
        x = self.bn(x) if self.bn else x
        return self.activation(x) if self.activation else x


class ChannelMix(ConvNormActivation):
    """A 1x1 convolution: at each pixel, every output channel is a weighted sum of all input channels.

    With fewer output channels it is the bottleneck in front of costly convolutions. The other arguments are those of
    :class:`ConvNormActivation`. (Lin, Chen and Yan, 2013)

    >>> import tinygrad_cnn as tg
    >>> ChannelMix(64, 32)(tg.symbol((1, 64, 56, 56))).shape
    (1, 32, 56, 56)
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        norm_layer: NormLayer | None = BatchNorm2d,
        activation_layer: ActivationLayer | None = ReLU,
    ) -> None:
        super().__init__(in_channels, out_channels, 1, norm_layer=norm_layer, activation_layer=activation_layer)


class DepthwiseSeparable(Module):
    """A convolution in two cheap steps: each channel by itself, then a 1x1 convolution that mixes the channels.

    For a ``k`` by ``k`` kernel and ``O`` output channels it takes ``1/O + 1/k^2`` of a full convolution's
    multiply-adds. (Howard et al., 2017, section 3.1)

    Args:
        in_channels: channels of the input.
        out_channels: channels of the output.
        kernel_size: the height and width of the filters of the first step.
        stride: of the first step.
        norm_layer: as in :class:`ConvNormActivation`.
        activation_layer: as in :class:`ConvNormActivation`.

    >>> sum(each.numel() for each in DepthwiseSeparable(32, 64, norm_layer=None).parameters())
    2432
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int = 3,
        stride: int = 1,
        norm_layer: NormLayer | None = BatchNorm2d,
        activation_layer: ActivationLayer | None = ReLU,
    ) -> None:
        self.depthwise = ConvNormActivation(
            in_channels, in_channels, kernel_size, stride, groups=in_channels, norm_layer=norm_layer,
            activation_layer=activation_layer,
        )  # fmt: skip
        self.pointwise = ChannelMix(in_channels, out_channels, norm_layer, activation_layer)

    def forward(self, input: Tensor) -> Tensor:
        """``(N, in_channels, H, W)`` to ``(N, out_channels, H', W')``."""
        output: Tensor = self.pointwise(self.depthwise(input))
        return output


class SqueezeExcitation(Module):
    """Each channel is weighted by a number from 0 to 1 that is computed from the averages of all channels.

    Args:
        input_channels: channels of the input.
        squeeze_channels: how many numbers the averages are squeezed into; a sixteenth of the channels in the paper.
        activation: makes the activation between the two 1x1 convolutions ``fc1`` and ``fc2``.
        scale_activation: makes the one that gives the weights.

    (Hu, Shen and Sun, 2018, section 3)

    >>> import tinygrad_cnn as tg
    >>> SqueezeExcitation(64, 4)(tg.symbol((1, 64, 7, 7))).shape
    (1, 64, 7, 7)
    """

    def __init__(
        self,
        input_channels: int,
        squeeze_channels: int,
        activation: ActivationLayer = ReLU,
        scale_activation: ActivationLayer = Sigmoid,
    ) -> None:
        require_makers("SqueezeExcitation", activation=activation, scale_activation=scale_activation)
        self.fc1 = Conv2d(input_channels, squeeze_channels, 1)
        self.activation = activation()
        self.fc2 = Conv2d(squeeze_channels, input_channels, 1)
        self.scale_activation = scale_activation()

    def forward(self, input: Tensor) -> Tensor:
        """``(N, C, H, W)`` to the same shape."""
        averages = mean(input, (2, 3), keepdim=True)  # -> (N, C, 1, 1)
        weights: Tensor = self.scale_activation(self.fc2(self.activation(self.fc1(averages))))
        return input * weights


class Inception(Module):
    """Four ways side by side, joined along the channels: 1x1, 1x1 then 3x3, 1x1 then 5x5, and pooling then 1x1.

    The 1x1 convolutions in front keep the costly ones narrow. (Szegedy et al., 2015, figure 2b)

    Args:
        in_channels: channels of the input.
        ch1x1: channels of the first way.
        ch3x3red: channels that the second way is reduced to.
        ch3x3: channels of the second way.
        ch5x5red: channels that the third way is reduced to.
        ch5x5: channels of the third way.
        pool_proj: channels of the fourth way.
        norm_layer: the normalisation after each convolution; the paper has none.
        large: the kernels of the third way, one after the other: ``(5,)`` as in the paper; ``(3, 3)`` sees as far and
            costs less (Szegedy et al., 2016); ``(3,)`` is what torchvision has.

    >>> import tinygrad_cnn as tg
    >>> Inception(192, 64, 96, 128, 16, 32, 32)(tg.symbol((1, 192, 28, 28))).shape
    (1, 256, 28, 28)
    """

    def __init__(
        self,
        in_channels: int,
        ch1x1: int,
        ch3x3red: int,
        ch3x3: int,
        ch5x5red: int,
        ch5x5: int,
        pool_proj: int,
        norm_layer: NormLayer | None = None,
        large: Sequence[int] = (5,),
    ) -> None:
        widths = [ch5x5red, *[ch5x5] * len(large)]
        self.branch1 = ChannelMix(in_channels, ch1x1, norm_layer)
        self.branch2 = Sequential(
            ChannelMix(in_channels, ch3x3red, norm_layer), ConvNormActivation(ch3x3red, ch3x3, norm_layer=norm_layer)
        )
        self.branch3 = Sequential(
            ChannelMix(in_channels, ch5x5red, norm_layer),
            *[
                ConvNormActivation(before, after, size, norm_layer=norm_layer)
                for before, after, size in zip(widths, widths[1:], large, strict=False)
            ],
        )
        self.branch4 = Sequential(
            MaxPool2d(3, stride=1, padding=1, ceil_mode=True), ChannelMix(in_channels, pool_proj, norm_layer)
        )

    def forward(self, input: Tensor) -> Tensor:
        """``(N, in_channels, H, W)`` to ``(N, ch1x1 + ch3x3 + ch5x5 + pool_proj, H, W)``."""
        return cat([way(input) for way in (self.branch1, self.branch2, self.branch3, self.branch4)], 1)


class ConvPattern(Module):
    """A network built by the pattern ``[(CONV-RELU)*N - POOL?]*M - (FC-RELU)*K - FC``.

    Args:
        input_shape: of one image, ``(C, H, W)``.
        num_classes: how many classes are told apart.
        channels: the filters of each of the M groups.
        n: convolutions in a group. They keep the size of the image.
        pool: whether each group ends with a 2x2 max pooling, which halves the image.
        features: the widths of the K dense layers.
        kernel_size: the height and width of all filters, an odd number.
        softmax: whether the last layer is a softmax. Leave it out for ``cross_entropy``, which has its own.

    Raises :class:`ShapeError` where poolings leave nothing of the image, :class:`ArgumentError` for other settings
    that make no network.

    >>> import tinygrad_cnn as tg
    >>> ConvPattern((3, 32, 32), 10, channels=(16, 32), n=2, features=(64,))(tg.symbol((4, 3, 32, 32))).shape
    (4, 10)
    """

    def __init__(
        self,
        input_shape: Sequence[int],
        num_classes: int,
        channels: Sequence[int] = (32, 64),
        n: int = 2,
        pool: bool = True,
        features: Sequence[int] = (128,),
        kernel_size: int = 3,
        softmax: bool = False,
    ) -> None:
        self.input_shape = tuple(input_shape)
        self._check(n, kernel_size, channels, features)
        width, height, breadth = self.input_shape
        layers: list[Module] = []
        for group, filters in enumerate(channels, 1):
            for _ in range(n):
                layers += [Conv2d(width, filters, kernel_size, padding=kernel_size // 2), ReLU()]
                width = filters
            if pool:
                layers.append(MaxPool2d(2))
                height, breadth = height // 2, breadth // 2
                if not height or not breadth:
                    self._too_small(group, len(channels))
        self.features = Sequential(*layers)
        self.flatten = Flatten()
        size = width * height * breadth
        dense: list[Module] = []
        for outputs in features:
            dense += [Linear(size, outputs), ReLU()]
            size = outputs
        dense.append(Linear(size, num_classes))
        self.classifier = Sequential(*dense, *[Softmax(1)] * softmax)

    def _check(self, n: int, kernel_size: int, channels: object, features: object) -> None:
        for name, widths in (("channels", channels), ("features", features)):
            if not isinstance(widths, Sequence):
                raise ArgumentError(
                    "ConvPattern", f"{name} are the widths of several layers", got=f"{name}={widths!r}",
                    expected="a tuple", fix=f"{name}=({widths!r},)",
                )  # fmt: skip
        if len(self.input_shape) != 3 or min(self.input_shape) < 1:
            raise ArgumentError(
                "ConvPattern", "input_shape is the shape of one image, without the batch", got=f"{self.input_shape}",
                expected="(C, H, W), such as (3, 32, 32)",
            )  # fmt: skip
        if n < 1 or kernel_size < 1 or kernel_size % 2 == 0:
            raise ArgumentError(
                "ConvPattern", "there is no such group of convolutions", got=f"n={n}, kernel_size={kernel_size}",
                expected="n at least 1, and an odd kernel_size, so that the image keeps its size",
            )  # fmt: skip

    def _too_small(self, group: int, groups: int) -> None:
        smallest = min(self.input_shape[1:])
        raise ShapeError(
            "ConvPattern",
            f"after pooling {group} times nothing is left of the image",
            got=f"input_shape={self.input_shape}, {groups} groups with pooling",
            expected=f"a height and width of at least 2^{groups} = {2**groups}, but {smallest} < {2**groups}",
            fix=f"use at most {smallest.bit_length() - 1} groups, larger images, or pool=False",
        )

    def forward(self, images: Tensor) -> Tensor:
        """``(N, C, H, W)`` to logits ``(N, num_classes)``, or probabilities with ``softmax``."""
        output: Tensor = self.classifier(self.flatten(self.features(images)))
        return output

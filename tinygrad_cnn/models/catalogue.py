"""All networks by name: how each is made, what goes in, where it comes from."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

import numpy as np

from ..errors import ArgumentError
from ..graph import Spec
from ..nn.module import Module
from ..summary import summary
from ..tensor import Tensor, symbol
from .alexnet import alexnet, alexnet_2012
from .autoencoder import conv_autoencoder, dense_autoencoder, espcn, srcnn
from .gan import dcgan_discriminator, dcgan_generator
from .googlenet import bn_inception, googlenet, inception_v1
from .graph import gcn
from .lenet import lenet1, lenet5, lenet5_1998
from .localiser import localiser
from .resnet import (
    preact_resnet18,
    preact_resnet50,
    resnet8,
    resnet18,
    resnet20,
    resnet32,
    resnet34,
    resnet44,
    resnet50,
    resnet56,
    resnet101,
    resnet152,
)  # fmt: skip
from .sequence import seq2seq, sequence_classifier, text_classifier
from .simple import conv_pattern, keras_cnn, mlp, residual_mlp
from .transformer import transformer_classifier, vision_transformer
from .unet import unet
from .vgg import vgg11, vgg11_bn, vgg13, vgg13_bn, vgg16, vgg16_bn, vgg19, vgg19_bn


class Entry(NamedTuple):
    """One network with the input it was published for."""

    name: str
    make: Callable[..., Module]
    """Makes it with its usual settings; takes other settings by name."""
    input_shape: tuple[int, ...] | tuple[Spec, ...]
    """The shape of the input, with a batch of 1 where there is a batch; or the :class:`Spec` of each input, where there
    are several, or others than float32."""
    description: str
    """One line."""
    source: str
    """Who described it, and when."""
    published: int | None = None
    """The number of parameters that others give, where there is such a number."""

    @property
    def inputs(self) -> tuple[Spec, ...]:
        """The shape and element type of each input."""
        specs = [each for each in self.input_shape if isinstance(each, Spec)]
        if specs:
            return tuple(specs)
        return (Spec(tuple([each for each in self.input_shape if isinstance(each, int)]), np.dtype("float32")),)

    def symbols(self) -> list[Tensor]:
        """Symbols for the inputs, as ``tg.draw`` and ``tg.summary`` take them."""
        several = len(self.inputs) > 1
        return [
            symbol(spec.shape, spec.dtype, f"input {position}" if several else "input")
            for position, spec in enumerate(self.inputs)
        ]


class Overview(NamedTuple):
    """One network in figures."""

    name: str
    inputs: tuple[Spec, ...]
    parameters: int
    macs: int
    """Multiply-adds for one input, in evaluation; see :func:`tinygrad_cnn.summary.count_macs`."""
    description: str


_ENTRIES = (
    # handwritten digits
    Entry(
        "lenet1", lenet1, (1, 1, 28, 28), "the first convolutional reader of digits, in 2,578 numbers",
        "LeCun et al., 1990", 2_578,
    ),
    Entry(
        "lenet5", lenet5, (1, 1, 32, 32), "reads digits: two convolutions, three dense layers",
        "LeCun et al., 1998, as commonly implemented", 61_706,
    ),
    Entry(
        "lenet5_1998", lenet5_1998, (1, 1, 32, 32), "LeNet-5 with the original's partial connections and outputs",
        "LeCun et al., 1998", 60_000,
    ),
    Entry(
        "mlp", mlp, (1, 1, 28, 28), "dense layers only, for comparison with convolutions",
        "Rumelhart, Hinton and Williams, 1986; sizes of LeCun et al., 1998", 238_510,
    ),
    Entry(
        "residual_mlp", residual_mlp, (1, 1, 28, 28), "sixteen dense layers with shortcuts",
        "after He et al., 2016",
    ),
    Entry(
        "keras_cnn", keras_cnn, (1, 1, 28, 28), "the small network of Keras' first examples",
        "Chollet, 2017", 93_322,
    ),
    Entry(
        "conv_pattern", conv_pattern, (1, 3, 32, 32), "built by [(CONV-RELU)*N - POOL?]*M - (FC-RELU)*K",
        "Stanford CS231n",
    ),
    Entry("resnet8", resnet8, (1, 1, 28, 28), "a small residual network for digits", "after He et al., 2016"),
    # photographs, a thousand classes
    Entry(
        "alexnet", alexnet, (1, 3, 224, 224), "five convolutions, three dense layers, in one tower",
        "Krizhevsky, 2014", 61_100_840,
    ),
    Entry(
        "alexnet_2012", alexnet_2012, (1, 3, 227, 227), "the winner of ImageNet 2012, in two towers",
        "Krizhevsky, Sutskever and Hinton, 2012", 60_965_224,
    ),
    *[
        Entry(
            f"vgg{depth}{suffix}", make, (1, 3, 224, 224),
            f"{depth} layers, all convolutions 3x3{', batch normalisation' if suffix else ''}",
            "Simonyan and Zisserman, 2015", parameters,
        )
        for depth, suffix, make, parameters in (
            (11, "", vgg11, 132_863_336), (11, "_bn", vgg11_bn, 132_868_840),
            (13, "", vgg13, 133_047_848), (13, "_bn", vgg13_bn, 133_053_736),
            (16, "", vgg16, 138_357_544), (16, "_bn", vgg16_bn, 138_365_992),
            (19, "", vgg19, 143_667_240), (19, "_bn", vgg19_bn, 143_678_248),
        )
    ],
    Entry(
        "googlenet", googlenet, (1, 3, 224, 224), "nine inception modules, two more heads for training",
        "Szegedy et al., 2015, as in torchvision", 13_004_888,
    ),
    Entry(
        "inception_v1", inception_v1, (1, 3, 224, 224), "GoogLeNet with the paper's 5x5 convolutions",
        "Szegedy et al., 2015", 13_378_280,
    ),
    Entry(
        "bn_inception", bn_inception, (1, 3, 224, 224), "GoogLeNet with normalisation and two 3x3 for 5x5",
        "after Ioffe and Szegedy, 2015",
    ),
    *[
        Entry(
            f"resnet{depth}", make, (1, 3, 224, 224), f"{depth} layers of {kind} residual blocks",
            "He et al., 2016a", parameters,
        )
        for depth, kind, make, parameters in (
            (18, "basic", resnet18, 11_689_512),
            (34, "basic", resnet34, 21_797_672),
            (50, "bottleneck", resnet50, 25_557_032),
            (101, "bottleneck", resnet101, 44_549_160),
            (152, "bottleneck", resnet152, 60_192_808),
        )
    ],
    *[
        Entry(
            f"preact_resnet{depth}", make, (1, 3, 224, 224), f"ResNet-{depth} with normalisation before convolution",
            "He et al., 2016b",
        )
        for depth, make in ((18, preact_resnet18), (50, preact_resnet50))
    ],
    *[
        Entry(
            f"resnet{depth}", make, (1, 3, 32, 32), f"{depth} layers for the small images of CIFAR",
            "He et al., 2016a", parameters,
        )
        for depth, make, parameters in (
            (20, resnet20, 269_722), (32, resnet32, 464_154),
            (44, resnet44, 658_586), (56, resnet56, 853_018),
        )
    ],
    # images from images
    Entry(
        "dense_autoencoder", dense_autoencoder, (1, 784), "an image through a code of 32 numbers",
        "Hinton and Salakhutdinov, 2006",
    ),
    Entry(
        "conv_autoencoder", conv_autoencoder, (1, 1, 32, 32), "removes noise, adds colour, mends",
        "Vincent et al., 2008; Masci et al., 2011",
    ),
    Entry(
        "srcnn", srcnn, (1, 1, 33, 33), "sharpens an enlarged image by three convolutions",
        "Dong et al., 2014", 8_129,
    ),
    Entry(
        "espcn", espcn, (1, 1, 24, 24), "enlarges an image threefold: channels become pixels",
        "Shi et al., 2016",
    ),
    Entry(
        "unet", unet, (1, 1, 256, 256), "a class for each pixel",
        "Ronneberger, Fischer and Brox, 2015, padded",
    ),
    Entry(
        "localiser", localiser, (1, 1, 64, 64), "class and box of a single object",
        "after Sermanet et al., 2014",
    ),
    Entry(
        "dcgan_generator", dcgan_generator, (1, 100), "makes images of random numbers",
        "Radford, Metz and Chintala, 2016", 3_576_704,
    ),
    Entry(
        "dcgan_discriminator", dcgan_discriminator, (1, 3, 64, 64), "tells real images from made ones",
        "Radford, Metz and Chintala, 2016", 2_765_568,
    ),
    # sequences and graphs
    Entry(
        "sequence_classifier", sequence_classifier, (1, 8, 8), "reads an image of 8x8 pixels row by row",
        "Cho et al., 2014",
    ),
    Entry(
        "text_classifier", text_classifier, (Spec((1, 20), np.dtype("int64")),), "reads words in both directions",
        "Graves and Schmidhuber, 2005",
    ),
    Entry(
        "seq2seq", seq2seq, (Spec((1, 10), np.dtype("int64")), Spec((1, 9), np.dtype("int64"))),
        "writes a sequence from another one, with attention", "Sutskever et al., 2014; Luong et al., 2015",
    ),
    Entry(
        "transformer_classifier", transformer_classifier, (Spec((1, 20), np.dtype("int64")),),
        "reads words by attention alone", "Vaswani et al., 2017",
    ),
    Entry(
        "vision_transformer", vision_transformer, (1, 1, 32, 32), "reads an image as a sequence of patches",
        "Dosovitskiy et al., 2021, small",
    ),
    Entry(
        "gcn", gcn, (Spec((34, 34), np.dtype("float32")), Spec((34, 34), np.dtype("float32"))),
        "a class for each node of a graph", "Kipf and Welling, 2017",
    ),
)  # fmt: skip

CATALOGUE: dict[str, Entry] = {entry.name: entry for entry in _ENTRIES}
"""Every network, in the order of the families."""


def list_models() -> list[str]:
    """The names of all networks.

    >>> "lenet5" in list_models()
    True
    """
    return list(CATALOGUE)


def get_model(name: str, **settings: Any) -> Module:
    """Make a network by its name.

    Args:
        name: one of :func:`list_models`.
        settings: passed to the function of that name in ``tinygrad_cnn.models``.

    Raises :class:`ArgumentError` for a name that is not in the catalogue.

    >>> type(get_model("lenet5", num_classes=3)).__name__
    'LeNet5'
    """
    return get_entry(name).make(**settings)


def get_entry(name: str) -> Entry:
    """What the catalogue knows about a network.

    Raises :class:`ArgumentError` for a name that is not in it.

    >>> get_entry("lenet5").published
    61706
    """
    if name not in CATALOGUE:
        near = difflib.get_close_matches(name, CATALOGUE, 3, 0.4)
        raise ArgumentError(
            "get_model",
            "there is no network of this name",
            got=repr(name),
            expected="one of tinygrad_cnn.models.list_models()",
            fix=f"did you mean {' or '.join(map(repr, near))}?" if near else "",
        )
    return CATALOGUE[name]


def overview(names: Iterable[str] | None = None) -> Iterator[Overview]:
    """The figures of networks, one after the other, each for its published input; nothing is computed.

    Args:
        names: which; all without it.

    Raises :class:`ArgumentError` for a name that is not in the catalogue.

    >>> [row.parameters for row in overview(["lenet5"])]
    [61706]
    """
    for name in CATALOGUE if names is None else names:
        entry = get_entry(name)
        table = summary(entry.make().eval(), entry.symbols())
        yield Overview(name, entry.inputs, table.parameters, table.macs, entry.description)

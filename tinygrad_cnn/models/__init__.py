"""Networks of the literature, one module for each family."""

from .alexnet import AlexNet, AlexNet2012, alexnet, alexnet_2012
from .autoencoder import ESPCN, SRCNN, conv_autoencoder, dense_autoencoder, espcn, srcnn
from .catalogue import CATALOGUE, Entry, Overview, get_entry, get_model, list_models, overview
from .gan import Discriminator, Generator, dcgan_discriminator, dcgan_generator
from .googlenet import GoogLeNet, GoogLeNetOutputs, InceptionAux, bn_inception, googlenet, inception_v1
from .graph import GCN, gcn
from .lenet import LeNet1, LeNet5, LeNet5Original, RadialBasis, Subsampling, TableConv2d, lenet1, lenet5, lenet5_1998
from .localiser import ClassAndBox, Localiser, localiser
from .neocognitron import Neocognitron, fit_neocognitron
from .resnet import (
    ResNet, cifar_resnet, preact_resnet18, preact_resnet50, resnet8, resnet18, resnet20, resnet32, resnet34, resnet44,
    resnet50, resnet56, resnet101, resnet152,
)  # fmt: skip
from .sequence import (
    Seq2Seq, SequenceClassifier, TextClassifier, Translation, seq2seq, sequence_classifier, text_classifier,
)  # fmt: skip
from .simple import MLP, KerasCNN, ResidualMLP, conv_pattern, keras_cnn, mlp, residual_mlp
from .transformer import TransformerClassifier, VisionTransformer, transformer_classifier, vision_transformer
from .unet import UNet, unet
from .vgg import VGG, vgg11, vgg11_bn, vgg13, vgg13_bn, vgg16, vgg16_bn, vgg19, vgg19_bn

__all__ = [
    "CATALOGUE", "ESPCN", "GCN", "MLP", "SRCNN", "VGG", "AlexNet", "AlexNet2012", "ClassAndBox", "Discriminator",
    "Entry", "Generator", "GoogLeNet", "GoogLeNetOutputs", "InceptionAux", "KerasCNN", "LeNet1", "LeNet5",
    "LeNet5Original", "Localiser", "Neocognitron", "Overview", "RadialBasis", "ResNet", "ResidualMLP", "Seq2Seq",
    "SequenceClassifier", "Subsampling", "TableConv2d", "TextClassifier", "TransformerClassifier", "Translation",
    "UNet", "VisionTransformer", "alexnet", "alexnet_2012", "bn_inception", "cifar_resnet", "conv_autoencoder",
    "conv_pattern", "dcgan_discriminator", "dcgan_generator", "dense_autoencoder", "espcn", "fit_neocognitron", "gcn",
    "get_entry", "get_model", "googlenet", "inception_v1", "keras_cnn", "lenet1", "lenet5", "lenet5_1998",
    "list_models", "localiser", "mlp", "overview", "preact_resnet18", "preact_resnet50", "residual_mlp", "resnet8",
    "resnet18", "resnet20", "resnet32", "resnet34", "resnet44", "resnet50", "resnet56", "resnet101", "resnet152",
    "seq2seq", "sequence_classifier", "srcnn", "text_classifier", "transformer_classifier", "unet", "vgg11",
    "vgg11_bn", "vgg13", "vgg13_bn", "vgg16", "vgg16_bn", "vgg19", "vgg19_bn", "vision_transformer",
]  # fmt: skip

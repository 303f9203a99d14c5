"""Data: data sets, random changes of images, and the loader that deals them out in batches."""

from .digits import digits
from .files import CIFAR10_CLASSES, FASHION_CLASSES, cifar10, fashion_mnist, mnist
from .folder import ImageFolder
from .loader import DataLoader, Dataset, Subset, TensorDataset
from .photos import patches, photograph, photographs
from .sampler import (
    RandomSampler,
    Sampler,
    SequentialSampler,
    SubsetRandomSampler,
    WeightedRandomSampler,
    balanced_weights,
)
from .split import k_fold, random_split, stratified_split
from .transforms import (
    CenterCrop,
    ColorJitter,
    Compose,
    Cutout,
    GaussianNoise,
    Grayscale,
    ImageTransform,
    MixUp,
    Normalize,
    RandomAffine,
    RandomCrop,
    RandomHorizontalFlip,
    RandomVerticalFlip,
    Resize,
    Together,
    Watermark,
)

__all__ = [
    "DataLoader", "Dataset", "ImageFolder", "Subset", "TensorDataset",
    "CIFAR10_CLASSES", "FASHION_CLASSES", "cifar10", "digits", "fashion_mnist", "mnist",
    "patches", "photograph", "photographs",
    "CenterCrop", "ColorJitter", "Compose", "Cutout", "GaussianNoise", "Grayscale", "ImageTransform",
    "MixUp", "Normalize", "RandomAffine", "RandomCrop", "RandomHorizontalFlip", "RandomVerticalFlip", "Resize",
    "Together", "Watermark",
    "RandomSampler", "Sampler", "SequentialSampler", "SubsetRandomSampler", "WeightedRandomSampler", "balanced_weights",
    "k_fold", "random_split", "stratified_split",
]  # fmt: skip

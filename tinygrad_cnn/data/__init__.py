"""Data: data sets, random changes of images, and the loader that deals them out in batches."""

from .digits import digits
from .loader import DataLoader, Dataset, TensorDataset
from .transforms import RandomAffine

__all__ = ["DataLoader", "Dataset", "RandomAffine", "TensorDataset", "digits"]

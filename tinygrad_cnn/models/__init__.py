"""Networks of the literature, one module for each family."""

from .lenet import LeNet5, lenet5

__all__ = ["LeNet5", "lenet5"]

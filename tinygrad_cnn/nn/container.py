"""Modules that hold other modules, and those that only change shapes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ..ops.shape import flatten
from ..tensor import Tensor
from .module import Module


class Sequential(Module):
    """Modules one after the other: the output of each is the input of the next.

    Args:
        modules: the modules, or one dictionary of them by name.

    >>> from tinygrad_cnn import nn
    >>> Sequential(nn.Linear(4, 3), nn.ReLU())
    Sequential(
      (0): Linear(in_features=4, out_features=3)
      (1): ReLU()
    )
    """

    def __init__(self, *modules: Module | dict[str, Module]) -> None:
        for position, module in enumerate(modules):
            if isinstance(module, dict):
                vars(self).update(module)
            else:
                vars(self)[str(position)] = module

    def forward(self, input: Any) -> Any:
        """Through all modules in order."""
        for module in self.children():
            input = module(input)
        return input

    def __len__(self) -> int:
        return sum(1 for _ in self.children())

    def __iter__(self) -> Iterator[Module]:
        return self.children()

    def __getitem__(self, position: int) -> Module:
        return list(self.children())[position]


class Flatten(Module):
    """The axes from ``start_dim`` to ``end_dim`` as one; by default all but the batch.

    >>> Flatten()(Tensor([[[1.0, 2.0], [3.0, 4.0]]])).shape
    (1, 4)
    """

    def __init__(self, start_dim: int = 1, end_dim: int = -1) -> None:
        self.start_dim, self.end_dim = start_dim, end_dim

    def forward(self, input: Tensor) -> Tensor:
        """``(N, ...)`` to ``(N, features)``."""
        return flatten(input, self.start_dim, self.end_dim)


class Identity(Module):
    """The input itself.

    >>> Identity()(Tensor([1.0]))
    Tensor([1.])
    """

    def forward(self, input: Any) -> Any:
        """Anything to itself."""
        return input

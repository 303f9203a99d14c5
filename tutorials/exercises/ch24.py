"""Chapter 24, residual networks: fill in the functions, then run ``pytest tutorials/exercises -m ch24``."""

import numpy as np

from tinygrad_cnn import nn


def brake(depth: int, growth: float) -> float:
    """The s with which blocks x + s F(x) in a row make the variance grow by this factor, where F keeps it."""
    raise NotImplementedError


def ways_left(blocks: int, removed: int) -> float:
    """The share of the ways through residual blocks that go past all of the removed ones."""
    raise NotImplementedError


def share_of_ways(blocks: int, low: int, high: int) -> float:
    """The share of the ways that go through ``low`` to ``high`` of the blocks, both included."""
    raise NotImplementedError


def start_at_zero(network: nn.Module) -> nn.Module:
    """The network itself, each ``BasicBlock`` changed so that it adds nothing at the start, and yet can learn."""
    raise NotImplementedError


def shortcut_a(x: np.ndarray, channels: int, stride: int) -> np.ndarray:
    """Every ``stride``-th pixel of ``(N, C, H, W)``, and zeros up to so many channels."""
    raise NotImplementedError

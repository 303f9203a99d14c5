"""tinygrad_cnn: convolutional networks to read and to draw.

One graph, run as it is written or described first and run later; gradients that are graphs themselves; NumPy on the
CPU, CuPy on the GPU.
"""

from typing import TYPE_CHECKING, Any

from .tensor import Tensor, symbol  # isort: skip - the tensor comes first: operations are made of it
from . import io, nn, ops, optim, testing
from .autodiff import grad
from .backend import device
from .backend.random import seed
from .compile import Compiled, compile
from .draw import Drawing, draw
from .errors import (
    ArgumentError,
    DeviceError,
    DTypeError,
    GraphError,
    ImmutableError,
    NanError,
    PositionError,
    ShapeError,
    TinygradCnnError,
)
from .checkpoint import checkpoint
from .evaluate import evaluate
from .io import load, save
from .mode import detect_nan, no_grad, scope
from .ops import (
    abs, add, amax, amin, argmax, argmin, broadcast_to, cat, clip, concatenate, div, eq, erf, exp, flatten, flip, ge,
    gelu, gt, le, leaky_relu, log, log_softmax, logical_not, logsumexp, lt, matmul, max, maximum, mean, min, minimum,
    mul, ne, neg, one_hot, pad, permute, pow, relu, reshape, sigmoid, sign, softmax, softplus, split, sqrt, square,
    squeeze, stack, std, sub, sum, take_along_dim, tanh, transpose, unsqueeze, var, where,
)  # fmt: skip
from .summary import summary

__all__ = [
    "ArgumentError", "Compiled", "DTypeError", "DeviceError", "Drawing", "GraphError", "ImmutableError", "NanError",
    "PositionError", "ShapeError", "Tensor", "TinygradCnnError", "abs", "add", "amax", "amin", "argmax", "argmin",
    "broadcast_to", "cat", "checkpoint", "clip", "compile", "concatenate", "data", "detect_nan", "device", "div",
    "draw", "eq", "erf", "evaluate", "exp", "filters", "flatten", "flip", "ge", "gelu", "grad", "gt", "inspect",
    "io", "le", "leaky_relu", "load", "log", "log_softmax", "logical_not", "logsumexp", "lt", "matmul", "max",
    "maximum", "mean", "min", "minimum", "models", "mul", "ne", "neg", "nn", "no_grad", "one_hot", "ops", "optim",
    "pad", "permute", "pow", "relu", "reshape", "save", "scope", "seed", "sigmoid", "sign", "softmax", "softplus",
    "split", "sqrt", "square", "squeeze", "stack", "std", "sub", "sum", "summary", "symbol", "take_along_dim",
    "tanh", "testing", "train", "transpose", "unsqueeze", "var", "where",
]  # fmt: skip

__version__ = "0.1.0"

if TYPE_CHECKING:
    from . import data, filters, inspect, models, train

_ON_FIRST_USE = {"data", "filters", "inspect", "models", "train"}
"""Rooms that are entered when they are first asked for, which makes importing the package quick."""


def __getattr__(name: str) -> Any:
    if name in _ON_FIRST_USE:
        from importlib import import_module

        return import_module(f".{name}", __name__)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *_ON_FIRST_USE})

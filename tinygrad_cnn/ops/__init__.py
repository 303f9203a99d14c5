"""The operations, one module for each family, and the functions that call them."""

from .base import (
    CONSTANT, OPERATIONS, OUTPUT, SYMBOL, Operation, apply, as_tensor, full_like, is_number, require_float,
    require_same_dtype,
)
from .elementwise import (
    UFUNCS, abs, add, cast, clip, detach, div, eq, erf, exp, expm1, ge, gelu, gt, le, leaky_relu, log, logical_not, lt,
    masked, maximum, minimum, mul, ne, neg, pow, relu, sigmoid, sign, softplus, sqrt, square, sub, tanh, to_device,
    where,
)
from .shape import (
    align, broadcast_to, cat, concatenate, flatten, flip, pad, permute, reshape, split, squeeze, stack, transpose,
    unsqueeze,
)
from .index import index, one_hot, take_along_dim
from .reduce import (
    ValuesAndIndices, amax, amin, argmax, argmin, log_softmax, logsumexp, max, mean, min, softmax, std, sum, var,
)
from .linalg import matmul
from .window import fold, unfold
from .conv import conv1d, conv2d, conv3d, conv_transpose1d, conv_transpose2d, conv_transpose3d
from .pool import (
    avg_pool1d, avg_pool2d, avg_pool3d, max_pool1d, max_pool2d, max_pool3d, max_unpool1d, max_unpool2d,
    max_unpool3d, sum_pool1d, sum_pool2d, sum_pool3d,
)
from .resample import (
    interpolate, pixel_shuffle, pixel_unshuffle,
)
from .adaptive import (
    adaptive_avg_pool1d, adaptive_avg_pool2d, adaptive_avg_pool3d, adaptive_max_pool1d, adaptive_max_pool2d,
    adaptive_max_pool3d, global_avg_pool1d, global_avg_pool2d, global_avg_pool3d, global_max_pool1d,
    global_max_pool2d, global_max_pool3d,
)
from .pool_forms import (
    distance_weights, lp_pool1d, lp_pool2d, lp_pool3d, maxout, weighted_pool1d, weighted_pool2d, weighted_pool3d,
)
from .base import Deferred
from .random import Initial, dropout

__all__ = [
    "CONSTANT", "Deferred", "Initial", "OPERATIONS", "OUTPUT", "Operation", "SYMBOL", "UFUNCS",
    "ValuesAndIndices", "abs",
    "adaptive_avg_pool1d", "adaptive_avg_pool2d", "adaptive_avg_pool3d", "adaptive_max_pool1d", "adaptive_max_pool2d",
    "adaptive_max_pool3d", "add", "align", "amax", "amin", "apply", "argmax", "argmin", "as_tensor", "avg_pool1d",
    "avg_pool2d", "avg_pool3d", "broadcast_to", "cast", "cat", "clip", "concatenate", "conv1d", "conv2d", "conv3d",
    "conv_transpose1d", "conv_transpose2d", "conv_transpose3d", "detach", "distance_weights", "div", "dropout", "eq",
    "erf", "exp", "expm1", "flatten", "flip", "fold", "full_like", "ge", "gelu", "global_avg_pool1d",
    "global_avg_pool2d", "global_avg_pool3d", "global_max_pool1d", "global_max_pool2d", "global_max_pool3d", "gt",
    "index", "interpolate", "is_number", "le", "leaky_relu", "log", "log_softmax", "logical_not", "logsumexp",
    "lp_pool1d", "lp_pool2d", "lp_pool3d", "lt", "masked", "matmul", "max", "max_pool1d", "max_pool2d", "max_pool3d",
    "max_unpool1d", "max_unpool2d", "max_unpool3d", "maximum", "maxout", "mean", "min", "minimum", "mul", "ne", "neg",
    "one_hot", "pad", "permute", "pixel_shuffle", "pixel_unshuffle", "pow", "relu", "require_float",
    "require_same_dtype", "reshape", "sigmoid", "sign", "softmax", "softplus", "split", "sqrt", "square", "squeeze",
    "stack", "std", "sub", "sum", "sum_pool1d", "sum_pool2d", "sum_pool3d", "take_along_dim", "tanh", "to_device",
    "transpose", "unfold", "unsqueeze", "var", "weighted_pool1d", "weighted_pool2d", "weighted_pool3d", "where",
]  # fmt: skip

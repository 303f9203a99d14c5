"""The operations, one module for each family, and the functions that call them."""

from .base import (
    CONSTANT, OPERATIONS, OUTPUT, SYMBOL, Operation, align, apply, as_tensor, full_like, is_number, require_float,
    require_same_dtype,
)
from .elementwise import (
    UFUNCS, abs, add, cast, clip, detach, div, eq, erf, exp, ge, gelu, gt, le, leaky_relu, log, logical_not, lt,
    maximum, minimum, mul, ne, neg, pow, relu, sigmoid, sign, softplus, sqrt, square, sub, tanh, to_device, where,
)
from .shape import (
    broadcast_to, cat, concatenate, flatten, flip, pad, permute, reshape, split, squeeze, stack, transpose, unsqueeze,
)
from .index import index, one_hot, take_along_dim
from .reduce import (
    ValuesAndIndices, amax, amin, argmax, argmin, log_softmax, logsumexp, max, mean, min, softmax, std, sum, var,
)
from .linalg import matmul
from .random import dropout

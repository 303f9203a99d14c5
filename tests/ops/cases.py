"""One table of all operations: how each is called, on what, and what it should give.

``test_operations.py`` runs every row through the same tests, and fails where an operation has no row.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np

import tinygrad_cnn as tg
from tests import oracles as window_oracle
from tinygrad_cnn import ops
from tinygrad_cnn.ops import norm
from tinygrad_cnn.ops.conv import Conv, ConvTranspose, ConvWeight
from tinygrad_cnn.ops.index import AddAlongDim, Index, IndexAdd
from tinygrad_cnn.ops.pool import AvgPool, AvgPoolAdjoint, MaxPool, MaxPoolGather, MaxPoolIndices, MaxPoolScatter
from tinygrad_cnn.ops.random import Initial, uniform_like
from tinygrad_cnn.ops.resample import Resample, ResampleAdjoint
from tinygrad_cnn.ops.shape import Pad
from tinygrad_cnn.ops.window import Fold, Unfold

from . import oracles_basic as oracle
from . import oracles_resample as resample_oracle

Shape = tuple[int, ...]
Function = Callable[..., Any]
Draw = Callable[[np.random.Generator, Shape], np.ndarray]
"""Makes an input: float64 numbers away from the function's kinks, or integers, or booleans."""


@dataclass(frozen=True)
class Case:
    """One call of one operation."""

    operation: str
    """The name in the table of operations; the graph of ``function`` holds a node of that name."""
    label: str
    function: Callable[..., tg.Tensor]
    inputs: tuple[tuple[Shape, Draw], ...]
    oracle: Callable[..., np.ndarray]
    """From the same inputs as NumPy arrays to what should come out."""
    dtype: str | None = None
    """The type of the output; without it, that of the floating-point inputs."""
    tolerance: dict[str, float] = field(default_factory=dict)
    """For the gradient checker, where its own will not do."""

    @property
    def differentiable(self) -> bool:
        """Whether a gradient flows through: from a floating-point input to a floating-point output."""
        return ops.OPERATIONS[self.operation].differentiable and self.dtype in (None, "other")

    def __str__(self) -> str:
        return f"{self.operation}-{self.label}"

    def arrays(self, dtype: str) -> list[np.ndarray]:
        """The inputs; floating-point ones in this type."""
        random = np.random.default_rng(1)
        drawn = [np.asarray(draw(random, shape)) for shape, draw in self.inputs]
        return [each.astype(dtype) if each.dtype.kind == "f" else each for each in drawn]

    def output_dtype(self, dtype: str) -> np.dtype:
        """The type of the output for floating-point inputs of this type."""
        return np.dtype({"other": OTHER[dtype]}.get(self.dtype or dtype, self.dtype or dtype))


OTHER = {"float32": "float64", "float64": "float32"}
SHAPES: tuple[Shape, ...] = ((), (0, 3), (1, 1), (2, 3))
"""No axes, no elements, axes of length 1, and an ordinary one."""


def signed(random: np.random.Generator, shape: Shape) -> np.ndarray:
    """Numbers from 0.2 to 2 in size, of either sign."""
    return random.uniform(0.2, 2.0, shape) * random.choice([-1.0, 1.0], shape)


def positive(random: np.random.Generator, shape: Shape) -> np.ndarray:
    return random.uniform(0.5, 2.0, shape)


def distinct(random: np.random.Generator, shape: Shape) -> np.ndarray:
    """Numbers at least 0.1 apart, in random order."""
    return random.permutation(np.arange(math.prod(shape)) * 0.1 - 0.55).reshape(shape)


def mask(random: np.random.Generator, shape: Shape) -> np.ndarray:
    return np.asarray(random.random(shape) < 0.5)


def whole(low: int, high: int) -> Draw:
    """Integers from ``low`` up to, but without, ``high``."""
    return lambda random, shape: random.integers(low, high, shape)


def unary(name: str, function: Function, formula: Function, draw: Draw = signed, **more: Any) -> list[Case]:
    return [
        Case(name, str(shape), function, ((shape, draw),), partial(oracle.elementwise, formula), **more)
        for shape in SHAPES
    ]


def binary(name: str, function: Function, formula: Function, draw: Draw = signed, **more: Any) -> list[Case]:
    return [
        Case(name, str(shape), function, ((shape, draw), (shape, draw)), partial(oracle.elementwise, formula), **more)
        for shape in SHAPES
    ]


def comparison(name: str, function: Callable[..., Any], formula: Callable[..., Any]) -> list[Case]:
    floats = binary(name, function, formula, dtype="bool")
    numbers = whole(-2, 3)  # some are equal
    equals = Case(
        name, "integers", function, (((3, 4), numbers), ((3, 4), numbers)), partial(oracle.elementwise, formula), "bool"
    )
    return [*floats, equals]


ELEMENTWISE = [
    *binary("add", ops.add, lambda a, b: a + b),
    *binary("sub", ops.sub, lambda a, b: a - b),
    *binary("mul", ops.mul, lambda a, b: a * b),
    *binary("div", ops.div, lambda a, b: a / b),
    *binary("pow", ops.pow, lambda a, b: a**b, positive),
    *binary("maximum", ops.maximum, max),
    *binary("minimum", ops.minimum, min),
    *unary("neg", ops.neg, lambda x: -x),
    *unary("square", ops.square, lambda x: x * x),
    *unary("exp", ops.exp, math.exp),
    *unary("expm1", ops.expm1, math.expm1),
    *unary("log", ops.log, math.log, positive),
    *unary("sqrt", ops.sqrt, math.sqrt, positive),
    *unary("abs", ops.abs, abs),
    *unary("sign", ops.sign, lambda x: math.copysign(1.0, x)),
    *unary("erf", ops.erf, math.erf, lambda random, shape: random.uniform(-7.0, 7.0, shape)),
    *unary("relu", ops.relu, lambda x: max(x, 0.0)),
    *unary("leaky_relu", lambda x: ops.leaky_relu(x, 0.3), lambda x: x if x > 0 else 0.3 * x),
    *unary("sigmoid", ops.sigmoid, oracle.sigmoid),
    *unary("tanh", ops.tanh, math.tanh),
    *unary("softplus", ops.softplus, oracle.softplus),
    *unary("clip", lambda x: ops.clip(x, -1.0, 0.5), lambda x: min(max(x, -1.0), 0.5)),
    Case(
        "clip", "above only", lambda x: ops.clip(x, max=0.0), (((2, 3), signed),),
        partial(oracle.elementwise, lambda x: min(x, 0.0)),
    ),
    *comparison("eq", ops.eq, lambda a, b: a == b),
    *comparison("ne", ops.ne, lambda a, b: a != b),
    *comparison("lt", ops.lt, lambda a, b: a < b),
    *comparison("le", ops.le, lambda a, b: a <= b),
    *comparison("gt", ops.gt, lambda a, b: a > b),
    *comparison("ge", ops.ge, lambda a, b: a >= b),
    *unary("logical_not", ops.logical_not, lambda x: not x, mask, dtype="bool"),
    *[
        Case(
            "where", str(shape), ops.where, ((shape, mask), (shape, signed), (shape, signed)),
            partial(oracle.elementwise, lambda condition, a, b: a if condition else b),
        )
        for shape in SHAPES
    ],
    *[
        Case(
            "masked", str(shape), ops.masked, ((shape, signed), (shape, mask)),
            partial(oracle.elementwise, lambda x, holds: x if holds else 0.0),
        )
        for shape in SHAPES
    ],
    *unary("detach", ops.detach, lambda x: x),
    *unary(
        "cast", lambda x: ops.cast(x, OTHER[str(x.dtype)]), lambda x: x, dtype="other",
        tolerance={"eps": 1e-2, "rtol": 1e-4, "atol": 1e-4},  # one of the two types is float32, but the slope is 1
    ),
    *unary("to_device", lambda x: ops.to_device(x, "cpu" if x.device == "strict" else "strict"), lambda x: x),
]  # fmt: skip


def reductions(name: str, function: Callable[..., Any], formula: Callable[[list], Any], draw: Draw = signed, *,
               empty: bool = False, **more: Any) -> list[Case]:  # fmt: skip
    """Over all axes, some, the one of length 1 and none; ``empty``: whether there may be nothing to reduce."""
    rows: list[tuple[Shape, tuple[int, ...], bool]] = [
        ((), (), False), ((2, 3), (0, 1), False), ((2, 3, 2), (0, 2), False), ((2, 3, 2), (1,), True),
        ((2, 1, 3), (1,), False), ((0, 3), (1,), False), ((2, 3), (), False),
    ]  # fmt: skip
    if empty:
        rows += [((0, 3), (0,), False), ((0, 3), (0, 1), True)]
    return [
        Case(
            name, f"{shape} over {dims}{' kept' * keepdim}", partial(_reduction, function, dims, keepdim),
            ((shape, draw),), partial(oracle.reduced, formula, dims=dims, keepdim=keepdim), **more,
        )
        for shape, dims, keepdim in rows
    ]  # fmt: skip


def _reduction(function: Callable[..., Any], dims: tuple[int, ...], keepdim: bool, x: tg.Tensor) -> tg.Tensor:
    return function(x, dims, keepdim)


def places_along(name: str, function: Callable[..., Any], formula: Callable[[list], int]) -> list[Case]:
    """Integers with many ties, and floats."""
    rows: list[tuple[Shape, int, Draw]] = [
        ((3, 4), 0, whole(0, 2)), ((3, 4), 1, whole(0, 2)), ((2, 3, 2), 1, signed), ((2, 1), 1, signed),
        ((0, 2), 1, signed),
    ]  # fmt: skip
    return [
        Case(
            name, f"{shape} over {dim}", partial(function, dim=dim), ((shape, draw),),
            partial(oracle.reduced, formula, dims=(dim,)), "int64",
        )
        for shape, dim, draw in rows
    ]  # fmt: skip


REDUCE = [
    *reductions("sum", ops.sum, sum, empty=True),
    *[
        Case("sum", f"of {kind}", ops.sum, (((2, 3), draw),), lambda x: np.array(sum(x.ravel().tolist())), "int64")
        for kind, draw in {"integers": whole(-3, 9), "booleans": mask}.items()
    ],
    *reductions("mean", ops.mean, lambda values: sum(values) / len(values)),
    *reductions("amax", ops.amax, max, distinct),
    *reductions("amin", ops.amin, min, distinct),
    *reductions("logsumexp", ops.logsumexp, oracle.logsumexp),
    *places_along("argmax", ops.argmax, oracle.first_largest),
    *places_along("argmin", ops.argmin, oracle.first_smallest),
]


def one_input(name: str, label: str, function: Callable[..., Any], given: Shape, expected: Callable[..., Any],
              draw: Draw = signed, **more: Any) -> Case:  # fmt: skip
    return Case(name, f"{given} {label}".strip(), function, ((given, draw),), expected, **more)


REDUCE += [
    one_input("log_softmax", f"along {dim}", partial(ops.log_softmax, dim=dim), given, partial(oracle.log_softmax, dim))
    for given, dim in [((4,), 0), ((2, 3), 1), ((3, 2, 2), 1), ((2, 3), 0), ((2, 1), 1), ((0, 3), 1), ((3, 0), 1)]
]

NORM = [
    one_input("standardise", f"over {dims}", function, given, partial(oracle.standardised, dims=dims, eps=0.1))
    for given, dims, function in [
        ((2, 3), (1,), partial(norm.layer_norm, normalized_shape=3, eps=0.1)),
        ((2, 2, 3), (1, 2), partial(norm.layer_norm, normalized_shape=(2, 3), eps=0.1)),
        ((2, 1), (1,), partial(norm.layer_norm, normalized_shape=1, eps=0.1)),
        ((0, 3), (1,), partial(norm.layer_norm, normalized_shape=3, eps=0.1)),
        ((2, 2, 3), (2,), partial(norm.instance_norm, eps=0.1)),
        ((3, 2), (0,), partial(norm.batch_norm, running_mean=None, running_var=None, eps=0.1)),
        ((2, 3, 2, 2), (0, 2, 3), partial(norm.batch_norm, running_mean=None, running_var=None, eps=0.1)),
    ]
]

SHAPE = [
    *[
        one_input("reshape", f"to {to}", partial(ops.reshape, shape=to), given, partial(oracle.reshaped, shape=to))
        for given, to in [
            ((), (1, 1)), ((2, 3), (3, 2)), ((2, 3), (6,)), ((0, 3), (2, 0)), ((1, 2, 1), (2,)), ((1,), ()),
        ]
    ],
    *[
        one_input("permute", f"by {dims}", partial(ops.permute, dims=dims), given, partial(oracle.permuted, dims=dims))
        for given, dims in [((2, 3), (1, 0)), ((2, 3, 4), (2, 0, 1)), ((0, 3), (1, 0)), ((1, 2, 1, 3), (3, 2, 0, 1))]
    ],
    *[
        one_input(
            "broadcast_to", f"to {to}", partial(ops.broadcast_to, shape=to), given, partial(oracle.broadcast, shape=to)
        )
        for given, to in [
            ((), (2, 3)), ((3,), (2, 3)), ((2, 1), (2, 3)), ((1, 2, 1), (4, 3, 2, 2)), ((1, 3), (0, 3)),
            ((0, 1), (0, 3)),
        ]
    ],
    *[
        Case(
            "cat", f"{shapes} along {dim}", partial(lambda dim, *parts: ops.cat(parts, dim), dim),
            tuple((each, signed) for each in shapes), partial(lambda dim, *parts: oracle.joined(parts, dim), dim),
        )
        for shapes, dim in [
            (((2, 3), (1, 3)), 0), (((2, 1), (2, 2), (2, 0)), 1), (((0, 3), (0, 3)), 0), (((2, 1, 2), (2, 1, 2)), 1),
            (((3,),), 0),
        ]
    ],
    *[
        one_input(
            "pad", f"by {widths}", partial(lambda widths, x: ops.apply(Pad(widths, 1.5), x), widths), given,
            partial(oracle.padded, widths=widths, value=1.5),
        )
        for given, widths in [
            ((3,), ((1, 2),)), ((2, 3), ((0, 1), (2, 0))), ((2, 3), ((-1, 2), (1, -2))), ((0, 3), ((1, 0), (0, 0))),
            ((1, 1), ((1, 1), (0, 0))), ((3,), ((-1, -2),)), ((), ()),
        ]
    ],
    *[
        one_input("flip", f"along {dims}", partial(ops.flip, dims=dims), given, partial(oracle.flipped, dims=dims))
        for given, dims in [((3,), (0,)), ((2, 3), (0, 1)), ((2, 1, 3), (1, 2)), ((0, 3), (0,)), ((2, 3), ())]
    ],
]  # fmt: skip


# Keys for reading, with the integer arrays that go into the gaps; NumPy's own indexing is what should come out.
KEYS: list[tuple[Shape, Callable[..., Any], tuple[tuple[Shape, Draw], ...]]] = [
    ((4,), lambda: (1,), ()),
    ((4, 3), lambda: (slice(None, None, -1), slice(1, 3)), ()),
    ((4, 3), lambda: (slice(3, None, -2), -1), ()),
    ((0, 3), lambda: (slice(None), 1), ()),
    ((2, 1, 3), lambda: (Ellipsis, 0, slice(0, 0)), ()),
    ((3,), lambda: (slice(-5, None, -1),), ()),
    ((4, 3), lambda i: (i,), (((5,), whole(-4, 4)),)),
    ((4, 3), lambda i, j: (i, j), (((5,), whole(-4, 4)), ((2, 1), whole(-3, 3)))),
    ((4, 3, 2), lambda i, j: (i, slice(0, 2), j), (((3,), whole(0, 4)), ((3,), whole(-2, 2)))),
    ((4, 3), lambda i: (slice(1, 3), i), (((0,), whole(0, 1)),)),
    ((4, 3), lambda i: (i, slice(None)), (((), whole(0, 4)),)),
]


def _key_cases(name: str) -> list[Case]:
    cases = []
    for number, (given, key, indices) in enumerate(KEYS):
        read = partial(lambda key, x, *indices: ops.index(x, key(*indices)), key)
        expected = partial(lambda key, x, *indices: x[key(*indices)], key)
        source: Shape = given
        if name == "index_add":
            random = np.random.default_rng(0)
            source = np.empty(given)[key(*[draw(random, each) for each, draw in indices])].shape
            read = partial(_add_in, key, given)
            expected = partial(lambda key, shape, x, *indices: oracle.added_at(x, key(*indices), shape), key, given)
        cases.append(Case(name, f"{given} key {number}", read, ((source, signed), *indices), expected))
    return cases


def _add_in(key: Callable[..., Any], into: Shape, x: tg.Tensor, *indices: tg.Tensor) -> tg.Tensor:
    """The key as ``index`` settles it, used the other way round."""
    read = ops.index(tg.symbol(into), key(*indices))
    assert isinstance(read.node.op, Index)
    return ops.apply(IndexAdd(read.node.op.key, into), x, *indices)


ALONG: list[tuple[Shape, Shape, int]] = [
    ((3, 4), (3, 2), 1),
    ((3, 4), (5, 4), 0),
    ((0, 4), (0, 2), 1),
    ((2, 1, 3), (2, 1, 1), 2),
]

INDEX = [
    *_key_cases("index"),
    *_key_cases("index_add"),
    *[
        Case(
            "take_along_dim", f"{given} {places} along {dim}", partial(ops.take_along_dim, dim=dim),
            ((given, signed), (places, whole(0, given[dim]))), partial(oracle.taken_along, dim=dim),
        )
        for given, places, dim in ALONG
    ],
    *[
        Case(
            "add_along_dim", f"{places} into {into} along {dim}",
            partial(ops.apply, AddAlongDim(dim, into)),
            ((places, signed), (places, whole(0, into[dim]))),
            partial(oracle.added_along, dim=dim, shape=into),
        )
        for into, places, dim in ALONG
    ],
]  # fmt: skip

LINALG = [
    Case("matmul", f"{a} @ {b}", ops.matmul, ((a, signed), (b, signed)), oracle.matrix_product)
    for a, b in [
        ((2, 3), (3, 4)), ((1, 1), (1, 1)), ((0, 3), (3, 2)), ((2, 0), (0, 3)), ((2, 3), (3, 0)),
        ((2, 2, 3), (2, 3, 1)), ((0, 2, 3), (0, 3, 2)), ((1, 2, 1, 3), (1, 2, 3, 2)),
    ]
]  # fmt: skip


NONE = (0, 0)

# image, weight, stride, padding before and after, dilation, groups
CONVOLUTIONS: list[tuple[Shape, Shape, Shape, tuple[Shape, ...], Shape, int]] = [
    ((2, 1, 5), (2, 1, 3), (1,), (NONE,), (1,), 1),
    ((1, 2, 7), (2, 1, 2), (2,), ((1, 1),), (2,), 2),
    ((1, 1, 6), (1, 1, 2), (3,), (NONE,), (1,), 1),
    ((1, 2, 4, 5), (2, 2, 3, 2), (1, 2), ((1, 0), (0, 1)), (1, 1), 1),
    ((2, 2, 2, 3), (4, 1, 1, 1), (1, 1), ((1, 0), NONE), (1, 1), 2),
    ((0, 2, 3, 3), (2, 2, 2, 2), (1, 1), (NONE, NONE), (1, 1), 1),
    ((1, 1, 1, 1), (1, 1, 1, 1), (1, 1), (NONE, NONE), (1, 1), 1),
    ((1, 1, 3, 2, 3), (1, 1, 2, 2, 2), (1, 1, 2), (NONE, (0, 1), NONE), (1, 1, 1), 1),
]

# image, window, stride, padding before and after, dilation, ceil mode
POOLINGS: list[tuple[Shape, Shape, Shape, tuple[Shape, ...], Shape, bool]] = [
    ((2, 1, 5), (2,), (2,), (NONE,), (1,), False),
    ((1, 1, 7), (2,), (2,), ((1, 1),), (2,), False),
    ((1, 2, 4, 5), (2, 3), (2, 1), ((1, 0), (1, 1)), (1, 1), False),
    ((1, 1, 5, 4), (2, 3), (2, 2), (NONE, (1, 1)), (1, 1), True),
    ((0, 2, 4, 4), (2, 2), (2, 2), (NONE, NONE), (1, 1), False),
    ((1, 1, 1, 1), (1, 1), (1, 1), (NONE, NONE), (1, 1), False),
    ((1, 1, 3, 3, 2), (2, 2, 2), (1, 2, 1), (NONE, NONE, NONE), (1, 1, 1), False),
]


def _convolutions() -> list[Case]:
    cases = []
    for number, (image, weight, stride, padding, dilation, groups) in enumerate(CONVOLUTIONS):
        settings = (stride, padding, dilation, groups)
        places = window_oracle.count_places(image[2:], weight[2:], stride, padding, dilation)
        field_map = (image[0], weight[0], *places)

        def conv(x: np.ndarray, w: np.ndarray, settings: Any = settings) -> np.ndarray:
            return window_oracle.conv_nd(x.astype(float), w.astype(float), *settings)

        def to_image(y: np.ndarray, w: np.ndarray, conv: Any = conv, image: Shape = image) -> np.ndarray:
            return oracle.adjoint(lambda x: conv(x, w), image, y)

        def to_weight(x: np.ndarray, y: np.ndarray, conv: Any = conv, weight: Shape = weight) -> np.ndarray:
            return oracle.adjoint(lambda w: conv(x, w), weight, y)

        for op, first, second, expected in [
            (Conv(*settings), image, weight, conv),
            (ConvTranspose(*settings, size=image[2:]), field_map, weight, to_image),
            (ConvWeight(*settings, kernel=weight[2:]), image, field_map, to_weight),
        ]:
            label = f"{number}: {first} {second}"
            cases.append(Case(op.name, label, partial(ops.apply, op), ((first, signed), (second, signed)), expected))
    return cases


def _windows() -> list[Case]:
    cases = []
    for number, (image, kernel, stride, padding, dilation, ceil_mode) in enumerate(POOLINGS):
        if ceil_mode:  # windows that hang over are for pooling only
            continue
        settings = (kernel, stride, padding, dilation)
        cells = (*image[:2], *kernel, *window_oracle.count_places(image[2:], *settings))

        def unfold(x: np.ndarray, settings: Any = settings, cells: Shape = cells) -> np.ndarray:
            return window_oracle.unfold(x.astype(float), *settings).reshape(cells)

        def fold(y: np.ndarray, unfold: Any = unfold, image: Shape = image) -> np.ndarray:
            return oracle.adjoint(unfold, image, y)

        for op, given, expected in [(Unfold(*settings), image, unfold), (Fold(image[2:], *settings), cells, fold)]:
            cases.append(one_input(op.name, f"{number}", partial(ops.apply, op), given, expected))
    return cases


def _winning(image: np.ndarray, settings: Any, value: Callable[[Shape], float]) -> np.ndarray:
    """For each window something about the first of its largest pixels."""
    *window, ceil_mode = settings
    places = window_oracle.count_places(image.shape[2:], *window, ceil_mode)
    result = np.zeros((*image.shape[:2], *places))
    for n, c, *place in np.ndindex(*result.shape):
        best = None
        for _, pixel in window_oracle.cells(tuple(place), *window):
            inside = window_oracle.inside(pixel, image.shape[2:])
            if inside and (best is None or image[(n, c, *pixel)] > image[(n, c, *best)]):
                best = pixel
        assert best is not None
        result[(n, c, *place)] = value((n, c, *best))
    return result


def _in_scene(op: Any, scene: np.ndarray, settings: tuple[Any, ...], x: tg.Tensor) -> tg.Tensor:
    """The operation on ``x``, where the windows of another image, the scene, say who wins."""
    image = tg.Tensor(scene, dtype=x.dtype, device=None if x.symbolic else x.device)
    return ops.apply(op, x, image, ops.apply(MaxPool(*settings), image))


def _flat(size: Shape, pixel: Shape) -> float:
    """The number of a pixel in its plane, in row-major order."""
    return float(np.ravel_multi_index(pixel[2:], size))


def _find_places(settings: Any, x: tg.Tensor) -> tg.Tensor:
    return ops.apply(MaxPoolIndices(*settings), x, ops.apply(MaxPool(*settings), x))


def _max_pools() -> list[Case]:
    cases = []
    for number, (image, *settings) in enumerate(POOLINGS):
        places = (*image[:2], *window_oracle.count_places(image[2:], *settings))
        scene = whole_floats(np.random.default_rng(2), image)  # some pixels are equal: the first wins

        def gather(x: np.ndarray, settings: Any = settings, scene: Any = scene) -> np.ndarray:
            return _winning(scene, settings, lambda pixel: x[pixel])

        def scatter(y: np.ndarray, gather: Any = gather, image: Shape = image) -> np.ndarray:
            return oracle.adjoint(gather, image, y)

        largest = partial(lambda settings, x: window_oracle.max_pool_nd(x.astype(float), *settings), settings)
        collect, spread = MaxPoolGather(*settings), MaxPoolScatter(*settings, size=image[2:])
        number_of = partial(_flat, image[2:])
        indices = partial(lambda settings, number_of, x: _winning(x, settings, number_of), settings, number_of)
        find = partial(_find_places, settings)
        cases += [
            one_input("max_pool", f"{number}", partial(ops.apply, MaxPool(*settings)), image, largest, distinct),
            one_input("max_pool_indices", f"{number}", find, image, indices, whole_floats, dtype="int64"),
            one_input(collect.name, f"{number}", partial(_in_scene, collect, scene, settings), image, gather),
            one_input(spread.name, f"{number}", partial(_in_scene, spread, scene, settings), places, scatter),
        ]
    return cases


def whole_floats(random: np.random.Generator, shape: Shape) -> np.ndarray:
    """Floats with many equals among them."""
    return random.integers(0, 3, shape).astype(float)


def _avg_pools() -> list[Case]:
    cases = []
    for number, (image, kernel, stride, padding, dilation, ceil_mode) in enumerate(POOLINGS):
        if set(dilation) != {1}:
            continue
        for count_include_pad, divisor in [(True, None), (False, None), (True, 3)]:
            settings = (kernel, stride, padding, dilation, ceil_mode, count_include_pad, divisor)
            places = (*image[:2], *window_oracle.count_places(image[2:], kernel, stride, padding, dilation, ceil_mode))
            loops = (kernel, stride, padding, ceil_mode, count_include_pad, divisor)

            def average(x: np.ndarray, loops: Any = loops) -> np.ndarray:
                return window_oracle.avg_pool_nd(x.astype(float), *loops)

            def spread(y: np.ndarray, average: Any = average, image: Shape = image) -> np.ndarray:
                return oracle.adjoint(average, image, y)

            label = f"{number} {'all' if count_include_pad else 'inside'} {divisor or ''}"
            back = AvgPoolAdjoint(*settings, size=image[2:])
            cases += [
                one_input("avg_pool", label, partial(ops.apply, AvgPool(*settings)), image, average),
                one_input("avg_pool_adjoint", label, partial(ops.apply, back), places, spread),
            ]
    return cases


WINDOW = [*_convolutions(), *_windows(), *_max_pools(), *_avg_pools()]


# image, new size, rule, whether corners are aligned
RESAMPLINGS: list[tuple[Shape, Shape, str, bool]] = [
    ((2, 1, 3), (7,), "nearest", False),
    ((1, 2, 7), (3,), "nearest", False),
    ((1, 1, 2, 3), (4, 6), "nearest", False),
    ((2, 1, 4), (7,), "linear", False),
    ((1, 1, 4), (7,), "linear", True),
    ((1, 2, 5, 3), (3, 7), "linear", False),
    ((1, 1, 3, 5), (1, 3), "linear", True),
    ((1, 1, 2, 1, 3), (3, 2, 1), "linear", False),
    ((1, 2, 7), (3,), "average", False),
    ((1, 1, 5, 3), (3, 4), "average", False),
    ((0, 2, 5, 4), (3, 2), "average", False),
    ((1, 1, 1, 1), (1, 1), "linear", False),
]


def _resamplings() -> list[Case]:
    cases = []
    for number, (image, target, rule, corners) in enumerate(RESAMPLINGS):
        lengths = list(zip(image[2:], target, strict=True))
        steps = tuple([((n - 1) / (p - 1) if p > 1 else 0.0) if corners else n / p for n, p in lengths])
        settings = (rule, image[2:], target, steps, corners)
        forward = partial(resample_oracle.resampled, target=target, rule=rule, align_corners=corners)
        back = partial(oracle.adjoint, forward, image)
        there, home = Resample(*settings), ResampleAdjoint(*settings)
        cases += [
            one_input("resample", f"{number}", partial(ops.apply, there), image, forward),
            one_input("resample_adjoint", f"{number}", partial(ops.apply, home), (*image[:2], *target), back),
        ]
    return cases


RESAMPLE = _resamplings()


def _seeded(function: Callable[..., Any]) -> Callable[..., Any]:
    def call(*tensors: tg.Tensor) -> tg.Tensor:
        tg.seed(0)
        return function(*tensors)

    return call


def _noise(x: np.ndarray) -> np.ndarray:
    return np.random.default_rng(0).random(x.shape, dtype=x.dtype)


def _between_2_and_3(stream: np.random.Generator, shape: Shape) -> np.ndarray:
    return stream.uniform(2.0, 3.0, shape)


def _initial(x: tg.Tensor) -> tg.Tensor:
    return ops.apply(Initial(x.shape, x.dtype, _between_2_and_3, (7, 1), x.device), like=x)


RANDOM = [
    *[
        one_input("initial", "", _initial, each, lambda x: _between_2_and_3(np.random.default_rng((7, 1)), x.shape))
        for each in SHAPES
    ],
    *[one_input("uniform", "", _seeded(uniform_like), each, _noise) for each in SHAPES],
    *[
        one_input(
            "dropout", "", _seeded(lambda x: ops.dropout(x, 0.4)), each, lambda x: oracle.dropped(x, _noise(x), 0.4)
        )
        for each in SHAPES
    ],
]

CONSTANTS = [
    one_input(
        "full", f"to {to}", partial(lambda to, x: ops.full_like(x, 2.5, to), to), (2,),
        partial(lambda to, x: np.array([2.5] * math.prod(to)).reshape(to), to),
    )
    for to in SHAPES
]  # fmt: skip

LEAVES = ("constant", "symbol")
"""What is given rather than computed, and so is never called."""

CASES: Sequence[Case] = [*ELEMENTWISE, *REDUCE, *NORM, *SHAPE, *INDEX, *LINALG, *WINDOW, *RESAMPLE, *RANDOM, *CONSTANTS]

"""The tables of the agreement with PyTorch: each row is our call, PyTorch's call, and inputs for both."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
import pytest

import tinygrad_cnn as tg
from tinygrad_cnn.nn import functional as F

torch = pytest.importorskip("torch", reason="PyTorch is not installed")
TF = torch.nn.functional

Shape = tuple[int, ...]
Draw = Callable[[np.random.Generator, Shape], np.ndarray]
Call = Callable[..., Any]


@dataclass(frozen=True)
class Case:
    """One call in both libraries."""

    label: str
    ours: Call
    theirs: Call
    inputs: tuple[tuple[Shape, Draw], ...]
    twice: bool = True
    """Whether the gradient of the gradient is compared, too."""

    def __str__(self) -> str:
        return self.label.replace(" ", "")


# How inputs are drawn


def signed(random: np.random.Generator, shape: Shape) -> np.ndarray:
    """Of either sign, away from 0."""
    return random.uniform(0.2, 2.0, shape) * random.choice([-1.0, 1.0], shape)


def normal(random: np.random.Generator, shape: Shape) -> np.ndarray:
    return random.standard_normal(shape)


def positive(random: np.random.Generator, shape: Shape) -> np.ndarray:
    return random.uniform(0.5, 2.0, shape)


def tied(random: np.random.Generator, shape: Shape) -> np.ndarray:
    """Whole numbers as floats, with many ties and zeros: what happens at kinks is part of the agreement."""
    return random.integers(-2, 3, shape).astype(np.float64)


def distinct(random: np.random.Generator, shape: Shape) -> np.ndarray:
    return random.permutation(np.arange(math.prod(shape)) * 0.37 - 1.0).reshape(shape)


def boolean(random: np.random.Generator, shape: Shape) -> np.ndarray:
    return random.random(shape) < 0.5


def whole(low: int, high: int) -> Draw:
    return lambda random, shape: random.integers(low, high, shape)


def probabilities(random: np.random.Generator, shape: Shape) -> np.ndarray:
    """Positive numbers that add up to 1 along axis 1."""
    numbers = random.uniform(0.1, 1.0, shape)
    return numbers / numbers.sum(1, keepdims=True)


def share(random: np.random.Generator, shape: Shape) -> np.ndarray:
    return random.uniform(0.1, 0.9, shape)


def random_shapes(count: int, seed: int, most: int = 4) -> list[Shape]:
    random = np.random.default_rng(seed)
    return [tuple(random.integers(1, 6, random.integers(1, most + 1)).tolist()) for _ in range(count)]


# Element by element

SHAPES: list[Shape] = [(), (0, 3), (1,), (2, 1, 3), *random_shapes(2, seed=1)]

UNARY: list[tuple[str, Call, Call, tuple[Draw, ...]]] = [
    ("neg", tg.neg, torch.neg, (signed,)),
    ("square", tg.square, torch.square, (signed,)),
    ("exp", tg.exp, torch.exp, (signed,)),
    ("log", tg.log, torch.log, (positive,)),
    ("sqrt", tg.sqrt, torch.sqrt, (positive,)),
    ("abs", tg.abs, torch.abs, (signed, tied)),
    ("sign", tg.sign, torch.sign, (tied,)),
    ("erf", tg.erf, torch.erf, (signed,)),
    ("relu", tg.relu, torch.relu, (signed, tied)),
    ("leaky_relu", lambda x: tg.leaky_relu(x, 0.2), lambda x: TF.leaky_relu(x, 0.2), (signed, tied)),
    ("sigmoid", tg.sigmoid, torch.sigmoid, (signed,)),
    ("tanh", tg.tanh, torch.tanh, (signed,)),
    ("softplus", tg.softplus, TF.softplus, (signed,)),
    ("gelu", tg.gelu, TF.gelu, (signed,)),
    ("gelu tanh", lambda x: tg.gelu(x, "tanh"), lambda x: TF.gelu(x, approximate="tanh"), (signed,)),
    ("expm1", tg.ops.expm1, torch.expm1, (signed,)),
    ("elu", lambda x: F.elu(x, 1.5), lambda x: TF.elu(x, 1.5), (signed,)),
    ("celu", lambda x: F.celu(x, 1.5), lambda x: TF.celu(x, 1.5), (signed,)),
    ("selu", F.selu, TF.selu, (signed,)),
    ("silu", F.silu, TF.silu, (signed,)),
    ("mish", F.mish, TF.mish, (signed,)),
    ("hardtanh", lambda x: F.hardtanh(x, -0.5, 1.5), lambda x: TF.hardtanh(x, -0.5, 1.5), (signed, tied)),
    ("relu6", F.relu6, TF.relu6, (signed, tied)),
    ("hardsigmoid", F.hardsigmoid, lambda x: TF.relu6(x + 3) / 6, (signed, tied)),
    ("hardswish", F.hardswish, TF.hardswish, (signed,)),
    ("softsign", F.softsign, TF.softsign, (signed,)),
    ("tanhshrink", F.tanhshrink, TF.tanhshrink, (signed,)),
    ("logsigmoid", F.logsigmoid, TF.logsigmoid, (signed,)),
    ("clip", lambda x: tg.clip(x, -1.0, 1.0), lambda x: torch.clip(x, -1.0, 1.0), (signed, tied)),
    ("clip below", lambda x: tg.clip(x, min=0.5), lambda x: torch.clip(x, min=0.5), (signed,)),
    ("clip above", lambda x: tg.clip(x, max=0.5), lambda x: torch.clip(x, max=0.5), (signed,)),
    ("number +", lambda x: 2.5 + x, lambda x: 2.5 + x, (signed,)),
    ("- number", lambda x: x - 2.5, lambda x: x - 2.5, (signed,)),
    ("number -", lambda x: 2.5 - x, lambda x: 2.5 - x, (signed,)),
    ("* number", lambda x: x * 3, lambda x: x * 3, (signed,)),
    ("number /", lambda x: 2.5 / x, lambda x: 2.5 / x, (signed,)),
    ("** 2", lambda x: x**2, lambda x: x**2, (signed, tied)),
    ("** 3", lambda x: x**3, lambda x: x**3, (signed, tied)),
    ("** 0", lambda x: x**0, lambda x: x**0, (signed, tied)),
    ("** 1", lambda x: x**1, lambda x: x**1, (tied,)),
    ("** -1.5", lambda x: x**-1.5, lambda x: x**-1.5, (positive,)),
    ("2 **", lambda x: 2.0**x, lambda x: 2.0**x, (signed,)),
    ("logical_not", lambda x: tg.logical_not(x > 0), lambda x: torch.logical_not(x > 0), (tied,)),
]

PAIRS: list[tuple[Shape, Shape]] = [
    ((), ()),
    ((3, 4), (3, 4)),
    ((3, 1), (1, 4)),
    ((), (2, 3)),
    ((0, 3), (1, 3)),
    ((2, 3, 4), (4,)),
    ((2, 1, 4), (3, 1)),
    ((1,), (5,)),
]

BINARY: list[tuple[str, Call, Call, tuple[Draw, ...]]] = [
    ("add", tg.add, torch.add, (signed,)),
    ("sub", tg.sub, torch.sub, (signed,)),
    ("mul", tg.mul, torch.mul, (signed,)),
    ("div", tg.div, torch.div, (signed,)),
    ("pow", tg.pow, torch.pow, (positive,)),
    ("maximum", tg.maximum, torch.maximum, (signed, tied)),
    ("minimum", tg.minimum, torch.minimum, (signed, tied)),
    *[(name, getattr(tg, name), getattr(torch, name), (tied,)) for name in ("eq", "ne", "lt", "le", "gt", "ge")],
]

WHERE: list[tuple[Shape, Shape, Shape]] = [
    ((2, 3), (2, 3), (2, 3)),
    ((3,), (2, 1), (2, 3)),
    ((2, 1), (), (3,)),
    ((0, 1), (0, 3), (1, 3)),
]


def elementwise() -> Iterator[Case]:
    for name, ours, theirs, draws in UNARY:
        for draw in draws:
            for shape in SHAPES:
                yield Case(f"{name} {draw.__name__} {shape}", ours, theirs, ((shape, draw),))
    for name, ours, theirs, draws in BINARY:
        for draw in draws:
            for a, b in PAIRS:
                yield Case(f"{name} {draw.__name__} {a} {b}", ours, theirs, ((a, draw), (b, draw)))
    for condition, a, b in WHERE:
        inputs = ((condition, boolean), (a, signed), (b, signed))
        yield Case(f"where {condition} {a} {b}", tg.where, torch.where, inputs)
    # A branch that is not taken must not spoil the gradient of the one that is.
    safe: Call = lambda m: lambda x: m.where(x > 0, m.log(m.where(x > 0, x, m.ones_like(x) if m is torch else 1.0)), x)  # noqa: E731
    yield Case("where masked log", safe(tg), safe(torch), (((3, 4), signed),))
    # The slope in the exponent is 0 where the base is 0. (The slope of the slope, too, where PyTorch gives NaN.)
    yield Case(
        "pow of zero",
        lambda b: tg.Tensor([0.0, 0.0, 2.0], dtype=b.dtype) ** b,
        lambda b: torch.tensor([0.0, 0.0, 2.0], dtype=b.dtype) ** b,
        (((3,), positive),),
        twice=False,
    )


# Reductions

REDUCED: list[tuple[Shape, Any]] = [
    ((), None),
    ((3, 4), None),
    ((3, 4), 0),
    ((3, 4), -1),
    ((2, 3, 4), (0, 2)),
    ((2, 1, 3), 1),
    ((0, 3), 1),
    ((2, 3, 2, 2), (-1, 1)),
    ((1, 1), None),
    *[(shape, 0) for shape in random_shapes(2, seed=2)],
]

REDUCTIONS: list[tuple[str, Call, Call, tuple[Draw, ...]]] = [
    ("sum", tg.sum, torch.sum, (signed,)),
    ("mean", tg.mean, torch.mean, (signed,)),
    ("amax", tg.amax, lambda x, dim, keepdim: torch.amax(x, () if dim is None else dim, keepdim), (signed, tied)),
    ("amin", tg.amin, lambda x, dim, keepdim: torch.amin(x, () if dim is None else dim, keepdim), (signed, tied)),
    (
        "logsumexp",
        tg.logsumexp,
        lambda x, dim, keepdim: torch.logsumexp(x, tuple(range(x.ndim)) if dim is None else dim, keepdim),
        (signed, lambda random, shape: 300 * normal(random, shape)),
    ),
]

SPREADS: list[tuple[Shape, Any, int]] = [
    ((3, 4), None, 1),
    ((3, 4), 0, 1),
    ((3, 4), -1, 0),
    ((2, 3, 4), (0, 2), 1),
    ((2, 3, 4), (0, 2), 2),
    ((0, 3), 1, 0),
    ((2, 1, 3), 1, 0),
    ((5, 2), 0, 3),
]


def reductions() -> Iterator[Case]:
    for name, ours, theirs, draws in REDUCTIONS:
        for draw in draws:
            for shape, dim in REDUCED:
                for keepdim in (False, True):
                    yield Case(
                        f"{name} {draw.__name__} {shape} dim {dim}{' kept' * keepdim}",
                        lambda x, f=ours, dim=dim, keepdim=keepdim: f(x, dim, keepdim),
                        lambda x, f=theirs, dim=dim, keepdim=keepdim: f(x, dim=dim, keepdim=keepdim),
                        ((shape, draw),),
                    )
    for name, ours, theirs in (("var", tg.var, torch.var), ("std", tg.std, torch.std)):
        for shape, dim, correction in SPREADS:
            if name == "std" and shape == (2, 1, 3):
                continue  # the root of 0 has no slope
            for keepdim in (False, True):
                yield Case(
                    f"{name} {shape} dim {dim} correction {correction}{' kept' * keepdim}",
                    lambda x, f=ours, a=(dim, correction, keepdim): f(x, *a),
                    lambda x, f=theirs, a=(dim, correction, keepdim): f(x, dim=a[0], correction=a[1], keepdim=a[2]),
                    ((shape, signed),),
                )
    for name in ("max", "min", "argmax", "argmin"):
        ours, theirs = getattr(tg, name), getattr(torch, name)
        draw = tied if name in ("argmax", "argmin") else distinct
        yield Case(f"{name} of all", ours, theirs, (((3, 4), draw),))
        for shape, dim in [((3, 4), 0), ((3, 4), -1), ((2, 3, 2), 1), ((0, 3), 1), ((2, 1), 1)]:
            for keepdim in (False, True):
                yield Case(
                    f"{name} {shape} dim {dim}{' kept' * keepdim}",
                    lambda x, f=ours, dim=dim, keepdim=keepdim: f(x, dim, keepdim),
                    lambda x, f=theirs, dim=dim, keepdim=keepdim: f(x, dim, keepdim),
                    ((shape, draw),),
                )
    yield Case("max of all, tied", tg.max, torch.max, (((3, 4), tied),))
    yield Case("min of all, tied", tg.min, torch.min, (((3, 4), tied),))
    for name, ours, theirs in (
        ("softmax", tg.softmax, TF.softmax),
        ("log_softmax", tg.log_softmax, TF.log_softmax),
    ):
        for shape, dim in [((3, 4), 1), ((3, 4), 0), ((2, 3, 4), 1), ((0, 3), 1), ((2, 1), -1)]:
            yield Case(
                f"{name} {shape} dim {dim}",
                lambda x, f=ours, dim=dim: f(x, dim),
                lambda x, f=theirs, dim=dim: f(x, dim),
                ((shape, signed),),
            )
    yield Case("sum of integers", tg.sum, torch.sum, (((2, 3), whole(-9, 9)),))
    yield Case("sum of booleans", tg.sum, torch.sum, (((2, 3), boolean),))
    yield Case("mean of nothing", tg.mean, torch.mean, (((0, 3), signed),))
    yield Case("sum of nothing", lambda x: tg.sum(x, 0), lambda x: torch.sum(x, 0), (((0, 3), signed),))


# Shapes: the calls are spelled alike, so one lambda serves both

SHAPE_CALLS: list[tuple[str, Shape, Call]] = [
    ("reshape", (2, 6), lambda m, x: m.reshape(x, (3, -1))),
    ("reshape to one", (1, 1), lambda m, x: m.reshape(x, ())),
    ("reshape nothing", (0, 3), lambda m, x: m.reshape(x, (3, 0))),
    ("flatten", (2, 3, 4), lambda m, x: m.flatten(x, 1)),
    ("flatten middle", (2, 3, 1, 4), lambda m, x: m.flatten(x, 1, 2)),
    ("flatten nothing", (0, 3, 2), lambda m, x: m.flatten(x, 1)),
    ("flatten number", (), lambda m, x: m.flatten(x)),
    ("squeeze", (1, 3, 1), lambda m, x: m.squeeze(x)),
    ("squeeze one", (1, 3, 1), lambda m, x: m.squeeze(x, -1)),
    ("squeeze long", (2, 3), lambda m, x: m.squeeze(x, 0)),
    ("unsqueeze", (2, 3), lambda m, x: m.unsqueeze(x, -1)),
    ("transpose", (2, 3, 4), lambda m, x: m.transpose(x, 0, -1)),
    ("permute", (2, 3, 4), lambda m, x: m.permute(x, (2, 0, 1))),
    ("permute nothing", (0, 1, 2), lambda m, x: m.permute(x, (2, 0, 1))),
    ("broadcast_to", (2, 1), lambda m, x: m.broadcast_to(x, (4, 2, 3))),
    ("broadcast_to of number", (), lambda m, x: m.broadcast_to(x, (2, 3))),
    ("broadcast_to nothing", (1, 3), lambda m, x: m.broadcast_to(x, (0, 3))),
    ("flip", (2, 3, 4), lambda m, x: m.flip(x, (0, 2))),
    ("split", (5, 2), lambda m, x: m.split(x, 2)),
    ("split lengths", (2, 6), lambda m, x: m.split(x, [1, 0, 5], 1)),
    ("split used in part", (6, 2), lambda m, x: m.split(x, 2)[1]),
    ("cat with itself", (2, 3), lambda m, x: m.cat([x, x, x], 1)),
    ("index integer", (4, 3), lambda m, x: x[1]),
    ("index from the end", (4, 3), lambda m, x: x[-1, -2]),
    ("index slices", (5, 6), lambda m, x: x[1:4, ::2]),
    ("index beyond", (5, 2), lambda m, x: x[3:99]),
    ("index empty slice", (5, 2), lambda m, x: x[3:3]),
    ("index ellipsis, new axis", (2, 3, 4), lambda m, x: x[..., None, 1]),
    ("index list", (4, 3), lambda m, x: x[[0, 2, 2, -1]]),
    ("index two lists", (4, 3), lambda m, x: x[[0, 2, 2], [1, 1, 1]]),
    ("index lists around slice", (4, 3, 5), lambda m, x: x[[0, 2], :, [1, 4]]),
    ("index list and slice", (4, 3, 5), lambda m, x: x[1:, [2, 0], ::2]),
    ("index integer beside list", (4, 3, 5), lambda m, x: x[1, [2, 0]]),
    ("index boolean", (4, 3), lambda m, x: x[x > 0]),
    ("index boolean rows", (4, 3), lambda m, x: x[x[:, 0] > 0]),
    ("index boolean all", (4, 3), lambda m, x: x[x > -99]),
    ("index boolean none", (4, 3), lambda m, x: x[x > 99]),
]

PADS: list[tuple[Shape, tuple[int, ...], float]] = [
    ((3,), (1, 2), 0.0),
    ((2, 3), (0, 1, 2, 0), 1.5),
    ((2, 3, 4), (1, 1), -2.0),
    ((2, 5), (-1, -2), 0.0),
    ((2, 5), (-1, 2, 1, -1), 0.5),
    ((0, 3), (1, 1), 0.0),
    ((1, 1, 2, 2), (1, 2, 3, 4), 0.0),
]

JOINED: list[tuple[tuple[Shape, ...], int]] = [
    (((2, 3), (1, 3)), 0),
    (((2, 1), (2, 3), (2, 0)), 1),
    (((0, 3), (0, 3)), 0),
    (((2, 1, 3), (2, 1, 3)), -1),
    (((4,),), 0),
]


def shapes() -> Iterator[Case]:
    for name, shape, call in SHAPE_CALLS:
        yield Case(name, lambda x, call=call: call(tg, x), lambda x, call=call: call(torch, x), ((shape, signed),))
    for shape, widths, value in PADS:
        yield Case(
            f"pad {shape} by {widths}",
            lambda x, w=widths, v=value: tg.pad(x, w, value=v),
            lambda x, w=widths, v=value: TF.pad(x, w, value=v),
            ((shape, signed),),
        )
    for parts, dim in JOINED:
        inputs = tuple((each, signed) for each in parts)
        yield Case(
            f"cat {parts} dim {dim}", lambda *x, dim=dim: tg.cat(x, dim), lambda *x, dim=dim: torch.cat(x, dim), inputs
        )
    for dim in (0, 1, -1):
        inputs = (((2, 3), signed), ((2, 3), signed))
        yield Case(
            f"stack {dim}", lambda *x, dim=dim: tg.stack(x, dim), lambda *x, dim=dim: torch.stack(x, dim), inputs
        )
    for shape, places, dim in [
        ((3, 4), (3, 2), 1),
        ((3, 4), (5, 4), 0),
        ((0, 4), (0, 2), 1),
        ((2, 1, 3), (2, 1, 2), 2),
    ]:
        yield Case(
            f"take_along_dim {shape} {places} dim {dim}",
            lambda x, i, dim=dim: tg.take_along_dim(x, i, dim),
            lambda x, i, dim=dim: torch.take_along_dim(x, i, dim),
            ((shape, signed), (places, whole(0, max(shape[dim], 1)))),
        )
    for shape in [(), (3,), (2, 0), (2, 3)]:
        yield Case(f"one_hot {shape}", lambda x: F.one_hot(x, 5), lambda x: TF.one_hot(x, 5), ((shape, whole(0, 5)),))


# Products and windows

PRODUCTS: list[tuple[Shape, Shape]] = [
    ((3,), (3,)),
    ((3,), (3, 2)),
    ((2, 3), (3,)),
    ((2, 3), (3, 4)),
    ((1, 1), (1, 1)),
    ((0, 3), (3, 2)),
    ((2, 0), (0, 3)),
    ((2, 3), (3, 0)),
    ((2, 3, 4), (4, 2)),
    ((2, 3, 4), (4,)),
    ((3, 4), (2, 4, 2)),
    ((4,), (2, 4, 2)),
    ((2, 3, 4), (2, 4, 1)),
    ((1, 3, 4), (5, 4, 2)),
    ((2, 1, 3, 4), (5, 4, 2)),
    ((0, 3, 4), (4, 2)),
    ((0, 3, 4), (1, 4, 2)),
    ((2, 1, 2, 3), (1, 3, 3, 2)),
]


def products() -> Iterator[Case]:
    for a, b in PRODUCTS:
        yield Case(f"matmul {a} {b}", tg.matmul, torch.matmul, ((a, signed), (b, signed)))
    for shape, bias in [
        ((4, 3), True),
        ((3,), True),
        ((2, 5, 3), True),
        ((2, 5, 3), False),
        ((0, 3), True),
        ((2, 1, 1, 3), True),
    ]:
        inputs = ((shape, signed), ((6, 3), signed), *([((6,), signed)] if bias else []))
        yield Case(f"linear {shape}{' bias' * bias}", F.linear, TF.linear, inputs)


@dataclass(frozen=True)
class Window:
    """Random settings of a window over ``axes`` spatial axes, for which at least one place remains."""

    axes: int
    batch: int
    size: Shape
    kernel: Shape
    stride: Shape
    padding: Shape
    dilation: Shape

    @staticmethod
    def draw(random: np.random.Generator, axes: int, half_padding: bool = False, dilated: bool = True) -> Window:
        def sizes(low: int, high: int) -> Shape:
            return tuple(random.integers(low, high + 1, axes).tolist())

        kernel, stride = sizes(1, 3), sizes(1, 3)
        dilation = sizes(1, 2) if dilated else (1,) * axes
        padding = tuple(int(random.integers(0, (k // 2 if half_padding else 2) + 1)) for k in kernel)
        spare = sizes(0, 4)
        size = tuple(
            max(1, d * (k - 1) + 1 - 2 * p + extra)
            for k, d, p, extra in zip(kernel, dilation, padding, spare, strict=True)
        )
        return Window(axes, int(random.choice([0, 1, 2, 3])), size, kernel, stride, padding, dilation)

    def __str__(self) -> str:
        def short(sizes: Shape) -> str:
            return "x".join(map(str, sizes))

        return (
            f"{self.axes}d n{self.batch} s{short(self.size)} k{short(self.kernel)} st{short(self.stride)} "
            f"p{short(self.padding)} d{short(self.dilation)}"
        )


def windows() -> Iterator[Case]:
    for number in range(12):
        random = np.random.default_rng([3, number])
        w = Window.draw(random, 2)
        channels = int(random.integers(1, 4))
        a = (w.kernel, w.dilation, w.padding, w.stride)
        image = (w.batch or 1, channels, *w.size)  # PyTorch's unfold takes no empty batch
        yield Case(f"unfold {w}", lambda x, a=a: F.unfold(x, *a), lambda x, a=a: TF.unfold(x, *a), ((image, signed),))
        count = math.prod(
            (n + 2 * p - d * (k - 1) - 1) // s + 1
            for n, k, s, p, d in zip(w.size, w.kernel, w.stride, w.padding, w.dilation, strict=True)
        )
        columns = (w.batch or 1, channels * math.prod(w.kernel), count)
        yield Case(
            f"fold {w}",
            lambda x, a=a, size=w.size: F.fold(x, size, *a),
            lambda x, a=a, size=w.size: TF.fold(x, size, *a),
            ((columns, signed),),
        )
    yield Case(
        "unfold of one image", lambda x: F.unfold(x, (2, 2)), lambda x: TF.unfold(x, (2, 2)), (((2, 3, 4), signed),)
    )
    yield Case(
        "fold of one image",
        lambda x: F.fold(x, (3, 4), (2, 2)),
        lambda x: TF.fold(x, (3, 4), (2, 2)),
        (((8, 6), signed),),
    )


def convolutions() -> Iterator[Case]:
    for axes in (1, 2, 3):
        ours, theirs = getattr(F, f"conv{axes}d"), getattr(TF, f"conv{axes}d")
        ours_t, theirs_t = getattr(F, f"conv_transpose{axes}d"), getattr(TF, f"conv_transpose{axes}d")
        for number in range(14):
            random = np.random.default_rng([4, axes, number])
            w = Window.draw(random, axes)
            groups = int(random.choice([1, 1, 2, 3]))
            c, o = (int(random.integers(1, 3)) * groups for _ in range(2))
            bias = (((o,), signed),) if number % 2 else ()
            a = (w.stride, w.padding, w.dilation, groups)
            yield Case(
                f"conv{w} c{c}o{o} g{groups}{' bias' * bool(bias)}",
                lambda x, w, b=None, f=ours, a=a: f(x, w, b, *a),
                lambda x, w, b=None, f=theirs, a=a: f(x, w, b, *a),
                (((w.batch, c, *w.size), signed), ((o, c // groups, *w.kernel), signed), *bias),
            )
            extra = tuple(int(random.integers(0, max(s, d))) for s, d in zip(w.stride, w.dilation, strict=True))
            size = tuple(  # large enough that something is left when the padding is cut away
                max(n, (2 * p - d * (k - 1) - e + s - 1) // s + 1)
                for n, k, s, p, d, e in zip(w.size, w.kernel, w.stride, w.padding, w.dilation, extra, strict=True)
            )
            a = (w.stride, w.padding, extra, groups, w.dilation)
            yield Case(
                f"conv_transpose{w} op{extra} c{c}o{o} g{groups}{' bias' * bool(bias)}",
                lambda x, w, b=None, f=ours_t, a=a: f(x, w, b, *a),
                lambda x, w, b=None, f=theirs_t, a=a: f(x, w, b, *a),
                (((w.batch, c, *size), signed), ((c, o // groups, *w.kernel), signed), *bias),
            )
        line = (5, 6, 4)[:axes]
        for padding in ("same", "valid"):
            for kernel, dilation in [(3, 1), (2, 1), (2, 2), (1, 1)]:
                yield Case(
                    f"conv{axes}d {padding} k{kernel} d{dilation}",
                    lambda x, w, f=ours, p=padding, d=dilation: f(x, w, padding=p, dilation=d),
                    lambda x, w, f=theirs, p=padding, d=dilation: f(x, w, padding=p, dilation=d),
                    (((2, 2, *line), signed), ((3, 2, *[kernel] * axes), signed)),
                )
        yield Case(
            f"conv{axes}d of one image",
            ours,
            theirs,
            (((2, *line), signed), ((3, 2, *[2] * axes), signed), ((3,), signed)),
        )
        yield Case(
            f"conv_transpose{axes}d of one image",
            ours_t,
            theirs_t,
            (((2, *line), signed), ((2, 3, *[2] * axes), signed)),
        )
        depthwise = (((2, 4, *line), signed), ((8, 1, *[3] * axes), signed))
        yield Case(
            f"conv{axes}d depthwise",
            lambda x, w, f=ours: f(x, w, groups=4),
            lambda x, w, f=theirs: f(x, w, groups=4),
            depthwise,
        )


def pools() -> Iterator[Case]:
    for axes in (1, 2, 3):
        maximum, their_maximum = getattr(F, f"max_pool{axes}d"), getattr(TF, f"max_pool{axes}d")
        average, their_average = getattr(F, f"avg_pool{axes}d"), getattr(TF, f"avg_pool{axes}d")
        for number in range(14):
            random = np.random.default_rng([5, axes, number])
            ceil, stride_given = bool(number % 2), number % 3 > 0
            w = Window.draw(random, axes, half_padding=True)
            # A dilated window that steps over the whole image makes PyTorch write outside its memory.
            image = (w.batch, int(random.integers(1, 4)), *map(max, w.size, w.dilation))
            a = (w.kernel, w.stride if stride_given else None, w.padding)
            for draw in (distinct, tied):
                yield Case(
                    f"max_pool{w}{' ceil' * ceil}{' stride' * stride_given} {draw.__name__}",
                    lambda x, f=maximum, a=a, d=w.dilation, c=ceil: f(x, *a, d, c),
                    lambda x, f=their_maximum, a=a, d=w.dilation, c=ceil: f(x, *a, d, c),
                    ((image, draw),),
                )
            w = Window.draw(random, axes, half_padding=True, dilated=False)
            size = w.size if axes < 3 else tuple(map(max, w.size, w.kernel))  # PyTorch forgets the padding here
            image = (w.batch, int(random.integers(1, 4)), *size)
            a = (w.kernel, w.stride if stride_given else None, w.padding)
            counted = bool(number % 4 > 1)
            more: tuple[Any, ...] = (ceil, counted)
            if axes > 1 and number % 5 == 0:
                more = (*more, 7)
            label = f"{' ceil' * ceil}{' counted' * counted}{' stride' * stride_given}{' divisor' * (len(more) > 2)}"
            yield Case(
                f"avg_pool{w}{label}",
                lambda x, f=average, a=a, m=more: f(x, *a, *m),
                lambda x, f=their_average, a=a, m=more: f(x, *a, *m),
                ((image, signed),),
            )
        line = (5, 6, 4)[:axes]
        yield Case(
            f"max_pool{axes}d of one image",
            lambda x, f=maximum: f(x, 2),
            lambda x, f=their_maximum: f(x, 2),
            (((2, *line), distinct),),
        )
        yield Case(
            f"avg_pool{axes}d of one image",
            lambda x, f=average: f(x, 2),
            lambda x, f=their_average: f(x, 2),
            (((2, *line), signed),),
        )
        below = (((1, 1, *line), lambda random, shape: -1 - random.random(shape)),)
        yield Case(
            f"max_pool{axes}d below 0",
            lambda x, f=maximum: f(x, 3, 1, 1),
            lambda x, f=their_maximum: f(x, 3, 1, 1),
            below,
        )


# spatial axes, image, size
ADAPTED: list[tuple[int, Shape, Any]] = [
    (1, (2, 3, 7), 3), (1, (1, 2, 5), 8), (1, (3, 6), (2,)), (1, (2, 2, 8), 4), (1, (2, 2, 5), 1),
    (2, (2, 3, 7, 5), (3, 2)), (2, (1, 2, 6, 4), 2), (2, (2, 2, 5, 3), (None, 2)), (2, (3, 4, 5), 3),
    (2, (2, 1, 3, 4), (5, 1)), (2, (1, 2, 4, 6), 1), (2, (0, 2, 4, 5), 3), (2, (0, 2, 4, 5), 1),
    (3, (1, 2, 3, 5, 4), (2, 3, 4)), (3, (2, 1, 4, 2, 6), 2), (3, (1, 1, 3, 2, 5), (None, 1, 2)),
]  # fmt: skip


def other_pools() -> Iterator[Case]:
    for axes, shape, size in ADAPTED:
        for kind, draws in (("avg", (signed,)), ("max", (distinct, tied))):
            name = f"adaptive_{kind}_pool{axes}d"
            ours, theirs = getattr(F, name), getattr(TF, name)
            for draw in draws:
                yield Case(
                    f"{name} {shape} to {size} {draw.__name__}",
                    lambda x, f=ours, o=size: f(x, o),
                    lambda x, f=theirs, o=size: f(x, o),
                    ((shape, draw),),
                )
        yield Case(
            f"{name} {shape} to {size} with places",
            lambda x, f=ours, o=size: f(x, o, True),
            lambda x, f=theirs, o=size: f(x, o, True),
            ((shape, tied),),
        )
    for axes in (1, 2, 3):
        line = (6, 5, 4)[:axes]
        names = (f"lp_pool{axes}d", f"max_pool{axes}d", f"max_unpool{axes}d")
        norm, their_norm, pool, their_pool, unpool, their_unpool = [
            getattr(library, name) for name in names for library in (F, TF)
        ]
        for p, ceil, draw in [
            (1, False, signed), (2, False, tied), (2, True, signed), (3, False, positive), (1.5, True, positive)
        ]:  # fmt: skip
            yield Case(
                f"lp_pool{axes}d p {p}{' ceil' * ceil}",
                lambda x, f=norm, p=p, c=ceil: f(x, p, 2, ceil_mode=c),
                lambda x, f=their_norm, p=p, c=ceil: f(x, p, 2, ceil_mode=c),
                (((2, 2, *line), draw),),
                twice=draw is not tied,  # the root of nothing: PyTorch's second slope there is NaN
            )
        for stride, padding, dilation, ceil in [
            (None, 0, 1, False), (1, 1, 1, False), (2, 1, 1, True), (1, 0, 2, False)
        ]:  # fmt: skip
            a = (3 if dilation == 1 else 2, stride, padding, dilation, ceil)
            yield Case(
                f"max_pool{axes}d with places {a}",
                lambda x, f=pool, a=a: f(x, *a, return_indices=True),
                lambda x, f=their_pool, a=a: f(x, *a, return_indices=True),
                (((2, 3, *line), tied),),
            )
        for size in (None, line, (2, 2, *line)):
            wide = line if size is not None else (6, 4, 4)[:axes]

            def there_and_back(x, pool, unpool, size):
                y, places = pool(x, 2, return_indices=True)
                return unpool(y * y, places, 2, output_size=size)

            yield Case(
                f"max_unpool{axes}d to {size}",
                lambda x, call=there_and_back, a=(pool, unpool, size): call(x, *a),
                lambda x, call=there_and_back, a=(their_pool, their_unpool, size): call(x, *a),
                (((2, 2, *wide), distinct),),
            )


# image, size or scale factor (a float)
RESIZED: list[tuple[Shape, Any]] = [
    ((2, 2, 3), 7), ((1, 2, 7), (3,)), ((2, 1, 4), 2.0), ((2, 1, 5), 1.7), ((1, 1, 5), 0.6), ((1, 1, 4), 1),
    ((1, 1, 1), 5), ((1, 1, 9), 1.05), ((1, 1, 20), 2.02), ((1, 1, 20, 3), (1.02, 3.0)), ((1, 1, 20, 20), 2.02),
    ((1, 1, 20, 2, 2), 1.04), ((1, 2, 3, 5), (4, 7)), ((2, 1, 3, 2), 2.0), ((1, 2, 7, 6), (3, 2)),
    ((1, 1, 4, 5), (1.3, 2.6)), ((1, 2, 4, 4), 0.5), ((0, 2, 3, 3), 5), ((1, 1, 2, 3, 4), (3, 5, 2)),
    ((1, 2, 2, 2, 3), 1.5),
]  # fmt: skip
UNLIKE = [((1, 1, 9), 1.05), ((1, 1, 20), 2.02), ((1, 1, 20, 2, 2), 1.04)]
"""Where PyTorch's gradient for the nearest pixel is not that of what it computes."""
MODES = {1: "linear", 2: "bilinear", 3: "trilinear"}


def resamplings() -> Iterator[Case]:
    for shape, to in RESIZED:
        scaled = isinstance(to, float) or (isinstance(to, tuple) and isinstance(to[0], float))
        given: dict[str, Any] = {"scale_factor" if scaled else "size": to}
        lines = {"mode": MODES[len(shape) - 2]}
        ways = [given, given | lines, given | lines | {"align_corners": True}]
        if scaled:
            ways += [given | {"recompute_scale_factor": True}, given | lines | {"recompute_scale_factor": True}]
        for way in ways:
            fixed = (shape, to) in UNLIKE and way is given
            yield Case(
                f"interpolate {shape} {way}",
                lambda x, way=way, fixed=fixed: F.interpolate(x.detach() if fixed else x, **way),
                lambda x, way=way, fixed=fixed: TF.interpolate(x.detach() if fixed else x, **way),
                ((shape, normal),),
            )
    for shape, factor in [((2, 8, 3, 2), 2), ((9, 2, 2), 3), ((1, 2, 3, 3), 1), ((2, 3, 4, 1, 2), 2)]:
        yield Case(
            f"pixel_shuffle {shape} {factor}",
            lambda x, r=factor: F.pixel_shuffle(x, r),
            lambda x, r=factor: TF.pixel_shuffle(x, r),
            ((shape, normal),),
        )
    for shape, factor in [((2, 2, 6, 4), 2), ((1, 3, 3), 3), ((2, 1, 1, 4, 2), 2)]:
        yield Case(
            f"pixel_unshuffle {shape} {factor}",
            lambda x, r=factor: F.pixel_unshuffle(x, r),
            lambda x, r=factor: TF.pixel_unshuffle(x, r),
            ((shape, normal),),
        )


# Losses and normalisation

REDUCED_LOSSES = ("mean", "sum", "none")


def losses() -> Iterator[Case]:
    extreme: Draw = lambda random, shape: 40.0 * random.choice([-1.0, 1.0], shape)  # noqa: E731
    for reduction in REDUCED_LOSSES:
        for shape, places in [
            ((5, 4), (5,)),
            ((2, 3, 2, 2), (2, 2, 2)),
            ((4,), ()),
            ((2, 3, 5), (2, 5)),
            ((3, 1), (3,)),
        ]:
            classes = shape[1] if len(shape) > 1 else shape[0]
            for smoothing in (0.0, 0.1):
                yield Case(
                    f"cross_entropy {shape} {reduction} smoothing {smoothing}",
                    lambda x, t, r=reduction, s=smoothing: F.cross_entropy(x, t, reduction=r, label_smoothing=s),
                    lambda x, t, r=reduction, s=smoothing: TF.cross_entropy(x, t, reduction=r, label_smoothing=s),
                    ((shape, normal), (places, whole(0, classes))),
                )
                if len(shape) > 1:
                    yield Case(
                        f"cross_entropy {shape} {reduction} smoothing {smoothing} probabilities",
                        lambda x, t, r=reduction, s=smoothing: F.cross_entropy(x, t, reduction=r, label_smoothing=s),
                        lambda x, t, r=reduction, s=smoothing: TF.cross_entropy(x, t, reduction=r, label_smoothing=s),
                        ((shape, normal), (shape, probabilities)),
                    )
        for kind, draw in (("normal", normal), ("extreme", extreme)):
            yield Case(
                f"cross_entropy of {kind} {reduction}",
                lambda x, t, r=reduction: F.cross_entropy(x, t, reduction=r),
                lambda x, t, r=reduction: TF.cross_entropy(x, t, reduction=r),
                (((6, 4), draw), ((6,), whole(0, 4))),
            )
            for shape in [(), (3, 4), (2, 1, 3), (0, 3)]:
                yield Case(
                    f"binary_cross_entropy_with_logits {shape} {kind} {reduction}",
                    lambda x, t, r=reduction: F.binary_cross_entropy_with_logits(x, t, reduction=r),
                    lambda x, t, r=reduction: TF.binary_cross_entropy_with_logits(x, t, reduction=r),
                    ((shape, draw), (shape, lambda random, shape: random.random(shape))),
                )
        for shape in [(), (3, 4), (2, 1, 3), (0, 3)]:
            yield Case(
                f"mse_loss {shape} {reduction}",
                lambda x, t, r=reduction: F.mse_loss(x, t, r),
                lambda x, t, r=reduction: TF.mse_loss(x, t, reduction=r),
                ((shape, normal), (shape, normal)),
            )
        for weighted, ignored, smoothing in product((False, True), (None, 1), (0.0, 0.2)):
            inputs = (((2, 4, 3), normal), ((2, 3), whole(0, 4)), *([((4,), positive)] if weighted else []))

            def ours(x, t, w=None, r=reduction, i=ignored, s=smoothing):
                return F.cross_entropy(x, t, w, i, r, s)

            def theirs(x, t, w=None, r=reduction, i=ignored, s=smoothing):
                w = None if w is None else w.detach()
                return TF.cross_entropy(x, t, w, ignore_index=-100 if i is None else i, reduction=r, label_smoothing=s)

            def detached(x, t, w=None, ours=ours):
                return ours(x, t, None if w is None else w.detach())

            label = f"weight {weighted} ignore {ignored} smoothing {smoothing} {reduction}"
            yield Case(f"cross_entropy {label}", detached, theirs, inputs)
            if not smoothing:
                yield Case(
                    f"nll_loss {label}",
                    lambda x, t, w=None, r=reduction, i=ignored: F.nll_loss(
                        x, t, None if w is None else w.detach(), i, r
                    ),
                    lambda x, t, w=None, r=reduction, i=ignored: TF.nll_loss(
                        x, t, None if w is None else w.detach(), ignore_index=-100 if i is None else i, reduction=r
                    ),
                    inputs,
                )
        yield Case(
            f"cross_entropy weighted probabilities {reduction}",
            lambda x, t, w, r=reduction: F.cross_entropy(x, t, w.detach(), None, r, 0.1),
            lambda x, t, w, r=reduction: TF.cross_entropy(x, t, w.detach(), reduction=r, label_smoothing=0.1),
            (((2, 4, 3), normal), ((2, 4, 3), probabilities), ((4,), positive)),
        )
        yield Case(
            f"binary_cross_entropy_with_logits weighted {reduction}",
            lambda x, t, w, p, r=reduction: F.binary_cross_entropy_with_logits(x, t, w.detach(), r, p.detach()),
            lambda x, t, w, p, r=reduction: TF.binary_cross_entropy_with_logits(
                x, t, w.detach(), reduction=r, pos_weight=p.detach()
            ),
            (((3, 4), normal), ((3, 4), share), ((3, 4), positive), ((4,), positive)),
        )
        yield Case(
            f"binary_cross_entropy {reduction}",
            lambda x, t, r=reduction: F.binary_cross_entropy(x, t.detach(), reduction=r),
            lambda x, t, r=reduction: TF.binary_cross_entropy(x, t.detach(), reduction=r),
            (((3, 4), share), ((3, 4), share)),
        )
        for name, our_loss, their_loss in [
            ("l1_loss", F.l1_loss, TF.l1_loss),
            ("smooth_l1_loss", F.smooth_l1_loss, TF.smooth_l1_loss),
            ("smooth_l1_loss 0.3", lambda *a, **k: F.smooth_l1_loss(*a, **k, beta=0.3),
             lambda *a, **k: TF.smooth_l1_loss(*a, **k, beta=0.3)),
            ("huber_loss 0.3", lambda *a, **k: F.huber_loss(*a, **k, delta=0.3),
             lambda *a, **k: TF.huber_loss(*a, **k, delta=0.3)),
        ]:  # fmt: skip
            for shape in [(), (3, 4), (0, 3)]:
                yield Case(
                    f"{name} {shape} {reduction}",
                    lambda x, t, f=our_loss, r=reduction: f(x, t, reduction=r),
                    lambda x, t, f=their_loss, r=reduction: f(x, t, reduction=r),
                    ((shape, normal), (shape, normal)),
                )
        empty = (((0, 3), normal), ((0,), whole(0, 3)))
        yield Case(
            f"cross_entropy of nothing {reduction}",
            lambda x, t, r=reduction: F.cross_entropy(x, t, reduction=r),
            lambda x, t, r=reduction: TF.cross_entropy(x, t, reduction=r),
            empty,
        )

    for reduction, logs in product((*REDUCED_LOSSES, "batchmean"), (False, True)):
        yield Case(
            f"kl_div {reduction} {logs}",
            lambda x, t, r=reduction, g=logs: F.kl_div(x, t.detach(), r, g),
            lambda x, t, r=reduction, g=logs: TF.kl_div(x, t.detach(), reduction=r, log_target=g),
            (((3, 4), normal), ((3, 4), normal if logs else probabilities)),
        )


def normalisation() -> Iterator[Case]:
    for shape, last in [((2, 3), 1), ((2, 3, 4), 2), ((0, 5), 1), ((2, 1), 1), ((3,), 1)]:
        lengths = shape[-last:]
        yield Case(
            f"layer_norm {shape} {last}",
            lambda x, w, b, n=lengths: F.layer_norm(x, n, w, b, 1e-3),
            lambda x, w, b, n=lengths: TF.layer_norm(x, n, w, b, 1e-3),
            ((shape, normal), (lengths, signed), (lengths, signed)),
        )
    for shape, groups in [((2, 4, 3), 2), ((2, 6, 2, 2), 3), ((2, 3, 2, 2, 2), 1), ((3, 4, 2), 4), ((2, 4), 2)]:
        channels = (shape[1],)
        affine = ((channels, signed), (channels, signed))
        yield Case(
            f"group_norm {shape} {groups}",
            lambda x, w, b, g=groups: F.group_norm(x, g, w, b, 1e-3),
            lambda x, w, b, g=groups: TF.group_norm(x, g, w, b, 1e-3),
            ((shape, normal), *affine),
        )
        if len(shape) > 2:
            yield Case(
                f"instance_norm {shape}",
                lambda x, w, b: F.instance_norm(x, None, None, w, b, eps=1e-3),
                lambda x, w, b: TF.instance_norm(x, None, None, w, b, eps=1e-3),
                ((shape, normal), *affine),
            )
    for shape, size in product([(2, 7, 3), (1, 4, 2, 3), (2, 1, 4), (0, 3, 2)], (1, 2, 5)):
        yield Case(
            f"local_response_norm {shape} {size}",
            lambda x, n=size: F.local_response_norm(x, n, 0.5, 0.6, 1.5),
            lambda x, n=size: TF.local_response_norm(x, n, 0.5, 0.6, 1.5),
            ((shape, normal),),
        )
    for shape in [(4, 3), (2, 3, 5), (3, 2, 2, 4), (2, 1, 2, 3, 2), (1, 3, 4, 1)]:
        channels = (shape[1],)
        statistics = ((channels, normal), (channels, positive))
        affine = ((channels, signed), (channels, signed))
        for label, inputs in [("", ()), (" affine", affine)]:
            yield Case(
                f"batch_norm of the batch {shape}{label}",
                lambda x, w=None, b=None: F.batch_norm(x, None, None, w, b, training=True, eps=1e-3),
                lambda x, w=None, b=None: TF.batch_norm(x, None, None, w, b, training=True, eps=1e-3),
                ((shape, normal), *inputs),
            )
        yield Case(
            f"batch_norm by given statistics {shape}",
            lambda x, m, v, w, b: F.batch_norm(x, m.detach(), v.detach(), w, b),
            lambda x, m, v, w, b: TF.batch_norm(x, m.detach(), v.detach(), w, b),
            ((shape, normal), *statistics, *affine),
        )
    yield Case(
        "batch_norm of no images",
        lambda x, m, v: F.batch_norm(x, m.detach(), v.detach()),
        lambda x, m, v: TF.batch_norm(x, m.detach(), v.detach()),
        (((0, 3, 2), normal), ((3,), normal), ((3,), positive)),
    )


CASES: list[Case] = [
    *elementwise(),
    *reductions(),
    *shapes(),
    *products(),
    *windows(),
    *convolutions(),
    *pools(),
    *other_pools(),
    *resamplings(),
    *losses(),
    *normalisation(),
]

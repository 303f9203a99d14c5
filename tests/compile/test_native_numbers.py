"""Element-wise operations as native code: functions on all kinds of numbers, operations against the eager ones."""

from __future__ import annotations

import ctypes
import math
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from typing import Any

import numpy as np
import pytest

from tinygrad_cnn.compile.fuse import Copy
from tinygrad_cnn.compile.layout import MAPS
from tinygrad_cnn.compile.native.ir import I64, PTR, SCALARS, Function, Type, Value, module
from tinygrad_cnn.compile.native.numbers import RULES, Number, apply, can, quotient
from tinygrad_cnn.graph import Spec
from tinygrad_cnn.ops.base import Operation
from tinygrad_cnn.ops.elementwise import (
    Add,
    Cast,
    Clip,
    Comparison,
    Detach,
    Erf,
    Exp,
    Expm1,
    LeakyRelu,
    Log,
    LogicalNot,
    Masked,
    Neg,
    Pow,
    Relu,
    Sigmoid,
    Softplus,
    Sqrt,
    Sub,
    Tanh,
    Where,
)
from tinygrad_cnn.ops.random import Dropout

llvm = pytest.importorskip("llvmlite.binding", reason="llvmlite is not installed")

F32, F64, INT64, INT32, BOOL = SCALARS


pytestmark = pytest.mark.cpu("native code runs on the CPU")


@pytest.fixture(autouse=True)
def _any_number() -> Iterator[None]:
    with np.errstate(all="ignore"):
        yield


# Running what is written

Kernel = Callable[..., np.ndarray]


def processor(name: str) -> tuple[str, str]:
    """The name and the features of a processor: ``"host"``, or one that the host can stand in for."""
    features = llvm.get_host_cpu_features()
    if name == "host":
        return llvm.get_host_cpu_name(), features.flatten()
    if not features.get("sse2") or (name == "haswell" and not (features.get("avx2") and features.get("fma"))):
        pytest.skip(f"this machine does not run code for {name}")
    return name, ""


@cache
def compiled(op: Operation, dtypes: tuple[np.dtype, ...], lanes: int = 16, cpu: str = "host") -> Kernel:
    """An operation as a function of arrays. ``dtypes`` are those of the inputs and the result."""
    return written(lambda f, *values: apply(f, op, values, dtypes[-1]), dtypes, lanes, cpu)


def written(write: Callable[..., Value], dtypes: tuple[np.dtype, ...], lanes: int, cpu: str) -> Kernel:
    """What ``write(f, value of each input)`` computes, as a function of arrays."""
    sources = list(dtypes[:-1])
    f = Function("k", [PTR] * len(dtypes) + [I64], exported=True)
    *pointers, count = f.arguments

    def body(index: Any, carried: Any) -> None:
        values = [
            f.load(pointer, index, Type(SCALARS[dtype], lanes))
            for pointer, dtype in zip(pointers, sources, strict=False)
        ]
        f.store(write(f, *values), pointers[-1], index)

    f.loop(0, count, lanes, body)
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    name, features = processor(cpu)
    machine = llvm.Target.from_default_triple().create_target_machine(cpu=name, features=features, opt=2, jit=True)
    parsed = llvm.parse_assembly(module([f]))
    parsed.verify()
    engine = llvm.create_mcjit_compiler(parsed, machine)
    engine.finalize_object()
    call = ctypes.CFUNCTYPE(None, *[ctypes.c_void_p] * len(dtypes), ctypes.c_int64)(engine.get_function_address("k"))

    def run(*arrays: np.ndarray, keep: Any = engine) -> np.ndarray:
        size = arrays[0].size
        padded = [np.concatenate([each, each[:1].repeat(-size % lanes)]) for each in arrays]
        assert [each.dtype for each in padded] == sources
        result = np.empty(padded[0].size, dtypes[-1])
        call(*[each.ctypes.data for each in padded], result.ctypes.data, result.size)
        return result[:size]

    return run


# Functions

FUNCTIONS: list[tuple[Operation, Callable[[np.ndarray], np.ndarray]]] = [
    (Exp(), np.exp),
    (Expm1(), np.expm1),
    (Log(), np.log),
    (Tanh(), np.tanh),
    (Sigmoid(), lambda x: 1 / (1 + np.exp(-x))),
    (Softplus(), lambda x: np.logaddexp(0.0, x)),
    (Erf(), lambda x: np.array([math.erf(each) for each in x.tolist()])),
    (Sqrt(), np.sqrt),
]
NAMES = [op.name for op, _ in FUNCTIONS]
SPECIAL = np.array(
    [0.0, -0.0, 1.0, -1.0, np.inf, -np.inf, np.nan, 1e-45, -1e-45, 1.1754944e-38, 3.4028235e38, -3.4028235e38,
     88.72283, 88.72284, -87.33654, -87.33655, 9.0, -9.0, 0.5, 2.0, 3.0, 0.34657359, 0.70710677, 1.4142135],
    F32,
)  # fmt: skip


def spread(count: int = 1 << 20) -> np.ndarray:
    """Numbers of every sign and size, denormal ones, infinities and NaN: bit patterns at equal distances."""
    step = (1 << 32) // count
    return np.concatenate([(np.arange(count, dtype=np.uint32) * step + step // 3).view(F32), SPECIAL])


def error(got: np.ndarray, exact: np.ndarray) -> float:
    """How many units in the last place float32 numbers are off. What is too small to be normal may be 0."""
    rounded = exact.astype(F32)
    assert np.array_equal(np.isnan(got), np.isnan(rounded))
    assert np.array_equal(np.isinf(got), np.isinf(rounded))
    normal = np.isfinite(rounded)
    got, rounded, exact = got[normal], rounded[normal], exact[normal]
    assert np.array_equal(np.signbit(got), np.signbit(rounded))
    off = np.abs(got - exact) / np.spacing(np.abs(rounded)).astype(F64)
    off[(np.abs(exact) < 2.0**-126) & (got == 0)] = 0
    return float(off.max())


@pytest.mark.parametrize(("op", "reference"), FUNCTIONS, ids=NAMES)
def test_functions_are_correct_to_two_units_everywhere(op: Operation, reference: Any) -> None:
    x = spread()
    assert error(compiled(op, (F32, F32))(x), reference(x.astype(F64))) <= 2


@pytest.mark.parametrize("cpu", ["haswell", "x86-64"])
@pytest.mark.parametrize(("op", "reference"), FUNCTIONS, ids=NAMES)
def test_functions_are_as_good_on_older_processors(op: Operation, reference: Any, cpu: str) -> None:
    x = spread(1 << 18)
    assert error(compiled(op, (F32, F32), 16, cpu)(x), reference(x.astype(F64))) <= 2


@pytest.mark.parametrize("lanes", [1, 8])
@pytest.mark.parametrize(("op", "reference"), FUNCTIONS, ids=NAMES)
def test_functions_do_not_depend_on_the_number_of_lanes(op: Operation, reference: Any, lanes: int) -> None:
    x = spread(1 << 14)
    np.testing.assert_array_equal(compiled(op, (F32, F32), lanes)(x), compiled(op, (F32, F32))(x))


@pytest.mark.parametrize("cpu", ["host", "haswell", "x86-64"])
def test_powers_are_correct_to_two_units(cpu: str) -> None:
    rng = np.random.default_rng(0)
    power = compiled(Pow(), (F32, F32, F32), 16, cpu)
    near = np.exp2(rng.uniform(-20, 20, 1 << 17)).astype(F32), rng.uniform(-8, 8, 1 << 17).astype(F32)
    whole = rng.normal(size=1 << 17).astype(F32), rng.integers(-40, 40, 1 << 17).astype(F32)
    any_bits = [rng.integers(0, 1 << 32, 1 << 17, dtype=np.uint32).view(F32) for _ in range(2)]
    for x, y in (near, whole, any_bits):
        assert error(power(x, y), x.astype(F64) ** y.astype(F64)) <= 2


def test_estimated_quotients_are_correct_to_two_units() -> None:
    if not llvm.get_host_cpu_features().get("avx512f"):
        pytest.skip("this processor has no AVX-512")
    divide = written(lambda f, a, b: quotient(Number(f, a), Number(f, b)).value, (F32, F32, F32), 16, "host")
    rng = np.random.default_rng(0)
    a, b = [each[np.abs(each) > 2.0**-126] for each in (spread(), rng.permutation(spread()))]
    b = b[np.abs(b) <= 2.0**126]  # beyond these two limits 1 / b is no normal number
    a = a[: b.size]
    assert error(divide(a, b), a.astype(F64) / b) <= 2
    one, digits = np.ones(1 << 23, F32), (np.arange(1 << 23, dtype=np.uint32) + (127 << 23)).view(F32)
    assert error(divide(one, digits), 1 / digits.astype(F64)) <= 2
    few = np.array([0, -0.0, 1, -1, 1e-30, -1e30, np.inf, -np.inf, np.nan], F32)
    a, b = (each.ravel() for each in np.meshgrid(few, few))
    np.testing.assert_allclose(divide(a, b), a / b, rtol=2.4e-7)
    signed = ~np.isnan(a / b)
    np.testing.assert_array_equal(np.signbit(divide(a, b))[signed], np.signbit(a / b)[signed])


BASES = np.array([0, -0.0, 1, -1, 0.5, -0.5, 2, -2, 3, -3, 2.5, -2.5, 1e9, -1e9, 16777217, np.inf, -np.inf, np.nan])


@pytest.mark.parametrize("dtype", [F32, F64])
def test_powers_of_special_numbers(dtype: np.dtype) -> None:
    x, y = (each.ravel().astype(dtype) for each in np.meshgrid(BASES, BASES))
    got, expected = compiled(Pow(), (dtype, dtype, dtype))(x, y), x**y
    np.testing.assert_array_equal(np.isnan(got), np.isnan(expected))
    known = ~np.isnan(expected)
    np.testing.assert_array_equal(np.signbit(got[known]), np.signbit(expected[known]))
    np.testing.assert_allclose(got, expected, rtol=3e-7 if dtype == F32 else 1e-15)


@pytest.mark.parametrize(
    ("op", "x", "y"),
    [
        (Exp(), 0.0, 1.0), (Expm1(), -0.0, -0.0), (Log(), 1.0, 0.0), (Tanh(), -0.0, -0.0), (Tanh(), 20.0, 1.0),
        (Sigmoid(), 0.0, 0.5), (Erf(), -0.0, -0.0), (Erf(), 6.0, 1.0), (Erf(), -np.inf, -1.0), (Log(), 0.0, -np.inf),
        (Expm1(), -100.0, -1.0), (Sigmoid(), 100.0, 1.0), (Softplus(), 50.0, 50.0),
    ],
)  # fmt: skip
def test_exact_points(op: Operation, x: float, y: float) -> None:
    for dtype in (F32, F64):
        (got,) = compiled(op, (dtype, dtype))(np.array([x], dtype))
        assert got == y
        assert np.signbit(got) == np.signbit(y)


# Operations

INSTANCES: dict[type[Operation], list[Operation]] = {
    Cast: [Cast(dtype) for dtype in (F32, F64, INT64, INT32, BOOL)],
    Clip: [Clip(-1, 2), Clip(min=0), Clip(max=1.0)],
    Dropout: [Dropout(0.0), Dropout(0.3), Dropout(1.0)],
    LeakyRelu: [LeakyRelu(), LeakyRelu(-0.3)],
}
APPROXIMATE = (*[type(op) for op, _ in FUNCTIONS if not isinstance(op, Sqrt)], Pow)


def descendants(kind: type[Operation]) -> set[type[Operation]]:
    found = {kind} if kind.name and kind.__module__.startswith("tinygrad_cnn.") else set()
    return found.union(*[descendants(each) for each in kind.__subclasses__()])


OPERATIONS = sorted(
    set().union(*[descendants(each) for each in MAPS]) | {Cast, Copy, Detach, LogicalNot}, key=lambda each: each.name
)


def test_every_operation_is_known() -> None:
    assert set(RULES) == set(OPERATIONS)


def numbers(dtype: np.dtype, seed: int, tame: bool) -> np.ndarray:
    """Random numbers with special ones among them. Tame ones fit into whole numbers."""
    rng = np.random.default_rng(seed)
    if dtype == BOOL:
        return rng.integers(0, 2, 300).astype(bool)
    if dtype.kind == "i":
        info = np.iinfo(dtype)
        x = rng.integers(-5, 6, 300)
        x[::7] = rng.choice([info.min, info.max, 123456789], x[::7].size)
        return x.astype(dtype)
    x = rng.normal(size=300) * 3
    x[::5] = np.round(x[::5])
    if not tame:
        x[::3] = rng.choice([0.0, -0.0, np.inf, -np.inf, np.nan, 1e-30, -1e-30, 1e30, -80.0, 80.0], x[::3].size)
    return x.astype(dtype)


def cases() -> Iterator[Any]:
    for kind in OPERATIONS:
        for op in INSTANCES.get(kind) or [kind()]:
            for dtype in (F32, F64, INT64, INT32, BOOL):
                if dtype.kind in RULES[kind][0]:
                    yield pytest.param(op, dtype, id=f"{op}-{dtype}")


def arguments(op: Operation, dtype: np.dtype) -> list[np.ndarray]:
    tame = isinstance(op, Cast) and op.dtype.kind == "i"
    x, y = numbers(dtype, 1, tame), numbers(dtype, 2, tame)
    if isinstance(op, Where):
        return [numbers(BOOL, 3, tame), x, y]
    if isinstance(op, Masked):
        return [x, numbers(BOOL, 3, tame)]
    if isinstance(op, Dropout):
        return [x, np.random.default_rng(4).random(300).astype(dtype)]
    binary = op.forward.__code__.co_argcount == 4
    return [x, y] if binary else [x]


@pytest.mark.parametrize(("op", "dtype"), list(cases()))
def test_operations_are_the_eager_ones(op: Operation, dtype: np.dtype) -> None:
    arrays = arguments(op, dtype)
    result = op.infer(*[Spec(each.shape, each.dtype) for each in arrays]).dtype
    expected = op.forward(np, *arrays)
    dtypes = (*[each.dtype for each in arrays], result)
    assert can(op, dtypes)
    for lanes in (1, 8, 16):
        got = compiled(op, dtypes, lanes)(*arrays)
        assert got.dtype == expected.dtype
        if isinstance(op, APPROXIMATE):
            np.testing.assert_allclose(got, expected, rtol=1e-6 if dtype == F32 else 1e-14, atol=1e-40)
        else:
            np.testing.assert_array_equal(got, expected)
            if result.kind == "f":
                known = ~np.isnan(expected)
                np.testing.assert_array_equal(np.signbit(got[known]), np.signbit(expected[known]))


@pytest.mark.parametrize("dtype", [F32, F64])
def test_relu_keeps_nan(dtype: np.dtype) -> None:
    x = np.array([np.nan, -0.0, -1.0, np.inf], dtype)
    np.testing.assert_array_equal(compiled(Relu(), (dtype, dtype))(x), np.array([np.nan, 0, 0, np.inf], dtype))


@pytest.mark.parametrize(
    ("op", "dtypes"),
    [
        (Neg(), [BOOL, BOOL]),
        (Sub(), [BOOL, BOOL, BOOL]),
        (Exp(), [INT64, INT64]),
        (Add(), [np.dtype("uint8")] * 3),
        (Add(), [np.dtype(">f4")] * 3),
        (Where(), [BOOL, np.dtype("int8"), np.dtype("int8"), np.dtype("int8")]),
        (Comparison(), [F32, F32, BOOL]),
    ],
)
def test_what_is_not_supported(op: Operation, dtypes: Sequence[np.dtype]) -> None:
    assert not can(op, dtypes)

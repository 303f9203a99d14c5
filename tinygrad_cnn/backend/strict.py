"""A stand-in for CuPy that needs no GPU: its arrays refuse to mix with NumPy's, as CuPy's do.

The whole test suite runs on it. An ``np.`` function in code that should serve every device works on the CPU and fails
only on a GPU; here it fails everywhere. The numbers are NumPy's, the manners are CuPy's:

* NumPy functions on a :class:`StrictArray`, and NumPy arrays met by one, raise ``TypeError``;
* :data:`xp` has only functions that CuPy has too, and refuses keywords that CuPy's do not know;
* results without axes stay arrays;
* moving to and from the host copies.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any, NoReturn

import numpy as np

FUNCTIONS = (
    "abs", "add", "arange", "argmax", "argmin", "asarray", "ascontiguousarray", "broadcast_to", "clip", "concatenate",
    "divide", "empty", "equal", "exp", "expm1", "flip", "full", "greater", "greater_equal", "isfinite", "less",
    "less_equal", "log", "log1p", "logical_not", "matmul", "max", "maximum", "min", "minimum", "multiply", "negative",
    "not_equal", "power", "reshape", "sign", "sqrt", "squeeze", "subtract", "sum", "take", "take_along_axis", "tanh",
    "transpose", "where", "zeros",
)  # fmt: skip
"""What operations may call. Whoever adds a name checks first that CuPy has the function, with these arguments."""

STRIDE_TRICKS = ("as_strided", "sliding_window_view")
"""The same for ``xp.lib.stride_tricks``."""

CONSTANTS = ("bool_", "float32", "float64", "inf", "int32", "int64", "nan", "newaxis", "pi")
"""What is the same object in NumPy and in CuPy."""

METHODS = ("astype", "copy", "max", "min", "reshape", "sum", "transpose", "view")
"""The methods of arrays, likewise."""

_KEYWORDS_OF_NUMPY_ONLY = frozenset({"initial", "subok", "where", "writeable"})


class StrictArray:
    """An array on the stand-in device."""

    __slots__ = ("_numbers",)

    __array_ufunc__ = None
    __hash__ = None  # type: ignore[assignment]

    def __init__(self, numbers: np.ndarray) -> None:
        self._numbers = numbers

    def __array__(self, *_: object, **__: object) -> NoReturn:
        raise TypeError("implicit conversion of a device array to a NumPy array: move it with device.to_host first")

    def __array_function__(self, function: Callable[..., Any], *_: object) -> NoReturn:
        raise TypeError(f"np.{function.__name__} got a device array: use the function of its module, xp")

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(f"arrays of every device have no {name!r}; see METHODS in {__name__}")

    @property
    def shape(self) -> tuple[int, ...]:
        """The length of each axis."""
        return self._numbers.shape

    @property
    def dtype(self) -> np.dtype:
        """The element type."""
        return self._numbers.dtype

    @property
    def ndim(self) -> int:
        """The number of axes."""
        return self._numbers.ndim

    @property
    def size(self) -> int:
        """The number of elements."""
        return self._numbers.size

    @property
    def strides(self) -> tuple[int, ...]:
        """The step in bytes along each axis."""
        return self._numbers.strides

    @property
    def itemsize(self) -> int:
        """The bytes of one element."""
        return self._numbers.itemsize

    @property
    def nbytes(self) -> int:
        """The bytes of all elements."""
        return self._numbers.nbytes

    @property
    def flags(self) -> Any:
        """The layout of the memory."""
        return self._numbers.flags

    @property
    def T(self) -> StrictArray:
        """The axes in reverse order."""
        return StrictArray(self._numbers.T)

    def __getitem__(self, key: Any) -> StrictArray:
        return StrictArray(np.asarray(self._numbers[_plain(key)]))

    def __setitem__(self, key: Any, value: Any) -> None:
        self._numbers[_plain(key)] = _plain(value)

    def __len__(self) -> int:
        return len(self._numbers)

    def __iter__(self) -> Iterator[StrictArray]:
        return (self[position] for position in range(len(self)))

    def __repr__(self) -> str:
        return f"StrictArray({self._numbers!r})"


def _plain(value: Any) -> Any:
    """The value with NumPy's arrays for those of this device, in containers too; raises for NumPy's own."""
    if isinstance(value, StrictArray):
        return value._numbers
    if isinstance(value, np.ndarray):
        raise TypeError("a NumPy array met a device array: move it with device.from_host, or xp.asarray, first")
    if isinstance(value, tuple | list):
        return type(value)(_plain(each) for each in value)
    return value


def _operand(value: Any) -> Any:
    """As :func:`_plain`, for arithmetic: a NumPy scalar is refused too, for it would widen float32 to float64."""
    if isinstance(value, StrictArray):
        return value._numbers
    if isinstance(value, bool | int | float) and not isinstance(value, np.generic):
        return value
    raise TypeError(f"arithmetic on device arrays takes device arrays and Python numbers, not {type(value).__name__}")


def _wrapped(result: Any) -> Any:
    """The result with arrays of this device for NumPy's; NumPy's scalars become arrays without axes."""
    if isinstance(result, np.ndarray | np.generic):
        return StrictArray(np.asarray(result))
    if isinstance(result, tuple | list):
        return type(result)(map(_wrapped, result))
    return result


def _function(function: Callable[..., Any], plain: Callable[[Any], Any] = _plain) -> Callable[..., Any]:
    """A NumPy function on arrays of this device."""

    def call(*arguments: Any, **keywords: Any) -> Any:
        foreign = _KEYWORDS_OF_NUMPY_ONLY & keywords.keys()
        if foreign:
            raise TypeError(f"CuPy's {function.__name__} has no keyword {', '.join(sorted(foreign))}")
        result = function(*map(plain, arguments), **{name: _plain(value) for name, value in keywords.items()})
        return keywords["out"] if keywords.get("out") is not None else _wrapped(result)

    return call


def _asarray(value: Any, dtype: Any = None) -> StrictArray:
    """The one function that takes NumPy's arrays, which it copies onto the device."""
    if isinstance(value, StrictArray):
        return value if dtype in (None, value.dtype) else _wrapped(value._numbers.astype(dtype))
    return StrictArray(np.array(value if isinstance(value, np.ndarray) else _plain(value), dtype=dtype))


class _Ufunc:
    """A NumPy ufunc on arrays of this device, with its ``at``."""

    def __init__(self, ufunc: np.ufunc) -> None:
        self._ufunc = ufunc
        self._call = _function(ufunc, _operand)

    def __call__(self, *arguments: Any, **keywords: Any) -> Any:
        return self._call(*arguments, **keywords)

    def at(self, array: StrictArray, key: Any, *values: Any) -> None:
        """In place, once for each time that the key names an element."""
        self._ufunc.at(_operand(array), _plain(key), *map(_operand, values))


class _Module(SimpleNamespace):
    """The array module: what is not listed above is missing, with a word on why."""

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(f"xp.{name} is not used yet: check that CuPy has it, then list it in {__name__}")


def _module() -> _Module:
    functions: dict[str, Any] = {}
    for name in FUNCTIONS:
        function = getattr(np, name)
        functions[name] = _Ufunc(function) if isinstance(function, np.ufunc) else _function(function)
    tricks = {name: _function(getattr(np.lib.stride_tricks, name)) for name in STRIDE_TRICKS}
    constants = {name: getattr(np, name) for name in CONSTANTS}
    lib = _Module(stride_tricks=_Module(**tricks))
    return _Module(**functions | constants | {"asarray": _asarray, "lib": lib})


def _add_operators() -> None:
    """Give arrays the methods, and the operators of numbers; both sides are device arrays or Python numbers."""
    for name in METHODS:
        setattr(StrictArray, name, _function(getattr(np.ndarray, name)))
    for name in ("neg", "pos", "abs", "invert"):
        setattr(StrictArray, f"__{name}__", _function(getattr(operator, name), _operand))
    for name in ("add", "sub", "mul", "truediv", "floordiv", "mod", "pow", "matmul", "and", "or", "xor"):
        for prefix in ("", "r", "i"):
            method = f"__{prefix}{name}__"
            if method == "__imatmul__":  # CuPy has none
                continue
            setattr(StrictArray, method, _operator(getattr(np.ndarray, method), in_place=prefix == "i"))
    for name in ("eq", "ne", "lt", "le", "gt", "ge"):
        setattr(StrictArray, f"__{name}__", _operator(getattr(np.ndarray, f"__{name}__")))
    for name in ("bool", "int", "float"):
        setattr(StrictArray, f"__{name}__", _function(getattr(np.ndarray, f"__{name}__")))


def _operator(function: Callable[..., Any], in_place: bool = False) -> Callable[..., Any]:
    def call(self: StrictArray, other: Any) -> Any:
        result = function(self._numbers, _operand(other))
        return self if in_place else _wrapped(result)

    return call


_add_operators()
xp = _module()
"""The array module of the device: NumPy's functions, as far as CuPy has them."""


def from_host(array: np.ndarray) -> StrictArray:
    """A copy of a NumPy array on this device."""
    return _asarray(np.asarray(array))


def to_host(array: StrictArray) -> np.ndarray:
    """A copy of the array as NumPy's."""
    return array._numbers.copy()

"""Arguments and results as a description that can be looked up, and the tensors in them."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

from ..errors import ArgumentError
from ..tensor import Tensor

TENSOR = "tensor"
"""The description of a tensor."""


def describe(inputs: tuple[Any, ...], settings: dict[str, Any], tensors: list[Tensor]) -> Any:
    """A description of the arguments of a call, as of :func:`flatten`: quickly, where these are tensors and no more."""
    if not settings and all([type(each) is Tensor for each in inputs]):
        tensors += inputs
        return _described(len(inputs))
    return flatten(inputs, tensors), flatten(settings, tensors)


@functools.cache
def _described(count: int) -> Any:
    return (tuple, None, (TENSOR,) * count), flatten({}, [])


def flatten(value: Any, tensors: list[Tensor], caller: str = "compile") -> Any:
    """A description of nested lists, tuples and dictionaries that can be looked up; their tensors go into the list.

    Raises :class:`ArgumentError` in the name of ``caller`` for what is neither a tensor nor a constant.
    """
    if isinstance(value, Tensor):
        tensors.append(value)
        return TENSOR
    if isinstance(value, np.ndarray):
        tensors.append(Tensor(value))
        return TENSOR
    if isinstance(value, list | tuple):
        names = type(value) if isinstance(value, tuple) and hasattr(value, "_fields") else None
        parts = tuple([flatten(each, tensors, caller) for each in value])
        return (list if isinstance(value, list) else tuple, names, parts)
    if isinstance(value, dict):
        return (dict, None, tuple([(key, flatten(each, tensors, caller)) for key, each in value.items()]))
    try:
        hash(value)
    except TypeError as error:
        raise ArgumentError(
            caller, "this argument or result is neither a tensor nor a constant", got=repr(value)[:80],
            expected="tensors, lists, tuples and dictionaries of them, and Python constants",
        ) from error  # fmt: skip
    return ("constant", type(value), value)


def unflatten(form: Any, tensors: Any) -> Any:
    """The inverse of :func:`flatten`."""
    if form is TENSOR:
        return next(tensors)
    kind, names, parts = form
    if kind == "constant":
        return parts
    if kind is dict:
        return {key: unflatten(each, tensors) for key, each in parts}
    values = [unflatten(each, tensors) for each in parts]
    if kind is list:
        return values
    return tuple(values) if names is None else names(*values)

"""Hyper-parameters in few words: what a box says of an operation or a layer."""

from __future__ import annotations

import ast
from collections.abc import Iterable
from dataclasses import fields

from ..nn.module import Module
from ..ops.base import Operation
from ..ops.index import Range

# What the picture says elsewhere
_UNSAID = {"shape", "dtype", "dims_out", "generator", "scheme", "body", "facts", "parameters", "region"}
_USUAL = {
    "stride": 1, "padding": 0, "output_padding": 0, "dilation": 1, "groups": 1, "bias": True, "keepdim": False,
    "affine": True, "track_running_stats": True, "eps": None, "momentum": None, "ceil_mode": False,
    "return_indices": False, "inplace": False, "count_include_pad": True, "start_dim": 1, "end_dim": -1,
}  # fmt: skip


def operation_settings(op: Operation) -> list[str]:
    """The hyper-parameters of an operation that are not what one expects anyway."""
    pairs = [(each.name, getattr(op, each.name)) for each in fields(op) if each.repr and each.name not in _UNSAID]
    return [_setting(name, value) for name, value in pairs if not _is_usual(name, value)]


def short_settings(module: Module) -> tuple[str, ...]:
    """The settings that a module gives in its text form, shortened: ``1 → 6``, ``kernel 5×5``."""
    pairs = [part.partition("=") for part in _split(module.extra_repr())]
    return _shorten([(name.strip() if sign else "", value if sign else name) for name, sign, value in pairs])


def _shorten(pairs: Iterable[tuple[str, str]]) -> tuple[str, ...]:
    ends: list[str] = []
    words: list[str] = []
    for name, text in pairs:
        if name in ("", "in_features", "out_features", "in_channels", "out_channels") and text.isdecimal():
            ends.append(text)
            continue
        value = _value(text)
        if not _is_usual(name, value):
            words.append(_setting(name, value) if name else text)
    if len(ends) == 1:
        ends.append("features")
    return (*([" ".join(ends) if ends[-1] == "features" else " → ".join(ends)] if ends else []), *words)


def _value(text: str) -> object:
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return text


def _split(text: str) -> list[str]:
    """Split at the commas that stand outside brackets."""
    parts, depth = [""], 0
    for letter in text:
        depth += (letter in "([{") - (letter in ")]}")
        if letter == "," and depth == 0:
            parts.append("")
        else:
            parts[-1] += letter
    return [part.strip() for part in parts if part.strip()]


def _is_usual(name: str, value: object) -> bool:
    if name not in _USUAL:
        return False
    usual = _USUAL[name]
    flat = list(_flat(value)) if isinstance(value, tuple | list) else [value]
    return usual is None or all(type(each) is type(usual) and each == usual for each in flat)


def _flat(value: object) -> Iterable[object]:
    if isinstance(value, tuple | list):
        for each in value:
            yield from _flat(each)
    else:
        yield value


def _setting(name: str, value: object) -> str:
    if isinstance(value, bool):
        return name if value else f"no {name}"
    if name == "key" and isinstance(value, tuple):
        return f"[{', '.join(map(_place, value))}]"
    if isinstance(value, tuple) and value and all(isinstance(each, int) for each in value):
        if name in ("dims", "dim", "normalized_shape", "order", "axes"):
            value = ", ".join(map(str, value))
        else:
            value = str(value[0]) if len(set(value)) == 1 and "kernel" not in name else "×".join(map(str, value))
    while isinstance(value, tuple) and len({*map(str, value)}) == 1:
        value = value[0]
    if isinstance(value, float):
        value = number(value)
    return f"{name.removesuffix('_size')} {value}"


def _place(place: object) -> str:
    """An entry of an index's key as Python writes it; a dot where a tensor says which."""
    if isinstance(place, Range):
        stop = place.start + (place.length - 1) * place.step + (1 if place.step > 0 else -1)
        return f"{place.start}:{stop if stop >= 0 else ''}" + (f":{place.step}" if place.step != 1 else "")
    return str(place) if isinstance(place, int) else "·"


def number(value: float | int | bool) -> str:
    """A Python number in at most four digits.

    >>> number(0.123456), number(3)
    ('0.1235', '3')
    """
    return format(value, ".4g") if isinstance(value, float) else str(value)

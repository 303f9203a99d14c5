"""The only place that knows which array modules exist: devices, moving between them, and randomness.

A device is a name (``"cpu"``, ``"gpu"``), an array module with NumPy's interface and a way to and from NumPy.
CuPy is imported when somebody first asks for ``"gpu"``.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..errors import ArgumentError, DeviceError
from ..mode import current_mode, default_device

Array = Any
"""An array of some device's module: ``numpy.ndarray`` on the CPU, ``cupy.ndarray`` on the GPU."""


@dataclass(frozen=True)
class Device:
    """A place where arrays live."""

    name: str
    xp: Any
    """The array module: ``numpy``, ``cupy``."""
    array_type: type
    from_host: Callable[[np.ndarray], Array]
    """A NumPy array's copy on this device."""
    to_host: Callable[[Array], np.ndarray]
    """The array as NumPy's; shares memory on the CPU."""


def _load_cpu() -> Device:
    return Device("cpu", np, np.ndarray, np.asarray, np.asarray)


def _load_gpu() -> Device:
    extra = "pip install 'tinygrad_cnn[gpu12]' for CUDA 12, or 'tinygrad_cnn[gpu13]' for CUDA 13"
    try:
        cupy = importlib.import_module("cupy")
    except ImportError as error:
        raise DeviceError("device", "'gpu' needs CuPy, which is not installed", fix=extra) from error
    try:
        count = cupy.cuda.runtime.getDeviceCount()
    except cupy.cuda.runtime.CUDARuntimeError as error:
        raise DeviceError("device", "'gpu': CuPy finds no GPU", got=str(error), fix="use device 'cpu'") from error
    if count == 0:
        raise DeviceError("device", "'gpu': CuPy finds no GPU", got="0 devices", fix="use device 'cpu'")
    return Device("gpu", cupy, cupy.ndarray, cupy.asarray, cupy.asnumpy)


def _load_strict() -> Device:
    from . import strict

    return Device("strict", strict.xp, strict.StrictArray, strict.from_host, strict.to_host)


_LOADERS: dict[str, Callable[[], Device]] = {"cpu": _load_cpu, "gpu": _load_gpu, "strict": _load_strict}
_DEVICES: dict[str, Device] = {}
_BY_TYPE: dict[type, Device] = {}


def get_device(name: str | None = None) -> Device:
    """The device of that name; without a name the default one.

    Raises :class:`DeviceError` when its array module is missing or finds no hardware, :class:`ArgumentError` for a
    name that is no device.
    """
    if name is None:
        name = current_mode().device
    device = _DEVICES.get(name)
    if device is None:
        if name not in _LOADERS:
            known = ", ".join(repr(known) for known in _LOADERS)
            raise ArgumentError("device", "there is no such device", got=repr(name), expected=f"one of {known}")
        device = _DEVICES[name] = _LOADERS[name]()
        _BY_TYPE[device.array_type] = device
    return device


def is_device_name(name: object) -> bool:
    """Whether a device may be asked for by this name; the hardware need not be there."""
    return isinstance(name, str) and name in _LOADERS


def device_of(array: Array) -> Device:
    """The device that an array lives on."""
    return _BY_TYPE[type(array)]


def is_array(value: object) -> bool:
    """Whether the value is an array of a device that is in use."""
    return type(value) in _BY_TYPE


def move(array: Array, device: Device) -> Array:
    """The array on that device; itself when it is there already."""
    source = device_of(array)
    return array if source is device else device.from_host(source.to_host(array))


@contextmanager
def device(name: str) -> Iterator[None]:
    """Put new tensors on this device: ``with tg.device("gpu"): ...``.

    Raises :class:`DeviceError` when the device is not to be had.

    >>> import tinygrad_cnn as tg
    >>> with tg.device("cpu"):
    ...     tg.Tensor([1.0]).device
    'cpu'
    """
    get_device(name)
    with default_device(name):
        yield


get_device("cpu")

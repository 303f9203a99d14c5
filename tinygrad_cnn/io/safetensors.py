"""Weights in files of the safetensors format: names, shapes, types and numbers, and nothing that could be executed.

The format and its Python package are from Hugging Face; other frameworks read and write the same files.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import numpy as np

from ..errors import ArgumentError, DTypeError, TinygradCnnError
from ..extras import require
from ..nn.module import Module
from ..tensor import Tensor, TensorLike


class FileError(TinygradCnnError, OSError):
    """A file is missing, cannot be written, or is not what it should be."""


def save(
    path: str | os.PathLike[str], obj: Module | Mapping[str, TensorLike], metadata: Mapping[str, str] | None = None
) -> None:
    """Write tensors to a safetensors file. A file that is there already is replaced, as by ``torch.save``.

    The file appears under its name only when it is complete, so a crash never leaves half of one.

    Args:
        path: the file; its folder must exist.
        obj: a module (its ``state_dict`` is written), or tensors or arrays by name.
        metadata: text by name, kept in the file beside the tensors.

    Raises :class:`DTypeError` for names or metadata that are not text and data that is no tensor,
    :class:`ArgumentError` for the name ``__metadata__``, which the format keeps for itself, :class:`FileError` when
    the folder does not exist, :class:`MissingPackageError` without safetensors.

    >>> import tinygrad_cnn as tg
    >>> path = getfixture("tmp_path") / "weights.safetensors"
    >>> tg.save(path, {"scale": tg.Tensor([2.0])})
    >>> tg.load(path)
    {'scale': Tensor([2.])}
    """
    library = require("save", "safetensors.numpy", "safetensors", "data")
    state = obj.state_dict() if isinstance(obj, Module) else obj
    if not isinstance(state, Mapping):
        raise DTypeError(
            "save", "only named tensors can be saved", got=type(obj).__name__,
            expected="a module, or a dictionary of tensors", fix='give it a name: tg.save(path, {"weight": tensor})',
        )  # fmt: skip
    texts = [*state, *(metadata or {}), *(metadata or {}).values()]
    wrong = [text for text in texts if not isinstance(text, str)]
    if wrong:
        raise DTypeError("save", "names and metadata are text", got=repr(wrong[0]), fix="convert it with str() or json")
    if "__metadata__" in state:
        raise ArgumentError("save", "the format keeps the name '__metadata__' for itself", fix="rename the tensor")
    data: bytes = library.save({name: _contiguous(value) for name, value in state.items()})
    entries, start = _header(data)
    ordered = ({"__metadata__": dict(metadata)} if metadata else {}) | {name: entries[name] for name in state}
    write_atomically(path, _with_header(ordered, data[start:]))


def load(path: str | os.PathLike[str]) -> dict[str, Tensor]:
    """The tensors of a safetensors file by name, on the default device, in the order in which they were saved.

    Raises :class:`FileError` when the file is missing or damaged, :class:`DTypeError` for an element type that
    tensors cannot hold, :class:`MissingPackageError` without safetensors.
    """
    return {name: Tensor(array) for name, array in _arrays(path, _bytes(path)).items()}


def load_metadata(path: str | os.PathLike[str]) -> dict[str, str]:
    """The text that was saved beside the tensors. Raises what :func:`load` raises."""
    data = _bytes(path)
    _arrays(path, data)
    metadata: dict[str, str] = _header(data)[0].get("__metadata__", {})
    return metadata


def write_atomically(path: str | os.PathLike[str], data: bytes) -> None:
    """Write a file so that its name always means a complete one: the old until the new is safely on the disk.

    Raises :class:`FileError` where it cannot be written.
    """
    folder, name = os.path.split(os.fspath(path))
    temporary = os.path.join(folder, f".{name}.{os.getpid()}.tmp")
    try:
        with open(temporary, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except OSError as error:
        raise FileError(
            "save",
            f"{os.fspath(path)} cannot be written",
            got=str(error.strerror),
            fix="make the folder first, or choose another",
        ) from error
    finally:
        if os.path.exists(temporary):
            os.remove(temporary)


def _contiguous(value: TensorLike) -> np.ndarray:
    """The numbers in C order. The library writes an array's memory as it lies, whatever the order of its axes."""
    tensor = value if isinstance(value, Tensor) else Tensor(value)
    array = tensor.numpy()
    return np.ascontiguousarray(array).reshape(array.shape)  # ascontiguousarray gives every array an axis


def _bytes(path: str | os.PathLike[str]) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read()
    except OSError as error:
        raise FileError(
            "load", f"{os.fspath(path)} cannot be read", got=str(error.strerror),
            expected="a file written by tg.save or another program that writes safetensors",
        ) from error  # fmt: skip


def _arrays(path: str | os.PathLike[str], data: bytes) -> dict[str, np.ndarray]:
    library = require("load", "safetensors.numpy", "safetensors", "data")
    try:
        arrays: dict[str, np.ndarray] = library.load(data)
    except require("load", "safetensors", "safetensors", "data").SafetensorError as error:
        raise FileError(
            "load", f"{os.fspath(path)} is damaged, or no safetensors file", got=f"{len(data)} bytes; {error}",
            fix="save it again from the source; a pickled .pt file must be converted where it was made",
        ) from error  # fmt: skip
    except KeyError as error:
        raise DTypeError(
            "load", f"{os.fspath(path)} holds an element type that NumPy does not have", got=str(error.args[0]),
            fix="convert the tensors to float32 where the file was made",
        ) from error  # fmt: skip
    return {name: arrays[name] for name in _header(data)[0] if name != "__metadata__"}


# A file is the length of its header in 8 bytes, the header as JSON, then the numbers. The library writes and reads
# names and metadata in an order that changes from run to run; ours is the caller's, so that files repeat byte by byte.


def _header(data: bytes) -> tuple[dict[str, Any], int]:
    """The header, and where it ends."""
    import json

    end = 8 + int.from_bytes(data[:8], "little")
    return json.loads(data[8:end]), end


def _with_header(header: dict[str, Any], numbers: bytes) -> bytes:
    import json

    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)  # the numbers begin at a multiple of 8 bytes
    return len(text).to_bytes(8, "little") + text + numbers

"""An object file becomes functions that can be called: its parts are laid into memory, and addresses filled in.

Compilers for programs that run at once write few kinds of addresses: on 64-bit Intel and AMD processors all are whole
addresses in 8 bytes. So on Linux these few lines do what a linker does. Elsewhere LLVM does it, in this process.

The format is that of System V: "Tool Interface Standard, Executable and Linking Format", 1995, and "System V
Application Binary Interface, AMD64 Architecture Processor Supplement", section 4.4.
"""

from __future__ import annotations

import ctypes
import importlib
import mmap
import platform
import struct
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

READS_OBJECTS = sys.platform == "linux" and platform.machine() == "x86_64" and sys.maxsize > 2**32
"""Whether :class:`Mapped` can read what the compiler writes here."""
SYMBOLS, ADDRESSES, ZEROS, UNWINDING = 2, 4, 8, 0x70000001
"""Kinds of sections: symbols; addresses to be filled in; zeros, which the file does not hold; and how exceptions leave
a function, which do not occur here."""
IN_MEMORY = 2
"""The flag of sections that the program needs in memory."""
WHOLE_ADDRESS = 1
"""The kind of address that is written as 8 bytes: symbol + addend."""


class Loaded(Protocol):
    """Object files in memory."""

    def address(self, name: str) -> int:
        """Where a function begins."""

    def close(self) -> None:
        """Give the memory back."""

    def detach(self) -> None:
        """Leave it all as long as the process lives."""


@dataclass(frozen=True)
class _Section:
    """One part of an object file; the fields that matter here, in the file's order."""

    kind: int
    flags: int
    offset: int
    size: int
    link: int
    info: int
    alignment: int


class _ObjectFile:
    """An object file, read as far as needed."""

    def __init__(self, data: bytes) -> None:
        if data[:6] != b"\x7fELF\x02\x01":
            raise RuntimeError("this is no object file for a 64-bit processor")
        self.data = data
        (table,), (count,) = struct.unpack_from("<Q", data, 40), struct.unpack_from("<H", data, 60)
        fields = [struct.unpack_from("<IIQQQQIIQQ", data, table + 64 * number) for number in range(count)]
        self.sections = [_Section(*each[1:3], *each[4:9]) for each in fields]
        self.places: dict[int, int] = {}
        """Where the sections go, relative to the beginning of the memory."""

    def needed(self) -> list[int]:
        """The sections that must be in memory."""
        parts = enumerate(self.sections)
        return [n for n, each in parts if each.flags & IN_MEMORY and each.kind != UNWINDING and each.size]

    def symbols(self, link: int) -> list[tuple[str, int, int, int]]:
        """The symbols of a section of symbols: name, binding and type, section, and value."""
        section = self.sections[link]
        names = self.sections[section.link].offset
        found = []
        for at in range(section.offset, section.offset + section.size, 24):
            name, info, _, number, value, _ = struct.unpack_from("<IBBHQQ", self.data, at)
            start = names + name
            found.append((self.data[start : self.data.index(b"\0", start)].decode(), info, number, value))
        return found


class Mapped:
    """Object files in memory, which may call each other's functions and those of the process.

    Raises :class:`RuntimeError` for a function that nobody has, and for kinds of addresses that are not known here.
    """

    def __init__(self, codes: Sequence[bytes]) -> None:
        files = [_ObjectFile(code) for code in codes]
        size = 0
        for file in files:
            for number in file.needed():
                alignment = max(file.sections[number].alignment, 1)
                size = -(-size // alignment) * alignment
                file.places[number] = size
                size += file.sections[number].size
        self._size = -(-max(size, 1) // mmap.PAGESIZE) * mmap.PAGESIZE
        image = bytearray(self._size)
        for file in files:
            for number, place in file.places.items():
                section = file.sections[number]
                if section.kind != ZEROS:
                    image[place : place + section.size] = file.data[section.offset : section.offset + section.size]
        self._memory = _map(self._size)
        try:
            self._names = self._exported(files)
            for file in files:
                self._fill_in(file, image)
            ctypes.memmove(self._memory, bytes(image), self._size)
            if _libc().mprotect(self._memory, self._size, mmap.PROT_READ | mmap.PROT_EXEC):
                raise OSError(ctypes.get_errno(), "this system does not let a program make code")
        except BaseException:
            self.close()
            raise

    def _exported(self, files: Sequence[_ObjectFile]) -> dict[str, int]:
        found: dict[str, int] = {}
        for file in files:
            for link, section in enumerate(file.sections):
                for name, info, number, value in file.symbols(link) if section.kind == SYMBOLS else ():
                    if info >> 4 and number in file.places:
                        found[name] = self._memory + file.places[number] + value
        return found

    def _fill_in(self, file: _ObjectFile, image: bytearray) -> None:
        """Write the addresses into the image."""
        for section in file.sections:
            if section.kind != ADDRESSES or section.info not in file.places:
                continue
            symbols = file.symbols(section.link)
            known: dict[int, int] = {}
            for at in range(section.offset, section.offset + section.size, 24):
                offset, info, addend = struct.unpack_from("<QQq", file.data, at)
                kind, symbol = info & 0xFFFFFFFF, info >> 32
                if kind != WHOLE_ADDRESS:
                    raise RuntimeError(f"an object file has an address of kind {kind}, which nobody here can fill in")
                if symbol not in known:
                    name, _, number, value = symbols[symbol]
                    inside = number in file.places
                    known[symbol] = self._memory + file.places[number] + value if inside else self._find(name)
                struct.pack_into("<Q", image, file.places[section.info] + offset, known[symbol] + addend)

    def _find(self, name: str) -> int:
        if name in self._names:
            return self._names[name]
        for library in (None, "libm.so.6"):
            try:
                return ctypes.cast(getattr(ctypes.CDLL(library), name), ctypes.c_void_p).value or 0
            except (AttributeError, OSError):
                continue
        raise RuntimeError(f"the module calls a function that this process does not have: {name}")

    def address(self, name: str) -> int:
        return self._names[name]

    def close(self) -> None:
        if self._memory:
            _libc().munmap(self._memory, self._size)
            self._memory = 0

    def detach(self) -> None:
        """The memory belongs to nobody else."""


class Engine:
    """The same by LLVM."""

    def __init__(self, codes: Sequence[bytes], machine: Any) -> None:
        llvm = importlib.import_module("llvmlite.binding")
        self._engine = llvm.create_mcjit_compiler(llvm.parse_assembly("", llvm.create_context()), machine)
        for code in codes:
            self._engine.add_object_file(llvm.ObjectFileRef.from_data(code))
        self._engine.finalize_object()

    def address(self, name: str) -> int:
        return int(self._engine.get_function_address(name))

    def close(self) -> None:
        self._engine.close()

    def detach(self) -> None:
        self._engine.detach()


def _libc() -> ctypes.CDLL:
    libc = ctypes.CDLL(None, use_errno=True)
    libc.mmap.restype = ctypes.c_void_p
    libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, *[ctypes.c_int] * 3, ctypes.c_long]
    libc.munmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t]
    libc.mprotect.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
    return libc


def _map(size: int) -> int:
    """Fresh memory."""
    found = _libc().mmap(None, size, mmap.PROT_READ | mmap.PROT_WRITE, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS, -1, 0)
    if found in (None, 2**64 - 1):
        raise MemoryError(f"there are no {size} bytes for machine code")
    return int(found)

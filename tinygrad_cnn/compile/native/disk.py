"""What native code keeps on disk for the next process: finished code, and what was measured."""

from __future__ import annotations

import contextlib
import hashlib
import os
import sys
import tempfile
import time
from pathlib import Path

CACHE_LIMIT = 256 << 20
"""How many bytes the files of finished code may take together."""


def cache_folder() -> Path | None:
    """Where finished code is kept: ``$TINYGRAD_CNN_CACHE``, or a folder among the user's caches."""
    if chosen := os.environ.get("TINYGRAD_CNN_CACHE"):
        return Path(chosen)
    try:
        home = Path.home()
    except RuntimeError:
        return None
    if sys.platform == "win32":
        base = os.environ.get("LOCALAPPDATA") or home / "AppData" / "Local"
    elif sys.platform == "darwin":
        base = home / "Library" / "Caches"
    else:
        base = os.environ.get("XDG_CACHE_HOME") or home / ".cache"
    return Path(base) / "tinygrad_cnn" / "native"


def file_about(*everything: object) -> Path | None:
    """The file for what depends on all this."""
    folder = cache_folder()
    if folder is None:
        return None
    return folder / (hashlib.sha256("\n".join(map(str, everything)).encode()).hexdigest() + ".code")


def read_file(path: Path | None) -> bytes | None:
    """What was written, if all of it is there."""
    if path is None:
        return None
    try:
        data = path.read_bytes()
    except OSError:
        return None
    if hashlib.sha256(data[32:]).digest() != data[:32]:
        return None
    with contextlib.suppress(OSError):
        os.utime(path)  # files that were not used for the longest time are removed first
    return data[32:]


def write_file(path: Path | None, data: bytes) -> None:
    """Write a file that is there as a whole or not at all. Where it cannot be written, nothing is kept."""
    if path is None:
        return
    with contextlib.suppress(OSError):
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(".part", dir=path.parent)
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(hashlib.sha256(data).digest() + data)
            os.replace(name, path)
        except BaseException:
            os.unlink(name)
            raise
        _tidy(path.parent)


def _tidy(folder: Path) -> None:
    """Remove what killed writers left behind, and the oldest files where there is too much."""
    found, total = [], 0
    for path in folder.iterdir():
        if path.suffix not in (".code", ".part"):
            continue
        with contextlib.suppress(FileNotFoundError):  # another process tidies, too
            about = path.stat()
            if path.suffix == ".part":
                if about.st_mtime < time.time() - 3600:
                    path.unlink()
                continue
            found.append((about.st_mtime, about.st_size, path))
            total += about.st_size
    for _, size, path in sorted(found):
        if total <= CACHE_LIMIT:
            break
        path.unlink(missing_ok=True)
        total -= size

"""Convolutions with 3x3 kernels in fewer multiplications, by Winograd's minimal filtering F(4x4, 3x3).

An output tile of 4x4 pixels needs 144 multiplications for each pair of channels; with tiles, kernels and outputs
transformed it needs 36. The transforms are small matrix products. (Lavin and Gray, 2016, section 4.3; the gradient in
the kernel is the adjoint of the same formula.)

``Y = A^T [(G g G^T) * (B^T d B)] A`` for a tile ``d`` of 6x6 pixels and a kernel ``g``; both sides of each product are
one product with a Kronecker square here.
"""

from __future__ import annotations

from functools import partial

import numpy as np
from numpy.lib.stride_tricks import as_strided

from .maps import Call
from .scratch import Scratch

TILE, REACH = 4, 6
"""Pixels of an output tile along an axis, and those of the image that it depends on."""
CHUNK = 1 << 20
"""How many bytes of transformed tiles are worked on at a time."""
LEAST_CHANNELS = 32
"""With fewer channels the transforms cost more than they save."""
MOST_STORED = 64
"""With more channels the transform of an image is a small part of the work, and not worth the memory to keep it."""

_B = np.array(
    [[4, 0, -5, 0, 1, 0], [0, -4, -4, 1, 1, 0], [0, 4, -4, -1, 1, 0], [0, -2, -1, 2, 1, 0], [0, 2, -1, -2, 1, 0],
     [0, 4, 0, -5, 0, 1]]
)  # fmt: skip
_G = np.array(
    [[1 / 4, 0, 0], [-1 / 6, -1 / 6, -1 / 6], [-1 / 6, 1 / 6, -1 / 6], [1 / 24, 1 / 12, 1 / 6],
     [1 / 24, -1 / 12, 1 / 6], [0, 0, 1]]
)  # fmt: skip
_A = np.array([[1, 1, 1, 1, 1, 0], [0, 1, -1, 2, -2, 0], [0, 1, 1, 4, 4, 0], [0, 1, -1, 8, -8, 1]])
TO_TILES, TO_KERNEL, TO_OUTPUT = (np.kron(each, each) for each in (_B, _G, _A))


def fits(windows: np.ndarray) -> bool:
    """Whether these windows ``(N, P, Q, 3, 3, C)`` are those of neighbouring pixels, in whole tiles."""
    if windows.ndim != 6 or windows.shape[3:5] != (3, 3) or windows.dtype.kind != "f":
        return False
    neighbours = windows.strides[1:3] == windows.strides[3:5]
    return neighbours and windows.shape[1] % TILE == 0 and windows.shape[2] % TILE == 0


def suits(windows: np.ndarray, channels_out: int) -> bool:
    """Whether Winograd's formula is possible and worth it."""
    return fits(windows) and min(windows.shape[-1], channels_out) >= LEAST_CHANNELS


class Tiles:
    """The image's tiles, some images at a time."""

    def __init__(self, windows: np.ndarray, channels_out: int) -> None:
        n, h, w, _, _, c = windows.shape
        s = windows.strides
        self.rows, self.columns, self.channels, self.out = h // TILE, w // TILE, c, channels_out
        self.dtype = windows.dtype
        self._view = as_strided(
            windows,
            (REACH, REACH, n, self.rows, self.columns, c),
            (s[1], s[2], s[0], TILE * s[1], TILE * s[2], s[5]),
        )
        bytes_each = REACH * REACH * self.rows * self.columns * max(c, channels_out) * windows.itemsize
        step = max(1, CHUNK // bytes_each)
        self.chunks = [slice(start, min(start + step, n)) for start in range(0, n, step)]
        self._stored: dict[int, np.ndarray] = {}
        self.to_tiles = TO_TILES.astype(self.dtype)
        self.to_output = TO_OUTPUT.astype(self.dtype)
        self.to_kernel = TO_KERNEL.astype(self.dtype)

    def store(self, scratch: Scratch) -> None:
        """Let the transformed tiles stay where they are, for somebody who needs them later."""
        for images in self.chunks:
            self._stored[images.start] = scratch.own((REACH * REACH, self._view[0, 0, images].size), self.dtype)

    def stored(self, images: slice) -> np.ndarray | None:
        """The transformed tiles of some images, ``(36, tiles, C)``, where they are stored."""
        found = self._stored.get(images.start)
        return None if found is None else found.reshape(REACH * REACH, -1, self.channels)

    def transformed(self, images: slice, scratch: Scratch) -> tuple[list[Call], np.ndarray]:
        """The calls that transform the tiles of some images, and where they are then: ``(36, tiles, C)``."""
        view = self._view[:, :, images]
        cells = scratch.take(view.shape, self.dtype)
        done = self._stored.get(images.start)
        if done is None:
            done = scratch.take((REACH * REACH, view[0, 0].size), self.dtype)
        calls: list[Call] = [
            partial(np.copyto, cells, view),
            partial(np.matmul, self.to_tiles, cells.reshape(REACH * REACH, -1), done),
        ]
        return calls, done.reshape(REACH * REACH, -1, self.channels)

    def as_tiles(self, images: np.ndarray) -> np.ndarray:
        """Images ``(N, P, Q, O)`` as ``(4, 4, N, tile rows, tile columns, O)``, a view."""
        n, _, _, o = images.shape
        s = images.strides
        return as_strided(
            images, (TILE, TILE, n, self.rows, self.columns, o), (s[1], s[2], s[0], TILE * s[1], TILE * s[2], s[3])
        )


def products(
    tiles: Tiles, weight: np.ndarray, scratch: Scratch
) -> tuple[list[Call], list[tuple[list[Call], np.ndarray]]]:
    """The calls of a convolution.

    Args:
        tiles: those of the image.
        weight: ``(3, 3, C, O)``.
        scratch: where the work is done.

    Returns what is done once, and for each chunk the calls and where the tiles of the output are then.
    """
    kernels = scratch.keep((REACH * REACH, tiles.channels, tiles.out), tiles.dtype)
    once: list[Call] = [partial(np.matmul, tiles.to_kernel, weight.reshape(9, -1), kernels.reshape(REACH * REACH, -1))]
    chunks = []
    for images in tiles.chunks:
        scratch.reset()
        calls, cells = tiles.transformed(images, scratch)
        found = scratch.take((*cells.shape[:2], tiles.out), tiles.dtype)
        output = scratch.take((TILE * TILE, found[0].size), tiles.dtype)
        calls += [
            partial(np.matmul, cells, kernels, found),
            partial(np.matmul, tiles.to_output, found.reshape(REACH * REACH, -1), output),
        ]
        shape = (TILE, TILE, images.stop - images.start, tiles.rows, tiles.columns, tiles.out)
        chunks.append((calls, output.reshape(shape)))
    return once, chunks


def weight_products(tiles: Tiles, y: np.ndarray, out: np.ndarray, scratch: Scratch) -> list[Call]:
    """The calls of the gradient in the kernel: the tiles with ``y`` of ``(N, P, Q, O)`` give ``(3, 3, C, O)``."""
    total = scratch.keep((REACH * REACH, tiles.channels, tiles.out), tiles.dtype)
    part = scratch.keep(total.shape, tiles.dtype)
    calls: list[Call] = []
    for images in tiles.chunks:
        scratch.reset()
        found = tiles.stored(images)
        more, cells = tiles.transformed(images, scratch) if found is None else ([], found)
        grad = tiles.as_tiles(y[images])
        flat = scratch.take(grad.shape, tiles.dtype)
        spread = scratch.take((REACH * REACH, grad[0, 0].size), tiles.dtype)
        target = total if images.start == 0 else part
        calls += more
        calls += [
            partial(np.copyto, flat, grad),
            partial(np.matmul, tiles.to_output.T, flat.reshape(TILE * TILE, -1), spread),
            partial(np.matmul, cells.transpose(0, 2, 1), spread.reshape(REACH * REACH, -1, tiles.out), target),
        ]
        if target is part:
            calls.append(partial(np.add, total, part, total))
    calls.append(partial(np.matmul, tiles.to_kernel.T, total.reshape(REACH * REACH, -1), out.reshape(9, -1)))
    return calls

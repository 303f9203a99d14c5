"""Small pictures of numbers: maps as PNG, written with the standard library alone, and histograms as bars."""

from __future__ import annotations

import base64
import struct
import zlib
from collections.abc import Sequence

import numpy as np

MAPS = 16
"""At most so many channels are shown."""
SIDE, LONE_SIDE = 32, 64
"""At most so many pixels along a side of a channel, and of an image that is shown alone."""
BARS = 24
"""The parts of a histogram."""
_SMALL, _THIN, _GAP = 12, 4, 1
_NAN = (213, 0, 107)
_BLOCKS = "▁▂▃▄▅▆▇█"
_URI = "data:image/png;base64,"

# viridis (van der Walt and Smith, 2015) at nine places: as bright as the number is large, for every kind of vision
_VIRIDIS = np.array([
    (68, 1, 84), (71, 44, 122), (59, 81, 139), (44, 113, 142), (33, 144, 141), (39, 173, 129), (92, 200, 99),
    (170, 220, 50), (253, 231, 37),
], float)  # fmt: skip


def thumbnail(array: np.ndarray, filters: bool = False, coloured: bool = False) -> str:
    """The numbers of a tensor as the URI of a small PNG; empty where they make no picture.

    Of ``(N, C, H, W)`` the channels of the first image are shown side by side, of volumes their middle slices, of
    ``(N, C, L)`` the channels as rows, of ``(N, F)`` the first row. The smallest number is dark violet and the largest
    yellow; NaN is red.

    Args:
        array: the numbers.
        filters: whether it is a weight ``(F, C, kH, kW)``; then the first channel of each filter is shown.
        coloured: whether an image with three channels is shown in its colours.

    >>> thumbnail(np.zeros((1, 1, 2, 2)))[:30]
    'data:image/png;base64,iVBORw0K'
    """
    maps = _maps(array, filters)
    if maps is None or not maps.size:
        return ""
    photo = coloured and not filters and len(maps) == 3 and array.ndim == 4
    side = LONE_SIDE if photo or len(maps) == 1 else SIDE
    small = [_resized(each, side) for each in _shares(maps)]
    if photo:
        return _uri((np.nan_to_num(np.stack(small, axis=-1)) * 255).astype(np.uint8))
    return _uri(_mosaic([_painted(each) for each in small]))


def _uri(pixels: np.ndarray) -> str:
    return _URI + base64.b64encode(_png(pixels)).decode()


def _maps(array: np.ndarray, filters: bool) -> np.ndarray | None:
    """What is shown: some images ``(H, W)``."""
    if array.ndim < 2:
        return None
    numbers = array.astype(np.float64)
    if array.ndim == 2:
        return numbers[None] if filters else numbers[None, :1]
    if array.ndim == 3:
        return numbers[None, :, 0] if filters else numbers[:1]
    while numbers.ndim > 4:
        numbers = numbers[:, :, numbers.shape[2] // 2]
    return (numbers[:, 0] if filters else numbers[0] if len(numbers) else numbers.reshape(0, 1, 1))[:MAPS]


def _shares(maps: np.ndarray) -> np.ndarray:
    """From 0 for the smallest number to 1 for the largest; NaN stays."""
    finite = maps[np.isfinite(maps)]
    low, high = (finite.min(), finite.max()) if finite.size else (0.0, 1.0)
    with np.errstate(invalid="ignore"):
        shares: np.ndarray = (np.clip(maps, low, high) - low) / ((high - low) or 1.0)
    return shares


def _resized(image: np.ndarray, side: int) -> np.ndarray:
    """The image with fewer pixels where there are many, each repeated where there are few."""
    rows, columns = [np.linspace(0, n - 1, min(n, side)).round().astype(int) for n in image.shape]
    small: np.ndarray = image[np.ix_(rows, columns)]
    times = -(-_SMALL // max(small.shape))
    return small.repeat(max(times, -(-_THIN // len(rows))), 0).repeat(times, 1)


def _painted(shares: np.ndarray) -> np.ndarray:
    places = np.nan_to_num(shares).ravel() * (len(_VIRIDIS) - 1)
    colours = [np.interp(places, np.arange(len(_VIRIDIS)), _VIRIDIS[:, part]) for part in range(3)]
    pixels = np.stack(colours, axis=-1).round().astype(np.uint8)
    pixels[np.isnan(shares).ravel()] = _NAN
    return pixels.reshape(*shares.shape, 3)


def _mosaic(images: Sequence[np.ndarray]) -> np.ndarray:
    """Images of one size in rows, with white between them."""
    tall, wide, _ = images[0].shape
    columns = min(len(images), max(1, round(len(images) ** 0.5 + 0.4)), max(1, 8 * SIDE // wide))
    rows = -(-len(images) // columns)
    canvas = np.full((rows * (tall + _GAP) - _GAP, columns * (wide + _GAP) - _GAP, 3), 255, np.uint8)
    for place, image in enumerate(images):
        top, left = place // columns * (tall + _GAP), place % columns * (wide + _GAP)
        canvas[top : top + tall, left : left + wide] = image
    return canvas


def _png(pixels: np.ndarray) -> bytes:
    """Pixels ``(H, W, 3)`` as a PNG file: a header, the rows compressed, an end. (ISO/IEC 15948:2004)"""
    height, width, _ = pixels.shape
    rows = b"".join(b"\0" + row.tobytes() for row in pixels)  # 0: rows are not predicted from those above

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)  # eight bits each of red, green and blue
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows, 9)) + chunk(b"IEND", b"")


def png_of(uri: str) -> bytes:
    """The PNG file that a URI holds."""
    return base64.b64decode(uri.removeprefix(_URI))


def size_of(uri: str) -> tuple[int, int]:
    """Width and height of the PNG that a URI holds."""
    width, height = struct.unpack(">II", png_of(uri[: len(_URI) + 32])[16:24])
    return width, height


def histogram(array: np.ndarray) -> tuple[int, ...]:
    """How many finite numbers lie in each of :data:`BARS` equal parts of their range; nothing for fewer than two.

    >>> histogram(np.array([0.0, 1.0, 1.0]))[::BARS - 1]
    (1, 2)
    """
    numbers = array.astype(np.float64).ravel()
    numbers = numbers[np.isfinite(numbers)]
    if numbers.size < 2:
        return ()
    return tuple(np.histogram(numbers, BARS)[0].tolist())


def bar_words(bars: Sequence[int]) -> str:
    """A histogram as a line of text; a part with any numbers in it has a bar.

    >>> bar_words((0, 1, 50, 100))
    ' ▁▄█'
    """
    most = max([*bars, 1])
    return "".join([_BLOCKS[max(0, -(-8 * count // most) - 1)] if count else " " for count in bars])


def bar_picture(bars: Sequence[int]) -> str:
    """A histogram as the URI of a PNG, for formats that cannot hold drawings inside drawings."""
    wide, tall = 12, 90
    canvas = np.full((tall, wide * len(bars), 3), 255, np.uint8)
    most = max([*bars, 1])
    for place, count in enumerate(bars):
        height = -(-tall * count // most)
        canvas[tall - height :, place * wide : (place + 1) * wide - 2] = (44, 127, 184)
    return _uri(canvas)

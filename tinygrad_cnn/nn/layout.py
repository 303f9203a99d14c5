"""The order of an image's axes: channels before the pixels, as everything here computes, or after them."""

from __future__ import annotations

from ..errors import ArgumentError
from ..ops.shape import permute
from ..tensor import Tensor

FORMATS = ("channels_first", "channels_last")
"""``(N, C, H, W)``, and ``(N, H, W, C)`` as TensorFlow and image files have it."""


def check_data_format(name: str, data_format: str) -> str:
    """The format itself. Raises :class:`ArgumentError` where there is no such one.

    >>> check_data_format("Conv2d", "channels_last")
    'channels_last'
    """
    if data_format not in FORMATS:
        raise ArgumentError(
            name, "there is no such order of axes", got=f"data_format={data_format!r}",
            expected="'channels_first' for (N, C, H, W), or 'channels_last' for (N, H, W, C)",
        )  # fmt: skip
    return data_format


def to_channels_first(x: Tensor, data_format: str, axes: int) -> Tensor:
    """``(N, *S, C)`` as ``(N, C, *S)``, or a single ``(*S, C)`` as ``(C, *S)``, if that is the format.

    Args:
        x: the images.
        data_format: ``"channels_first"`` or ``"channels_last"``.
        axes: how many spatial axes S there are.

    Raises :class:`ArgumentError` for another format.

    >>> to_channels_first(Tensor([[[1.0, 2.0]]]), "channels_last", 1).shape
    (1, 2, 1)
    """
    if check_data_format("to_channels_first", data_format) == "channels_first" or x.ndim not in (axes + 1, axes + 2):
        return x  # a wrong number of axes is for the layer to complain about
    lead = x.ndim - axes - 1
    return permute(x, (*range(lead), x.ndim - 1, *range(lead, x.ndim - 1)))


def from_channels_first(x: Tensor, data_format: str, axes: int) -> Tensor:
    """The way back from :func:`to_channels_first`, with the same arguments.

    >>> from_channels_first(Tensor([[[1.0], [2.0]]]), "channels_last", 1).shape
    (1, 1, 2)
    """
    if check_data_format("from_channels_first", data_format) == "channels_first":
        return x
    lead = x.ndim - axes - 1
    return permute(x, (*range(lead), *range(lead + 1, x.ndim), lead))

"""Other forms of convolution: under its two names, as a matrix, and with weights of its own at each place.

Legend: N batch, C channels of the image, O those of the result, S the spatial axes of the image, K those of the kernel,
P the places of the result.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from ..errors import ArgumentError, ShapeError
from ..extras import require
from ..tensor import Tensor, TensorLike
from .base import as_tensor, require_same_dtype
from .conv import conv1d, conv2d, conv3d
from .elementwise import add
from .linalg import matmul
from .shape import flip, permute, reshape
from .window import SizeArgument, padding_pairs, per_axis, places, spatial_axes, unfold

_CONVOLUTIONS = {1: conv1d, 2: conv2d, 3: conv3d}
MATRIX_BYTES = 1 << 30
"""A dense matrix may not be larger."""


def _correlate(
    axes: int,
    image: TensorLike,
    kernel: TensorLike,
    stride: SizeArgument,
    padding: SizeArgument | str,
    dilation: SizeArgument,
    turned: bool,
) -> Tensor:
    x, w = as_tensor(image), as_tensor(kernel)
    name = f"{'convolve' if turned else 'correlate'}{axes}d"
    plain = w.ndim == axes
    if plain and x.ndim != axes:
        raise ShapeError(
            name, "a kernel without channels is for an image without channels",
            got=f"image {x.spec!r}, kernel {w.spec!r}",
            expected=f"both with {axes} axes, or the kernel (O, C, ...) with {axes + 2}",
        )  # fmt: skip
    if plain:
        x, w = reshape(x, (1, 1, *x.shape)), reshape(w, (1, 1, *w.shape))
    if turned:
        w = flip(w, tuple(range(w.ndim - axes, w.ndim)))
    y = _CONVOLUTIONS[axes](x, w, None, stride, padding, dilation)
    return reshape(y, y.shape[2:]) if plain else y


def correlate1d(
    image: TensorLike,
    kernel: TensorLike,
    stride: SizeArgument = 1,
    padding: SizeArgument | str = 0,
    dilation: SizeArgument = 1,
) -> Tensor:
    """Cross-correlation of signals; see :func:`correlate2d`.

    >>> correlate1d(Tensor([1.0, 2.0, 4.0]), Tensor([-1.0, 1.0]))
    Tensor([1., 2.])
    """
    return _correlate(1, image, kernel, stride, padding, dilation, turned=False)


def correlate2d(
    image: TensorLike,
    kernel: TensorLike,
    stride: SizeArgument = 1,
    padding: SizeArgument | str = 0,
    dilation: SizeArgument = 1,
) -> Tensor:
    """Cross-correlation, which deep learning calls convolution: the kernel lies on the image as it is written.

    ``y[i, j] = sum over m, n of x[i + m, j + n] * w[m, n]``. The same as :func:`conv2d`, but an image and a kernel
    without channels will do.

    Args:
        image: ``(H, W)``; or ``(N, C, H, W)`` or ``(C, H, W)``.
        kernel: ``(kH, kW)`` for an image without channels, else ``(O, C, kH, kW)``.
        stride: the distance between neighbouring windows.
        padding: zeros on each side, or ``"same"`` or ``"valid"``.
        dilation: the distance between neighbouring cells of the kernel.

    Raises :class:`ShapeError` and :class:`ArgumentError` as :func:`conv2d` does.

    >>> image = Tensor([[1.0, 2.0], [3.0, 4.0]])
    >>> correlate2d(image, Tensor([[1.0, 0.0], [0.0, 10.0]]))
    Tensor([[41.]])
    """
    return _correlate(2, image, kernel, stride, padding, dilation, turned=False)


def correlate3d(
    image: TensorLike,
    kernel: TensorLike,
    stride: SizeArgument = 1,
    padding: SizeArgument | str = 0,
    dilation: SizeArgument = 1,
) -> Tensor:
    """Cross-correlation of volumes; see :func:`correlate2d`.

    >>> correlate3d(Tensor([[[1.0, 2.0]]]), Tensor([[[1.0, 10.0]]]))
    Tensor([[[21.]]])
    """
    return _correlate(3, image, kernel, stride, padding, dilation, turned=False)


def convolve1d(
    image: TensorLike,
    kernel: TensorLike,
    stride: SizeArgument = 1,
    padding: SizeArgument | str = 0,
    dilation: SizeArgument = 1,
) -> Tensor:
    """True convolution of signals; see :func:`convolve2d`.

    >>> convolve1d(Tensor([1.0, 2.0, 4.0]), Tensor([-1.0, 1.0]))
    Tensor([-1., -2.])
    """
    return _correlate(1, image, kernel, stride, padding, dilation, turned=True)


def convolve2d(
    image: TensorLike,
    kernel: TensorLike,
    stride: SizeArgument = 1,
    padding: SizeArgument | str = 0,
    dilation: SizeArgument = 1,
) -> Tensor:
    """Convolution as mathematics has it: the kernel is turned by half a turn before it is laid on the image.

    ``y[i, j] = sum over m, n of x[i - m, j - n] * w[m, n]``, counted from the window's far corner. For a kernel that
    a half turn does not change it is :func:`correlate2d`, which has the same arguments.

    >>> image = Tensor([[1.0, 2.0], [3.0, 4.0]])
    >>> convolve2d(image, Tensor([[1.0, 0.0], [0.0, 10.0]]))
    Tensor([[14.]])
    """
    return _correlate(2, image, kernel, stride, padding, dilation, turned=True)


def convolve3d(
    image: TensorLike,
    kernel: TensorLike,
    stride: SizeArgument = 1,
    padding: SizeArgument | str = 0,
    dilation: SizeArgument = 1,
) -> Tensor:
    """True convolution of volumes; see :func:`convolve2d`.

    >>> convolve3d(Tensor([[[1.0, 2.0]]]), Tensor([[[1.0, 10.0]]]))
    Tensor([[[12.]]])
    """
    return _correlate(3, image, kernel, stride, padding, dilation, turned=True)


def convolution_matrix(
    kernel: TensorLike,
    input_shape: Sequence[int],
    stride: SizeArgument = 1,
    padding: SizeArgument | str = 0,
    dilation: SizeArgument = 1,
    sparse: bool = False,
) -> Any:
    """The matrix that does to ``image.reshape(-1)`` what the convolution does to the image.

    Along one axis it is a Toeplitz matrix: every row is the one above, moved by ``stride``. Along two axes its blocks
    are arranged in the same way, each being a Toeplitz matrix itself: doubly blocked. Most entries are 0, and the
    others are shared; that is why nobody computes convolutions like this.

    Args:
        kernel: ``(*K)`` for an image without channels, with one to three axes, or ``(O, C, *K)``.
        input_shape: the image, ``(*S)`` without channels or ``(C, *S)``.
        stride: as for :func:`conv2d`.
        padding: as for :func:`conv2d`, in numbers, ``"same"`` or ``"valid"``.
        dilation: as for :func:`conv2d`.
        sparse: gives a ``scipy.sparse.csr_matrix`` of the entries that the kernel fills, instead of a tensor.

    Returns ``(O * prod(P), C * prod(S))``. The dense one is made by convolving the images that have a single 1, so it
    can be differentiated in the kernel.

    Raises :class:`ShapeError` where kernel and image do not fit, :class:`ArgumentError` for a dense matrix of more than
    a gibibyte, :class:`MissingPackageError` without SciPy for a sparse one.

    >>> convolution_matrix(Tensor([1.0, 2.0]), (3,))
    Tensor([[1., 2., 0.],
            [0., 1., 2.]])
    """
    w, shape = as_tensor(kernel), tuple([int(n) for n in input_shape])
    axes = len(shape) if w.ndim == len(shape) and w.ndim <= 3 else len(shape) - 1
    if w.ndim == axes:
        w, shape = reshape(w, (1, 1, *w.shape)), (1, *shape)
    if not 1 <= axes <= 3 or w.ndim != axes + 2 or w.shape[1] != shape[0]:
        raise ShapeError(
            "convolution_matrix", "kernel and image do not fit together",
            got=f"kernel {as_tensor(kernel).spec!r}, input_shape {tuple(input_shape)}",
            expected="kernel (*K) and image (*S), or kernel (O, C, *K) and image (C, *S), with one to three axes",
        )  # fmt: skip
    steps = per_axis("convolution_matrix", "stride", stride, axes, least=1)
    spread = per_axis("convolution_matrix", "dilation", dilation, axes, least=1)
    pairs = padding_pairs("convolution_matrix", padding, shape[1:], w.shape[2:], steps, spread)
    count = places("convolution_matrix", shape[1:], w.shape[2:], steps, pairs, spread)
    rows, columns = w.shape[0] * math.prod(count), math.prod(shape)
    if sparse:
        return _sparse_matrix(w.numpy(), shape, count, steps, pairs, spread)
    size = rows * columns * w.dtype.itemsize
    if size > MATRIX_BYTES:
        raise ArgumentError(
            "convolution_matrix", f"the dense matrix would take {size / 2**30:.1f} GiB",
            got=f"{rows} x {columns} entries; the kernel fills at most {math.prod(w.shape) * math.prod(count)}",
            expected=f"at most {MATRIX_BYTES / 2**30:g} GiB", fix="pass sparse=True, or convolve",
        )  # fmt: skip
    units = as_tensor(np.eye(columns, dtype=w.dtype).reshape(columns, *shape)).to(w.device)
    answers = _CONVOLUTIONS[axes](units, w, None, stride, padding, dilation)  # -> (C * prod(S), O, *P)
    return permute(reshape(answers, (columns, rows)), (1, 0))


def _sparse_matrix(
    w: np.ndarray,
    shape: tuple[int, ...],
    count: tuple[int, ...],
    stride: tuple[int, ...],
    padding: tuple[tuple[int, int], ...],
    dilation: tuple[int, ...],
) -> Any:
    """One entry for each cell of the kernel at each place where it lies on the image."""
    sparse = require("convolution_matrix", "scipy.sparse", "SciPy", "data")
    size, number = shape[1:], np.arange(math.prod(count)).reshape(count)
    rows, columns, values = [], [], []
    for cell in np.ndindex(*w.shape[2:]):
        lines = [
            np.arange(p) * s - before + k * d
            for p, s, (before, _), k, d in zip(count, stride, padding, cell, dilation, strict=True)
        ]
        inside = [np.nonzero((line >= 0) & (line < n))[0] for line, n in zip(lines, size, strict=True)]
        row = number[np.ix_(*inside)].ravel()
        pixels = np.ix_(*[line[chosen] for line, chosen in zip(lines, inside, strict=True)])
        column = np.ravel_multi_index(np.broadcast_arrays(*pixels), size).ravel()
        for o, c in np.ndindex(*w.shape[:2]):
            rows.append(row + o * number.size)
            columns.append(column + c * math.prod(size))
            values.append(np.full(row.size, w[(o, c, *cell)]))
    extent = (w.shape[0] * number.size, math.prod(shape))
    entries = (np.concatenate(values), (np.concatenate(rows), np.concatenate(columns)))
    return sparse.csr_matrix(entries, shape=extent)


def _locally_connected(
    axes: int,
    input: TensorLike,
    weight: TensorLike,
    bias: TensorLike | None,
    stride: SizeArgument,
    padding: SizeArgument | str,
    dilation: SizeArgument,
) -> Tensor:
    name = f"locally_connected{axes}d"
    x, w = as_tensor(input), as_tensor(weight)
    x, single = spatial_axes(name, x, axes)
    require_same_dtype(name, x.spec, w.spec)
    if w.ndim != 2 * axes + 2:
        raise ShapeError(
            name, f"the weight has {w.ndim} axes, not {2 * axes + 2}", got=repr(w.spec), expected="(O, *P, C, *K)"
        )
    o, count, c, kernel = w.shape[0], w.shape[1 : 1 + axes], w.shape[1 + axes], w.shape[2 + axes :]
    columns = unfold(x, kernel, dilation, padding, stride)  # -> (N, C * k, p)
    if columns.shape[1:] != (c * math.prod(kernel), math.prod(count)):
        raise ShapeError(
            name, "the weight is for another image", got=f"input {x.spec!r}, weight {w.spec!r}",
            expected=f"C = {c} channels, and {count} places with these settings: (O, *P, C, *K)",
            fix="make the layer with the input_size of these images",
        )  # fmt: skip
    windows = permute(columns, (2, 0, 1))  # -> (p, N, C * k)
    own = permute(reshape(w, (o, math.prod(count), c * math.prod(kernel))), (1, 2, 0))  # -> (p, C * k, O)
    y = reshape(permute(matmul(windows, own), (1, 2, 0)), (x.shape[0], o, *count))  # (p, N, O) -> (N, O, *P)
    if bias is not None:
        b = as_tensor(bias)
        if b.shape != (o, *count):
            raise ShapeError(name, "the bias does not fit", got=repr(b.spec), expected=f"(O, *P) = {(o, *count)}")
        y = add(y, b)
    return reshape(y, y.shape[1:]) if single else y


def locally_connected1d(
    input: TensorLike,
    weight: TensorLike,
    bias: TensorLike | None = None,
    stride: SizeArgument = 1,
    padding: SizeArgument | str = 0,
    dilation: SizeArgument = 1,
) -> Tensor:
    """Convolution without shared weights, of signals: ``(N, C, L), (O, L', C, K) -> (N, O, L')``.

    Everything else as in :func:`locally_connected2d`.

    >>> locally_connected1d(Tensor([[[1.0, 1.0, 1.0]]]), Tensor([[[[1.0, 2.0]], [[3.0, 4.0]]]]))
    Tensor([[[3., 7.]]])
    """
    return _locally_connected(1, input, weight, bias, stride, padding, dilation)


def locally_connected2d(
    input: TensorLike,
    weight: TensorLike,
    bias: TensorLike | None = None,
    stride: SizeArgument = 1,
    padding: SizeArgument | str = 0,
    dilation: SizeArgument = 1,
) -> Tensor:
    """Convolution without shared weights: ``(N, C, H, W), (O, H', W', C, kH, kW) -> (N, O, H', W')``.

    ``z[i, j, k] = sum over l, m, n of v[l, j + m, k + n] * w[i, j, k, l, m, n]``: every place has filters of its own.
    (LeCun, 1989; Taigman et al., 2014)

    Args:
        input: ``(N, C, H, W)``, or ``(C, H, W)`` for a single image.
        weight: the filters of each place.
        bias: ``(O, H', W')``, one number for each output.
        stride: as for :func:`conv2d`.
        padding: as for :func:`conv2d`.
        dilation: as for :func:`conv2d`.

    Raises :class:`ShapeError` where the weight is for images of another size.

    >>> locally_connected2d(Tensor([[[[1.0, 2.0]]]]), Tensor([[[[[[3.0]]], [[[4.0]]]]]]))
    Tensor([[[[3., 8.]]]])
    """
    return _locally_connected(2, input, weight, bias, stride, padding, dilation)

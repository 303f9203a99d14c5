"""Looking up rows of a table by number."""

from __future__ import annotations

from ..errors import ArgumentError, DTypeError, PositionError, ShapeError
from ..tensor import Tensor, TensorLike
from .base import as_tensor
from .elementwise import detach, eq, where
from .index import index
from .shape import unsqueeze


def embedding(input: TensorLike, weight: Tensor, padding_idx: int | None = None) -> Tensor:
    """``weight[input]``: the row of the table for each number.

    Args:
        input: integers from 0, any shape ``(...)``.
        weight: the table, ``(num_embeddings, embedding_dim)``.
        padding_idx: the row that gets no gradient from here; a negative one counts from the end.

    Returns ``(..., embedding_dim)``. The gradient of the table is added up row by row: it takes the time of the output
    and the room of the table.

    Raises :class:`DTypeError` for an input that is not of integers, :class:`PositionError` for a number without a row,
    :class:`ShapeError` for a weight that is no table.

    >>> embedding([1], Tensor([[1.0, 1.5], [2.0, 2.5]]))
    Tensor([[2. , 2.5]])
    """
    numbers = as_tensor(input)
    if weight.ndim != 2:
        raise ShapeError(
            "embedding", "the weight is no table", got=repr(weight.spec), expected="(num_embeddings, embedding_dim)"
        )
    if numbers.dtype.kind not in "iu":
        raise DTypeError(
            "embedding", f"{numbers.dtype} cannot be the number of a row", got=repr(numbers.spec), expected="integers",
            fix='convert: tensor.to("int64"); sequences of real numbers need nn.Linear instead',
        )  # fmt: skip
    rows = weight.shape[0]
    if not numbers.symbolic and numbers.numel():
        low, high = int(numbers.array.min()), int(numbers.array.max())
        if low < 0 or high >= rows:
            raise PositionError(
                "embedding", f"a number has no row in a table of {rows}", got=f"numbers from {low} to {high}",
                expected=f"0 <= number < num_embeddings = {rows}",
                fix="make num_embeddings one more than the largest number; padding needs a row, too",
            )  # fmt: skip
    found = index(weight, numbers)
    if padding_idx is None:
        return found
    return where(unsqueeze(eq(numbers, padding_row(padding_idx, rows)), -1), detach(found), found)


def padding_row(padding_idx: int, rows: int) -> int:
    """The number of the padding's row, counted from 0. Raises :class:`ArgumentError` where there is no such row.

    >>> padding_row(-1, 10)
    9
    """
    if not -rows <= padding_idx < rows:
        raise ArgumentError(
            "embedding", f"the table has no row {padding_idx} for padding", got=f"padding_idx={padding_idx}",
            expected=f"{-rows} <= padding_idx < num_embeddings = {rows}",
        )  # fmt: skip
    return padding_idx % rows

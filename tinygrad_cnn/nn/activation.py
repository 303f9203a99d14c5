"""Activations and dropout as modules."""

from __future__ import annotations

from ..errors import ArgumentError
from ..tensor import Tensor
from . import functional as F
from .module import Module


class ReLU(Module):
    """``max(x, 0)``. (Nair and Hinton, 2010)

    >>> ReLU()(Tensor([-1.0, 2.0]))
    Tensor([0., 2.])
    """

    def forward(self, input: Tensor) -> Tensor:
        """Any shape to the same."""
        return F.relu(input)


class LeakyReLU(Module):
    """``x`` where positive, else ``negative_slope * x``. (Maas et al., 2013)

    >>> LeakyReLU(0.5)(Tensor([-1.0, 2.0]))
    Tensor([-0.5,  2. ])
    """

    def __init__(self, negative_slope: float = 0.01) -> None:
        self.negative_slope = negative_slope

    def forward(self, input: Tensor) -> Tensor:
        """Any shape to the same."""
        return F.leaky_relu(input, self.negative_slope)

    def extra_repr(self) -> str:
        """The slope."""
        return f"negative_slope={self.negative_slope}"


class Sigmoid(Module):
    """``1 / (1 + exp(-x))``.

    >>> Sigmoid()(Tensor([0.0]))
    Tensor([0.5])
    """

    def forward(self, input: Tensor) -> Tensor:
        """Any shape to the same."""
        return F.sigmoid(input)


class Tanh(Module):
    """The hyperbolic tangent.

    >>> Tanh()(Tensor([0.0]))
    Tensor([0.])
    """

    def forward(self, input: Tensor) -> Tensor:
        """Any shape to the same."""
        return F.tanh(input)


class Softplus(Module):
    """``log(1 + exp(x))``. (Dugas et al., 2001)

    >>> Softplus()(Tensor([1000.0]))
    Tensor([1000.])
    """

    def forward(self, input: Tensor) -> Tensor:
        """Any shape to the same."""
        return F.softplus(input)


class GELU(Module):
    """``x`` times the normal distribution function at ``x``. (Hendrycks and Gimpel, 2016)

    Args:
        approximate: ``"none"``, or ``"tanh"`` for the formula with a hyperbolic tangent.

    >>> GELU()(Tensor([0.0]))
    Tensor([0.])
    """

    def __init__(self, approximate: str = "none") -> None:
        self.approximate = approximate

    def forward(self, input: Tensor) -> Tensor:
        """Any shape to the same."""
        return F.gelu(input, self.approximate)

    def extra_repr(self) -> str:
        """The form."""
        return f"approximate={self.approximate!r}"


class Softmax(Module):
    """``exp(x) / sum(exp(x))`` along an axis.

    >>> Softmax(dim=1)(Tensor([[0.0, 0.0]]))
    Tensor([[0.5, 0.5]])
    """

    def __init__(self, dim: int = -1) -> None:
        self.dim = dim

    def forward(self, input: Tensor) -> Tensor:
        """Any shape to the same."""
        return F.softmax(input, self.dim)

    def extra_repr(self) -> str:
        """The axis."""
        return f"dim={self.dim}"


class Dropout(Module):
    """In training each element is 0 with probability ``p`` and the others grow by ``1 / (1 - p)``; else nothing.

    (Srivastava et al., 2014)

    Raises :class:`ArgumentError` for a ``p`` outside 0 to 1.

    >>> Dropout(0.5).eval()(Tensor([1.0, 2.0]))
    Tensor([1., 2.])
    """

    def __init__(self, p: float = 0.5) -> None:
        if not 0 <= p <= 1:
            raise ArgumentError("Dropout", "p is no probability", got=f"p={p}", expected="0 <= p <= 1")
        self.p = p

    def forward(self, input: Tensor) -> Tensor:
        """Any shape to the same."""
        return F.dropout(input, self.p, self.training)

    def extra_repr(self) -> str:
        """The probability."""
        return f"p={self.p}"

"""Activations and dropout as modules."""

from __future__ import annotations

from ..errors import ArgumentError
from ..tensor import Tensor
from . import functional as F
from .init import Constant
from .module import Module, Parameter


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


class ELU(Module):
    """``x`` where positive, else ``alpha * (exp(x) - 1)``. (Clevert et al., 2016)

    >>> ELU()(Tensor([-100.0, 2.0]))
    Tensor([-1.,  2.])
    """

    def __init__(self, alpha: float = 1.0) -> None:
        self.alpha = alpha

    def forward(self, input: Tensor) -> Tensor:
        """Any shape to the same."""
        return F.elu(input, self.alpha)

    def extra_repr(self) -> str:
        """The limit below."""
        return f"alpha={self.alpha}"


class CELU(Module):
    """``x`` where positive, else ``alpha * (exp(x / alpha) - 1)``. (Barron, 2017)

    >>> CELU(0.5)(Tensor([-100.0, 2.0]))
    Tensor([-0.5,  2. ])
    """

    def __init__(self, alpha: float = 1.0) -> None:
        self.alpha = alpha

    def forward(self, input: Tensor) -> Tensor:
        """Any shape to the same."""
        return F.celu(input, self.alpha)

    def extra_repr(self) -> str:
        """The limit below."""
        return f"alpha={self.alpha}"


class SELU(Module):
    """An ELU scaled so that mean 0 and variance 1 are kept. (Klambauer et al., 2017)

    >>> SELU()(Tensor([1.0]))
    Tensor([1.050701])
    """

    def forward(self, input: Tensor) -> Tensor:
        """Any shape to the same."""
        return F.selu(input)


class SiLU(Module):
    """``x * sigmoid(x)``, also known as swish. (Elfwing et al., 2018)

    >>> SiLU()(Tensor([0.0, 100.0]))
    Tensor([  0., 100.])
    """

    def forward(self, input: Tensor) -> Tensor:
        """Any shape to the same."""
        return F.silu(input)


class Mish(Module):
    """``x * tanh(softplus(x))``. (Misra, 2020)

    >>> Mish()(Tensor([0.0, 100.0]))
    Tensor([  0., 100.])
    """

    def forward(self, input: Tensor) -> Tensor:
        """Any shape to the same."""
        return F.mish(input)


class Hardtanh(Module):
    """``x`` cut off at ``min_val`` and ``max_val``. (Collobert, 2004)

    >>> Hardtanh()(Tensor([-3.0, 0.5, 3.0]))
    Tensor([-1. ,  0.5,  1. ])
    """

    def __init__(self, min_val: float = -1.0, max_val: float = 1.0) -> None:
        self.min_val, self.max_val = min_val, max_val

    def forward(self, input: Tensor) -> Tensor:
        """Any shape to the same."""
        return F.hardtanh(input, self.min_val, self.max_val)

    def extra_repr(self) -> str:
        """The two ends."""
        return f"min_val={self.min_val}, max_val={self.max_val}"


class ReLU6(Module):
    """``min(max(x, 0), 6)``. (Krizhevsky, 2010)

    >>> ReLU6()(Tensor([-1.0, 3.0, 9.0]))
    Tensor([0., 3., 6.])
    """

    def forward(self, input: Tensor) -> Tensor:
        """Any shape to the same."""
        return F.relu6(input)


class Hardsigmoid(Module):
    """``relu6(x + 3) / 6``. (Courbariaux et al., 2015)

    >>> Hardsigmoid()(Tensor([-4.0, 0.0, 4.0]))
    Tensor([0. , 0.5, 1. ])
    """

    def forward(self, input: Tensor) -> Tensor:
        """Any shape to the same."""
        return F.hardsigmoid(input)


class Hardswish(Module):
    """``x * relu6(x + 3) / 6``. (Howard et al., 2019)

    >>> Hardswish()(Tensor([3.0]))
    Tensor([3.])
    """

    def forward(self, input: Tensor) -> Tensor:
        """Any shape to the same."""
        return F.hardswish(input)


class Softsign(Module):
    """``x / (1 + |x|)``. (Bergstra et al., 2009)

    >>> Softsign()(Tensor([1.0, -3.0]))
    Tensor([ 0.5 , -0.75])
    """

    def forward(self, input: Tensor) -> Tensor:
        """Any shape to the same."""
        return F.softsign(input)


class Tanhshrink(Module):
    """``x - tanh(x)``.

    >>> Tanhshrink()(Tensor([0.0]))
    Tensor([0.])
    """

    def forward(self, input: Tensor) -> Tensor:
        """Any shape to the same."""
        return F.tanhshrink(input)


class LogSigmoid(Module):
    """``log(sigmoid(x))``, exact for very negative ``x``.

    >>> LogSigmoid()(Tensor([-1000.0]))
    Tensor([-1000.])
    """

    def forward(self, input: Tensor) -> Tensor:
        """Any shape to the same."""
        return F.logsigmoid(input)


class Softmin(Module):
    """``softmax(-x)`` along an axis.

    >>> Softmin()(Tensor([0.0, 0.0]))
    Tensor([0.5, 0.5])
    """

    def __init__(self, dim: int = -1) -> None:
        self.dim = dim

    def forward(self, input: Tensor) -> Tensor:
        """Any shape to the same."""
        return F.softmin(input, self.dim)

    def extra_repr(self) -> str:
        """The axis."""
        return f"dim={self.dim}"


class LogSoftmax(Module):
    """``log(softmax(x))`` along an axis, exact for large ``x``.

    >>> LogSoftmax()(Tensor([1000.0, 0.0]))
    Tensor([    0., -1000.])
    """

    def __init__(self, dim: int = -1) -> None:
        self.dim = dim

    def forward(self, input: Tensor) -> Tensor:
        """Any shape to the same."""
        return F.log_softmax(input, self.dim)

    def extra_repr(self) -> str:
        """The axis."""
        return f"dim={self.dim}"


class GLU(Module):
    """``a * sigmoid(b)`` for the two halves along an axis. (Dauphin et al., 2017)

    >>> GLU()(Tensor([2.0, 0.0]))
    Tensor([1.])
    """

    def __init__(self, dim: int = -1) -> None:
        self.dim = dim

    def forward(self, input: Tensor) -> Tensor:
        """Half as long along the axis."""
        return F.glu(input, self.dim)

    def extra_repr(self) -> str:
        """The axis."""
        return f"dim={self.dim}"


class PReLU(Module):
    """``x`` where positive, else ``weight * x`` with a learned slope. (He et al., 2015)

    Args:
        num_parameters: 1, or the number of channels (axis 1) for a slope each.
        init: the slope before training.

    Raises :class:`ShapeError` for an input with another number of channels.

    >>> PReLU()(Tensor([-2.0, 2.0]))
    Tensor([-0.5,  2. ], requires_grad=True)
    """

    def __init__(self, num_parameters: int = 1, init: float = 0.25) -> None:
        if num_parameters < 1:
            raise ArgumentError("PReLU", "parameters are counted from 1", got=f"num_parameters={num_parameters}")
        self.num_parameters = num_parameters
        self.weight = Parameter.initialised((num_parameters,), Constant(init))

    def forward(self, input: Tensor) -> Tensor:
        """``(N, C, ...)`` to the same shape; any shape for a single slope."""
        return F.prelu(input, self.weight)

    def extra_repr(self) -> str:
        """The number of slopes."""
        return f"num_parameters={self.num_parameters}"


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

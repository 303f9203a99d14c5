"""The error function for arrays, which NumPy does not have.

Rational approximations on three intervals, after W. J. Cody, "Rational Chebyshev approximations for the error
function", Mathematics of Computation 23 (1969). Correct to about 1e-16 in float64.
"""

from __future__ import annotations

from typing import Any

from ..backend import Array

# Numerators and denominators, highest power first.
_SMALL = (
    (1.85777706184603153e-1, 3.16112374387056560, 1.13864154151050156e2, 3.77485237685302021e2,
     3.20937758913846947e3),
    (1.0, 2.36012909523441209e1, 2.44024637934444173e2, 1.28261652607737228e3, 2.84423683343917062e3),
)  # fmt: skip
_MIDDLE = (
    (2.15311535474403846e-8, 5.64188496988670089e-1, 8.88314979438837594, 6.61191906371416295e1,
     2.98635138197400131e2, 8.81952221241769090e2, 1.71204761263407058e3, 2.05107837782607147e3,
     1.23033935479799725e3),
    (1.0, 1.57449261107098347e1, 1.17693950891312499e2, 5.37181101862009858e2, 1.62138957456669019e3,
     3.29079923573345963e3, 4.36261909014324716e3, 3.43936767414372164e3, 1.23033935480374942e3),
)  # fmt: skip
_LARGE = (
    (1.63153871373020978e-2, 3.05326634961232344e-1, 3.60344899949804439e-1, 1.25781726111229246e-1,
     1.60837851487422766e-2, 6.58749161529837803e-4),
    (1.0, 2.56852019228982242, 1.87295284992346725, 5.27905102951428412e-1, 6.05183413124413191e-2,
     2.33520497626869185e-3),
)  # fmt: skip
_ONE_OVER_ROOT_PI = 0.564189583547756287


def erf(xp: Any, x: Array) -> Array:
    """The error function of each element."""
    size = xp.minimum(xp.abs(x), 6.0)  # erf is 1 to float64 from there on
    small = xp.minimum(size, 0.46875)
    middle = xp.clip(size, 0.46875, 4.0)
    large = xp.maximum(size, 4.0)
    near_zero = small * _ratio(_SMALL, small * small)
    between = 1 - xp.exp(-middle * middle) * _ratio(_MIDDLE, middle)
    inverse = 1 / (large * large)
    tail = _ONE_OVER_ROOT_PI - inverse * _ratio(_LARGE, inverse)
    far = 1 - xp.exp(-large * large) / large * tail
    result = xp.where(size <= 0.46875, near_zero, xp.where(size <= 4.0, between, far))
    return xp.where(x < 0, -result, result)


def _ratio(polynomials: tuple[tuple[float, ...], tuple[float, ...]], x: Array) -> Array:
    values = []
    for coefficients in polynomials:
        value = coefficients[0] + 0 * x
        for coefficient in coefficients[1:]:
            value = value * x + coefficient
        values.append(value)
    return values[0] / values[1]

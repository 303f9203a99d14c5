"""Chapter 4, First learning: fill in the functions, then run ``pytest tutorials/exercises -m ch04``."""


def xor(x1, x2):
    """1 where exactly one of two numbers, each 0 or 1, is 1, otherwise 0: two hidden units with ReLU, no ``if``."""
    raise NotImplementedError


def loss_slope(s, t):
    """The slope of ``log(1 + exp(-t * s))`` in ``s``, as a number."""
    raise NotImplementedError


def is_dead(weights, bias, points):
    """Whether a unit with ReLU passes on no gradient at any of the points."""
    raise NotImplementedError

"""Chapter 1, Slopes: fill in the functions, then run ``pytest tutorials/exercises -m ch01``."""


def gradient(function, point):
    """The slopes of ``function`` in each number of the list ``point``, as a list; the point stays as it is."""
    raise NotImplementedError


def best_step(epsilon):
    """The best step of a central difference near 1 for numbers whose spacing there is ``epsilon``."""
    raise NotImplementedError


def second_slope(function, x, h=1e-4):
    """The second derivative of ``function`` at ``x``, measured with the step ``h``."""
    raise NotImplementedError

"""Chapter 25, receptive fields: fill in the functions, then run ``pytest tutorials/exercises -m ch25``.

A layer is ``(kernel, stride, padding, dilation)``; one axis is meant, the other works alike.
"""

Layer = tuple[int, int, int, int]


def dilations_for(size: int, kernel: int) -> list[int]:
    """The shortest list of dilations whose stack sees each of at least ``size`` pixels, each on exactly one way."""
    raise NotImplementedError


def width(layers: list[Layer]) -> float:
    """The standard deviation of the place of a unit's gradient, in pixels, when all weights are 1."""
    raise NotImplementedError


def holes(layers: list[Layer]) -> int:
    """How many pixels between the first and the last one of its field a unit does not see."""
    raise NotImplementedError


def centre(layers: list[Layer], unit: int) -> float:
    """The pixel on which the field of a unit is centred; it may end in .5."""
    raise NotImplementedError

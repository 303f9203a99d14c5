"""Small real trainings, each a recipe with a name: ``python -m tinygrad_cnn train NAME``.

A recipe's file says what is learned from what; ``base.py`` says what a recipe is, ``session.py`` runs one.
"""

from .base import Augment, Recipe, Result, predict
from .digits import MLP, LeNet, ResNet
from .gan import GAN
from .graph import Karate
from .restore import Colourise, Denoise, Superres, Watermark
from .scenes import Localise, Segment
from .sequence import Numbers, Patches, Rows
from .shifted import Shifted

RECIPES: dict[str, type[Recipe]] = {
    recipe.name: recipe
    for recipe in (
        LeNet, ResNet, MLP, Shifted, Denoise, Colourise, Watermark, Superres, Segment, Localise, GAN,
        Rows, Patches, Numbers, Karate,
    )
}  # fmt: skip
"""Every recipe by its name, in the order in which a reader meets them."""

__all__ = ["RECIPES", "Augment", "Recipe", "Result", "predict"]

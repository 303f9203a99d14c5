"""Looking inside networks: activations, what units look for, what decisions rest on, receptive fields."""

from .activations import activations
from .attribution import Adversarial, fgsm, grad_cam, saliency, smooth_grad
from .features import ascend, deep_dream, unit
from .receptive import ReceptiveField, measured_receptive_field, receptive_field

__all__ = [
    "Adversarial",
    "ReceptiveField",
    "activations",
    "ascend",
    "deep_dream",
    "fgsm",
    "grad_cam",
    "measured_receptive_field",
    "receptive_field",
    "saliency",
    "smooth_grad",
    "unit",
]

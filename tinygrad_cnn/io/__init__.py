"""Files: weights as safetensors."""

from .safetensors import FileError, load, load_metadata, save

__all__ = ["FileError", "load", "load_metadata", "save"]

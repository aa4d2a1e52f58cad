"""Datasets in PyG's form: items are ``Data(text=…, task=…, y=…)``."""

from .fdu_mtl import FDUMTL
from .planted import PlantedTasks
from .text_folder import TextFolder

__all__ = ["FDUMTL", "PlantedTasks", "TextFolder"]

"""Datasets in PyG's form.

Items are ``Data(text=…, task=…, y=…)`` for classification, and
``Data(words=[…], tags={task: […]})`` for sequence labelling.
"""

from .column_corpus import ColumnCorpus
from .conll2000 import CoNLL2000
from .fdu_mtl import FDUMTL
from .planted import PlantedTasks
from .text_folder import TextFolder
from .text_list import TextList
from .universal_dependencies import UniversalDependencies
from .wnut17 import WNUT17

__all__ = [
    "FDUMTL",
    "WNUT17",
    "CoNLL2000",
    "ColumnCorpus",
    "PlantedTasks",
    "TextFolder",
    "TextList",
    "UniversalDependencies",
]

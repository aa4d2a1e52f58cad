"""Training with PyTorch Lightning (extra ``train``). The layers themselves know nothing of it."""

try:
    import lightning.pytorch  # noqa: F401
    import torchmetrics  # noqa: F401
except ImportError as error:
    raise ImportError(
        'mtgnn.lightning needs PyTorch Lightning and torchmetrics: pip install "mtgnn[train]"'
    ) from error

from .checkpoint import load_model, read_checkpoint
from .data import MultiTaskDataModule
from .evaluate import evaluate
from .fit import FitResult, fit
from .metrics import TaskMean
from .module import MultiTaskModule
from .task_scores import TaskScores

__all__ = [
    "FitResult",
    "MultiTaskDataModule",
    "MultiTaskModule",
    "TaskMean",
    "TaskScores",
    "evaluate",
    "fit",
    "load_model",
    "read_checkpoint",
]

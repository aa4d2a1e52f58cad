"""Labels that count more than others in the training of their task."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from ..nn import Samples, TaggingModel


class ClassWeights(nn.Module):
    """Multiplies the loss of each text by the weight of its label.

    Args:
        model: The model that is trained; its samples are single labels, as those of texts are.
        weights: For some of its tasks a number for each class, in the order of the task's classes.

    Raises:
        ValueError: For an unknown task, another number of classes, a weight that is negative or
            not finite, or a model whose samples are sentences.

    Example:
        >>> from mtgnn.data import Vocabulary
        >>> from mtgnn.nn import MultiTaskModel
        >>> classes = {"urgent": ["no", "yes"], "mood": ["bad", "fair", "good"]}
        >>> model = MultiTaskModel(Vocabulary(["now"]), classes, "shared")
        >>> ClassWeights(model, {"urgent": [1, 3]}).table
        tensor([[1., 3., 1.],
                [1., 1., 1.]])
    """

    table: Tensor

    def __init__(self, model: Any, weights: Mapping[str, Sequence[float]]) -> None:
        super().__init__()
        if isinstance(model, TaggingModel):
            raise ValueError(
                "class weights are of texts, got a TaggingModel, whose words have tags"
            )
        table = torch.ones(len(model.tasks), max(map(len, model.classes.values())))
        for task, own in weights.items():
            if task not in model.tasks:
                raise ValueError(
                    f"expected class weights of tasks {list(model.tasks)}, got one of {task!r}"
                )
            names, numbers = model.classes[task], [float(weight) for weight in own]
            fit = all(math.isfinite(weight) and weight >= 0 for weight in numbers)
            if len(numbers) != len(names) or not fit:
                raise ValueError(
                    f"expected a class weight of at least 0 for each label of {task!r}, "
                    f"{list(names)}, got {numbers}"
                )
            table[list(model.tasks).index(task), : len(names)] = torch.tensor(numbers)
        # Not in checkpoints: whoever goes on from one says anew what counts how much.
        self.register_buffer("table", table, persistent=False)

    def forward(self, samples: Samples, y: Tensor) -> Samples:
        """The samples of a batch with labels ``y``, and weighted losses.

        Raises:
            ValueError: If the model's samples are not its labels.
        """
        if samples.value.numel() != y.numel():
            raise ValueError(
                f"class weights take a loss for each label, got {samples.value.numel()} losses of "
                f"{y.numel()} labels"
            )
        label = y.to(samples.value.device).flatten().clamp(min=0)  # of none, the loss is 0
        weight = self.table[samples.task.long(), label.long()].to(samples.value.dtype)
        return samples._replace(value=samples.value * weight)

"""How well a model does on texts it was not trained on."""

from __future__ import annotations

from collections.abc import Mapping

import lightning.pytorch as L

from ..nn import Trainable
from ..nn.check import check_option
from ..nn.modes import evaluating
from .accelerator import pick_accelerator
from .data import MultiTaskDataModule
from .matching import check_matching, check_module, check_part_labels
from .module import MultiTaskModule
from .quiet import device_kept, flags_kept, free_again, quietly
from .task_scores import TaskScore


def evaluate(
    model: Trainable,
    data: MultiTaskDataModule,
    part: str = "test",
    *,
    accelerator: str = "auto",
    scores: Mapping[str, TaskScore] | None = None,
    progress: bool = False,
) -> dict[str, float]:
    """Score each task on the test texts, or on the dev texts.

    Args:
        model: The model; each of its parts is left in the mode, and on the device, that it is in.
        data: The texts, of tasks and labels that are the model's own.
        part: ``"test"`` or ``"dev"``.
        accelerator: As for :func:`fit`.
        scores: As for :func:`fit`.
        progress: Show a progress bar.

    Returns:
        For each task that has labels in this part, its accuracy, or its own score.

    Raises:
        ValueError: If there are no such texts, none of them has a label, tasks, labels or
            vocabulary are not the model's, neighbouring tags are not allowed by a CRF's scheme, or
            an Apple GPU is asked for, or a GPU that is not there.

    Example:
        >>> from mtgnn.data import Vocabulary
        >>> from mtgnn.datasets import PlantedTasks
        >>> from mtgnn.nn import MultiTaskModel
        >>> test = PlantedTasks(num_tasks=3, num_groups=1, split="test", num_test=8)
        >>> vocabulary = Vocabulary.build(test.text)
        >>> model = MultiTaskModel(vocabulary, test.classes, embedding_size=4, hidden_size=4)
        >>> data = MultiTaskDataModule(None, None, test, vocabulary)
        >>> sorted(evaluate(model, data, accelerator="cpu"))
        ['a1', 'a2', 'a3']
    """
    accelerator = pick_accelerator(accelerator)
    check_option("part", part, ("dev", "test"))
    check_module(data)
    check_matching(model, data, [part])
    check_part_labels(model, data.encoded(part), part)
    module = MultiTaskModule(model, scores=scores)
    with quietly(), flags_kept(), evaluating(module), device_kept(module):
        trainer = L.Trainer(
            accelerator=accelerator,
            devices=1,
            use_distributed_sampler=False,
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=progress,
            enable_model_summary=False,
        )
        run = trainer.test if part == "test" else trainer.validate
        with free_again(data):
            run(module, datamodule=data, verbose=False)
    own = f"{part}/score/" if scores else f"{part}/accuracy/"
    found = {name: float(value) for name, value in trainer.callback_metrics.items()}
    return {name.removeprefix(own): value for name, value in found.items() if name.startswith(own)}

"""Assertions for recurrent layers over task graphs, for this library's layers and for your own.

Each states one property and raises ``AssertionError`` where it does not hold. A layer is a
:class:`torch.nn.Module` that is called like :class:`mtgnn.nn.GraphLSTM`,

    ``layer(x, lengths, task, state, return_attention_weights=…) -> out, state[, attention]``

and has a :class:`mtgnn.TaskGraph` as ``layer.graph``. Give it random parameters first
(:func:`randomise`), biases too: freshly made layers have zeros that hide mistakes. And let
:func:`assert_heard` come first: a layer whose nodes never talk has most other properties.

    >>> from mtgnn.nn import CompleteGraphLSTM
    >>> layer = randomise(CompleteGraphLSTM(3, 4, num_tasks=2))
    >>> batch = random_batch(input_size=3, num_tasks=2)
    >>> assert_heard(layer, *batch)
    >>> assert_padding_invariant(layer, *batch)
    >>> assert_streams(layer, batch.x, batch.task)

Layers are run in evaluation mode, and are left in the mode in which they came.
"""

from .drawing import RandomBatch, random_batch, randomise
from .gradients import assert_gradients_accumulate
from .messages import assert_attention_sums_to_one, assert_heard
from .sequences import assert_batch_invariant, assert_padding_invariant, assert_streams
from .tasks import (
    assert_all_tasks_equal_single,
    assert_some_tasks_equal_all,
    assert_task_permutation_equivariant,
)

__all__ = [
    "RandomBatch",
    "assert_all_tasks_equal_single",
    "assert_attention_sums_to_one",
    "assert_batch_invariant",
    "assert_gradients_accumulate",
    "assert_heard",
    "assert_padding_invariant",
    "assert_some_tasks_equal_all",
    "assert_streams",
    "assert_task_permutation_equivariant",
    "random_batch",
    "randomise",
]

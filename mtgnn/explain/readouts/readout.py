"""What reads attention as it passes: a readout takes batch after batch and keeps sums."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, default_collate
from torch_geometric.loader.dataloader import Collater

from ...cut_graph import edges_left
from ...data import TokenBatch
from ...graph import TaskGraph
from ...nn import GraphLSTM
from ...nn.tasks import has_one_task

EDGES, MAILBOX, ANSWER = "edges", "mailbox", "answer"


class Batch(Protocol):
    """Sequences of one task each: a :class:`~mtgnn.data.SequenceBatch` or a
    :class:`~mtgnn.data.TokenBatch`, of texts or sentences with labels of several tasks that of
    :class:`~mtgnn.data.EncodedTexts` or :class:`~mtgnn.data.EncodedSentences` ``by_task``."""

    @property
    def tokens(self) -> Tensor:
        """``[B, T]``."""

    @property
    def lengths(self) -> Tensor:
        """``[B]``."""

    @property
    def task(self) -> Any:
        """``[B]``."""

    @property
    def y(self) -> Tensor:
        """``[B]``, or of words ``[B, T]``."""

    def to(self, device: torch.device) -> Any:
        """The batch on a device; asked only where its tokens are on another."""


def equal_shares(graph: TaskGraph) -> Tensor:
    """The weight ``[E]`` of each edge under equal attention; of those that are cut, 0."""
    left, receiver = edges_left(graph), graph.edge_index[1]
    senders = receiver[left].bincount(minlength=graph.num_nodes)[receiver]
    return torch.where(left, 1 / senders.double(), 0)


EXPECTED = (
    "expected batches that are SequenceBatch or TokenBatch, as a loader of MultiTaskDataModule or "
    "DataLoader(data, collate_fn=data.collate) gives"
)


def check_batches(batches: Iterable[Batch]) -> None:
    """Raise where a loader would stack sequences of several lengths, which fails in torch."""
    if not isinstance(batches, DataLoader):
        return
    if batches.collate_fn is default_collate:
        raise ValueError(f"{EXPECTED}, got a DataLoader without collate_fn")
    if isinstance(batches.collate_fn, Collater):
        raise ValueError(
            f"{EXPECTED}, got torch_geometric's DataLoader, which takes no collate_fn: "
            "torch.utils.data has the one that does"
        )


def on_its_device(model: Any, batches: Iterable[Batch]) -> Iterator[Batch]:
    """Batches where a model's parameters are; as they come, where it has none.

    Raises:
        ValueError: If they are no batches of sequences.
    """
    check_batches(batches)
    parameters = model.parameters() if isinstance(model, nn.Module) else ()
    device = next((parameter.device for parameter in parameters), None)
    for batch in batches:
        if not all(hasattr(batch, name) for name in ("tokens", "lengths", "task")):
            raise ValueError(f"{EXPECTED}, got a {type(batch).__name__} in the place of a batch")
        if device is not None and batch.tokens.device != device:
            batch = batch.to(device)
        yield batch


def arguments(batch: Batch) -> tuple[Any, ...]:
    """What a model is called with to read a batch.

    Raises:
        ValueError: If sequences are of several tasks at once.
    """
    if not has_one_task(batch.task):
        raise ValueError(
            "expected sequences of one task each, as of EncodedTexts(…, by_task=True) and "
            "EncodedSentences(…, by_task=True)"
        )
    spelling = [batch.characters] if isinstance(batch, TokenBatch) else []
    return batch.tokens, *spelling, batch.lengths, batch.task


def find_encoder(model: Any) -> GraphLSTM:
    """The model's encoder.

    Raises:
        ValueError: If it runs on no task graph, or has no edges.
    """
    encoder = getattr(model, "encoder", model)
    if not isinstance(encoder, GraphLSTM):
        raise ValueError(f"expected a GraphLSTM as the encoder, got {type(encoder).__name__}")
    if encoder.graph.num_edges == 0:
        raise ValueError("the encoder's graph has no edges")
    return encoder


class Readout(Protocol):
    """Takes the attention of batch after batch, see :func:`collect_attention`.

    Attributes:
        reads: What it takes: ``"edges"``, ``"mailbox"``, or ``"answer"``.
    """

    reads: str

    def update(self, batch: Batch, weights: Tensor) -> None:
        """Take a batch.

        Args:
            batch: The sequences.
            weights: Attention weights, averaged over heads, layers and directions, zero beyond
                the lengths: on edges ``[B, T, num_edges]``, in a mailbox ``[B, T, T]`` (step,
                position that is read). Of a readout of ``"answer"`` not these, but the first
                thing that the model returns, such as logits.
        """

    def compute(self) -> Any:
        """What came of all batches."""


def own_edges(graph: TaskGraph, task: Tensor) -> Tensor:
    """Edges that count in a sequence ``[B, num_edges]``: into its task, or a virtual node."""
    receiver = graph.edge_index[1].to(task.device)
    return (receiver == task.unsqueeze(1)) | (receiver >= graph.num_tasks)


def find_edge(graph: TaskGraph, edge: tuple[str, str]) -> int:
    """Number of an edge (sender, receiver).

    Raises:
        ValueError: If there is no such edge.
    """
    if edge not in graph.edges:
        raise ValueError(f"expected an edge (sender, receiver) of {graph}, got {edge!r}")
    return graph.edges.index(edge)


def edges_into(graph: TaskGraph, tasks: Sequence[str] | None) -> Tensor:
    """Numbers of the edges into some tasks, by default of all edges.

    Raises:
        ValueError: If tasks are not names, or one listens to nobody.
    """
    if tasks is None:
        return torch.arange(graph.num_edges)
    listening = [name for k, name in enumerate(graph.tasks) if graph.incoming(k)]
    if isinstance(tasks, str) or not tasks or not set(tasks) <= set(listening):
        raise ValueError(f"expected tasks among {listening}, who listen, got {tasks!r}")
    asked = torch.tensor([graph.index(name) for name in tasks])
    return torch.isin(graph.edge_index[1], asked).nonzero().flatten()


def weighted(graph: TaskGraph, edges: Tensor, weight: Tensor) -> TaskGraph:
    """The graph of some of the edges, with their weights."""
    return TaskGraph(graph.tasks, graph.edge_index[:, edges], graph.virtual, weight)


def hearing(graph: TaskGraph, batch: Batch, weights: Tensor) -> Tensor:
    """Which nodes hear at which steps ``[B, T, N]``, by the weights ``[B, T, num_edges]``: a task
    in its own sequences, a virtual node where it runs, which need not be in all of them."""
    task, device = batch.task.to(weights.device).unsqueeze(1), weights.device
    readers = task == torch.arange(graph.num_tasks, device=device)
    tasks = readers.unsqueeze(1) & real_steps(batch, device).unsqueeze(2)
    receiver = graph.edge_index[1].to(device)
    into = [weights[:, :, receiver == graph.index(node)] for node in graph.virtual]
    return torch.cat([tasks, *((own > 0).any(2, keepdim=True) for own in into)], 2)


def real_steps(batch: Batch, device: torch.device) -> Tensor:
    """Which steps are real, ``[B, T]``."""
    steps = torch.arange(batch.tokens.size(1), device=device)
    return steps < batch.lengths.to(device).unsqueeze(1)


def check_edges(weights: Tensor, graph: TaskGraph) -> None:
    """Raise where weights are not one an edge."""
    if weights.dim() != 3 or weights.size(2) != graph.num_edges:
        raise ValueError(
            f"expected weights [B, T, {graph.num_edges}] on the graph's edges, "
            f"got {list(weights.shape)}"
        )

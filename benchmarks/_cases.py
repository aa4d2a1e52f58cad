"""What is measured: the rows of the benchmarks, their layers and their inputs."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any

import torch
from torch import Tensor

from mtgnn import TaskGraph
from mtgnn.nn import CompleteGraphLSTM, GraphLSTM, StarGraphLSTM
from mtgnn.nn.models.encoders import ADDITIONS

Batch = tuple[Tensor, Tensor, Tensor]
"""Inputs ``[B, T, E]``, lengths ``[B]`` and tasks ``[B]``."""

Shape = tuple[list[int], list[int]]
"""Lengths and tasks of a batch."""

SIZES = [(3, 16, 100, 100, 100), (16, 16, 100, 200, 100), (16, 64, 100, 200, 100)]
SIZES += [(4, 32, 50, 200, 200)]
NEIGHBOURS = 8
BARE: dict[str, Any] = dict.fromkeys(ADDITIONS, False)  # a model whose encoder is its layer alone


@dataclass(frozen=True)
class Case:
    """A row.

    Attributes:
        name: What it is called in the record.
        kind: ``"mutual"``, ``"read"``, ``"mailbox"`` (complete graphs, the last with
            ``memory="all"``), ``"star"`` or ``"sparse"`` (a mutual exchange where every task hears
            eight others).
        K: Tasks.
        B: Sequences in a batch.
        T: Steps; with ``batches``, the most that a text keeps.
        E: Size of an input.
        H: Size of a state.
        score: Score of the attention.
        dtype: ``"float32"``, ``"float64"``, or ``"bfloat16"`` for autocast from float32.
        batches: ``""``: one batch of full length; ``"random"`` or ``"bucketed"``: the lengths and
            tasks of batches of FDU-MTL.
    """

    name: str
    kind: str
    K: int
    B: int
    T: int
    E: int
    H: int
    score: str = "additive"
    dtype: str = "float32"
    batches: str = ""

    @property
    def key(self) -> str:
        """What ``--rows`` looks for: name, sizes and type."""
        return f"{self.name}-{self.K}x{self.B}x{self.T}x{self.E}x{self.H}-{self.dtype}"

    @property
    def parameter_dtype(self) -> torch.dtype:
        """Type of parameters and inputs."""
        return torch.float64 if self.dtype == "float64" else torch.float32

    def to_dict(self) -> dict[str, Any]:
        """As JSON can hold it."""
        return asdict(self)


def all_cases(device: str, fdu: bool) -> list[Case]:
    """The rows of the record."""
    big = SIZES[2]
    found = [Case(kind, kind, *sizes) for kind in ("mutual", "read") for sizes in SIZES]
    for score in ("dot", "additive"):
        found += [Case(f"star-{score}", "star", *sizes, score) for sizes in (SIZES[0], big)]
    found += [Case("mailbox", "mailbox", *sizes) for sizes in (SIZES[0], big)]
    found += [Case("star-tasks", "star", K, 256, *big[2:], "dot") for K in (2, 4, 16, 64, 256)]
    found.append(Case("sparse", "sparse", 512, 8, 20, 64, 64))
    if device == "cuda":
        found += [Case(kind, kind, 16, 64, 200, 200, 100) for kind in ("mutual", "read", "star")]
    found += [Case(kind, kind, *big, dtype="bfloat16") for kind in ("mutual", "read")]
    found.append(Case("star-dot", "star", *big, "dot", "bfloat16"))
    for batches in ("random", "bucketed") if fdu else ():
        for kind in ("mutual", "read", "star"):
            name = f"{kind}-fdu-{batches}"
            found.append(Case(name, kind, 16, 64, 256, 100, 100, batches=batches))
    return found


def quick_cases(cases: list[Case]) -> list[Case]:
    """The same rows at sizes that prove nothing but that the program runs."""
    small = {"K": 3, "B": 4, "T": 6, "E": 5, "H": 4}
    return list(
        {
            case.key: case
            for case in (
                replace(case, **{**small, "K": NEIGHBOURS + 2 if case.kind == "sparse" else 3})
                for case in cases
            )
        }.values()
    )


def build(case: Case, kernel: str, device: str) -> GraphLSTM:
    """The layer of a row, with the same parameters for every kernel."""
    torch.manual_seed(0)
    options: dict[str, Any] = {"score": case.score, "kernel": kernel}
    if case.kind == "star":
        layer: GraphLSTM = StarGraphLSTM(case.E, case.H, case.K, "all", **options)
    elif case.kind == "sparse":
        layer = GraphLSTM(case.E, case.H, sparse_graph(case.K), "mutual", **options)
    elif case.kind == "mailbox":
        layer = CompleteGraphLSTM(case.E, case.H, case.K, "read", memory="all", **options)
    else:
        layer = CompleteGraphLSTM(case.E, case.H, case.K, case.kind, **options)
    return layer.to(device, case.parameter_dtype)


def sparse_graph(num_tasks: int) -> TaskGraph:
    """Every task hears its predecessor on a ring and seven others, drawn at random."""
    generator = torch.Generator().manual_seed(0)
    edges = []
    for receiver in range(num_tasks):
        before = (receiver - 1) % num_tasks
        drawn = torch.randperm(num_tasks, generator=generator).tolist()
        others = [sender for sender in drawn if sender not in (receiver, before)]
        edges += [(sender, receiver) for sender in [before, *others[: NEIGHBOURS - 1]]]
    return TaskGraph(num_tasks, torch.tensor(edges).t().contiguous())


def make_batches(case: Case, device: str, shapes: list[Shape]) -> list[Batch]:
    """Random inputs for a row; lengths and tasks stay on the CPU, as the layers want them.

    Args:
        case: The row.
        device: Where inputs go.
        shapes: Lengths and tasks of each batch, for a row with ``batches``; else empty.
    """
    generator = torch.Generator().manual_seed(0)
    if not case.batches:
        task = (torch.arange(case.B) % case.K)[torch.randperm(case.B, generator=generator)]
        shapes = [([case.T] * case.B, task.tolist())]
    made = []
    for lengths, tasks in shapes:
        x = torch.randn(len(lengths), max(lengths), case.E, generator=generator)
        x = x.to(device, case.parameter_dtype)
        made.append((x, torch.tensor(lengths), torch.tensor(tasks)))
    return made

"""The hierarchy against a stack from the formula, of which each task reads its own level."""

import pytest
import torch
from contract import (
    TASKS,
    E,
    H,
    check_absent_tasks,
    check_against,
    check_encoder,
    inputs,
    lstm,
)
from torch import Tensor

from mtgnn import TaskGraph
from mtgnn.nn import HierarchicalLSTM, SharedLSTM
from mtgnn.testing import randomise

FORMS = [(1, False), (2, False), (1, True), (2, True)]
EDGES = [("keys", "b.c"), ("keys", "a"), ("b.c", "a")]
GRAPH = TaskGraph.from_edges(EDGES, TASKS)
LEVELS = {"a": 3, "b.c": 2, "keys": 1}


def layer(layers: int = 1, both: bool = False, dropout: float = 0.0) -> HierarchicalLSTM:
    made = HierarchicalLSTM(E, H, GRAPH, num_layers=layers, bidirectional=both, dropout=dropout)
    return randomise(made)


def test_levels_are_places_in_the_topological_order() -> None:
    assert layer().level == LEVELS
    graph = TaskGraph.hierarchy({"c": ["a", "b"], "d": ["c", "a"], "e": ["a"]})
    made = HierarchicalLSTM(E, H, graph)
    assert made.level == {"a": 1, "b": 1, "c": 2, "e": 2, "d": 3} and len(made.levels) == 3


@pytest.mark.parametrize("tasks", [[0, 1, 2, 0, 1, 2], [2, 1, 1, 2, 2, 1], [2] * 6, [0] * 6])
@pytest.mark.parametrize(("layers", "both"), FORMS)
def test_a_task_reads_its_own_level(layers: int, both: bool, tasks: list[int]) -> None:
    made = layer(layers, both)

    def reference(x: Tensor, task: int) -> Tensor:
        for level in made.levels[: LEVELS[TASKS[task]]]:
            x = lstm(x, level.lstm, layers, both)
        return x

    # A level above all tasks of the batch has no gradient in the reference, and so none here.
    check_against(made, reference, inputs(made)._replace(task=torch.tensor(tasks)))


@pytest.mark.parametrize(("layers", "both"), [(2, False), (1, True)])
def test_properties(layers: int, both: bool) -> None:
    check_encoder(
        lambda tasks: HierarchicalLSTM(
            E, H, TaskGraph.from_edges(EDGES, tasks), num_layers=layers, bidirectional=both
        ),
        streams=not both,
    )


def test_without_edges_it_is_the_shared_lstm() -> None:
    made = randomise(HierarchicalLSTM(E, H, TaskGraph.isolated(TASKS)))
    shared = randomise(SharedLSTM(E, H, TASKS))
    assert torch.equal(made(*inputs(made))[0], shared(*inputs(made))[0])


@pytest.mark.parametrize("layers", [1, 2])
def test_dropout_between_layers_and_levels_only_in_training(layers: int) -> None:
    made = layer(layers, dropout=0.5)
    x, lengths, _ = inputs(made)
    lowest, middle, top = (torch.full((6,), k) for k in (2, 1, 0))
    same = torch.equal(made(x, lengths, lowest)[0], made(x, lengths, lowest)[0])
    assert same == (layers == 1)  # of the lowest level, one layer has no dropout
    for task in (middle, top):
        assert not torch.equal(made(x, lengths, task)[0], made(x, lengths, task)[0])
    made.eval()
    for task in (lowest, middle, top):
        assert torch.equal(made(x, lengths, task)[0], made(x, lengths, task)[0])


def test_errors() -> None:
    made = layer()
    x, lengths, task = inputs(made)
    _, state = made(x, lengths, task)
    both = layer(both=True)
    cycle = TaskGraph.complete(TASKS)
    for call, message in [
        (lambda: HierarchicalLSTM(E, H, ["a", "b"]), "expected a TaskGraph, got a list"),
        (lambda: HierarchicalLSTM(E, H, cycle), "acyclic"),
        (lambda: HierarchicalLSTM(E, H, TaskGraph.flat(TASKS)), "tasks alone"),
        (lambda: HierarchicalLSTM(E, 0, GRAPH), "hidden_size"),
        (lambda: HierarchicalLSTM(E, H, GRAPH, dropout=1.0), "dropout"),
        (lambda: made(x, lengths, task, return_attention_weights=True), "no attention"),
        (lambda: made(x, lengths + 5, task), "1…5"),
        (lambda: made(x[:2], state=state), "state of shape"),
        (lambda: made(x, lengths, task.flip(0), state), "lacks a level"),
        (lambda: both(x, lengths, task, both(x, lengths, task)[1]), "bidirectional"),
    ]:
        with pytest.raises(ValueError, match=message):
            call()


@pytest.mark.parametrize("absent", [["a"], ["a", "b.c"]])
def test_levels_above_all_tasks_have_no_gradient(absent: list[str]) -> None:
    check_absent_tasks(layer(), absent)

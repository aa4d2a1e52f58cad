"""Parameters by what they belong to, and freezing them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from torch import nn

from ...graph import TaskGraph
from ..baselines import CrossStitchLSTM
from ..check import task_graph
from ..compiled import uncompiled
from ..graph_lstm import GraphLSTM
from ..models import MultiTaskModel
from ..models.check_model import check_task_name

Groups = dict[str, dict[str, nn.Parameter]]


def parameter_groups(module: nn.Module) -> Groups:
    """Sort the parameters of a model or layer by what they belong to.

    Every parameter is in exactly one group; groups without any are left out.

    - ``"embedding"``: the token vectors;
    - ``"nodes.TASK"``: the recurrence of a task;
    - ``"virtual.NODE"``: that of a virtual node;
    - ``"scores"``: the attention edge (or the convs), where all receivers share it;
      ``"scores.NODE"``: of a receiver with one of its own (``score_owner="receiver"``);
    - ``"edges"``: of a mailbox with several senders, the numbers that weigh its edges;
    - ``"stitches"``: of a :class:`CrossStitchLSTM`, its combinations;
    - ``"encoder"``: what else an encoder has for all tasks, such as a :class:`SharedLSTM`'s LSTM,
      or what the nodes of a graph have in ``common``;
    - ``"heads.TASK"``: the head of a task;
    - ``"pooling"``, and any other part of a model, under the part's name; ``"other"``: parameters
      that stand in no part.

    Args:
        module: A :class:`MultiTaskModel` or another model with ``encoder`` and ``heads``, or an
            encoder; the encoder's ``graph``, or else the model's, is a :class:`mtgnn.TaskGraph`.
            Encoders of other kinds are sorted too, where they keep what belongs to a node in a
            ``ModuleDict`` under its name.

    Returns:
        For each group its parameters by their names in ``module``, or in what ``torch.compile``
        wrapped.

    Raises:
        ValueError: If the module has no task graph, or a model holds its layer over one under
            another name than ``encoder``.

    Example:
        >>> from mtgnn.nn import StarGraphLSTM
        >>> list(parameter_groups(StarGraphLSTM(3, 4, ["books", "dvd"])))
        ['scores', 'nodes.books', 'nodes.dvd', 'virtual.shared']
    """
    module = uncompiled(module)
    graph, encoder = _graph_of(module), _encoder_of(module)
    group: dict[int, str] = {}
    if encoder is not module:
        for name, part in module.named_children():
            if name == "heads":
                _by_node(group, part, graph, {"tasks": "heads", "rest": "heads"})
            elif name != "encoder":
                _assign(group, part, name)
    if isinstance(encoder, GraphLSTM):
        _scores(group, encoder)
        _assign(group, encoder.edge_logits, "edges")
    if isinstance(encoder, CrossStitchLSTM):
        _assign(group, encoder.stitches, "stitches")
    kinds = {"tasks": "nodes", "virtual": "virtual", "rest": "encoder"}
    _by_node(group, encoder, graph, kinds)
    groups: Groups = {}
    for name, parameter in module.named_parameters():
        groups.setdefault(group.get(id(parameter), "other"), {})[name] = parameter
    return groups


def freeze(module: nn.Module, groups: Iterable[str] | None = None) -> list[str]:
    """Freeze groups of parameters: no gradient reaches them and no optimiser changes them.

    Their gradients are forgotten too: an optimiser, also one with weight decay or momentum, passes
    over a parameter without one. Dropout is the mode's business, not that of the parameters.

    Args:
        module: As for :func:`parameter_groups`.
        groups: Names of groups; ``"nodes"``, ``"virtual"``, ``"scores"`` and ``"heads"`` stand for
            all of their kind. By default all.

    Returns:
        The names of the groups that were meant.

    Raises:
        ValueError: If there is no such group.

    Example:
        >>> from mtgnn.nn import StarGraphLSTM
        >>> layer = StarGraphLSTM(3, 4, ["books", "dvd"])
        >>> freeze(layer, ["virtual", "nodes.dvd"])
        ['nodes.dvd', 'virtual.shared']
        >>> all(p.requires_grad for p in layer.nodes["books"].parameters())
        True
    """
    return _set(module, groups, requires_grad=False)


def unfreeze(module: nn.Module, groups: Iterable[str] | None = None) -> list[str]:
    """Let groups of parameters be trained again; arguments as in :func:`freeze`."""
    return _set(module, groups, requires_grad=True)


def freeze_except_task(module: nn.Module, task: str) -> list[str]:
    """Freeze all but what a task has of its own: its node, its head, and its scores if it has any.

    With a task that :func:`add_task` has added, that is the adaptation of the leave-one-task-out
    protocol: it cannot harm the other tasks.

    Args:
        module: As for :func:`parameter_groups`.
        task: Name of the task.

    Returns:
        The names of the groups that are trained.

    Raises:
        ValueError: If there is no such task, it has nothing of its own, or one parameter holds
            what is its own beside what is not: static logits of the edges into it, or one
            embedding table a task (``embedding="task"``). Choose groups for :func:`freeze` then.
    """
    module = uncompiled(module)
    graph, groups = _graph_of(module), parameter_groups(module)
    check_task_name(task, graph.tasks)
    logits = edge_logit_group(module)
    # In a mailbox the only sender has all the weight, whatever its logit.
    if logits is not None and len(graph.incoming(graph.index(task))) > (logits == "edges"):
        what = "shares in mailboxes" if logits == "edges" else "static scores"
        raise ValueError(
            f"{what} are one parameter for all edges: those into {task!r} cannot be trained alone. "
            f"Without them: freeze(model), then unfreeze(model, ['nodes.{task}', 'heads.{task}']); "
            f"with all of them: the same and {logits!r}"
        )
    if isinstance(module, MultiTaskModel) and module.own_tables():
        raise ValueError(
            f'embedding="task" is one parameter for all tables: that of {task!r} cannot be trained '
            "alone; freeze groups, with or without 'embedding'"
        )
    own = [f"{kind}.{task}" for kind in ("nodes", "scores", "heads")]
    own = [name for name in own if name in groups]
    if not own:
        raise ValueError(f"task {task!r} has no parameters of its own in {list(groups)}")
    freeze(module)
    return unfreeze(module, own)


def edge_logit_group(module: nn.Module) -> str | None:
    """The group of parameters that holds one logit an edge, see :func:`parameter_groups`.

    Args:
        module: A model with an ``encoder``, or an encoder.

    Returns:
        ``"scores"`` with static scores, ``"edges"`` of a mailbox with several senders, else
        ``None``. A logit's size is about 1, where that of a weight is about 1/√H: this group may
        want a larger learning rate than the rest.

    Raises:
        ValueError: For static scores without a task graph, as of one attention edge.

    Example:
        >>> from mtgnn.nn import CompleteGraphLSTM
        >>> edge_logit_group(CompleteGraphLSTM(3, 4, 3, memory="all"))
        'edges'
    """
    encoder = _encoder_of(uncompiled(module))
    if len(getattr(encoder, "edge_logits", ())):
        return "edges"
    static = getattr(encoder, "score", None) == "static"
    return "scores" if static and task_graph(encoder).num_edges > 0 else None


def _encoder_of(module: nn.Module) -> Any:
    """What a model holds as its encoder, or the encoder itself.

    Raises:
        ValueError: If a layer over a task graph stands under another name: its parts would be
            sorted as if they belonged to no node.
    """
    if hasattr(module, "encoder") or hasattr(module, "output_size"):  # as all encoders have
        return uncompiled(getattr(module, "encoder", module))
    other = [name for name, part in module.named_modules() if isinstance(part, GraphLSTM)]
    if other:
        raise ValueError(
            f"expected a model that holds its encoder as encoder, got a {type(module).__name__} "
            f"that holds one as {other[0]}"
        )
    return module


def _graph_of(module: nn.Module) -> TaskGraph:
    """The graph of a model's encoder or, where that has none, of the model."""
    encoder = _encoder_of(module)
    return task_graph(encoder if isinstance(getattr(encoder, "graph", None), TaskGraph) else module)


def find_groups(module: nn.Module, groups: Iterable[str] | None) -> Groups:
    """The groups that are meant by names as :func:`freeze` takes them; by default all.

    Raises:
        ValueError: If there is no such group.
    """
    there = parameter_groups(module)
    if isinstance(groups, str):
        raise ValueError(f"groups must be several names, got the string {groups!r}")
    wanted = list(there if groups is None else groups)
    meant = [name for name in there if name in wanted or name.partition(".")[0] in wanted]
    unknown = set(wanted) - set(meant) - {name.partition(".")[0] for name in meant}
    if unknown:
        raise ValueError(f"expected groups among {list(there)}, got {sorted(unknown)}")
    return {name: there[name] for name in meant}


def _set(module: nn.Module, groups: Iterable[str] | None, requires_grad: bool) -> list[str]:
    meant = find_groups(module, groups)
    for parameters in meant.values():
        for parameter in parameters.values():
            parameter.requires_grad_(requires_grad)
            if not requires_grad:
                parameter.grad = None
    return list(meant)


def _assign(group: dict[int, str], module: nn.Module, name: str) -> None:
    """Put the parameters of ``module`` that have no group yet into one."""
    for parameter in module.parameters():
        group.setdefault(id(parameter), name)


def _scores(group: dict[int, str], layer: GraphLSTM) -> None:
    """Sort the attention edges of a layer."""
    by_key: Any = layer.convs
    if layer.owned:
        for convs in by_key.values():
            for name, conv in convs.items():
                _assign(group, conv, f"scores.{name}")
    _assign(group, by_key, "scores")


def _by_node(
    group: dict[int, str], module: nn.Module, graph: TaskGraph, kinds: dict[str, str]
) -> None:
    """Sort what a module keeps under the names of nodes, and then the rest."""
    for name, part in _named_parts(module):
        if name in graph.tasks:
            _assign(group, part, f"{kinds['tasks']}.{name}")
        elif name in graph.virtual:
            _assign(group, part, f"{kinds['virtual']}.{name}")
    _assign(group, module, kinds["rest"])


def _named_parts(module: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """Names and modules of every ``ModuleDict``, outer ones first."""
    for part in module.modules():
        if isinstance(part, nn.ModuleDict):
            yield from part.items()

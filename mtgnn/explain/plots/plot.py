from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from os import PathLike
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from ...graph import TaskGraph
from ..graphs.matrix import between_tasks
from ..readouts.readout import equal_shares

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Okabe and Ito's colours: told apart by the colour-blind, too.
COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#F0E442", "#999999")


def plot_task_graphs(
    graphs: Mapping[str, TaskGraph],
    path: str | PathLike[str],
    groups: Sequence[int] | None = None,
) -> None:
    """Draw task graphs side by side, each as a circle of tasks and as a matrix.

    The circle shows the edges that weigh more than the mean of their receiver's (for attention:
    than equal attention would); the matrix shows all weights, a row for each receiver, and is grey
    where there is no edge.

    How thick and dark an edge is drawn says how far it is above that mean. Of shares, which sum to
    one at each receiver as attention does, an edge has its full width from twice the mean, and is
    a pale hair where all weigh about the same, for then they say nothing. Of other weights the full
    width is the largest weight of the graph. The edges of a graph without weights, and a share of
    one sender alone, have their full width.

    Args:
        graphs: Titles and graphs over the same tasks. Where a graph has no weights, the edges
            that enter a task share one equally.
        path: Where the picture goes; the ending says the format (``.png``, ``.svg``, …).
        groups: For each task a number; tasks with the same number get the same colour.

    Raises:
        ImportError: If matplotlib is not installed (extra ``plot``).
        ValueError: If there is no graph, they have no titles, or the graphs have different tasks.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ImportError('plots need matplotlib: pip install "mtgnn[plot]"') from error
    if not isinstance(graphs, Mapping):
        raise ValueError(
            f"expected graphs as a dict, by their titles, got a {type(graphs).__name__}"
        )
    if not graphs:
        raise ValueError("expected at least one graph")
    tasks = next(iter(graphs.values())).tasks
    for title, graph in graphs.items():
        if graph.tasks != tasks:
            raise ValueError(f"expected tasks {list(tasks)} in {title!r}, got {list(graph.tasks)}")
    groups = [0] * len(tasks) if groups is None else list(groups)
    if len(groups) != len(tasks):
        raise ValueError(f"expected a group for each of {len(tasks)} tasks, got {len(groups)}")
    size = max(4.6, 0.42 * len(tasks))
    figure = Figure(figsize=(1.1 * size * len(graphs), 1.75 * size), layout="constrained")
    axes = figure.subplots(2, len(graphs), squeeze=False, height_ratios=(1, 1.2))
    for column, (title, graph) in enumerate(graphs.items()):
        weights, there = weight_matrix(graph)
        _draw_circle(axes[0, column], tasks, edge_strength(graph), groups)
        axes[0, column].set_title(title, fontsize=14, pad=4)
        image = _draw_matrix(axes[1, column], tasks, weights.masked_fill(~there, torch.nan))
        figure.colorbar(image, ax=axes[1, column], shrink=0.8, label="weight")
    figure.savefig(path, dpi=150)


def weight_matrix(graph: TaskGraph) -> tuple[Tensor, Tensor]:
    """Weights between tasks, without weights equal ones, and where there are edges: see
    :func:`between_tasks`."""
    weight = equal_shares(graph) if graph.edge_weight is None else graph.edge_weight
    return between_tasks(graph, weight.float())


def edge_strength(graph: TaskGraph) -> Tensor:
    """How thick edges between tasks are drawn ``[K, K]``, row = receiver: from 0 to 1, and NaN
    where no edge is drawn."""
    weights, there = weight_matrix(graph)
    degree = there.sum(1, keepdim=True)
    mean = weights.sum(1, keepdim=True) / degree.clamp(min=1)
    drawn = (weights > 0) & (weights >= 0.999 * mean)
    if graph.edge_weight is None:
        return torch.ones_like(weights).masked_fill(~drawn, torch.nan)
    largest = float(weights.max()) or 1.0
    # A lone sender is above no other. The mean of effects may be negative, where nothing is 0.
    excess = weights - torch.where(degree == 1, 0, mean.clamp(min=0))
    full = torch.where(degree == 1, largest, mean) if _are_shares(graph) else largest
    return (excess / full).clamp(0, 1).masked_fill(~drawn, torch.nan)


def _are_shares(graph: TaskGraph) -> bool:
    """Whether the weights into each receiver are shares of one."""
    assert graph.edge_weight is not None
    receiver, weight = graph.edge_index[1], graph.edge_weight.double()
    total = torch.zeros(graph.num_nodes, dtype=torch.float64).index_add_(0, receiver, weight)
    return bool((weight >= 0).all() and ((total[receiver] - 1).abs() < 0.01).all())


def _draw_circle(axes: Axes, tasks: Sequence[str], strength: Tensor, groups: list[int]) -> None:
    count = len(tasks)
    order = sorted(range(count), key=lambda k: groups[k])
    angle = {k: math.pi / 2 - 2 * math.pi * place / count for place, k in enumerate(order)}
    spot = {k: (math.cos(a), math.sin(a)) for k, a in angle.items()}
    for k, i in (~strength.isnan()).nonzero().tolist():
        _draw_edge(axes, spot[i], spot[k], float(strength[k, i]), groups[i])
    for k, (x, y) in spot.items():
        axes.scatter(x, y, s=260, color=_colour(groups[k]), edgecolor="white", zorder=3)
        side = "center" if abs(x) < 0.2 else "left" if x > 0 else "right"
        name = axes.text(1.16 * x, 1.2 * y, tasks[k], ha=side, va="center", fontsize=10)
        name.set_in_layout(False)  # a long name would make the circle small
    axes.set(xlim=(-1.9, 1.9), ylim=(-1.35, 1.35), aspect="equal")
    axes.axis("off")


def _draw_edge(
    axes: Axes, start: tuple[float, float], end: tuple[float, float], strength: float, group: int
) -> None:
    from matplotlib.patches import FancyArrowPatch

    axes.add_patch(
        FancyArrowPatch(
            start,
            end,
            connectionstyle="arc3,rad=0.12",
            arrowstyle="-|>",
            mutation_scale=11,
            shrinkA=9,
            shrinkB=10,
            linewidth=0.4 + 2.6 * strength,
            alpha=0.2 + 0.7 * strength,
            color=_colour(group),
        )
    )


def _draw_matrix(axes: Axes, tasks: Sequence[str], weights: Tensor) -> Any:
    """Draw weights ``[K, K]``, NaN where there is no edge."""
    high, signed = float(weights.nan_to_num().abs().max()), bool((weights < 0).any())
    # Of signed weights the sign is what matters: white is zero, and no edge is grey.
    name, low = ("PuOr_r", -high) if signed else ("cividis", 0.0)
    axes.set_facecolor("0.88")
    image = axes.imshow(weights.numpy(), cmap=name, vmin=low, vmax=high)
    axes.set_xticks(range(len(tasks)), list(tasks), rotation=90)
    axes.set_yticks(range(len(tasks)), list(tasks))
    axes.set(xlabel="sender", ylabel="receiver")
    if len(tasks) <= 10:
        _write_weights(axes, weights, high, signed)
    return image


def _write_weights(axes: Axes, weights: Tensor, high: float, signed: bool) -> None:
    """Each weight in its square, in the ink that its colour needs."""
    size = 7 if signed else 8  # the sign needs room
    for k, row in enumerate(weights.tolist()):
        for i, weight in enumerate(row):
            dark = abs(weight) > 0.7 * high if signed else weight <= high / 2
            ink = "white" if dark else "black"
            if not math.isnan(weight):
                text = _short(weight)
                axes.text(i, k, text, ha="center", va="center", fontsize=size, color=ink)


def _short(value: float) -> str:
    """Two digits of a number below one, without the leading zero."""
    if abs(value) < 5e-4:
        return "0"
    text = f"{abs(value):.2f}" if abs(value) >= 0.095 else f"{abs(value):.3f}"
    return ("−" if value < 0 else "") + text.removeprefix("0")


def _colour(group: int) -> str:
    return COLOURS[group % len(COLOURS)]

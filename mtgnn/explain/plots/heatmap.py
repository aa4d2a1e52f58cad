from __future__ import annotations

from os import PathLike

from ..readouts.sentences import SentenceWeights


def plot_sentence(sentence: SentenceWeights, path: str | PathLike[str]) -> None:
    """Draw a sentence as a heat map: to whom its task listens (rows) at each word (columns).

    Args:
        sentence: From :class:`SentenceSample`.
        path: Where the picture goes; the ending says the format (``.png``, ``.svg``, …).

    Raises:
        ImportError: If matplotlib is not installed (extra ``plot``).
        ValueError: If the task listens to nobody.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ImportError('plots need matplotlib: pip install "mtgnn[plot]"') from error
    if not sentence.senders:
        raise ValueError(f"task {sentence.task!r} listens to nobody")
    rows, columns = len(sentence.senders), len(sentence.words)
    size = (2.2 + 0.42 * columns, 1.6 + 0.32 * rows)
    figure = Figure(figsize=size, layout="constrained")
    axes = figure.subplots()
    image = axes.imshow(sentence.weights.float().numpy(), cmap="cividis", vmin=0.0, aspect="auto")
    axes.set_xticks(range(columns), sentence.words, rotation=45, ha="right", parse_math=False)
    axes.set_yticks(range(rows), sentence.senders, parse_math=False)
    axes.set_title(f"{sentence.task} listens to", loc="left", fontsize=11, parse_math=False)
    figure.colorbar(image, ax=axes, label="weight")
    figure.savefig(path, dpi=150)

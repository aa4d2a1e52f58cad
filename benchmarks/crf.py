"""Speed of the CRF beside pytorch-crf and beside its own plain recursion, after equal values.

    python benchmarks/crf.py --csv crf.csv            # needs the extra "benchmarks"

Median milliseconds of one batch, and how many times faster than pytorch-crf, whose runs alternate
with ours. Before each timed run the same is run untimed.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from _record import write
from _timing import WHERE, alternate, environment
from torch import Tensor
from torchcrf import CRF

from mtgnn.nn import LinearChainCRF
from mtgnn.nn.heads import chain

# Sentences, words of the longest, tags: WNUT-17, CoNLL-2000 chunks, EWT XPOS in size.
SIZES = [(16, 25, 13), (32, 45, 23), (32, 45, 50), (64, 80, 23)]

COLUMNS = ["work", "sentences", "words", "tags", "ms", "ms_plain", "ms_pytorch_crf", "times_faster"]


class Plain(LinearChainCRF):
    """The same layer, by autograd through the recursion of log sums."""

    def forward(self, emissions: Tensor, y: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Log-likelihood of complete labels."""
        scores, sizes = self._scores(emissions), self._check(emissions, lengths).unsqueeze(0)
        total = chain.log_partition_plain(scores, sizes)
        return (chain.path_score(scores, y.unsqueeze(0), sizes) - total)[0]


def check(ours: Sequence[LinearChainCRF], theirs: CRF, batch: tuple[Tensor, ...]) -> None:
    """Equal likelihoods, gradients and best paths, in float64."""
    emissions, y, lengths, mask = batch
    leaf = emissions.double().requires_grad_()
    theirs.double()
    expected = theirs(leaf, y, mask, reduction="none")
    inputs = [leaf, theirs.transitions, theirs.start_transitions, theirs.end_transitions]
    gradients = torch.autograd.grad(expected.sum(), inputs)
    for crf in ours:
        crf.double()
        crf.load_state_dict(theirs.state_dict())
        got = crf(leaf, y, lengths)
        torch.testing.assert_close(got, expected)
        inputs = [leaf, crf.transitions, crf.start_transitions, crf.end_transitions]
        for one, other in zip(torch.autograd.grad(got.sum(), inputs), gradients, strict=True):
            torch.testing.assert_close(one, other)
    paths = [
        row[:length].tolist()
        for row, length in zip(ours[0].decode(leaf, lengths), lengths, strict=True)
    ]
    assert paths == theirs.decode(leaf, mask)
    for crf in (*ours, theirs):
        crf.float()


def milliseconds(calls: Sequence[Callable[[], object]], repeats: int) -> list[float]:
    """Median milliseconds of each, taking turns."""
    times = alternate(dict(enumerate(calls)), "cpu", float("inf"), repeats)
    return [1e3 * own.median for own in times.values()]


def measure(size: tuple[int, int, int], repeats: int) -> list[list[object]]:
    """The rows of one size."""
    batch_size, steps, num_tags = size
    torch.manual_seed(0)
    ours, plain = LinearChainCRF(num_tags), Plain(num_tags)
    theirs = CRF(num_tags, batch_first=True)
    emissions = torch.randn(batch_size, steps, num_tags) * 3
    y = torch.randint(num_tags, (batch_size, steps))
    lengths = torch.randint(steps // 2, steps + 1, (batch_size,))
    lengths[0] = steps
    mask = torch.arange(steps) < lengths.unsqueeze(1)
    check([ours, plain], theirs, (emissions, y, lengths, mask))
    leaf = emissions.requires_grad_()
    training = [
        lambda: ours(leaf, y, lengths).sum().backward(),
        lambda: plain(leaf, y, lengths).sum().backward(),
        lambda: theirs(leaf, y, mask, reduction="sum").backward(),
    ]
    own, slow, other = milliseconds(training, repeats)
    rows = [["forward and backward", *size, own, slow, other, other / own]]
    own, other = milliseconds(
        [lambda: ours.decode(leaf, lengths), lambda: theirs.decode(leaf, mask)], repeats
    )
    return [*rows, ["decode", *size, own, None, other, other / own]]


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=50)
    parser.add_argument("--csv", type=Path, help="write the record here")
    options = parser.parse_args()
    print(*COLUMNS, sep=",")
    lines, where = [], environment("cpu")
    for size in SIZES:
        for row in measure(size, options.repeats):
            cells = [f"{v:.2f}" if isinstance(v, float) else v for v in row]
            print(*cells, sep=",", flush=True)
            lines.append(dict(zip(COLUMNS, cells, strict=True)) | where)
    if options.csv:
        write(options.csv, (*COLUMNS, *WHERE), lines)


if __name__ == "__main__":
    main()

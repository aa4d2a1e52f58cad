"""Two layers, two directions and every option against a loop over words, nodes and heads.

The loop knows vectors and lists only: no batch, no padding, no stacking, nothing of the library
but the names of its parameters. It reads the sentence backwards by reversing a list.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from mtgnn import TaskGraph
from mtgnn.nn import GraphLSTM, StarGraphLSTM
from mtgnn.testing import assert_heard, randomise

B, T, E, H = 3, 3, 2, 3
LENGTHS, TASK = torch.tensor([3, 2, 2]), torch.tensor([1, 2, 0])
TASKS = ("a", "b", "c")
# Node "a" hears only the virtual node; "c" hears tasks only; "b" hears both.
LOOPS = [("a", "b"), ("shared", "b"), ("b", "c"), ("a", "c"), ("shared", "a"), ("c", "shared")]
CYCLIC = TaskGraph.from_edges(LOOPS, TASKS, ("shared",))
ACYCLIC = TaskGraph.from_edges(LOOPS[:-1], TASKS, ("shared",))

OPTIONS: dict[str, dict[str, Any]] = {
    "plain": {},
    "gated": {"heads": 2, "score_channels": 2, "score_owner": "receiver", "fusion": "gated"},
    "dot": {"score": "dot", "heads": 2, "detach": True, "fusion": "gated"},
    "detach": {"detach": True, "score_owner": "receiver"},
    "static": {"score": "static", "heads": 2},
    "uniform": {"score": "uniform"},
}
LAYERS: dict[str, Callable[..., GraphLSTM]] = {
    "mutual": lambda **o: GraphLSTM(E, H, CYCLIC, "mutual", **o),
    "read": lambda **o: GraphLSTM(E, H, CYCLIC, "read", **o),
    "cascade": lambda **o: GraphLSTM(E, H, ACYCLIC, "cascade", **o),
    "all": lambda **o: StarGraphLSTM(E, H, TASKS, "all", **o),
    "past": lambda **o: StarGraphLSTM(E, H, TASKS, "past", **o),
    "current": lambda **o: StarGraphLSTM(E, H, TASKS, "current", **o),
    "several, all": lambda **o: GraphLSTM(E, H, CYCLIC, "read", memory="all", **o),
    "several, past": lambda **o: GraphLSTM(E, H, CYCLIC, "read", memory="past", **o),
}
NO_STATIC = ("all", "past", "current", "several, all", "several, past")
CASES = [(a, o) for a in LAYERS for o in OPTIONS if not (a in NO_STATIC and o == "static")]


class Loop:
    """One sentence, run by the formulas with the parameters of a layer."""

    def __init__(self, layer: GraphLSTM, options: dict[str, Any]) -> None:
        self.layer, self.graph = layer, layer.graph
        self.heads = options.get("heads", 1)
        self.score = options.get("score", "additive")
        self.gated = options.get("fusion") == "gated"
        self.own = options.get("score_owner") == "receiver"
        self.detach = options.get("detach", False)
        self.memory = layer.memory
        self.alpha: list[dict[tuple[int, int], Tensor]] = []

    def __call__(self, x: Tensor, task: int) -> Tensor:
        """States ``[T, 2H]`` of a task; ``x`` is ``[T, E]`` or ``[T, N, E]``."""
        nodes = range(self.graph.num_nodes)
        loud = {n: [word if x.dim() == 2 else word[n] for word in x] for n in nodes}
        quiet = dict(loud)
        for depth in range(self.layer.num_layers):
            both, still = {n: [] for n in nodes}, {n: [] for n in nodes}
            for back in (False, True):
                key = f"l{depth}_reverse" if back else f"l{depth}"
                turn = (lambda states: states[::-1]) if back else list
                self.alpha.append({})
                silent = {n: turn(quiet[n]) for n in nodes}
                if self.layer.exchange == "read":
                    silent = {n: self.silent(key, n, words) for n, words in silent.items()}
                words = {n: turn(loud[n]) for n in nodes}
                states = self.run(key, words, silent, task)
                if back:
                    self.alpha[-1] = self.turned(self.alpha[-1], len(x))
                for n in nodes:
                    both[n].append(turn(states[n]))
                    still[n].append(turn(silent[n]))
            loud = {n: [torch.cat(pair) for pair in zip(*both[n], strict=True)] for n in nodes}
            quiet = {n: [torch.cat(pair) for pair in zip(*still[n], strict=True)] for n in nodes}
        return torch.stack(loud[task])

    def turned(self, alpha: dict, steps: int) -> dict:
        """Weights by (step, edge) or (step, position), back in reading order."""
        if self.memory in ("all", "past"):
            return {(steps - 1 - t, steps - 1 - j): a for (t, j), a in alpha.items()}
        return {(steps - 1 - t, e): a for (t, e), a in alpha.items()}

    def silent(self, key: str, node: int, words: list[Tensor]) -> list[Tensor]:
        h = c = words[0].new_zeros(H)
        states = []
        for word in words:
            h, c = self.update(key, node, word, h, c, None)
            states.append(h)
        return states

    def run(self, key: str, words: dict, silent: dict, task: int) -> dict[int, list[Tensor]]:
        reading = self.layer.exchange == "read"
        order = [task] if reading else list(range(self.graph.num_nodes))
        if self.layer.exchange == "cascade":
            order = [self.graph.index(name) for name in ("shared", "a", "b", "c")]
        zero = words[task][0].new_zeros(H)
        h, c = dict.fromkeys(words, zero), dict.fromkeys(words, zero)
        states: dict[int, list[Tensor]] = {n: [] for n in words}
        for t in range(len(words[task])):
            new_h = dict(h)
            for n in order:
                senders = self.graph.incoming(n)
                if self.memory in ("all", "past"):
                    end = len(words[n]) if self.memory == "all" else t + 1
                    sent = [(j, self.mixed(key, senders, silent, j)) for j in range(end)]
                elif reading:
                    sent = [(e, self.cut(i, silent[i][t])) for e, i in senders]
                else:
                    source = new_h if self.layer.exchange == "cascade" else h
                    sent = [(e, self.cut(i, source[i])) for e, i in senders]
                r = self.message(key, n, t, h[n], words[n][t], sent) if sent else None
                new_h[n], c[n] = self.update(key, n, words[n][t], h[n], c[n], r)
            h = new_h
            for n in words:
                states[n].append(h[n])
        return states if not reading else {**silent, task: states[task]}

    def mixed(self, key: str, senders: list[tuple[int, int]], silent: dict, j: int) -> Tensor:
        """What stands in a mailbox at position j."""
        sent = [self.cut(i, silent[i][j]) for _, i in senders]
        if len(sent) == 1:
            return sent[0]
        powers = [self.layer.edge_logits[key][e].exp() for e, _ in senders]
        return sum(power / sum(powers) * m for power, m in zip(powers, sent, strict=True))

    def cut(self, sender: int, message: Tensor) -> Tensor:
        return message.detach() if self.detach and sender < len(TASKS) else message

    def message(
        self, key: str, node: int, t: int, h: Tensor, word: Tensor, sent: list[tuple[int, Tensor]]
    ) -> Tensor:
        conv = self.layer.convs[key][self.graph.nodes[node] if self.own else "shared"]
        parts, weights_of_heads = [], []
        for p in range(self.heads):
            scores = []
            for e, m in sent:
                if self.score == "uniform":
                    scores.append(word.new_zeros(()))
                    continue
                if self.score == "static":
                    scores.append(conv.logit[e, p])
                    continue
                width = conv.lin_query.weight.size(0) // self.heads
                own = slice(p * width, (p + 1) * width)
                query = conv.lin_query.weight[own] @ h + conv.lin_context.weight[own] @ word
                key_ = conv.lin_sender.weight[own] @ m
                if self.score == "dot":
                    scores.append(query.dot(key_) / math.sqrt(width))
                else:
                    scores.append(conv.att[p].dot((query + key_ + conv.bias[own]).tanh()))
            powers = [(s - max(scores)).exp() for s in scores]
            weights = [power / sum(powers) for power in powers]
            weights_of_heads.append(weights)
            parts.append(sum(w * m for w, (_, m) in zip(weights, sent, strict=True)))
        for (e, _), weights in zip(sent, zip(*weights_of_heads, strict=True), strict=True):
            self.alpha[-1][t, e] = torch.stack(weights)
        return torch.cat(parts)

    def update(
        self, key: str, node: int, word: Tensor, h: Tensor, c: Tensor, r: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        def own(name: str) -> Tensor:
            return getattr(self.layer.nodes[self.graph.nodes[node]], f"{name}_{key}")

        z = own("weight_ih") @ word + own("bias_ih")
        z = z + own("weight_hh") @ h + own("bias_hh")
        if r is not None:
            if self.gated:
                gate = own("weight_gate") @ torch.cat([h, r]) + own("bias_gate")
                r = r / (1 + torch.exp(-gate))
            z = z + own("weight_rh") @ r
        i, f, g, o = z.view(4, H)
        c = c / (1 + torch.exp(-f)) + torch.tanh(g) / (1 + torch.exp(-i))
        return torch.tanh(c) / (1 + torch.exp(-o)), c


def check(layer: GraphLSTM, options: dict[str, Any], x: Tensor) -> None:
    assert_heard(layer, x, LENGTHS, TASK)
    x = x.requires_grad_()
    out, _, attention = layer(x, LENGTHS, TASK, return_attention_weights=True)
    plain, weights = [], []
    for b in range(B):
        loop = Loop(layer, options)
        plain.append(loop(x[b, : LENGTHS[b]], int(TASK[b])))
        weights.append(loop.alpha)
    for b in range(B):
        torch.testing.assert_close(out[b, : LENGTHS[b]], plain[b], rtol=1e-10, atol=1e-12)
        own = {e for e, _ in layer.graph.incoming(int(TASK[b]))}
        box = layer.memory != "current"
        for (_, alpha), expected in zip(attention, weights[b], strict=True):
            mine = {place: a for place, a in expected.items() if box or place[1] in own}
            assert len(mine) >= LENGTHS[b]
            for (t, e), a in mine.items():
                torch.testing.assert_close(alpha[b, t, e], a, rtol=1e-10, atol=1e-12)
    leaves = {"x": x, **dict(layer.named_parameters())}
    tilt = torch.randn(2 * H, generator=torch.Generator().manual_seed(2)).double()
    loss = (out.sin() @ tilt).sum()
    expected_loss = sum((p.sin() @ tilt).sum() for p in plain)
    mine = torch.autograd.grad(loss, list(leaves.values()), materialize_grads=True)
    theirs = torch.autograd.grad(expected_loss, list(leaves.values()), materialize_grads=True)
    for name, got, expected in zip(leaves, mine, theirs, strict=True):
        torch.testing.assert_close(
            got, expected, rtol=1e-8, atol=1e-10, msg=lambda m, name=name: f"{name}: {m}"
        )


@pytest.mark.parametrize(("name", "option"), CASES)
def test_two_layers_both_ways_equal_the_loop(name: str, option: str) -> None:
    options = OPTIONS[option]
    layer = randomise(LAYERS[name](num_layers=2, bidirectional=True, **options))
    x = torch.randn(B, T, E, generator=torch.Generator().manual_seed(3)).double()
    check(layer, options, x)


@pytest.mark.parametrize("name", LAYERS)
def test_inputs_of_each_node_equal_the_loop(name: str) -> None:
    layer = randomise(LAYERS[name](num_layers=2, bidirectional=True, heads=2))
    nodes = layer.graph.num_nodes
    x = torch.randn(B, T, nodes, E, generator=torch.Generator().manual_seed(3)).double()
    check(layer, {"heads": 2}, x)
    other = x.detach().clone()
    other[:, :, nodes - 1] += 1.0  # the virtual node's own input: "a" hears of it
    task = torch.zeros(B, dtype=torch.long)
    assert not torch.allclose(layer(other, None, task)[0], layer(x, None, task)[0])

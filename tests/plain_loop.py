"""One sentence, run by the formulas with the parameters of a layer: over words, nodes and heads.

The loop knows vectors and lists only: no batch, no padding, no stacking, nothing of the library
but the names of its parameters. It reads the sentence backwards by reversing a list.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from mtgnn import TaskGraph
from mtgnn.nn import GraphLSTM

TASKS = ("a", "b", "c")
# Node "a" hears only the virtual node; "c" hears tasks only; "b" hears both.
LOOPS = [("a", "b"), ("shared", "b"), ("b", "c"), ("a", "c"), ("shared", "a"), ("c", "shared")]
CYCLIC = TaskGraph.from_edges(LOOPS, TASKS, ("shared",))
ACYCLIC = TaskGraph.from_edges(LOOPS[:-1], TASKS, ("shared",))


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
        h = c = words[0].new_zeros(self.layer.hidden_size)
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
        zero = words[task][0].new_zeros(self.layer.hidden_size)
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
        i, f, g, o = z.chunk(4)
        c = c / (1 + torch.exp(-f)) + torch.tanh(g) / (1 + torch.exp(-i))
        return torch.tanh(c) / (1 + torch.exp(-o)), c

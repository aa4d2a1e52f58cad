"""``torch.compile``: no graph breaks, same values and gradients, no compilation for another T."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch._dynamo.backends.debugging import aot_eager

from mtgnn import TaskGraph
from mtgnn.data import SentenceEncoder, Vocabulary
from mtgnn.nn import LinearChainCRF, MultiTaskModel, TaggingModel, TaskAttentionConv, build_encoder
from mtgnn.nn.graph_lstm.attention import stack_scores
from mtgnn.ops.attention import attend
from mtgnn.ops.recurrence import cell
from mtgnn.testing import randomise

# torch's tracer looks at the .grad of states that earlier steps computed, and warns of itself.
pytestmark = pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor:UserWarning")

E, H = 3, 4
GRAPH = TaskGraph.complete(4)


class Counter:
    """A compiler that counts the graphs it is given."""

    def __init__(self) -> None:
        self.graphs = 0

    def __call__(self, graph: Any, inputs: Any) -> Callable:
        self.graphs += 1
        return aot_eager(graph, inputs)

    def compile(self, what: Any) -> Any:
        return torch.compile(what, fullgraph=True, backend=self)


@pytest.fixture
def counter() -> Iterator[Counter]:
    torch._dynamo.reset()
    yield Counter()
    torch._dynamo.reset()


def draw(*shape: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(shape, generator=generator, dtype=torch.float64)


def make(score: str) -> TaskAttentionConv:
    edges = GRAPH.num_edges if score == "static" else None
    context = E if score in ("additive", "dot") else 0
    return randomise(
        TaskAttentionConv(H, context_channels=context, heads=2, score=score, num_edges=edges)
    )


@pytest.mark.parametrize("score", ["additive", "dot", "static", "uniform"])
def test_the_attention_edge_compiles_whole(score: str, counter: Counter) -> None:
    conv = make(score)
    compiled = counter.compile(conv)
    word = draw(4, E) if conv.lin_context is not None else None
    x = draw(4, H).requires_grad_()
    leaves = [x, *conv.parameters()]
    results = []
    for layer in (conv, compiled):
        out, (_, alpha) = layer(x, GRAPH.edge_index, word, return_attention_weights=True)
        loss = out.sin().sum() + alpha.cos().sum()
        results.append((out, alpha, *torch.autograd.grad(loss, leaves)))
    assert results[0][0].any()
    torch.testing.assert_close(results[1], results[0])
    assert counter.graphs == 1


def test_graphs_of_other_sizes_are_compiled_once_more_only(counter: Counter) -> None:
    conv = make("additive")
    compiled = counter.compile(conv)
    for nodes in (4, 5, 7):
        graph = TaskGraph.complete(nodes)
        inputs = draw(nodes, H), graph.edge_index, draw(nodes, E)
        torch.testing.assert_close(compiled(*inputs), conv(*inputs))
    assert counter.graphs == 2  # for one size, then for any


class Step(nn.Module):
    """A step of the recurrence for S slots with J senders each, from the library's parts."""

    def __init__(self, score: str) -> None:
        super().__init__()
        self.conv = make(score)
        self.weight = nn.Parameter(draw(E + H + 2 * H, 4 * H, seed=1))

    def forward(
        self, word: Tensor, h: Tensor, c: Tensor, sent: Tensor, mask: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        scores = stack_scores([self.conv])
        keys, query = scores.project_senders(sent), scores.project_query(h, word)
        message, alpha = attend(scores, query, keys, sent, mask)
        h, c = cell(torch.cat([word, h, message], -1) @ self.weight, c)
        return h, c, alpha


def run(step: Callable, steps: int, senders: int, past: bool = False) -> Tensor:
    """States of two slots over some steps; with ``past``, step t has t + 1 senders."""
    h, c = torch.zeros(2, 2, H, dtype=torch.float64).unbind(0)
    words, states = draw(steps, 2, E), []
    sent = draw(2, steps if past else senders, H, seed=3)
    mask = torch.ones(sent.shape[:2], dtype=torch.bool)
    for t in range(steps):
        end = t + 1 if past else senders
        h, c, _ = step(words[t], h, c, sent[:, :end], mask[:, :end])
        states.append(h)
    return torch.stack(states)


def test_the_step_compiles_whole_and_no_more_at_a_new_length(counter: Counter) -> None:
    plain = Step("additive")
    compiled = counter.compile(plain)
    run(compiled, 2, 3)  # the first step starts from zeros, which have no gradient
    warm = counter.graphs
    assert warm == 2
    for steps in (3, 8):
        expected, got = run(plain, steps, 3), run(compiled, steps, 3)
        torch.testing.assert_close(got, expected)
        gradients = [
            torch.autograd.grad(states.sin().sum(), list(plain.parameters()))
            for states in (expected, got)
        ]
        assert all(bool(gradient.any()) for gradient in gradients[0])
        torch.testing.assert_close(*gradients)
    assert counter.graphs == warm
    # The senders are heard: without the last one, states differ.
    assert not torch.allclose(run(plain, 3, 3), run(plain, 3, 2))


def test_the_step_over_a_mailbox_compiles_no_more_at_a_new_length(counter: Counter) -> None:
    plain = Step("dot")
    compiled = counter.compile(plain)
    for steps in (3, 4):  # until sizes and strides are known to vary
        run(compiled, steps, 0, past=True)
    warm = counter.graphs
    assert warm <= 4
    got, expected = (run(s, 7, 0, past=True) for s in (compiled, plain))
    torch.testing.assert_close(got, expected)
    assert counter.graphs == warm


@pytest.mark.parametrize("encoder", ["complete", "star", "shared"])
def test_a_whole_model_compiles_around_the_loop_over_time(encoder: str) -> None:
    """Graphs do not grow with the length, and are not compiled anew for each."""
    sizes: list[int] = []

    def compiler(graph: Any, inputs: Any) -> Callable:
        sizes.append(len(graph.graph.nodes))
        return aot_eager(graph, inputs)

    def batch(steps: int) -> tuple[Tensor, Tensor, Tensor]:
        tokens = torch.randint(3, 9, (5, steps), generator=torch.Generator().manual_seed(steps))
        return tokens, torch.tensor([steps, 2, steps - 1, 1, 3]), torch.arange(5) % 3

    torch._dynamo.reset()
    classes = {task: ["no", "yes"] for task in "abc"}
    vocabulary = Vocabulary(list("pqrstu"))
    model = MultiTaskModel(vocabulary, classes, encoder, embedding_size=E, hidden_size=H)
    model = randomise(model).eval()
    compiled = torch.compile(model, backend=compiler)
    for steps in (4, 5):  # for one length, then for any
        compiled(*batch(steps))
    warm = len(sizes)
    for steps in (7, 30):
        torch.testing.assert_close(compiled(*batch(steps)), model(*batch(steps)))
    gradients = [
        torch.autograd.grad(run(*batch(30)).sum(), list(model.parameters()), allow_unused=True)
        for run in (model, compiled)
    ]
    torch.testing.assert_close(*gradients)
    torch._dynamo.reset()
    assert warm and len(sizes) == warm
    assert max(sizes) < 100


@pytest.mark.parametrize("name", ["shared_private", "mixture", "cross_stitch", "hierarchical"])
def test_encoders_made_of_others_are_left_to_the_loop_as_a_whole(name: str) -> None:
    """What stands around their loops would break into many graphs, anew for other batches."""
    counter, line = Counter(), TaskGraph.from_edges([("a", "b"), ("b", "c")])
    options = {"graph": line} if name == "hierarchical" else {}
    layer = build_encoder(name, E, H, ("a", "b", "c"), **options).double().eval()
    torch._dynamo.reset()
    compiled = torch.compile(layer, backend=counter)
    lengths, task = torch.tensor([4, 2, 1]), torch.tensor([0, 2, 1])
    torch.testing.assert_close(
        compiled(draw(3, 4, E), lengths, task)[0], layer(draw(3, 4, E), lengths, task)[0]
    )
    torch._dynamo.reset()
    assert counter.graphs == 0


def test_a_model_that_tags_compiles_around_its_loops_over_time() -> None:
    sizes: list[int] = []

    def compiler(graph: Any, inputs: Any) -> Callable:
        sizes.append(len(graph.graph.nodes))
        return aot_eager(graph, inputs)

    classes = {"pos": ["N", "V"], "chunk": ["O", "B-X", "I-X"]}
    sentences = SentenceEncoder.build([["pq", "q", "rst"]], classes)
    options = {"embedding_size": E, "character_size": 4, "hidden_size": H}
    model = randomise(TaggingModel(sentences, "complete", **options)).eval()

    def batch(steps: int) -> tuple[Tensor, Tensor, Tensor]:
        generator = torch.Generator().manual_seed(steps)
        tokens = torch.randint(3, 6, (3, steps), generator=generator)
        letters = torch.randint(1, len(sentences.characters), (3, steps, 4), generator=generator)
        return tokens, letters, torch.tensor([steps, 2, steps - 1])

    torch._dynamo.reset()
    compiled = torch.compile(model, backend=compiler)
    for steps in (4, 5):
        compiled(*batch(steps))
    warm = len(sizes)
    for steps in (7, 30):
        torch.testing.assert_close(compiled(*batch(steps)), model(*batch(steps)))
    torch._dynamo.reset()
    assert warm and len(sizes) == warm
    assert max(sizes) < 150


def test_a_crf_compiles_around_its_loop_over_time() -> None:
    crf, sizes = LinearChainCRF(3), []

    def compiler(graph: Any, inputs: Any) -> Callable:
        sizes.append(len(graph.graph.nodes))
        return aot_eager(graph, inputs)

    def work(emissions: Tensor, y: Tensor, lengths: Tensor) -> tuple[Tensor, ...]:
        scored = emissions.tanh()
        told = crf(scored, y, lengths), crf.marginals(scored, lengths).sin()
        return *told, crf.decode(scored, lengths)

    torch._dynamo.reset()
    compiled = torch.compile(work, backend=compiler)
    for steps in (4, 5, 9, 30):
        given = torch.randn(2, steps, 3), torch.ones(2, steps, dtype=torch.long)
        lengths = torch.tensor([steps, 3])
        torch.testing.assert_close(compiled(*given, lengths), work(*given, lengths))
    torch._dynamo.reset()
    assert sizes and max(sizes) < 150  # best_path alone would be 459

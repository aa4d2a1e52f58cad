"""Contextual vectors in the place of word embeddings: a Hugging Face encoder feeds a star graph.

A layer of this library reads any sequence of vectors ``[B, T, E]``; here they are the last hidden
states of a transformer, which stays frozen. With a name, its weights come from the cache or the
network; without one, a tiny transformer with random weights shows that the parts fit.

    python examples/contextual_vectors.py
    python examples/contextual_vectors.py --encoder distilbert-base-uncased
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from _errors import one_line_errors
from torch import Tensor, nn

from mtgnn.data import Vocabulary
from mtgnn.datasets import PlantedTasks
from mtgnn.nn import ClassificationHeads, Pooling, StarGraphLSTM

try:
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import AutoModel, AutoTokenizer, BertConfig, PreTrainedTokenizerFast
except ImportError as error:
    raise SystemExit(f'{error}: pip install "mtgnn[contextual]"') from error


def named_encoder(name: str) -> tuple[Any, nn.Module]:
    """Tokenizer and encoder by their name on the Hugging Face Hub."""
    return AutoTokenizer.from_pretrained(name), AutoModel.from_pretrained(name)


def tiny_encoder(texts: Sequence[str]) -> tuple[Any, nn.Module]:
    """A tokenizer that knows the words of ``texts``, and a small BERT with random weights."""
    words = {word: i for i, word in enumerate(Vocabulary.build(texts).tokens)}
    tokenizer = Tokenizer(models.WordLevel(words, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    config = BertConfig(
        vocab_size=len(words),
        hidden_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=64,
        max_position_embeddings=64,
        initializer_range=0.1,
    )
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="<pad>", unk_token="<unk>", model_max_length=64
    )
    return fast, AutoModel.from_config(config)


class ContextualClassifier(nn.Module):
    """Frozen transformer → star graph of tasks → one head a task.

    Args:
        tokenizer: A Hugging Face tokenizer; it pads to the right.
        transformer: An encoder with ``last_hidden_state``.
        tasks: Task names.
        hidden_size: Size of a state.
    """

    def __init__(
        self, tokenizer: Any, transformer: nn.Module, tasks: Sequence[str], hidden_size: int
    ) -> None:
        super().__init__()
        self.tokenizer, self.transformer = tokenizer, transformer.requires_grad_(False)
        self.encoder = StarGraphLSTM(transformer.config.hidden_size, hidden_size, tasks)
        self.pooling = Pooling("max", hidden_size)
        self.heads = ClassificationHeads(hidden_size, [2] * len(tasks), tasks)

    def vectors(self, texts: Sequence[str]) -> tuple[Tensor, Tensor]:
        """Contextual vectors ``[B, T, E]`` of texts, and how many are real ``[B]``."""
        tokens = self.tokenizer(
            list(texts),
            padding=True,
            padding_side="right",
            truncation=True,
            return_token_type_ids=False,
            return_tensors="pt",
        )
        self.transformer.eval()  # no dropout in vectors that are not trained
        with torch.no_grad():
            states = self.transformer(**tokens).last_hidden_state
        return states, tokens["attention_mask"].sum(1)

    def forward(self, texts: Sequence[str], task: Tensor) -> Tensor:
        """Logits ``[B, 2]``."""
        x, lengths = self.vectors(texts)
        out, _ = self.encoder(x, lengths, task)
        return self.heads(self.pooling(out, lengths), task)


def batches(data: PlantedTasks, size: int) -> Iterator[tuple[list[str], Tensor, Tensor]]:
    """Texts, tasks and labels in random order."""
    for chosen in torch.randperm(len(data)).split(size):
        yield [data.text[i] for i in chosen.tolist()], data.task[chosen], data.y[chosen]


def main() -> None:
    """Train, test, print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--encoder", metavar="NAME", help="of a model on the Hub, or a folder")
    parser.add_argument("--epochs", type=int, default=12)
    options = parser.parse_args()
    torch.manual_seed(0)
    sizes = {"num_tasks": 4, "num_groups": 2, "num_train": 200, "num_test": 100}
    train, test = (PlantedTasks(split=part, seed=100, **sizes) for part in ("train", "test"))
    parts = named_encoder(options.encoder) if options.encoder else tiny_encoder(train.text)
    model = ContextualClassifier(*parts, train.tasks, hidden_size=50)
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.Adam(trained, 5e-3)
    for epoch in range(1, options.epochs + 1):
        total = 0.0
        for texts, task, y in batches(train, 32):
            loss = nn.functional.cross_entropy(model(texts, task), y)
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(trained, 1.0)
            optimizer.step()
            total += float(loss.detach()) * len(y)
        print(f"epoch {epoch}: loss {total / len(train):.3f}")
    model.eval()
    with torch.no_grad():
        right = model(test.text, test.task).argmax(1) == test.y
    for k, name in enumerate(train.tasks):
        print(f"{name}: {right[test.task == k].float().mean():.1%}")


if __name__ == "__main__":
    with one_line_errors():
        main()

"""A whole model that tags: words and characters, encoder, tagging heads, with all their names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor, nn

from ...data import NO_LABEL, SentenceEncoder
from ..check import whole_numbers
from ..heads import TaggingHeads
from ..heads.tag_scheme import task_transitions
from ..reset import reset_children
from . import saved
from .check_model import check_kind, check_tokens
from .encoders import with_additions
from .tag_answers import tag_answers
from .trainable import Output, Samples, samples
from .whole import WholeModel, encode, head_logits, take_encoder
from .words import WordEmbedding, build_characters


class TaggingModel(WholeModel):
    """Tags sentences for several tasks: words and characters, encoder, one tagging head a task.

    A sentence is tagged for all tasks at once, or for one.

    In a bidirectional encoder each direction has its own exchange: what a task hears at a word
    from the forward side has read up to that word or, in a star's mailbox, is a forward state of
    any word; and likewise backwards. There are two mailboxes: position j of the forward one has
    read words 1…j, position j of the backward one has read words T…j, and with ``memory="past"``
    the backward task at word t reads positions j ≥ t.

    Args:
        sentences: Numbers of words, characters and tags; its tasks are those of the model.
        encoder: A name (see :func:`build_encoder`), or a module that is called like
            :class:`GraphLSTM`, with ``graph`` and ``output_size``.
        embedding_size: Size of a word's own vector.
        characters: What reads the characters: ``"lstm"``, ``"cnn"`` (on CoNLL-2000 worse, with and
            without a graph) or ``"none"``.
        character_size: Size of the vector made of them; of an LSTM's two directions together.
        hidden_size: Size H of a state; for a named encoder.
        crf: Whether tags are scored as whole sentences, by a :class:`LinearChainCRF` a task.
        schemes: Tag schemes of tasks whose tags are spans, such as ``{"chunk": "IOB2"}``: with a
            CRF, what a scheme forbids then has probability 0. ``schemes`` of a dataset fits.
        dropout: Dropout on word vectors and on the encoder's output.
        encoder_options: Options of a named encoder; ``bidirectional=True`` and, of a star, which
            then reads its shared node at the same word, ``memory="current"`` unless they say
            otherwise. Graphs have the same additions as in :class:`MultiTaskModel`.
        vectors: ``[V, embedding_size]``, vectors of words to start from.

    Attributes:
        tasks: Names of the tasks.
        classes: The tags of each task, in the order of their numbers.

    Raises:
        ValueError: For an unknown option, tasks that differ from the encoder's, a scheme of an
            unknown task or one that its tags are not of, or vectors of another size.

    Example:
        >>> tags = {"pos": ["DT", "NN", "VBZ"], "chunk": ["O", "B-NP", "I-NP"]}
        >>> sentences = SentenceEncoder.build([["A", "dog", "barks"]], tags)
        >>> model = TaggingModel(sentences, "star", hidden_size=4, crf=True)
        >>> [tagged] = model.predict([["A", "dog"]])
        >>> {task: len(found) for task, found in tagged.items()}
        {'pos': 2, 'chunk': 2}
    """

    def __init__(
        self,
        sentences: SentenceEncoder,
        encoder: str | nn.Module = "complete",
        *,
        embedding_size: int = 100,
        characters: str = "lstm",
        character_size: int = 50,
        hidden_size: int = 100,
        crf: bool = False,
        schemes: Mapping[str, str] | None = None,
        dropout: float = 0.0,
        encoder_options: Mapping[str, Any] | None = None,
        vectors: Tensor | None = None,
    ) -> None:
        super().__init__()
        check_kind(sentences, SentenceEncoder)
        self.sentences = sentences
        self.classes = sentences.classes
        self.tasks = tuple(self.classes)
        rules = dict(schemes or {})
        if not rules.keys() <= self.classes.keys():
            raise ValueError(f"expected schemes of tasks {list(self.tasks)}, got {list(rules)}")
        self._options: dict[str, Any] = {
            "embedding_size": embedding_size,
            "characters": characters,
            "character_size": character_size,
            "hidden_size": hidden_size,
            "crf": crf,
            "schemes": rules,
            "dropout": dropout,
        }
        if isinstance(encoder, str):
            memory = {"memory": "current"} if encoder == "star" else {}
            encoder_options = {"bidirectional": True, **memory, **(encoder_options or {})}
        encoder_options = with_additions(encoder, encoder_options)
        self._encoder = saved.describe_encoder(encoder, encoder_options)
        reader = build_characters(characters, len(sentences.characters), character_size)
        self.words = WordEmbedding(
            len(sentences.words), embedding_size, reader, dropout=dropout, vectors=vectors
        )
        self.encoder = take_encoder(
            encoder, encoder_options, self.words.output_size, hidden_size, self.tasks
        )
        transitions = {k: task_transitions(k, self.classes[k], rules[k]) for k in rules}
        allowed = [transitions.get(task) if crf else None for task in self.classes]
        size: int = self.encoder.output_size  # type: ignore[assignment]
        sizes = [len(tags) for tags in self.classes.values()]
        self.heads = TaggingHeads(size, sizes, self.tasks, crf=crf, allowed=allowed)
        self.dropout = nn.Dropout(dropout)

    def reset_parameters(self) -> None:
        """Draw all parameters anew, also those that started from given vectors."""
        reset_children(self)

    def load_vectors(self, vectors: Tensor) -> None:
        """Start from vectors ``[V, embedding_size]`` of words; that of padding stays 0.

        Raises:
            ValueError: If they are of another size.
        """
        self.words.load_vectors(vectors)

    def forward(
        self,
        tokens: Tensor,
        characters: Tensor | None,
        lengths: Tensor,
        task: Tensor | None = None,
        return_attention_weights: bool = False,
        return_auxiliary_losses: bool = False,
    ) -> Any:
        """Compute logits.

        Args:
            tokens: ``[B, T]``, word numbers, 0 beyond the lengths.
            characters: ``[B, T, C]``, character numbers, 0 beyond a word's own; or ``None`` where
                none are read.
            lengths: ``[B]``, real words. Like ``task`` it is read on the CPU: there it costs a GPU
                no synchronisation.
            task: ``[B]``, task of each sentence; ``[B, K]``, boolean, its tasks; by default all
                tasks.
            return_attention_weights: Also returns the encoder's attention.
            return_auxiliary_losses: Also returns what the encoder wants added to the loss of each
                sentence ``[B]``; zeros where it wants nothing.

        Returns:
            Logits ``[B, T, C]`` or, of several tasks, ``[B, T, K, C]``; −∞ beyond the task's tags,
            zeros for tasks that a sentence does not have. Or a tuple
            ``(logits[, attention][, auxiliary_losses])`` of what was asked for.

        Raises:
            ValueError: For wrong sizes, or words (where they are on the CPU), lengths or tasks
                out of range.
        """
        check_tokens(tokens, len(self.sentences.words))
        lengths = whole_numbers(lengths.cpu())
        task = None if task is None else whole_numbers(task.cpu())
        x = self.words(tokens, characters)
        asked = return_attention_weights, return_auxiliary_losses
        out, rest = encode(self.encoder, x, lengths, task, *asked)
        logits = head_logits(self.heads, self.dropout, out, task)
        return (logits, *rest) if rest else logits

    def own_tables(self) -> list[nn.Module]:
        """None: all tasks share the words' vectors; see :func:`split_parameters`."""
        return []

    # Training ------------------------------------------------------------------------------------

    def read(self, batch: Any) -> Output:
        """Compute the logits of a :class:`~mtgnn.data.TokenBatch`."""
        return self._output(batch.tokens, batch.characters, batch.lengths, batch.task)

    def losses(self, output: Output, batch: Any) -> Samples:
        """The loss of each sample, which is a sentence that has labels in a task.

        It is the negative log-likelihood of these labels, a sum over the words: so within a batch
        every label counts the same, and a CRF's loss compares with that of a softmax. A sentence
        with labels in several tasks is as many samples.
        """
        losses = self.loss_per_sample(output.logits, batch)
        return samples(losses, (batch.y != NO_LABEL).any(1), batch.task)

    def loss_per_sample(self, logits: Tensor, batch: Any) -> Tensor:
        """The loss of each sentence ``[B]``, as in :meth:`losses`; of several tasks ``[B, K]``."""
        return self.heads.loss(logits, batch.y, batch.lengths, batch.task)

    def predicted(self, output: Output, batch: Any) -> Tensor:
        """The tags of each word, shaped like ``batch.y``; −100 beyond the lengths, and for tasks
        that a sentence does not have."""
        return self.heads.decode(output.logits.detach(), batch.lengths, batch.task)

    # Prediction ----------------------------------------------------------------------------------

    def predict(
        self, sentences: Sequence[Sequence[str]], task: str | None = None, batch_size: int = 64
    ) -> list[dict[str, list[str]]]:
        """Tag sentences, in evaluation mode.

        Args:
            sentences: The words of each sentence.
            task: The one task to tag for; by default all.
            batch_size: Number of sentences read at once.

        Returns:
            For each sentence, the tags of its words by task.

        Raises:
            ValueError: For an unknown task, a string in the place of a sentence, a sentence without
                words, a ``batch_size`` below 1, or where the model computes NaN.
        """
        return tag_answers(
            self,
            sentences,
            task,
            batch_size,
            self.heads.decode,
            lambda own, name: self.sentences.decode_tags(own, name),
        )

    def predict_proba(
        self, sentences: Sequence[Sequence[str]], task: str | None = None, batch_size: int = 64
    ) -> list[dict[str, Tensor]]:
        """The probabilities of all tags of each word; with a CRF its marginals.

        Arguments and errors are those of :meth:`predict`. The likeliest tags of single words need
        not be the tags that :meth:`predict` gives with a CRF: those are of the likeliest sentence.

        Returns:
            For each sentence, by task, ``[T, C]`` in the order of ``classes[task]``, on the CPU.
        """
        return tag_answers(
            self,
            sentences,
            task,
            batch_size,
            self.heads.marginals,
            lambda own, name: own[:, : len(self.classes[name])].clone(),
        )

    # Files ---------------------------------------------------------------------------------------

    def save(self, path: saved.File) -> None:
        """Save everything that prediction needs; see :meth:`MultiTaskModel.save`."""
        saved.write(self, {"sentences": self.sentences.state()}, path, TaggingModel)

    @classmethod
    def load(cls, path: saved.File, encoder: nn.Module | None = None) -> TaggingModel:
        """Load a saved model onto the CPU, in evaluation mode; no code in the file is run.

        Arguments and errors are those of :meth:`MultiTaskModel.load`.
        """
        content = saved.read(path, TaggingModel)
        with saved.damage(path):
            sentences = SentenceEncoder.restore(content["sentences"])
            given = saved.restore_encoder(content, encoder)
            model = cls(sentences, **given, **content["options"])
            saved.fill(model, content)
        return model.eval()

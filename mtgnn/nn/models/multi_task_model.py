"""A whole model: embedding, encoder, pooling and heads, with vocabulary and label names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, overload

import torch
from torch import Tensor, nn

from ...data import NO_LABEL, Vocabulary
from ...data.batch import is_labelled
from ...data.text_check import check_classes
from ...data.vocabulary import SPECIALS
from ..check import check_dropouts, check_numbers, check_option, check_tasks, whole_numbers
from ..heads import ClassificationHeads
from ..heads.pooling import POOLINGS, Pooling
from ..reset import reset_children
from ..tasks import has_one_task
from . import saved
from .check_model import check_kind, check_labels, check_tokens
from .encoders import with_additions
from .text_answers import Prediction, by_text, likeliest, text_probabilities
from .trainable import LabelledTexts, Output, Samples, samples
from .whole import WholeModel, encode, head_logits, take_encoder
from .words import load_vectors


class MultiTaskModel(WholeModel):
    """Classifies texts of several tasks: embedding, encoder, pooling, one head a task.

    Each text is of one task, or has labels in several: then it is read once for all of them.

    Args:
        vocabulary: Numbers of the tokens.
        classes: The label names of each task, in the order of their numbers.
        encoder: A name (see :func:`build_encoder`), or a module that is called like
            :class:`GraphLSTM`, with ``graph`` (whose tasks are those of ``classes``) and
            ``output_size``. It may have ``auxiliary_losses(out, lengths, task) -> [B]``, see
            :meth:`forward` and :class:`AdversarialLSTM`.
        embedding_size: Size E of a token's vector.
        hidden_size: Size H of a state; for a named encoder.
        pooling: ``"last"``, ``"mean"``, ``"max"`` or ``"attention"``, see :class:`Pooling`. But for
            attention, the discriminator of ``encoder="adversarial"`` reads states pooled alike.
        dropout: Dropout on token vectors and on pooled states.
        embedding: ``"shared"``: one table for all tasks; ``"task"``: each its own, which makes
            ``encoder="single"`` truly separate models. That is one table of K·V rows: K times the
            memory of parameters, gradients and optimiser state.
        encoder_options: Options of a named encoder. Graphs (``"complete"``, ``"star"``,
            ``"graph"``) have ``common=True`` and ``concat_messages=True`` unless they say
            otherwise; without, nodes learn few texts by heart before they listen to anybody.
        vectors: ``[V, E]``, vectors to start from, in the order of the vocabulary; every task's
            own table starts from them. By default they are drawn from the normal distribution, but
            those of ``<unk>`` and ``<empty>`` are zeros.

    Attributes:
        tasks: Names of the tasks.

    Raises:
        ValueError: For an unknown option, tasks that differ from the encoder's, label names that
            are missing or occur twice, or vectors of another size.

    Example:
        >>> from mtgnn.data import Vocabulary
        >>> classes = {"books": ["bad", "good"], "dvd": ["bad", "good"]}
        >>> vocabulary = Vocabulary(["i", "like", "it", "!"])
        >>> model = MultiTaskModel(vocabulary, classes, "star", embedding_size=8, hidden_size=4)
        >>> [prediction] = model.predict(["i like it !"], task="books")
        >>> prediction.label in classes["books"]
        True
    """

    def __init__(
        self,
        vocabulary: Vocabulary,
        classes: Mapping[str, Sequence[str]],
        encoder: str | nn.Module = "complete",
        *,
        embedding_size: int = 100,
        hidden_size: int = 100,
        pooling: str = "max",
        dropout: float = 0.0,
        embedding: str = "shared",
        encoder_options: Mapping[str, Any] | None = None,
        vectors: Tensor | None = None,
    ) -> None:
        super().__init__()
        check_option("embedding", embedding, ("shared", "task"))
        check_option("pooling", pooling, POOLINGS)
        check_kind(vocabulary, Vocabulary)
        check_numbers(embedding_size=embedding_size)
        check_dropouts(dropout=dropout)
        self.vocabulary = vocabulary
        self.classes = check_classes(classes)
        self.tasks = tuple(self.classes)
        self._options: dict[str, Any] = {
            "embedding_size": embedding_size,
            "hidden_size": hidden_size,
            "pooling": pooling,
            "dropout": dropout,
            "embedding": embedding,
        }
        if encoder == "adversarial" and pooling in ("last", "mean", "max"):
            # In its paper, too, discriminator and heads read the same.
            encoder_options = {"pooling": pooling, **(encoder_options or {})}
        encoder_options = with_additions(encoder, encoder_options)
        self._encoder = saved.describe_encoder(encoder, encoder_options)
        tables = len(self.tasks) if embedding == "task" else 1
        self.embedding = nn.Embedding(tables * len(vocabulary), embedding_size, padding_idx=0)
        self._clear_specials()
        if vectors is not None:
            self.load_vectors(vectors)
        self.encoder = take_encoder(
            encoder, encoder_options, embedding_size, hidden_size, self.tasks
        )
        size: int = self.encoder.output_size  # type: ignore[assignment]
        bidirectional = bool(getattr(self.encoder, "bidirectional", False))
        self.pooling = Pooling(pooling, size, bidirectional=bidirectional)
        sizes = [len(labels) for labels in self.classes.values()]
        self.heads = ClassificationHeads(size, sizes, self.tasks)
        self.dropout = nn.Dropout(dropout)

    def reset_parameters(self) -> None:
        """Draw all parameters anew, also those that started from given vectors."""
        reset_children(self)
        self._clear_specials()

    @torch.no_grad()
    def _clear_specials(self) -> None:
        """Have unknown words say nothing, where no training text has any that would teach them."""
        tables = self.embedding.weight.view(-1, len(self.vocabulary), self.embedding.embedding_dim)
        tables[:, : len(SPECIALS)] = 0

    def load_vectors(self, vectors: Tensor) -> None:
        """Start from vectors ``[V, E]`` in the order of the vocabulary; that of padding stays 0.

        Raises:
            ValueError: If they are of another size.
        """
        load_vectors(self.embedding, vectors, len(self.vocabulary))

    def forward(
        self,
        tokens: Tensor,
        lengths: Tensor,
        task: Tensor | None = None,
        return_attention_weights: bool = False,
        return_auxiliary_losses: bool = False,
    ) -> Any:
        """Compute logits.

        Args:
            tokens: ``[B, T]``, token numbers, 0 beyond the lengths.
            lengths: ``[B]``, real tokens of each text.
            task: ``[B]``, task of each text; ``[B, K]``, boolean, its tasks; ``None``: all. Like
                ``lengths`` it is read on the CPU: there it costs a GPU no synchronisation.
            return_attention_weights: Also returns the encoder's attention.
            return_auxiliary_losses: Also returns what the encoder wants added to the loss of each
                sequence ``[B]``, labelled or not: add their mean over the (global) batch to the
                task loss. Zeros where the encoder wants nothing.

        Returns:
            Logits ``[B, C]`` or, of several tasks, ``[B, K, C]``; −∞ beyond a task's own classes,
            zeros for tasks that a text does not have. Or a tuple
            ``(logits[, attention][, auxiliary_losses])`` of what was asked for.

        Raises:
            ValueError: For wrong sizes, tokens (where they are on the CPU), lengths or tasks out of
                range, or several tasks of a text where each has vectors of its own.
        """
        check_tokens(tokens, len(self.vocabulary))
        # Once, for all who look at them.
        lengths = whole_numbers(lengths.cpu())
        task = None if task is None else whole_numbers(task.cpu())
        x = self.dropout(self.embedding(self._rows(tokens, task)))
        asked = return_attention_weights, return_auxiliary_losses
        out, rest = encode(self.encoder, x, lengths, task, *asked)
        logits = head_logits(self.heads, self.dropout, self.pooling(out, lengths), task)
        return (logits, *rest) if rest else logits

    def own_tables(self) -> list[nn.Module]:
        """Tables of vectors in which every row is one task's own; see :func:`split_parameters`."""
        several = self.embedding.num_embeddings > len(self.vocabulary)
        return [self.embedding] if several else []

    def _rows(self, tokens: Tensor, task: Tensor | None) -> Tensor:
        """The rows of the table to look up; padding is row 0 of every task's."""
        if not self.own_tables():
            return tokens
        if task is None or task.dtype == torch.bool:
            raise ValueError(
                "tasks have vectors of their own: expected one task of each text, as of "
                'EncodedTexts(…, by_task=True); embedding="shared" reads a text once for several'
            )
        check_tasks(task, len(tokens), len(self.tasks))  # the encoder's check comes too late
        offset = task.to(tokens.device, non_blocking=True) * len(self.vocabulary)
        return torch.where(tokens == 0, 0, tokens + offset.unsqueeze(1))

    def loss_per_sample(self, logits: Tensor, batch: LabelledTexts) -> Tensor:
        """The cross entropy of each text ``[B]``, or in each of its tasks ``[B, K]``; 0, without
        gradient, where there is no label.

        Args:
            logits: ``[B, C]`` or ``[B, K, C]``.
            batch: Holds ``task`` and ``y``, such as a :class:`mtgnn.data.SequenceBatch`.

        Raises:
            ValueError: If labels are of another shape, none of their task's classes, or of a task
                that a text does not have; values are checked where labels and tasks are on the CPU.
        """
        task, y = batch.task, batch.y
        if y.shape != logits.shape[:-1]:
            raise ValueError(
                f"expected labels of shape {list(logits.shape[:-1])}, got {list(y.shape)}"
            )
        if y.device.type == "cpu" and (task is None or task.device.type == "cpu"):
            check_labels(y, task, self.tasks, self.heads.num_classes)
        y = whole_numbers(y.to(logits.device, non_blocking=True))
        losses = nn.functional.cross_entropy(
            logits.flatten(0, -2), y.flatten(), reduction="none", ignore_index=NO_LABEL
        )
        return losses.view_as(y)

    def read(self, batch: Any) -> Output:
        """Compute the logits of a batch with ``tokens``, ``lengths`` and ``task``."""
        return self._output(batch.tokens, batch.lengths, batch.task)

    def losses(self, output: Output, batch: LabelledTexts) -> Samples:
        """The loss of each sample, a text's label of a task; see :meth:`loss_per_sample`."""
        losses = self.loss_per_sample(output.logits, batch)
        return samples(losses, is_labelled(batch.y), batch.task)

    def predicted(self, output: Output, batch: Any = None) -> Tensor:
        """The likeliest class of each text ``[B]``, or in each task ``[B, K]``; then −100 for tasks
        that a text does not have, where the batch says so."""
        best, task = output.logits.argmax(-1), None if batch is None else batch.task
        if task is None or has_one_task(task):
            return best
        return torch.where(task.to(best.device, non_blocking=True), best, NO_LABEL)

    def probabilities(self, output: Output) -> Tensor:
        """The probabilities of all classes of each text ``[B, C]``, or in each task ``[B, K, C]``;
        0 beyond a task's own classes."""
        return output.logits.softmax(-1)

    @overload
    def predict(
        self, texts: Sequence[str], task: str, batch_size: int = 64, max_length: int | None = None
    ) -> list[Prediction]: ...

    @overload
    def predict(
        self,
        texts: Sequence[str],
        task: None = None,
        batch_size: int = 64,
        max_length: int | None = None,
    ) -> list[dict[str, Prediction]]: ...

    def predict(
        self,
        texts: Sequence[str],
        task: str | None = None,
        batch_size: int = 64,
        max_length: int | None = None,
    ) -> Any:
        """Classify texts for one task or for all, in evaluation mode.

        Texts are split at blanks: they have to be in the form of those that were trained on (see
        :func:`mtgnn.data.tokenize`). Where most of their tokens are unknown, a warning is logged.

        Args:
            texts: The texts.
            task: Name of the one task; by default all, for which a text is read once (or once for
                each, where they have vectors of their own).
            batch_size: Number of texts read at once.
            max_length: Read at most this many tokens of a text, its first ones (default: all).

        Returns:
            For each text, its :class:`Prediction`; for all tasks a dict of them by task.

        Raises:
            ValueError: For an unknown task, one string in the place of several, a text that is no
                string, a ``batch_size`` or ``max_length`` below 1, or where the model computes NaN.
        """
        known = text_probabilities(self, texts, task, batch_size, max_length)
        answers = {name: likeliest(own, self.classes[name]) for name, own in known.items()}
        return answers[task] if task is not None else by_text(answers)

    @overload
    def predict_proba(
        self, texts: Sequence[str], task: str, batch_size: int = 64, max_length: int | None = None
    ) -> Tensor: ...

    @overload
    def predict_proba(
        self,
        texts: Sequence[str],
        task: None = None,
        batch_size: int = 64,
        max_length: int | None = None,
    ) -> dict[str, Tensor]: ...

    def predict_proba(
        self,
        texts: Sequence[str],
        task: str | None = None,
        batch_size: int = 64,
        max_length: int | None = None,
    ) -> Any:
        """The probabilities of all classes of a task, in the order of ``classes[task]``.

        Arguments and errors are those of :meth:`predict`.

        Returns:
            ``[N, C]``, a row for each text, on the CPU; for all tasks a dict of them by task.
        """
        known = text_probabilities(self, texts, task, batch_size, max_length)
        return known if task is None else known[task]

    def save(self, path: saved.File) -> None:
        """Save everything that prediction needs; the file holds plain values and tensors only.

        An encoder that was given as a module, or with an option that is no plain value (a conv),
        is described by its parameters alone: :meth:`load` then asks for it.

        Args:
            path: The file, or a binary stream.
        """
        own = {"vocabulary": self.vocabulary.tokens, "classes": self.classes}
        saved.write(self, own, path, MultiTaskModel)

    @classmethod
    def load(cls, path: saved.File, encoder: nn.Module | None = None) -> MultiTaskModel:
        """Load a saved model onto the CPU, in evaluation mode; no code in the file is run.

        Args:
            path: The file, or a binary stream.
            encoder: A module like the one that the model was saved with, with the same options,
                where that was given as a module; its parameters are replaced.

        Raises:
            OSError: If there is no such file, or it cannot be opened.
            ValueError: If it is no saved model or is damaged, or an encoder is needed and missing,
                not needed but given, or does not fit.
        """
        content = saved.read(path, MultiTaskModel)
        with saved.damage(path):
            vocabulary = Vocabulary(content["vocabulary"])
            given = saved.restore_encoder(content, encoder)
            model = cls(vocabulary, content["classes"], **given, **content["options"])
            saved.fill(model, content)
        return model.eval()

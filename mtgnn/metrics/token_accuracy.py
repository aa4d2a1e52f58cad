"""Accuracy of tags, over all words and over unknown ones."""

from __future__ import annotations

import math
from typing import NamedTuple

from torch import Tensor

from .spans import check_labels


class TokenScore(NamedTuple):
    """Accuracies from 0 to 1, NaN where there is no word, and the numbers of words.

    Attributes:
        accuracy: Share of the labelled words with the right tag.
        unknown_accuracy: The same over labelled unknown words.
        words: Labelled words.
        unknown_words: Labelled unknown words.
    """

    accuracy: float
    unknown_accuracy: float
    words: int
    unknown_words: int


class TokenAccuracy:
    """Accuracy over batches of tag numbers.

    Shapes:
        - **update:** predicted and true numbers :math:`(B, T)`, unknown words :math:`(B, T)`

    Example:
        >>> import torch
        >>> accuracy = TokenAccuracy()
        >>> predicted, true = torch.tensor([[0, 1, 2]]), torch.tensor([[0, 2, -100]])
        >>> accuracy.update(predicted, true, unknown=torch.tensor([[False, True, False]]))
        >>> accuracy.compute()
        TokenScore(accuracy=0.5, unknown_accuracy=0.0, words=2, unknown_words=1)
    """

    def __init__(self) -> None:
        self.reset()

    def update(self, predicted: Tensor, true: Tensor, unknown: Tensor | None = None) -> None:
        """Add the words of a batch.

        Args:
            predicted: Predicted class of each word ``[B, T]``.
            true: Its true class ``[B, T]``, −100 for "no label" and for padding.
            unknown: Which words are unknown ``[B, T]``, such as those of
                :class:`~mtgnn.data.TokenBatch`; by default none.

        Raises:
            ValueError: If the shapes differ.
        """
        real = check_labels(predicted, true, None)
        right = (predicted == true) & real
        self._words += int(real.sum())
        self._right += int(right.sum())
        if unknown is not None:
            if unknown.shape != true.shape:
                raise ValueError(
                    f"expected unknown words {list(true.shape)}, got {list(unknown.shape)}"
                )
            self._unknown_words += int((real & unknown).sum())
            self._unknown_right += int((right & unknown).sum())

    def compute(self) -> TokenScore:
        """The accuracies of all words so far."""
        return TokenScore(
            self._right / self._words if self._words else math.nan,
            self._unknown_right / self._unknown_words if self._unknown_words else math.nan,
            self._words,
            self._unknown_words,
        )

    def reset(self) -> None:
        """Forget all words."""
        self._words = self._right = self._unknown_words = self._unknown_right = 0

    def __repr__(self) -> str:
        return f"TokenAccuracy({self._words} words)"

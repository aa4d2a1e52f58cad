"""Words, their characters and their tags as numbers."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor

from .batch import NO_LABEL
from .spelling import spell
from .vocabulary import Vocabulary

BLANK = "\u2423"  # an open box, in place of white space within a word
_SPACE, _DIGIT = re.compile(r"\s"), re.compile(r"\d")


@dataclass(frozen=True)
class WordForm:
    """What words are looked up as in the vocabulary. By default as they are, casing kept.

    White space within a word (Universal Dependencies has words such as "20 000") becomes "␣".

    Attributes:
        lower: Lower case.
        digits: Every digit becomes ``0``.

    Example:
        >>> WordForm()("Boeing-747"), WordForm(lower=True, digits=True)("Boeing-747")
        ('Boeing-747', 'boeing-000')
    """

    lower: bool = False
    digits: bool = False

    def __call__(self, word: str) -> str:
        """The form of ``word``."""
        word = _blanks(word.lower() if self.lower else word)
        return _DIGIT.sub("0", word) if self.digits else word


class EncodedWords(NamedTuple):
    """Words ``[T]``, the characters of all of them, and how many each word has, ``sizes [T]``."""

    tokens: Tensor
    characters: Tensor
    sizes: Tensor

    @property
    def spelling(self) -> Tensor:
        """Characters of each word ``[T, C]``, padded with 0."""
        return spell(self.characters, self.sizes)


class SentenceEncoder:
    """Numbers for words, for their characters, and for the tags of each task.

    Characters are those of the words as they stand, whatever form words are looked up in.

    Args:
        words: Numbers of the words' forms.
        characters: Numbers of the characters.
        classes: The tags of each task, in the order of their numbers; the tasks are numbered in
            the order in which they stand here. ``classes`` of a dataset, or a union of several.
        form: What words are looked up as.
        max_characters: Keep this many characters of a longer word, half of them from its beginning
            and half from its end (default: all).

    Attributes:
        tasks: Names of the tasks.

    Raises:
        ValueError: If there is no task, a task has no or repeated tags, or ``max_characters`` is
            below 1.

    Example:
        >>> encoder = SentenceEncoder.build([["A", "dog", "barks"]], {"pos": ["DT", "NN", "VBZ"]})
        >>> words = encoder.encode(["A", "god"])
        >>> words.tokens.tolist(), words.characters.tolist(), words.sizes.tolist()
        ([3, 1], [3, 7, 9, 6], [1, 3])
        >>> encoder.encode_tags(["DT", None], "pos").tolist(), encoder.decode_tags([1], "pos")
        ([0, -100], ['NN'])
    """

    def __init__(
        self,
        words: Vocabulary,
        characters: Vocabulary,
        classes: Mapping[str, Sequence[str]],
        form: WordForm | None = None,
        max_characters: int | None = None,
    ) -> None:
        if max_characters is not None and max_characters < 1:
            raise ValueError(f"max_characters must be at least 1, got {max_characters}")
        if not classes:
            raise ValueError("expected the tags of at least one task, got none")
        self.words = words
        self.characters = characters
        self.classes = {task: list(tags) for task, tags in classes.items()}
        self.form = WordForm() if form is None else form
        self.max_characters = max_characters
        self.tasks = list(self.classes)
        self._numbers = {task: {t: i for i, t in enumerate(c)} for task, c in self.classes.items()}
        for task, tags in self.classes.items():
            if isinstance(classes[task], str) or not tags or len(self._numbers[task]) < len(tags):
                raise ValueError(f"expected different tags for task {task!r}, got {tags}")

    @classmethod
    def build(
        cls,
        sentences: Iterable[Sequence[str]],
        classes: Mapping[str, Sequence[str]],
        form: WordForm | None = None,
        min_count: int = 1,
        max_size: int | None = None,
        max_characters: int | None = None,
    ) -> SentenceEncoder:
        """The encoder with the words and the characters of training sentences.

        Args:
            sentences: Words of each training sentence, such as ``dataset.words``.
            classes: As above.
            form: As above.
            min_count: Leave out word forms that occur less often.
            max_size: Greatest length of the word vocabulary, the three special ones included.
            max_characters: As above.

        Raises:
            ValueError: Also if a sentence is a string, and not its words.
        """
        form = WordForm() if form is None else form
        sentences = list(sentences)
        for sentence in sentences:
            if isinstance(sentence, str):
                raise ValueError(f"expected sentences as lists of words, got {sentence[:40]!r}")
        forms = (" ".join(map(form, sentence)) for sentence in sentences)
        letters = (" ".join(_blanks(word)) for sentence in sentences for word in sentence)
        return cls(
            Vocabulary.build(forms, min_count, max_size),
            Vocabulary.build(letters),
            classes,
            form,
            max_characters,
        )

    def encode(self, words: Sequence[str]) -> EncodedWords:
        """Numbers of the words of a sentence and of their characters.

        Raises:
            ValueError: If there is no word, or a word is no string or empty.
        """
        if isinstance(words, str) or not len(words):
            raise ValueError(f"expected a sentence as its words, at least one, got {words!r}")
        for word in words:
            if not isinstance(word, str) or not word:
                raise ValueError(f"expected words as strings, not empty, got {word!r}")
        spelt = [self._spell(word) for word in words]
        return EncodedWords(
            torch.tensor(self.words.encode(" ".join(map(self.form, words)))),
            torch.tensor([number for numbers in spelt for number in numbers]),
            torch.tensor([len(numbers) for numbers in spelt]),
        )

    def _spell(self, word: str) -> list[int]:
        limit = self.max_characters
        if limit is not None and len(word) > limit:
            word = word[: (limit + 1) // 2] + word[len(word) - limit // 2 :]
        return self.characters.encode(" ".join(_blanks(word)))

    def encode_tags(self, tags: Sequence[str | None], task: str) -> Tensor:
        """Numbers ``[T]`` of a task's tags; −100 for None.

        Raises:
            ValueError: If there is no such task, or a tag is none of its tags.
        """
        numbers = self._numbers[self._check(task)]
        for tag in tags:
            if tag is not None and tag not in numbers:
                rest = ", …" if len(numbers) > 8 else ""
                raise ValueError(
                    f"tag {tag!r} is not among the {len(numbers)} tags of task {task!r}: "
                    f"{', '.join(map(repr, self.classes[task][:8]))}{rest}"
                )
        return torch.tensor([NO_LABEL if tag is None else numbers[tag] for tag in tags])

    def decode_tags(self, numbers: Iterable[int] | Tensor, task: str) -> list[str]:
        """The task's tags with these numbers, such as those a model predicts for a sentence.

        Raises:
            ValueError: If a number is none of a tag, such as −100 beyond a sentence's words.
        """
        tags = self.classes[self._check(task)]
        numbers = numbers.tolist() if isinstance(numbers, Tensor) else list(numbers)
        wrong = [number for number in numbers if not 0 <= number < len(tags)]
        if wrong:
            raise ValueError(f"expected numbers of tags in 0…{len(tags) - 1}, got {wrong[:5]}")
        return [tags[number] for number in numbers]

    def _check(self, task: str) -> str:
        if task not in self.classes:
            raise ValueError(f"expected a task of {self.tasks}, got {task!r}")
        return task

    def with_task(self, task: str, tags: Sequence[str]) -> SentenceEncoder:
        """The same words and characters, with one task more, whose number is the last.

        Raises:
            ValueError: If there is such a task, or tags are missing or occur twice.
        """
        if task in self.classes:
            raise ValueError(f"expected a new task, got {task!r} of {self.tasks}")
        classes = {**self.classes, task: tags}
        return type(self)(self.words, self.characters, classes, self.form, self.max_characters)

    def state(self) -> dict[str, Any]:
        """All of it in plain lists, dicts and numbers, for a checkpoint; see :meth:`restore`."""
        return {
            "words": self.words.tokens,
            "characters": self.characters.tokens,
            "classes": {task: list(tags) for task, tags in self.classes.items()},
            "form": asdict(self.form),
            "max_characters": self.max_characters,
        }

    @classmethod
    def restore(cls, state: Mapping[str, Any]) -> SentenceEncoder:
        """The encoder whose :meth:`state` this is."""
        return cls(
            Vocabulary(state["words"]),
            Vocabulary(state["characters"]),
            state["classes"],
            WordForm(**state["form"]),
            state["max_characters"],
        )

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, SentenceEncoder):
            return NotImplemented
        # As dictionaries, classes in another order would be equal.
        return self.tasks == other.tasks and self.state() == other.state()

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        tags = ", ".join(f"{task}: {len(tags)}" for task, tags in self.classes.items())
        return (
            f"SentenceEncoder({len(self.words)} words, {len(self.characters)} characters, "
            f"tags {{{tags}}})"
        )


def _blanks(word: str) -> str:
    return _SPACE.sub(BLANK, word)

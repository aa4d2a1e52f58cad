"""Sentences whose label follows from what their words mean in a task."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


def _words(text: str) -> list[str]:
    return text.split()


NOUNS = _words(
    "plot cast story sound screen cover price style voice pace tone music size design colour "
    "taste smell room staff view"
)
VERBS = _words("is was seems seemed feels felt looks looked")
OPINIONS = _words(
    "bold calm dark dense dry fresh heavy loud odd plain quiet raw sharp simple slow wild"
)
MODIFIERS = _words("hardly quite barely rather")
CONNECTIVES = _words("but though")

OWN_SHARE = 0.1  # how often an opinion is a word that only one task uses
MODIFIED = 0.4  # how often an opinion has a modifier
JOINED = 0.5  # how often a sentence has two clauses


@dataclass(frozen=True)
class Meaning:
    """What the words mean in one task; it uses these alone.

    Attributes:
        polarity: +1 or −1 for each opinion word, the task's own ones included.
        factor: −1 for a modifier that reverses the opinion after it, +1 for one that keeps it.
        counts: Which clause a connective makes count: 0 the one before it, 1 the one after it.
    """

    polarity: dict[str, int]
    factor: dict[str, int]
    counts: dict[str, int]


def draw_texts(
    meaning: Meaning, size: int, rng: np.random.Generator, seen: set[str]
) -> list[tuple[str, int]]:
    """``size`` texts that are not in ``seen`` yet, with labels 0 and 1, as many of each."""
    drawn = []
    for label in rng.permutation(size) % 2:
        while True:
            text, value = _sentence(meaning, rng)
            if text not in seen and (value > 0) == bool(label):
                break
        seen.add(text)
        drawn.append((text, int(label)))
    return drawn


def _sentence(meaning: Meaning, rng: np.random.Generator) -> tuple[str, int]:
    words, value = _clause(meaning, rng)
    if rng.random() < JOINED:
        connective = _pick(list(meaning.counts), rng)
        more, other = _clause(meaning, rng)
        value = (value, other)[meaning.counts[connective]]
        words = [*words, connective, *more]
    return " ".join(words), value


def _clause(meaning: Meaning, rng: np.random.Generator) -> tuple[list[str], int]:
    shared = [word for word in OPINIONS if word in meaning.polarity]
    own = [word for word in meaning.polarity if word not in OPINIONS]
    opinion = _pick(own if rng.random() < OWN_SHARE else shared, rng)
    value = meaning.polarity[opinion]
    modifiers = [_pick(list(meaning.factor), rng)] if rng.random() < MODIFIED else []
    for modifier in modifiers:
        value *= meaning.factor[modifier]
    return ["the", _pick(NOUNS, rng), _pick(VERBS, rng), *modifiers, opinion], value


def _pick(words: list[str], rng: np.random.Generator) -> str:
    return words[int(rng.integers(len(words)))]

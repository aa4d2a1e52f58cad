"""Sentences whose three layers of tags depend on each other in a known way; nothing is downloaded.

A small grammar draws words with their parts of speech. Many words have several, so that the
neighbours decide ("the old plans", "she plans"). Then chunks follow from the parts of speech alone,
and entities from chunks, casing and a few words, by rules that stand below.
"""

from __future__ import annotations

import re
from random import Random

from torch_geometric.data import Data

from mtgnn import TaskGraph
from mtgnn.data import scheme_tags

GRAPH = TaskGraph.hierarchy({"chunk": ["pos"], "ner": ["chunk"]})  # the truth
SCHEMES = {"chunk": "IOB2", "ner": "IOB2"}
POS = ["DET", "ADJ", "NOUN", "VERB", "ADV", "PREP", "PRON", "CONJ", "PUNCT"]
LETTERS = dict(zip(POS, "DANVRPOC.", strict=True))
# Tried in this order at each word, from left to right; what fits nothing is outside.
CHUNK = re.compile("(?P<NP>D?A*N+|O)|(?P<VP>R?V+)|(?P<PP>P)|(?P<ADJP>R?A+)")
ENTITIES = ["LOC", "MISC", "ORG", "PER"]
CLASSES = {
    "pos": POS,
    "chunk": scheme_tags(list(CHUNK.groupindex), "IOB2"),
    "ner": scheme_tags(ENTITIES, "IOB2"),
}
# Each training sentence has parts of speech, every second one chunks, every fourth one entities.
EVERY = {"pos": 1, "chunk": 2, "ner": 4}

Words = list[tuple[str, str]]  # words with their parts of speech


def _words(text: str) -> list[str]:
    return text.split()


PLACES = _words("in near from at")  # a name after one of them is a place
OTHERS = _words("with for by about")
COMPANIES = _words("Works Bank Union Press")  # a name that ends in one of them is a company
DETERMINERS = _words("the a this every some")
PRONOUNS = _words("she he it they we")
CONJUNCTIONS = _words("and but while")
BE = _words("is was seems")
ADVERBS = _words("often rarely soon nearly fast hard")
# Words that are one thing only, and words that may be either of two.
NOUN = _words("lamp garden river table boat clock bridge letter field tower engine basket")
VERB = _words("takes brings finds keeps sends builds wants holds sees loses")
ADJ = _words("old quiet narrow green heavy round tall bright fast hard")
NOUN_OR_VERB = _words("plans walks looks turns calls moves paints drives marks rests works signs")
ADJ_OR_VERB = _words("open clean dry clear empty slow warm cool")
SYLLABLES = _words("ba do fe gu ka lo mi nu pa ri so ta ve zu")
MADE_UP = 60  # further, rarer words of each kind


def planted_sentences(
    sizes: dict[str, int], seed: int = 0, every: dict[str, int] | None = None
) -> dict[str, list[Data]]:
    """Draw the parts of a corpus; no sentence occurs twice.

    Args:
        sizes: Number of sentences of each part.
        seed: Decides the words and the sentences.
        every: Of the part ``"train"``, which sentences have labels for a task: every how many.

    Returns:
        For each part, items with ``words`` and ``tags``.
    """
    every = EVERY if every is None else every
    grammar = Grammar(Random(seed))
    seen: set[tuple[str, ...]] = set()
    parts: dict[str, list[Data]] = {}
    for part, size in sizes.items():
        items: list[Data] = []
        while len(items) < size:
            words, pos = grammar.sentence()
            if tuple(words) in seen:
                continue
            seen.add(tuple(words))
            chunks = chunk_tags(pos)
            tags = {"pos": pos, "chunk": chunks, "ner": entity_tags(words, chunks)}
            if part == "train":
                tags = {task: t for task, t in tags.items() if len(items) % every[task] == 0}
            items.append(Data(words=words, tags=tags))
        parts[part] = items
    return parts


def chunk_tags(pos: list[str]) -> list[str]:
    """Chunks from parts of speech alone."""
    tags = ["O"] * len(pos)
    for found in CHUNK.finditer("".join(LETTERS[tag] for tag in pos)):
        for place in range(found.start(), found.end()):
            tags[place] = f"{'B' if place == found.start() else 'I'}-{found.lastgroup}"
    return tags


def entity_tags(words: list[str], chunks: list[str]) -> list[str]:
    """Entities from chunks and words.

    Capitalised words of a noun phrase are an entity, but not what is capitalised only because the
    sentence begins with it. With nouns after it in the phrase it is MISC ("the Kamita plans"); else
    the word that it ends in makes it an ORG, or a preposition right before the phrase a LOC; else
    it is a PER.
    """
    tags = ["O"] * len(words)
    for start, end in _noun_phrases(chunks):
        names = [i for i in range(start, end) if words[i][0].isupper() and not _common(words[i])]
        if not names:
            continue
        before = words[start - 1].lower() if start and chunks[start - 1] == "B-PP" else ""
        kind = "PER"
        if names[-1] < end - 1:
            kind = "MISC"
        elif words[names[-1]] in COMPANIES:
            kind = "ORG"
        elif before in PLACES:
            kind = "LOC"
        for place in names:
            tags[place] = f"{'B' if place == names[0] else 'I'}-{kind}"
    return tags


def _common(word: str) -> bool:
    """Whether it is one of the words that begin a sentence without being a name."""
    return word.lower() in {*DETERMINERS, *PRONOUNS, *PLACES, *OTHERS}


def _noun_phrases(chunks: list[str]) -> list[tuple[int, int]]:
    ends = [i for i in range(1, len(chunks) + 1) if chunks[i : i + 1] != ["I-NP"]]
    starts = [i for i, tag in enumerate(chunks) if tag == "B-NP"]
    return [(start, min(end for end in ends if end > start)) for start in starts]


class Grammar:
    """Draws sentences; frequent words and rare ones, as language has them."""

    def __init__(self, random: Random) -> None:
        self.random = random
        made_up = [a + b + c for a in SYLLABLES for b in SYLLABLES for c in SYLLABLES]
        random.shuffle(made_up)
        rare = [[made_up.pop() for _ in range(MADE_UP)] for _ in range(5)]
        noun, verb, adjective, noun_or_verb, adjective_or_verb = (
            known + more
            for known, more in zip((NOUN, VERB, ADJ, NOUN_OR_VERB, ADJ_OR_VERB), rare, strict=True)
        )
        self.kinds = {
            "NOUN": [noun, noun_or_verb],
            "VERB": [verb, noun_or_verb, adjective_or_verb],
            "ADJ": [adjective, adjective_or_verb],
        }
        self.names = [a.capitalize() + b for a in SYLLABLES for b in made_up[:40]]

    def sentence(self) -> tuple[list[str], list[str]]:
        """Words and their parts of speech."""
        tagged = self._clause()
        if self.random.random() < 0.4:
            tagged = [*tagged, (self._pick(CONJUNCTIONS), "CONJ"), *self._clause()]
        words, pos = ([pair[side] for pair in [*tagged, (".", "PUNCT")]] for side in (0, 1))
        return [words[0][0].upper() + words[0][1:], *words[1:]], pos

    def _clause(self) -> Words:
        chance = self.random.random
        words = [*self._place(), (",", "PUNCT")] if chance() < 0.2 else []
        words += [(self._pick(PRONOUNS), "PRON")] if chance() < 0.25 else self._noun_phrase()
        if chance() < 0.2:
            degree = [(self._pick(ADVERBS), "ADV")] if chance() < 0.5 else []
            return [*words, (self._pick(BE), "VERB"), *degree, self._open("ADJ")]
        if chance() < 0.3:
            words.append((self._pick(ADVERBS), "ADV"))
        words.append(self._open("VERB"))
        if chance() < 0.6:
            words += self._noun_phrase()
        if chance() < 0.5:
            words += self._place()
        return words

    def _place(self) -> Words:
        preposition = self._pick(PLACES if self.random.random() < 0.6 else OTHERS)
        return [(preposition, "PREP"), *self._noun_phrase()]

    def _noun_phrase(self) -> Words:
        chance = self.random.random
        if chance() < 0.35:
            return self._name()
        words = [(self._pick(DETERMINERS), "DET")]
        words += [self._open("ADJ") for _ in range(self.random.choice((0, 0, 1, 2)))]
        if chance() < 0.25:
            words += self._name()
        elif chance() < 0.2:
            words.append(self._open("NOUN"))
        return [*words, self._open("NOUN")]

    def _name(self) -> Words:
        names = [self._pick(self.names) for _ in range(self.random.choice((1, 1, 2)))]
        if self.random.random() < 0.2:
            names.append(self._pick(COMPANIES))
        return [(name, "NOUN") for name in names]

    def _open(self, pos: str) -> tuple[str, str]:
        """A word of an open class: the first of a list are frequent, the last rare."""
        words = self.random.choice(self.kinds[pos])
        place = int(len(words) ** self.random.random()) - 1
        return words[place], pos

    def _pick(self, words: list[str]) -> str:
        return self.random.choice(words)

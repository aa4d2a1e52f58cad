import itertools
import logging
import pickle
import random

import pytest
import torch
from torch.utils.data import ConcatDataset, DataLoader
from torch_geometric.data import Data, InMemoryDataset

from mtgnn.data import BucketBatchSampler, EncodedSentences, SentenceEncoder

CLASSES = {"pos": ["DT", "NN"], "chunk": ["B-NP", "I-NP", "O"], "ner": ["O", "B-PER"]}
CHUNKED = [  # a corpus with two tasks; "other" is none of the encoder's
    Data(
        words=["The", "dog"],
        tags={"pos": ["DT", "NN"], "chunk": ["B-NP", "I-NP"], "other": ["x", "y"]},
    ),
    Data(words=["A"], tags={"pos": ["DT"], "chunk": None, "other": ["x"]}),
]
NAMED = [  # one with one task, partly labelled
    Data(words=["Rex", "the", "dog"], tags={"ner": ["B-PER", None, "O"]}),
]
DATA = [*CHUNKED, *NAMED]
ENCODER = SentenceEncoder.build([["The", "dog", "A"], ["Rex"]], CLASSES)
N = -100


def test_items_in_several_tasks() -> None:
    encoded = EncodedSentences(DATA, ENCODER)
    assert encoded.lengths.tolist() == [2, 1, 3] and len(encoded) == 3
    assert encoded.task.dtype == torch.bool
    assert encoded.task.tolist() == [
        [True, True, False],
        [True, False, False],
        [False, False, True],
    ]
    assert [item.y.tolist() for item in encoded] == [
        [[0, 0, N], [1, 1, N]],
        [[0, N, N]],
        [[N, N, 1], [N, N, N], [N, N, 0]],
    ]
    assert [item.task.tolist() for item in encoded] == encoded.task.tolist()
    assert all(item.unknown is None for item in encoded)


def test_items_in_all_tasks() -> None:
    classes = {task: CLASSES[task] for task in ("pos", "chunk")}
    encoded = EncodedSentences(CHUNKED[:1] * 2, SentenceEncoder.build([["The"]], classes))
    assert encoded.task.tolist() == [[True, True]] * 2
    assert encoded.collate(list(encoded)).task is None  # all tasks


def test_fully_and_partly_labelled_sets_join() -> None:
    full = EncodedSentences(
        [Data(words=["A"], tags={task: tags[:1] for task, tags in CLASSES.items()})], ENCODER
    )
    both = ConcatDataset([full, EncodedSentences(DATA, ENCODER)])
    batch = full.collate([both[i] for i in range(len(both))])
    assert batch.task is not None
    assert batch.task.tolist()[:2] == [[True] * 3, [True, True, False]] and len(batch) == 4


def test_items_by_task() -> None:
    encoded = EncodedSentences(DATA, ENCODER, by_task=True)
    assert encoded.task.tolist() == [0, 1, 0, 2]
    assert encoded.lengths.tolist() == [2, 2, 1, 3]
    assert [item.y.tolist() for item in encoded] == [[0, 1], [0, 1], [0], [1, N, 0]]
    assert [item.tokens.numel() for item in encoded] == [2, 2, 1, 3]


def test_words_and_characters_are_the_encoders() -> None:
    for by_task in (False, True):
        for item in EncodedSentences(DATA, ENCODER, by_task):
            assert item.characters.shape[0] == item.tokens.numel()
    for item, source in zip(EncodedSentences(DATA, ENCODER), DATA, strict=True):
        words = ENCODER.encode(source.words)
        assert item.tokens.tolist() == words.tokens.tolist()
        assert item.characters[item.characters > 0].tolist() == words.characters.tolist()
        assert (item.characters > 0).sum(1).tolist() == [len(word) for word in source.words]
        assert bool((item.characters[:, :-1] >= 0).all())
        # Padding stands at the end alone.
        real = (item.characters > 0).int()
        assert bool((real.diff(dim=1) <= 0).all())


def test_a_task_by_number_is_the_same_as_by_name() -> None:
    by_number = [Data(words=["The", "dog"], task=1, tags=["B-NP", None])]
    by_name = [Data(words=["The", "dog"], tags={"chunk": ["B-NP", None]})]
    for by_task in (False, True):
        one, other = (
            EncodedSentences.collate(list(EncodedSentences(data, ENCODER, by_task)))
            for data in (by_number, by_name)
        )
        assert one.y.tolist() == other.y.tolist()
        assert one.task is not None and other.task is not None
        assert (
            one.task.tolist() == other.task.tolist() == ([1] if by_task else [[False, True, False]])
        )


def test_sentences_without_labels() -> None:
    bare = [Data(words=["A"]), Data(words=["A", "dog"], task=2)]
    assert [item.y.tolist() for item in EncodedSentences(bare, ENCODER)] == [
        [[N] * 3],
        [[N] * 3] * 2,
    ]
    tasks = EncodedSentences(bare, ENCODER).task
    assert tasks.tolist() == [[True] * 3, [False, False, True]]
    item = EncodedSentences(bare[1:], ENCODER, by_task=True)[0]
    assert (int(item.task), item.y.tolist()) == (2, [N, N])


def test_collate() -> None:
    batch = EncodedSentences.collate(list(EncodedSentences(DATA, ENCODER)))
    assert batch.tokens.shape == (3, 3) and batch.characters.shape == (3, 3, 3)
    assert batch.y.shape == (3, 3, 3) and batch.unknown is None
    assert batch.task is not None and batch.task.sum(1).tolist() == [2, 1, 1]
    assert batch.lengths.tolist() == [2, 1, 3] and len(batch) == 3
    real = torch.arange(3) < batch.lengths.unsqueeze(1)
    assert ((batch.tokens > 0) == real).all()
    assert ((batch.characters > 0).any(-1) == real).all()
    assert (batch.y[~real] == N).all()
    assert {batch.y.dtype, batch.tokens.dtype, batch.characters.dtype} == {torch.long}


def test_a_batch_says_the_same_as_its_items() -> None:
    draw = random.Random(0)
    words = ["The", "dog", "A", "Rex", "unknown", "x"]
    data = []
    for _ in range(30):
        sentence = [draw.choice(words) for _ in range(draw.randint(1, 9))]
        tags = {t: [draw.choice([*c, None]) for _ in sentence] for t, c in CLASSES.items()}
        data.append(Data(words=sentence, tags=tags))
    for by_task in (False, True):
        encoded = EncodedSentences(data, ENCODER, by_task, known={"The", "dog"})
        for chosen in ([0], [3, 1, 8], list(range(len(encoded)))):
            items = [encoded[i] for i in chosen]
            batch = encoded.collate(items)
            for row, item in enumerate(items):
                n, c = item.characters.shape
                assert batch.lengths[row] == n
                assert batch.tokens[row, :n].tolist() == item.tokens.tolist()
                assert batch.characters[row, :n, :c].tolist() == item.characters.tolist()
                assert (
                    not batch.characters[row, n:].any() and not batch.characters[row, :, c:].any()
                )
                assert batch.y[row, :n].tolist() == item.y.tolist()
                assert item.unknown is not None and batch.unknown is not None
                assert batch.unknown[row, :n].tolist() == item.unknown.tolist()
                assert not batch.unknown[row, n:].any()


def test_unknown_words_are_those_of_no_training_sentence() -> None:
    known = {"The", "dog"}
    unknown = [item.unknown for item in EncodedSentences(DATA, ENCODER, known=known)]
    assert [None if row is None else row.tolist() for row in unknown] == [
        [False, False],
        [True],
        [True, True, False],  # "the" is not "The"
    ]


def test_reads_what_a_pyg_dataset_hands_out_and_chains() -> None:
    corpora = []
    for items in (CHUNKED, NAMED):
        dataset = InMemoryDataset(None)
        dataset.data, dataset.slices = dataset.collate(items)
        corpora.append(dataset)
    encoded = EncodedSentences(itertools.chain(*corpora), ENCODER)
    assert [item.y.tolist() for item in encoded] == [
        item.y.tolist() for item in EncodedSentences(DATA, ENCODER)
    ]
    dataset = InMemoryDataset(None)
    dataset.data, dataset.slices = dataset.collate([Data(words=["A"], task=1, tags=["O"])] * 2)
    assert EncodedSentences(dataset, ENCODER)[1].y.tolist() == [[N, 2, N]]


def test_loads_in_buckets_with_two_processes() -> None:
    data = [Data(words=["a"] * (n % 7 + 1), tags={"pos": ["NN"] * (n % 7 + 1)}) for n in range(20)]
    encoded = EncodedSentences(data, ENCODER, known=())
    loader = DataLoader(
        encoded,
        batch_sampler=BucketBatchSampler(encoded.lengths, 4),
        collate_fn=encoded.collate,
        num_workers=2,
    )
    lengths = [length for batch in loader for length in batch.lengths.tolist()]
    assert sorted(lengths) == sorted(encoded.lengths.tolist())


def test_pickles() -> None:
    encoded = EncodedSentences(DATA, ENCODER)
    other = pickle.loads(pickle.dumps(encoded))
    assert [item.y.tolist() for item in other] == [item.y.tolist() for item in encoded]
    with pytest.raises(IndexError):
        encoded[3]
    assert repr(encoded) == "EncodedSentences(3, 3 tasks)"


@pytest.mark.parametrize(
    ("item", "by_task", "message"),
    [
        (Data(tags={"pos": ["DT"]}), False, "item 1 has none"),
        (Data(words=[], tags={"pos": []}), False, "at least one"),
        (Data(words=["a"], tags=["DT"]), False, "item 1: expected a task, or tags as a dict"),
        (Data(words=["a"]), True, "item 1: expected a task, or tags as a dict, got None"),
        (Data(words=["a"], task=3, tags=["DT"]), False, "item 1: expected a task of 0 to 2, got 3"),
        (Data(words=["a"], task="pos", tags=["DT"]), False, "item 1: expected task as a number"),
        (Data(words=["a"], task=0, tags={"pos": ["DT"]}), False, "item 1: expected a list of tags"),
        (Data(words=["a"], tags={"pos": ["DT", "DT"]}), False, "item 1: expected 1 tags for 'pos'"),
        (Data(words=["a"], tags={"pos": ["VB"]}), False, "item 1: tag 'VB' is not among"),
        (Data(words=["a"], tags={"x": ["VB"]}), False, r"item 1 has tags for \['x'\], none is"),
    ],
)
def test_bad_items(item: Data, by_task: bool, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        EncodedSentences([DATA[0], item], ENCODER, by_task)


def test_tasks_with_labels() -> None:
    data = [Data(words=["a", "b"], tags={"pos": ["DT", None], "ner": [None, None]}) for _ in "ab"]
    classes = {"pos": ["DT", "NN"], "ner": ["O"], "chunk": ["O"]}
    encoder = SentenceEncoder.build([item.words for item in data], classes)
    for by_task in (False, True):
        assert EncodedSentences(data, encoder, by_task).labelled_tasks() == {0}


def test_no_examples() -> None:
    with pytest.raises(ValueError, match="at least one example, got none in 0"):
        EncodedSentences([], ENCODER)
    with pytest.raises(ValueError, match="at least one example, got none in 1"):
        EncodedSentences([Data(words=["a"], tags={"pos": None})], ENCODER, by_task=True)


@pytest.mark.parametrize("by_task", [False, True])
def test_parts(by_task: bool) -> None:
    encoded = EncodedSentences(DATA, ENCODER, by_task, known={"The"})
    for index, expected in (
        (slice(0, -1), list(range(len(encoded) - 1))),
        ([2, 0], [2, 0]),
        (encoded.lengths == 1, [n for n, size in enumerate(encoded.lengths.tolist()) if size == 1]),
    ):
        part = encoded[index]
        assert len(part) == len(expected) and part.encoder is ENCODER
        for item, number in zip(part, expected, strict=True):
            assert [v.tolist() for v in item] == [v.tolist() for v in encoded[number]]


def test_tasks_with_labels_are_those_of_the_part() -> None:
    assert EncodedSentences(DATA, ENCODER)[[1]].labelled_tasks() == {0}
    by_task = EncodedSentences(DATA, ENCODER, by_task=True)
    assert [by_task[[n]].labelled_tasks() for n in range(4)] == [{0}, {1}, {0}, {2}]


def test_no_tags_are_no_labels() -> None:
    [item] = EncodedSentences([Data(words=["A"], tags={})], ENCODER)
    assert item.task.tolist() == [True] * 3 and item.y.tolist() == [[N, N, N]]


def test_what_by_task_leaves_out_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    bare = [Data(words=["A"], tags={"pos": None}), Data(words=["A"], tags={})]
    with caplog.at_level(logging.INFO, logger="mtgnn"):
        assert len(EncodedSentences([*DATA, *bare], ENCODER, by_task=True)) == 4
        assert caplog.messages == ["left out 2 of 5 sentences, without labels"]
        assert len(EncodedSentences([*DATA, *bare], ENCODER)) == 5
    assert len(caplog.messages) == 1


def test_labels_by_task() -> None:
    for by_task, expected in (
        (False, [[0, 1], [N], [N] * 3]),
        (True, [[N] * 2, [0, 1], [N], [N] * 3]),
    ):
        encoded = EncodedSentences(DATA, ENCODER, by_task)
        assert [row.tolist() for row in encoded.labels(1)] == expected
    assert [row.tolist() for row in encoded[[3, 0]].labels(2)] == [[1, N, 0], [N, N]]

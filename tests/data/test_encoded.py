import copy
import logging
import pickle

import numpy as np
import pytest
import torch
from torch.utils.data import ConcatDataset, DataLoader, Subset
from torch_geometric.data import Data, InMemoryDataset

from mtgnn.data import (
    BucketBatchSampler,
    EncodedSentences,
    EncodedTexts,
    SentenceEncoder,
    SequenceBatch,
    Vocabulary,
)

VOCABULARY = Vocabulary(["a", "b", "c"])
DATA = [
    Data(text="a b", task=1, y=0),
    Data(text="", task=0, y=1),
    Data(text="c c c x", task=1),
]


def test_items() -> None:
    encoded = EncodedTexts(DATA, VOCABULARY)
    assert [item.tokens.tolist() for item in encoded] == [[3, 4], [2], [5, 5, 5, 1]]
    assert encoded.lengths.tolist() == [2, 1, 4]
    assert encoded.task.tolist() == [1, 0, 1]
    assert encoded.y.tolist() == [0, 1, -100]
    assert encoded[-1].tokens.tolist() == [5, 5, 5, 1]
    assert len(encoded) == 3 and encoded.truncated == 0


def test_index_out_of_range() -> None:
    with pytest.raises(IndexError):
        EncodedTexts(DATA, VOCABULARY)[3]


def test_collate_pads_with_zeros() -> None:
    encoded = EncodedTexts(DATA, VOCABULARY)
    batch = EncodedTexts.collate([encoded[0], encoded[2]])
    assert batch.tokens.tolist() == [[3, 4, 0, 0], [5, 5, 5, 1]]
    assert batch.lengths.tolist() == [2, 4]
    assert batch.task.tolist() == [1, 1]
    assert batch.y.tolist() == [0, -100]
    assert batch.y.dtype == batch.tokens.dtype == batch.task.dtype == torch.long
    assert len(batch) == 2


def test_truncation_is_counted_and_logged(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, logger="mtgnn"):
        encoded = EncodedTexts(DATA, VOCABULARY, max_length=2)
    assert encoded.truncated == encoded[1:].truncated == 1 and encoded[:2].truncated == 0
    assert encoded[2].tokens.tolist() == [5, 5]
    assert encoded[0].tokens.tolist() == [3, 4]
    assert caplog.messages == ["cut 1 of 3 texts at 2 tokens"]


def test_nothing_cut_nothing_logged(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, logger="mtgnn"):
        assert EncodedTexts(DATA, VOCABULARY, max_length=4).truncated == 0
    assert caplog.messages == []


def test_most_tokens_unknown_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    texts = [Data(text="A Dog barks", task=0), Data(text="a", task=0)]
    EncodedTexts(texts, Vocabulary(["a", "barks"]))
    assert not caplog.records
    EncodedTexts(texts, Vocabulary(["a"]))
    [record] = caplog.records
    assert record.getMessage().startswith("3 of 4 tokens are not in the vocabulary")


def test_float_labels_are_for_regression_and_nan_is_no_label() -> None:
    data = [Data(text="a", task=0, y=0.5), Data(text="b", task=0), Data(text="c", task=1, y=2)]
    y = EncodedTexts(data, VOCABULARY).y
    assert y.dtype == torch.float32
    assert y.isnan().tolist() == [False, True, False]
    assert y[[0, 2]].tolist() == [0.5, 2.0]


def test_reads_what_a_pyg_dataset_hands_out() -> None:
    dataset = InMemoryDataset(None)
    dataset.data, dataset.slices = dataset.collate(DATA[:2])
    assert isinstance(dataset[0].y, torch.Tensor)
    encoded = EncodedTexts(dataset, VOCABULARY)
    assert encoded.y.tolist() == [0, 1] and encoded.task.tolist() == [1, 0]
    assert EncodedTexts(dataset[[1]], VOCABULARY).y.tolist() == [1]


@pytest.mark.parametrize(
    ("item", "message"),
    [
        (Data(task=0), "item 1 has no text"),
        (Data(text="a"), "item 1 has no task"),
        (Data(text=3, task=0), "item 1 has int"),
        (Data(text="a", task="books"), "expected task as one number, item 1 has 'books'"),
        (Data(text="a", task=0, y="good"), "expected y as one number, item 1 has 'good'"),
        (
            Data(text="a", task=0, y=torch.tensor([0, 1])),
            "y as one number, item 1 has tensor",
        ),
    ],
)
def test_bad_items(item: Data, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        EncodedTexts([DATA[0], item], VOCABULARY)


CLASSES = {"mood": ["bad", "good"], "topic": ["food", "film", "art"]}
SEVERAL = [
    Data(text="a b", labels={"topic": "art", "mood": "bad"}),
    Data(text="c", labels={}),
    Data(text="a a a", labels={"mood": None, "topic": "food"}),
    Data(text="b", task=0, y=1),
    Data(text="c c", task=1),
]


def test_labels_of_several_tasks() -> None:
    encoded = EncodedTexts(SEVERAL, VOCABULARY, classes=CLASSES)
    assert encoded.y.tolist() == [[0, 2], [-100, -100], [-100, 0], [1, -100], [-100, -100]]
    assert encoded.task.int().tolist() == [[1, 1], [1, 1], [0, 1], [1, 0], [0, 1]]
    assert encoded.lengths.tolist() == [2, 1, 3, 1, 2] and encoded.tasks == list(CLASSES)
    assert encoded.labelled_tasks() == {0, 1} and encoded[2:3].labelled_tasks() == {1}
    batch = encoded.collate([encoded[3], encoded[2]])
    assert batch.y.tolist() == [[1, -100], [-100, 0]] and batch.task.dtype == torch.bool
    assert batch.task.tolist() == [[True, False], [False, True]]
    assert encoded[[2, 0]].y.tolist() == [[-100, 0], [0, 2]]


def test_an_example_for_each_task(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, logger="mtgnn"):
        encoded = EncodedTexts(SEVERAL, VOCABULARY, 2, classes=CLASSES, by_task=True)
    assert encoded.task.tolist() == [1, 0, 1, 0, 1]
    assert encoded.y.tolist() == [2, 0, 0, 1, -100]
    tokens = [[3, 4], [3, 4], [3, 3], [4], [5, 5]]
    assert [item.tokens.tolist() for item in encoded] == tokens
    assert encoded.lengths.tolist() == [len(own) for own in tokens] and encoded.truncated == 1
    assert caplog.messages == [
        "left out 1 of 5 texts, without labels",
        "cut 1 of 5 texts at 2 tokens",
    ]
    assert encoded[1:3].y.tolist() == [0, 0] and encoded.labelled_tasks() == {0, 1}


class Named(list[Data]):
    """Texts with names, as datasets have them; the names of labels stand in another order."""

    tasks = list(CLASSES)
    classes = dict(reversed(CLASSES.items()))


def test_labels_are_numbered_as_the_datasets_tasks_are() -> None:
    encoded = EncodedTexts(Named(SEVERAL), VOCABULARY)
    assert encoded.y[[0, 3]].tolist() == [[0, 2], [1, -100]]
    assert encoded.tasks == list(encoded.classes) == list(CLASSES)


def test_names_mean_the_same_in_any_order(caplog: pytest.LogCaptureFixture) -> None:
    """A model's tasks may be more, fewer or others than a dataset's."""
    turned = {"style": ["dry"], "topic": ["film", "food", "art"], "mood": ["good", "bad"]}
    other = Named([Data(text="c", labels={"style": "dry"})])
    other.tasks, other.classes = ["style"], {"style": ["dry"]}
    joined = ConcatDataset([Named(SEVERAL[:3]), other])
    encoded = EncodedTexts(joined, VOCABULARY, classes=turned)
    rows = [[-100, 2, 1], [-100] * 3, [-100, 1, -100], [0, -100, -100]]
    assert encoded.y.tolist() == rows and not caplog.messages
    fewer = EncodedTexts(SEVERAL[:3], VOCABULARY, classes={"mood": CLASSES["mood"]})
    assert fewer.y.tolist() == [[0], [-100], [-100]] and fewer.task.all()
    assert caplog.messages == ["left out labels of ['topic'], no tasks of classes"]


def test_numbers_mean_what_the_dataset_says() -> None:
    named = Named(SEVERAL)
    with pytest.raises(ValueError, match=r"numbers of the dataset's tasks .'mood', 'topic'.*renum"):
        EncodedTexts(named, VOCABULARY, classes=dict(reversed(CLASSES.items())))
    with pytest.raises(ValueError, match=r"labels .'bad', 'good'. of 'mood'.*got .'good', 'bad'"):
        EncodedTexts(named, VOCABULARY, classes={**CLASSES, "mood": ["good", "bad"]})
    assert EncodedTexts(named, VOCABULARY, classes=CLASSES).y[3].tolist() == [1, -100]
    assert EncodedTexts(Named(SEVERAL[3:]), VOCABULARY, classes=CLASSES).y.tolist() == [1, -100]


def test_what_has_no_labels_is_unlabelled_where_the_names_are_known() -> None:
    items = [Data(text="a"), Data(text="b", labels=None), Data(text="c", labels={"mood": "good"})]
    encoded = EncodedTexts(items, VOCABULARY, classes=CLASSES)
    assert encoded.y.tolist() == [[-100, -100], [-100, -100], [1, -100]]
    assert encoded.task.tolist() == [[True, True], [True, True], [True, False]]
    with pytest.raises(ValueError, match="item 0 has no task"):
        EncodedTexts(items, VOCABULARY)


def test_labels_of_ones_own_beside_task_and_y_are_nobody_s_business() -> None:
    encoded = EncodedTexts([Data(text="a", task=1, y=0, labels=["x"])], VOCABULARY)
    assert encoded.task.tolist() == [1] and encoded.y.tolist() == [0]


def test_numbers_of_numpy_are_what_they_are() -> None:
    y = [EncodedTexts([Data(text="a", task=0, y=own)], VOCABULARY).y for own in NUMPY]
    assert y[0].item() == 2 and y[0].dtype == torch.long and y[1].item() == 0.75


NUMPY = np.int32(2), np.float32(0.75)


@pytest.mark.parametrize("by_task", [False, True])
@pytest.mark.parametrize(
    ("item", "message"),
    [
        (Data(text="a", labels={"mood": "fine"}), "'mood' among .*'good'.*, item 1 has 'fine'"),
        (Data(text="a", labels={"mood": 1}), "'mood' among .* item 1 has 1"),
        (Data(text="a", labels=["good"]), r"labels as a dict.* item 1 has \['good'\]"),
        (Data(text="a", labels={}, task=0), r"neither task nor y, item 1 has \['task'\] beside"),
        (Data(text="a", task=2, y=0), "tasks in 0…1 .*item 1 has {2: 0}"),
        (Data(text="a", task=0, y=0.5), "numbers of classes beside labels by name, item 1 has"),
        (Data(text="a", task=0, y=np.float32(0.5)), "numbers of classes beside labels by name"),
    ],
)
def test_bad_labels_by_name(item: Data, message: str, by_task: bool) -> None:
    with pytest.raises(ValueError, match=message):
        EncodedTexts([SEVERAL[0], item], VOCABULARY, classes=CLASSES, by_task=by_task)


def test_labels_by_name_need_the_names() -> None:
    with pytest.raises(ValueError, match=r"item 0 has labels by name.*classes=model.classes"):
        EncodedTexts(SEVERAL, VOCABULARY)
    with pytest.raises(ValueError, match="classes as a dict"):
        EncodedTexts(SEVERAL, VOCABULARY, classes=["mood"])  # type: ignore[arg-type]
    for names in ("bad", ["bad", "bad"], 2):
        with pytest.raises(ValueError, match=r"label names of task 'mood', got"):
            EncodedTexts(SEVERAL, VOCABULARY, classes={"mood": names})
    half = Named(SEVERAL)
    half.classes = {"mood": CLASSES["mood"]}
    with pytest.raises(ValueError, match=r"item 0 has labels by name"):
        EncodedTexts(half, VOCABULARY)


class ByNumber:
    """Knows its length, and has an item for every number."""

    def __len__(self) -> int:
        return 3

    def __getitem__(self, number: int) -> Data:
        return Data(text="a b", task=number % 2, words=["a", "b"], tags=["N", "V"])


def test_a_dataset_is_as_long_as_it_says() -> None:
    assert EncodedTexts(ByNumber(), Vocabulary(["a"])).task.tolist() == [0, 1, 0]
    encoder = SentenceEncoder.build([["a", "b"]], {"pos": ["N", "V"], "ner": ["N", "V"]})
    assert len(EncodedSentences(ByNumber(), encoder)) == 3


def test_bad_max_length() -> None:
    with pytest.raises(ValueError, match="max_length must be at least 1, got 0"):
        EncodedTexts(DATA, VOCABULARY, max_length=0)


def test_a_loader_of_two_processes_yields_every_text_once() -> None:
    data = [Data(text="a " * (n % 7 + 1), task=n % 2, y=n) for n in range(20)]
    encoded = EncodedTexts(data, VOCABULARY)
    loader = DataLoader(
        encoded,
        batch_sampler=BucketBatchSampler(encoded.lengths, 4),
        collate_fn=encoded.collate,
        num_workers=2,
    )
    batches = list(loader)
    assert sorted(y for batch in batches for y in batch.y.tolist()) == list(range(20))
    for batch in batches:
        assert (batch.tokens != 0).sum(1).tolist() == batch.lengths.tolist()
        assert batch.lengths.tolist() == [y % 7 + 1 for y in batch.y.tolist()]


def test_batch_moves_but_lengths_and_tasks_stay() -> None:
    encoded = EncodedTexts(DATA, VOCABULARY)
    batch = EncodedTexts.collate(list(encoded)).to("meta")
    assert isinstance(batch, SequenceBatch)
    assert batch.tokens.device.type == batch.y.device.type == "meta"
    assert batch.lengths.device.type == batch.task.device.type == "cpu"


def test_batch_is_pinned_but_lengths_and_tasks_are_not(monkeypatch: pytest.MonkeyPatch) -> None:
    batch = EncodedTexts.collate(list(EncodedTexts(DATA, VOCABULARY)))
    monkeypatch.setattr(torch.Tensor, "pin_memory", lambda self: ("pinned", self))
    pinned = batch.pin_memory()
    assert isinstance(pinned, SequenceBatch)
    for name in ("tokens", "y"):
        mark, value = getattr(pinned, name)
        assert mark == "pinned" and value is getattr(batch, name)
    assert pinned.lengths is batch.lengths and pinned.task is batch.task


def test_copies_and_pickles() -> None:
    encoded = EncodedTexts(DATA, VOCABULARY)
    for other in (copy.deepcopy(encoded), pickle.loads(pickle.dumps(encoded))):
        assert [item.tokens.tolist() for item in other] == [
            item.tokens.tolist() for item in encoded
        ]


@pytest.mark.parametrize(
    ("index", "expected"),
    [
        (slice(1, None), [1, 2]),
        (slice(None, None, -2), [2, 0]),
        ([2, 0], [2, 0]),
        (torch.tensor([True, False, True]), [0, 2]),
        (torch.tensor([-1]), [2]),
        ([], []),
    ],
)
def test_parts(index, expected: list[int]) -> None:
    encoded = EncodedTexts(DATA, VOCABULARY)
    part = encoded[index]
    assert len(part) == len(expected) and part.vocabulary is VOCABULARY
    for item, number in zip(part, expected, strict=True):
        assert [v.tolist() for v in item] == [v.tolist() for v in encoded[number]]
    assert part.lengths.tolist() == [int(encoded.lengths[number]) for number in expected]
    assert len(encoded) == 3
    assert [item.y.tolist() for item in part[:1]] == [item.y.tolist() for item in part][:1]


def test_numbers_of_parts_are_checked() -> None:
    for index in ([3], torch.tensor([True, False])):
        with pytest.raises(IndexError):
            EncodedTexts(DATA, VOCABULARY)[index]


def test_names_of_tasks_and_labels_are_kept() -> None:
    assert EncodedTexts(DATA, VOCABULARY).tasks is None

    class Named(list[Data]):
        tasks, classes = ("b", "a"), {"b": ["no", "yes"]}

    encoded = EncodedTexts(Subset(Named(DATA), [0, 2]), VOCABULARY)
    assert encoded.tasks == ("b", "a") and encoded[:1].classes == {"b": ["no", "yes"]}
    joined = EncodedTexts(ConcatDataset([Named(DATA), Named(DATA)]), VOCABULARY)
    assert joined.tasks == ("b", "a") and len(joined) == 6
    assert EncodedTexts(ConcatDataset([DATA, Named(DATA)]), VOCABULARY).tasks == ("b", "a")
    for name, value in (("tasks", ["a", "b"]), ("classes", {"b": ["yes", "no"]})):
        other = Named(DATA)
        setattr(other, name, value)
        with pytest.raises(ValueError, match="the same tasks and labels, got"):
            EncodedTexts(ConcatDataset([Named(DATA), other]), VOCABULARY)
    same = Named(DATA)
    same.tasks, same.classes = ["b", "a"], {"b": ("no", "yes")}
    assert len(EncodedTexts(ConcatDataset([Named(DATA), same]), VOCABULARY)) == 6

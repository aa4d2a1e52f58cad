import random

import pytest
import torch
from seqeval.metrics import classification_report, f1_score, precision_score, recall_score

from mtgnn.data import scheme_tags
from mtgnn.metrics import SpanF1, SpanScore, score_spans, span_f1

Sentences = list[list[str]]

ANY = ["O", "O", *(f"{prefix}-{kind}" for prefix in "BIES" for kind in ("X", "Y"))]
IOB = ["O", "O", *(f"{prefix}-{kind}" for prefix in "BI" for kind in ("X", "Y"))]


def draw_tags(seed: int, tags: list[str]) -> tuple[Sentences, Sentences]:
    """Predicted and true tags, ill-formed as chance has it, that often agree."""
    draw = random.Random(seed)
    true = [[draw.choice(tags) for _ in range(draw.randint(1, 9))] for _ in range(5)]
    predicted = [
        [tag if draw.random() < 0.7 else draw.choice(tags) for tag in sentence] for sentence in true
    ]
    return predicted, true


def starts(before: str, tag: str) -> bool:
    """The official scorer's question about two neighbouring tags; E and S as in its successors."""
    if tag == "O":
        return False
    return tag[0] in "BS" or before == "O" or before[0] in "ES" or before[2:] != tag[2:]


def stream(predicted: Sentences, true: Sentences) -> tuple[int, int, int]:
    """Correct, predicted and true spans as the official scorer counts them: word by word."""
    correct = found = given = 0
    inside = False
    last_guess = last_truth = "O"
    for guess, truth in [
        pair
        for a, b in zip(predicted, true, strict=True)
        for pair in [*zip(a, b, strict=True), ("O", "O")]
    ]:
        guess_starts, truth_starts = starts(last_guess, guess), starts(last_truth, truth)
        guess_ends = last_guess != "O" and (guess == "O" or guess_starts)
        truth_ends = last_truth != "O" and (truth == "O" or truth_starts)
        if inside and (guess_ends or truth_ends):
            correct += guess_ends and truth_ends
            inside = False
        if guess_starts and truth_starts:
            inside = guess[2:] == truth[2:]
        found += guess_starts
        given += truth_starts
        last_guess, last_truth = guess, truth
    return correct, found, given


@pytest.mark.parametrize("tags", [IOB, ANY], ids=["IOB", "any"])
def test_counts_as_the_official_scorer_does(tags: list[str]) -> None:
    some = 0
    for seed in range(200):
        predicted, true = draw_tags(seed, tags)
        overall, per_type = score_spans(predicted, true)
        assert (overall.correct, overall.predicted, overall.true) == stream(predicted, true)
        some += overall.correct
        for kind, score in per_type.items():
            only = [
                [[tag if tag.endswith(kind) else "O" for tag in sentence] for sentence in side]
                for side in (predicted, true)
            ]
            assert (score.predicted, score.true) == stream(*only)[1:]
        for n in ("correct", "predicted", "true"):
            assert sum(getattr(s, n) for s in per_type.values()) == getattr(overall, n)
    assert some > 100


@pytest.mark.parametrize("tags", [IOB, ANY], ids=["IOB", "any"])
def test_is_seqevals_default(tags: list[str]) -> None:
    for seed in range(60):
        predicted, true = draw_tags(seed, tags)
        overall, per_type = score_spans(predicted, true)
        assert overall[:3] == pytest.approx(
            [
                score(true, predicted, zero_division=0)
                for score in (precision_score, recall_score, f1_score)
            ]
        )
        report = classification_report(true, predicted, output_dict=True, zero_division=0)
        for kind, score in per_type.items():
            expected = [report[kind][name] for name in ("precision", "recall", "f1-score")]
            assert score[:3] == pytest.approx(expected)
            assert score.true == report[kind]["support"]


@pytest.mark.parametrize(
    ("predicted", "true", "expected"),
    [
        ("B-X I-X O", "B-X I-X O", (1, 1, 1)),
        ("B-X I-X I-X", "B-X I-X O", (0, 1, 1)),  # too long
        ("B-X B-X O", "B-X I-X O", (0, 2, 1)),  # broken in two
        ("B-Y I-Y O", "B-X I-X O", (0, 1, 1)),  # another type
        ("I-X I-X O", "B-X I-X O", (1, 1, 1)),  # ill-formed: begins with I
        ("B-X I-Y O", "B-X I-X O", (0, 2, 1)),  # ill-formed: the type changes
        ("O I-Y I-X", "O B-Y B-X", (2, 2, 2)),
        ("B-X I-X I-X", "B-X I-X B-X", (0, 1, 2)),
        ("O O O", "O O O", (0, 0, 0)),
        ("S-X O B-Y", "B-X O I-Y", (2, 2, 2)),  # schemes mixed
    ],
)
def test_by_hand(predicted: str, true: str, expected: tuple[int, int, int]) -> None:
    overall = score_spans([predicted.split()], [true.split()]).overall
    assert (overall.correct, overall.predicted, overall.true) == expected


def test_scores_by_hand() -> None:
    # Three predicted spans, two of which are right; four true ones.
    predicted = [["B-NP", "I-NP", "B-VP", "O"], ["B-NP", "O", "O"]]
    true = [["B-NP", "I-NP", "B-VP", "B-NP"], ["O", "B-NP", "O"]]
    overall, per_type = score_spans(predicted, true)
    assert overall == pytest.approx(SpanScore(2 / 3, 2 / 4, 4 / 7, 2, 3, 4))
    assert per_type["NP"] == pytest.approx(SpanScore(1 / 2, 1 / 3, 2 / 5, 1, 2, 3))
    assert per_type["VP"] == SpanScore(1.0, 1.0, 1.0, 1, 1, 1)
    assert span_f1(predicted, true) == pytest.approx(4 / 7)


def test_nothing_scores_zero() -> None:
    zero = SpanScore(0.0, 0.0, 0.0, 0, 0, 0)
    assert score_spans([], []) == (zero, {})
    assert SpanF1(["O", "B-X", "I-X"]).compute() == (zero, {"X": zero})
    assert SpanF1(["O"]).counts().shape == (0, 3)


def test_a_span_ends_with_its_sentence() -> None:
    assert score_spans([["B-X"], ["I-X"]], [["B-X"], ["I-X"]]).overall.true == 2


def tensors(sentences: Sentences, classes: list[str], fill: int) -> torch.Tensor:
    width = max(map(len, sentences)) + 2
    rows = [[classes.index(tag) for tag in s] + [fill] * (width - len(s)) for s in sentences]
    return torch.tensor(rows)


@pytest.mark.parametrize("scheme", ["IOB1", "IOB2", "IOBES", "BILOU"])
def test_batches_add_up_to_the_function(scheme: str) -> None:
    classes = scheme_tags(["X", "Y"], scheme)
    for seed in range(40):
        predicted, true = draw_tags(seed, classes)
        metric = SpanF1(classes)
        for part in (slice(0, 2), slice(2, 3), slice(3, 5)):
            # What is predicted on padding does not count, whatever it is.
            metric.update(
                tensors(predicted[part], classes, seed % 3 - 1),
                tensors(true[part], classes, -100),
            )
        overall, per_type = score_spans(predicted, true)
        assert metric.compute().overall == overall
        for kind, score in per_type.items():
            assert metric.compute().per_type[kind] == score
        other = SpanF1(classes)
        other.load_counts(metric.counts())
        assert other.compute() == metric.compute()
        other.load_counts(metric.counts() + other.counts())
        assert other.compute().overall.true == 2 * overall.true
        metric.reset()
        assert metric.compute().overall.true == 0


def test_a_word_without_a_label_ends_spans_on_both_sides() -> None:
    metric = SpanF1(["O", "B-X", "I-X"])
    metric.update(torch.tensor([[1, 2, 2]]), torch.tensor([[1, -100, 2]]))
    assert metric.compute().overall == SpanScore(1.0, 1.0, 1.0, 2, 2, 2)


def test_update_does_not_change_its_arguments() -> None:
    predicted, true = torch.tensor([[1, 7]]), torch.tensor([[1, -100]])
    SpanF1(["O", "B-X"]).update(predicted, true)
    assert predicted.tolist() == [[1, 7]] and true.tolist() == [[1, -100]]


def test_bad_input() -> None:
    with pytest.raises(ValueError, match="got 'NN'"):
        SpanF1(["O", "NN"])
    with pytest.raises(ValueError, match="expected 2 predicted sentences, got 1"):
        score_spans([["O"]], [["O"], ["O"]])
    with pytest.raises(ValueError, match="sentence 0: expected 2 predicted tags, got 1"):
        score_spans([["O"]], [["O", "O"]])
    metric = SpanF1(["O", "B-X"])
    one = torch.zeros(1, 2, dtype=torch.long)
    for predicted, true, message in [
        (one, one[:, :1], r"\[B, T\], got \[1, 2\] and \[1, 1\]"),
        (one[0], one[0], r"\[B, T\], got \[2\] and \[2\]"),
        (one.float(), one, "integers, got floats"),
        (one + 2, one, "predicted classes from 0 to 1, got 2"),
        (one - 1, one, "predicted classes from 0 to 1, got -1"),
        (one, one + 5, "true classes from 0 to 1, got 5"),
    ]:
        with pytest.raises(ValueError, match=message):
            metric.update(predicted, true)
    with pytest.raises(ValueError, match=r"counts \[1, 3\], got \[2, 3\]"):
        metric.load_counts(torch.zeros(2, 3))
    assert metric.compute().overall.true == 0 and repr(metric) == "SpanF1(1 types)"

from collections import Counter
from pathlib import Path

import pytest
from tiny_fdu_mtl import TinyFDUMTL

from mtgnn.data import EncodedTexts, Vocabulary
from mtgnn.datasets import FDUMTL

SPLITS = ("train", "dev", "test", "unlabelled")


def rows(dataset: FDUMTL) -> list[tuple[str, int, int]]:
    return list(zip(dataset.text, dataset.task.tolist(), dataset.y.tolist(), strict=True))


def test_the_real_tables_agree_with_each_other() -> None:
    assert len(FDUMTL.domains) == len(set(FDUMTL.domains)) == 16
    kinds = ("train", "test", "unlabel")
    assert set(FDUMTL.checksums) == {f"{d}.task.{kind}" for d in FDUMTL.domains for kind in kinds}
    assert all(len(checksum) == 64 for checksum in FDUMTL.checksums.values())
    assert len(set(FDUMTL.checksums.values())) == 48
    assert set(FDUMTL.encodings) <= set(FDUMTL.domains)


def test_tasks_and_classes(tmp_path: Path, source: Path) -> None:
    dataset = TinyFDUMTL(tmp_path, "test", source)
    assert dataset.tasks == ["books", "dvd", "MR"]
    assert dataset.classes == {task: ["negative", "positive"] for task in dataset.tasks}
    assert dataset.num_classes == 2


def test_items(tmp_path: Path, source: Path) -> None:
    item = TinyFDUMTL(tmp_path, "test", source)[3]
    assert (item.text, item.task.tolist(), item.y.tolist()) == ("new dvd", [1], [0])


def test_train_and_dev_make_up_the_train_files(tmp_path: Path, source: Path) -> None:
    for dev in ("stratified", "tail"):
        parts = [rows(TinyFDUMTL(tmp_path, split, source, dev=dev)) for split in ("train", "dev")]
        assert [len(part) for part in parts] == [24, 12]
        assert [Counter(task for _, task, _ in part) for part in parts] == [
            {0: 8, 1: 8, 2: 8},
            {0: 4, 1: 4, 2: 4},
        ]
        texts = Counter(text for part in parts for text, _, _ in part)
        assert texts["books text 0"] == 2 and texts["MR one"] == 1 and texts[""] == 1


@pytest.mark.parametrize("seed", range(5))
def test_stratified_dev_keeps_equal_texts_and_labels_together(
    tmp_path: Path, source: Path, seed: int
) -> None:
    train, dev = (rows(TinyFDUMTL(tmp_path, s, source, seed=seed)) for s in ("train", "dev"))
    assert not {text for text, _, _ in train} & {text for text, _, _ in dev}
    assert Counter((task, label) for _, task, label in dev) == {
        (task, label): 2 for task in range(3) for label in range(2)
    }


def test_tail_takes_the_last_lines(tmp_path: Path, source: Path) -> None:
    dataset = TinyFDUMTL(tmp_path, "dev", source, dev="tail")
    assert dataset.text[:4] == ["books text 4", "books text 4", "", "books two"]


def test_each_way_to_draw_has_its_own_cache(tmp_path: Path, source: Path) -> None:
    def draw(**options: object) -> list[tuple[str, int, int]]:
        return rows(TinyFDUMTL(tmp_path, "dev", source, **options))  # type: ignore[arg-type]

    first = draw()
    others = [draw(seed=seed) for seed in range(1, 6)] + [draw(dev="tail")]
    assert any(other != first for other in others[:-1]) and others[-1] != first
    assert draw() == first
    assert draw(seed=3) == others[2] == rows(TinyFDUMTL(tmp_path / "new", "dev", source, seed=3))


def test_leaked_means_in_any_train_file(tmp_path: Path, source: Path) -> None:
    dataset = TinyFDUMTL(tmp_path, "test", source)
    assert dataset.leaked.tolist() == [False, True, True, False, True, False]
    unleaked = dataset[~dataset.leaked]
    assert [item.text for item in unleaked] == ["new books", "new dvd", "new MR"]
    assert "leaked" not in TinyFDUMTL(tmp_path, "dev", source)[0]


def test_encodings_lines_and_damage(tmp_path: Path, source: Path) -> None:
    dataset = TinyFDUMTL(tmp_path, "train", source) + TinyFDUMTL(tmp_path, "dev", source)
    texts = [item.text for item in dataset]
    assert texts.count("na\u00efve \u2019s") == 1  # cp1252
    assert texts.count("one\x85line") == 1  # one line
    assert texts.count("a clich\ufffd ''") == 1  # the damaged one


def test_damage_in_another_place_is_an_error(tmp_path: Path, source: Path) -> None:
    class Strict(TinyFDUMTL):
        damaged_lines = frozenset({("dvd.task.train", 11)})

    with pytest.raises(UnicodeDecodeError):
        Strict(tmp_path, "train", source)


def test_empty_text_is_kept_and_becomes_one_token(tmp_path: Path, source: Path) -> None:
    for split in ("train", "dev"):
        dataset = TinyFDUMTL(tmp_path, split, source, dev="tail")
        encoded = EncodedTexts(dataset, Vocabulary.build(dataset.text))
        empty = [i for i, text in enumerate(dataset.text) if not text]
        assert len(empty) == (split == "dev")
        assert all(encoded[i].tokens.tolist() == [2] for i in empty)
        assert encoded.lengths.min() >= 1


def test_unlabelled(tmp_path: Path, source: Path) -> None:
    dataset = TinyFDUMTL(tmp_path, "unlabelled", source)
    assert dataset.text == ["Raw , \t books", "more", "Raw dvd", "Raw MR"]
    assert dataset.task.tolist() == [0, 0, 1, 2]
    assert "y" not in dataset[0]
    assert EncodedTexts(dataset, Vocabulary()).y.tolist() == [-100] * 4


def test_raw_files_are_fetched_once(tmp_path: Path, source: Path) -> None:
    first = rows(TinyFDUMTL(tmp_path, "test", source))
    for path in source.iterdir():
        path.unlink()
    assert rows(TinyFDUMTL(tmp_path, "test")) == first
    assert len(TinyFDUMTL(tmp_path, "train")) == 24


def test_nothing_is_left_beside_the_files(tmp_path: Path, source: Path) -> None:
    root = tmp_path / "root"
    for split in SPLITS:
        TinyFDUMTL(root, split, source)
    assert {path.name for path in root.iterdir()} == {"raw", "processed"}
    assert {path.name for path in (root / "raw").iterdir()} == set(TinyFDUMTL.checksums)
    assert all(path.suffix == ".pt" for path in (root / "processed").iterdir())


def test_a_raw_file_that_changed_is_an_error(tmp_path: Path, source: Path) -> None:
    TinyFDUMTL(tmp_path, "test", source)
    path = tmp_path / "raw" / "dvd.task.train"
    path.write_bytes(path.read_bytes() + b"1\tmore\n")
    with pytest.raises(ValueError, match=r"dvd\.task\.train \(delete it.*SHA-256"):
        TinyFDUMTL(tmp_path, "train", source)


def test_transform_and_force_reload(tmp_path: Path, source: Path) -> None:
    TinyFDUMTL(tmp_path, "test", source)
    path = tmp_path / "processed" / "test.pt"
    path.write_bytes(b"nothing")
    dataset = TinyFDUMTL(tmp_path, "test", transform=lambda item: item.text, force_reload=True)
    assert dataset[0] == "new books"


def test_bad_options(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="split as one of .*'unlabelled'.*got 'valid'"):
        FDUMTL(tmp_path, "valid")
    with pytest.raises(ValueError, match="'stratified' or 'tail', got 'random'"):
        FDUMTL(tmp_path, dev="random")
    assert list(tmp_path.iterdir()) == []

"""Labels that count more than others in training."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from tiny import CLASSES, data, encoded, model, texts, train
from tiny_tagging import model as tagger

from mtgnn.lightning import MultiTaskModule, read_checkpoint
from mtgnn.lightning.class_weights import ClassWeights
from mtgnn.nn import add_task, freeze_except_task

WEIGHTS = {"dvd": [1, 0.5, 3], "toys": [0, 2]}


def state(net: torch.nn.Module) -> list[torch.Tensor]:
    return [parameter.detach().clone() for parameter in net.parameters()]


@pytest.mark.parametrize("several", [False, True])
def test_losses_are_multiplied_by_the_weight_of_the_label(several: bool) -> None:
    net = model().double()
    part = encoded(12, 1) if several else data().encoded("train")[:12]
    batch = part.collate(list(part))
    losses = net.losses(net.read(batch), batch)
    weighted = ClassWeights(net, WEIGHTS)(losses, batch.y)
    checked = 0
    for k, (task, names) in enumerate(CLASSES.items()):
        own = (losses.task == k) & losses.labelled
        for label in range(len(names)):
            these = own & (batch.y.flatten() == label)
            weight = WEIGHTS.get(task, [1] * 3)[label]
            torch.testing.assert_close(weighted.value[these], weight * losses.value[these])
            checked += int(these.sum())
    assert checked == losses.labelled.sum() > 10
    assert torch.equal(weighted.labelled, losses.labelled)


def test_a_class_of_weight_zero_is_not_learned(tmp_path: Path) -> None:
    part = [item for item in texts(60, 1) if item.y == 1]
    net = model("shared")
    before = state(net)
    none = {task: [1.0, 0.0, 1.0][: len(names)] for task, names in CLASSES.items()}
    train(net, tmp_path, data=data(train=part, dev=None), class_weights=none)
    assert all(map(torch.equal, before, state(net)))
    train(net, tmp_path, data=data(train=part, dev=None), class_weights={"dvd": [1, 1, 1]})
    assert not all(map(torch.equal, before, state(net)))


def test_dev_losses_are_without(tmp_path: Path) -> None:
    done = train(model(), tmp_path, class_weights=WEIGHTS)
    assert not any(
        "class_weights" in name for name in read_checkpoint(done.checkpoint)["state_dict"]
    )
    read = []
    for folder in ("plain", "weighted"):
        trainer_of: Any = {"learning_rate": 1e-12, "max_epochs": 1}
        weights = WEIGHTS if folder == "weighted" else None
        train(model(), tmp_path / folder, **trainer_of, class_weights=weights)
        [scores] = (tmp_path / folder).glob("csv/**/metrics.csv")
        head, *rows = (line.split(",") for line in scores.read_text().splitlines())
        read.append([row[head.index("dev/loss")] for row in rows if row[head.index("dev/loss")]])
    assert read[0] and float(read[0][0]) == pytest.approx(float(read[1][0]), rel=1e-6)


def test_bad_class_weights() -> None:
    for weights, message in [
        ({"films": [1, 1]}, "class weights of tasks .*'books'.*got one of 'films'"),
        ({"dvd": [1, 2]}, r"each label of 'dvd', \['bad', 'fair', 'good'\], got \[1.0, 2.0\]"),
        ({"toys": [1, -1]}, "weight of at least 0"),
        ({"toys": [1, float("nan")]}, "weight of at least 0"),
    ]:
        with pytest.raises(ValueError, match=message):
            MultiTaskModule(model(), class_weights=weights)
    with pytest.raises(ValueError, match="of texts, got a TaggingModel, whose words have tags"):
        MultiTaskModule(tagger(), class_weights={"pos": [1, 1]})
    net, part = model(), data().encoded("train")[:4]
    batch = part.collate(list(part))
    losses = net.losses(net.read(batch), batch)
    with pytest.raises(ValueError, match="a loss for each label, got 4 losses of 3"):
        ClassWeights(net, WEIGHTS)(losses, batch.y[:3])


def test_batches_that_nothing_learns_from_are_passed_over(tmp_path: Path) -> None:
    larger = add_task(model("star"), "style", ["dry", "wild"])
    freeze_except_task(larger, "style")
    before = {name: value.clone() for name, value in larger.state_dict().items()}
    own = texts(4, 5)
    for item in own:
        item.task = 3
    # Of old tasks all but one batch an epoch.
    train(larger, tmp_path, data=data(batch_size=4, train=[*texts(40, 1), *own], dev=None))
    changed = {name for name, value in larger.state_dict().items() if not value.equal(before[name])}
    assert changed and all(".style." in name for name in changed)

import pytest
import torch

from mtgnn.data import TokenBatch


def batch(task: bool, unknown: bool) -> TokenBatch:
    return TokenBatch(
        tokens=torch.ones(2, 3, dtype=torch.long),
        characters=torch.ones(2, 3, 4, dtype=torch.long),
        lengths=torch.tensor([3, 1]),
        task=torch.tensor([0, 1]) if task else None,
        y=torch.zeros(2, 3, dtype=torch.long) if task else torch.zeros(2, 3, 2, dtype=torch.long),
        unknown=torch.zeros(2, 3, dtype=torch.bool) if unknown else None,
    )


@pytest.mark.parametrize("task", [False, True])
@pytest.mark.parametrize("unknown", [False, True])
def test_moves_but_lengths_and_tasks_stay(task: bool, unknown: bool) -> None:
    before = batch(task, unknown)
    after = before.to("meta")
    assert isinstance(after, TokenBatch) and len(before) == len(after) == 2
    assert after.lengths is before.lengths and after.task is before.task
    for name in ("tokens", "characters", "y", "unknown"):
        old, new = getattr(before, name), getattr(after, name)
        assert (old is None) == (new is None)
        assert new is None or (new.device.type == "meta" and new.shape == old.shape)
    assert (after.task is None) == (not task) and (after.unknown is None) == (not unknown)


@pytest.mark.parametrize("task", [False, True])
@pytest.mark.parametrize("unknown", [False, True])
def test_is_pinned_but_lengths_and_tasks_are_not(
    task: bool, unknown: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = batch(task, unknown)
    monkeypatch.setattr(torch.Tensor, "pin_memory", lambda self: ("pinned", self))
    after = before.pin_memory()
    assert isinstance(after, TokenBatch)
    assert after.lengths is before.lengths and after.task is before.task
    for name in ("tokens", "characters", "y", "unknown"):
        old, new = getattr(before, name), getattr(after, name)
        if old is None:
            assert new is None
        else:
            assert new[0] == "pinned" and new[1] is old

"""Programs that wait for each other, side by side: each in a process of its own, on shared memory.

Triton's interpreter runs the programs of a launch one after the other, where none could wait. Here
every program has an interpreter, so that a mutual exchange has launches of many steps, as on a GPU.
"""

from __future__ import annotations

import multiprocessing
import time
from typing import Any

import pytest
import torch
from torch import Tensor

from mtgnn.nn import CompleteGraphLSTM
from mtgnn.ops.gpu.steps import TritonPairSteps
from mtgnn.testing import random_batch, randomise

pytest.importorskip("triton", reason="Triton is not installed (extra triton)")
pytestmark = [
    pytest.mark.usefixtures("triton_kernels"),
    pytest.mark.skipif(torch.cuda.is_available(), reason="there they are one launch anyway"),
    pytest.mark.skipif(
        "fork" not in multiprocessing.get_all_start_methods(), reason="processes need fork"
    ),
    pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning"),
]
E, TASKS, PATIENCE = 3, ("a", "b", "c"), 300  # seconds, in case they wait for ever


def run_one(
    kernel: Any, program: int, programs: int, values: list[Any], options: dict[str, Any]
) -> None:
    """One program of a launch."""
    from triton.runtime import interpreter

    builder, mine = interpreter.interpreter_builder, interpreter.GridExecutor
    sizes, place = builder.set_grid_dim, builder.set_grid_idx
    builder.set_grid_dim = lambda x, y, z: sizes(programs, y, z)
    builder.set_grid_idx = lambda x, y, z: place(program, y, z)
    mine._restore_args_dev = lambda *rest: None  # would copy what others write in the meantime
    kernel[(1,)](*values, **options)


class SideBySide:
    """In the place of ``launch``.

    Attributes:
        grids: How many programs each launch had.
    """

    def __init__(self, wide: Any) -> None:
        self.wide, self.grids = wide, []

    def __call__(
        self, kernel: Any, grid: tuple[int], like: Tensor, *values: Any, **options: Any
    ) -> None:
        assert options.pop("launch_cooperative_grid")
        self.grids.append(*grid)
        options["WIDE"] = self.wide(like)
        given = {id(value): value for value in values if isinstance(value, Tensor)}
        shared = {key: value.detach().clone().share_memory_() for key, value in given.items()}
        every = [shared.get(id(value), value) for value in values]
        fork = multiprocessing.get_context("fork")
        programs = [
            fork.Process(target=run_one, args=(kernel, program, *grid, every, options), daemon=True)
            for program in range(*grid)
        ]
        for program in programs:
            program.start()
        until = time.monotonic() + PATIENCE
        while any(program.is_alive() for program in programs) and time.monotonic() < until:
            if any(program.exitcode for program in programs):
                break  # the others would wait for it
            time.sleep(0.01)
        left = [program for program in programs if program.exitcode != 0]
        for program in left:
            program.kill()
        assert not left, f"{len(left)} of {grid} programs failed, or wait for ever"
        for key, value in given.items():
            value.data.copy_(shared[key])  # which autograd need not know, as of a launch


def results(layer: CompleteGraphLSTM) -> list[Tensor]:
    """Outputs, attention and gradients."""
    x, lengths, task = random_batch(E, 3, batch_size=18, steps=4)
    x.requires_grad_()
    out, _, weights = layer(x, lengths, task, return_attention_weights=True)
    loss = out.sin().sum() + sum((alpha**2).sum() for _, alpha in weights)
    return [out, *torch.autograd.grad(loss, [x, *layer.parameters()])]


DOT = {"score": "dot", "heads": 2, "score_channels": 3}


@pytest.mark.parametrize(
    ("options", "fit"),
    [({"concat_messages": True}, 64), (DOT | {"fusion": "gated"}, 64), ({"score": "static"}, 3)],
    ids=["additive", "dot", "tile by tile"],
)
def test_programs_wait_for_each_other(
    options: dict[str, Any], fit: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mtgnn.ops.gpu import launch, pair_launch

    plain = randomise(CompleteGraphLSTM(E, 4, TASKS, "mutual", kernel="reference", **options))
    fast = CompleteGraphLSTM(E, 4, TASKS, "mutual", kernel="fused", **options).double()
    fast.load_state_dict(plain.state_dict())
    expected = results(plain)
    launches = SideBySide(launch.wide)
    monkeypatch.setattr(pair_launch, "launch", launches)
    monkeypatch.setattr(pair_launch, "interpreted", lambda: False)
    monkeypatch.setattr(TritonPairSteps, "columns", 30)  # several steps a launch, and launches
    monkeypatch.setattr(pair_launch, "programs_at_once", lambda like: fit)
    found = results(fast)
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-11)
    # Two tiles of sequences for each node; two chunks, forwards and back.
    together = fit >= 2 * len(TASKS)
    assert launches.grids == ([2 * len(TASKS)] * 4 if together else [len(TASKS)] * 8)

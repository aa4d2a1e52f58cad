"""Triton's compiler takes the kernels as they are launched; that needs no GPU."""

from __future__ import annotations

import inspect
import os
import subprocess
import sys

import pytest
import torch

pytest.importorskip("triton", reason="Triton is not installed (extra triton)")

# In a process of its own: this one has Triton's interpreter.
SCRIPT = """
import torch, triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource
from mtgnn.nn import CompleteGraphLSTM, StarGraphLSTM
from mtgnn.ops import gpu
from mtgnn.ops.gpu import additive, cell, launch, lstm, pair_launch, program
from mtgnn.ops.layout import Layout

TYPES = {torch.float32: "*fp32", torch.float64: "*fp64", torch.bfloat16: "*bf16"}
TYPES |= {torch.bool: "*i1", torch.int32: "*i32", torch.int64: "*i64"}

def compile_only(kernel, grid, like, *values, **options):
    options["WIDE"], warps = launch.wide(like), options.pop("num_warps", 4)
    waits = options.pop("launch_cooperative_grid", False)
    signature = {
        name: TYPES[value.dtype] if isinstance(value, torch.Tensor) else "i32"
        for name, value in zip(kernel.arg_names, values)
    }
    assert {*signature, *options} == {*kernel.arg_names}
    signature.update(dict.fromkeys(options, "constexpr"))
    # Tensors mostly begin where 16 divides; then loads are wider, and loops pipelined.
    pointers = [i for i, value in enumerate(values) if isinstance(value, torch.Tensor)]
    attrs = {(i,): [["tt.divisibility", 16]] for i in pointers}
    source = ASTSource(kernel, signature, constexprs=options, attrs=attrs)
    target, chosen = GPUTarget("cuda", 90, 32), {"num_warps": warps}
    if waits:
        chosen["launch_cooperative_grid"] = True
    binary = triton.compile(source, target=target, options=chosen)
    assert binary.asm["cubin"] and binary.metadata.shared < 99 * 1024
    assert ("gpu.acquire" in binary.asm["ptx"]) == ("gpu.release" in binary.asm["ptx"]) == waits
    print(kernel.__module__.rpartition(".")[2] + kernel.__name__)

additive.launch = cell.launch = lstm.launch = pair_launch.launch = program.launch = compile_only
for dtype in (torch.float32, torch.float64, torch.bfloat16):
    new = lambda *shape: torch.zeros(shape, dtype=dtype)
    c = new(2, 3, 7)
    cell.forward(new(2, 3, 28), c, c, c)
    cell.backward(new(2, 3, 28), c, c, c, c, new(2, 3, 28))
    for size in (9, 100) if dtype == torch.float32 else (100,):
        layout = Layout([0, 1], [[3, 2], [1, 1]])
        slots, tokens = new(layout.num_slots, size), new(layout.num_tokens, size)
        chunk, gates = layout.chunks(256)[0], new(layout.num_tokens, 4 * size)
        words, square = new(2, chunk.columns[-1], 4 * size), new(2, 4 * size, size)
        ends = slots.view(2, 2, size)
        for kept in (gates, None):
            cells = slots if kept is None else tokens
            lstm.forward(layout, chunk, words, square, slots, slots, tokens, cells, kept)
        for given in ((tokens, None), (None, slots)):
            lstm.backward(layout, chunk, square, slots, tokens, gates, *given, ends, ends, words)
    for n, q, j, a in ((2, 5, 5, 33), (70, 1, 130, 21)):
        query, keys, att, alpha = new(n, q, a), new(n, j, a), new(a), new(n, q, j)
        additive.forward(query, keys, att, None if q == 1 else alpha.bool(), alpha)
        additive.backward(query, keys, att, alpha, alpha, query, keys, att, q == 1)

gpu.serves = lambda tensor: True
lstm.launch = lambda *given, **options: None  # the senders', whose kernels are above
loud = {"heads": 2, "attention_dropout": 0.1, "message_dropout": 0.1, "fusion": "gated"}
for layer in (
    CompleteGraphLSTM(3, 100, 3, **loud),
    CompleteGraphLSTM(3, 100, 3, **loud).double(),
    StarGraphLSTM(3, 100, 3, score="dot", score_owner="receiver").bfloat16(),
    CompleteGraphLSTM(3, 9, 3, score="static"),
    CompleteGraphLSTM(3, 100, 3, "mutual", **loud),
    CompleteGraphLSTM(3, 100, 3, "mutual", **loud).double(),
    CompleteGraphLSTM(3, 100, 3, "mutual", score="dot").bfloat16(),
    CompleteGraphLSTM(3, 9, 3, "mutual", score="static"),
):
    x = torch.randn(2, 4, 3, dtype=next(layer.parameters()).dtype)
    out, end, weights = layer(x, None, torch.tensor([0, 1]), return_attention_weights=True)
    (out.sum() + end.c.sum() + sum(alpha.sum() for _, alpha in weights)).backward()
"""


@pytest.mark.skipif(torch.version.hip is not None, reason="compiles for NVIDIA's GPUs")
def test_kernels_compile_in_every_type(cache: pytest.Cache) -> None:
    compiler = pytest.importorskip("triton.compiler")
    if "constexprs" not in inspect.signature(compiler.ASTSource).parameters:
        pytest.skip("this Triton takes other arguments")
    # Triton's cache goes by sources, types and versions: what has not changed, compiles once.
    changes = {"TRITON_INTERPRET": "0", "TRITON_CACHE_DIR": str(cache.mkdir("triton"))}
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT], env=os.environ | changes, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    scores = ["additive_forward", "additive_backward", "additive_add_rows"]
    steps = 2 * ["lstm_forward"] + 2 * ["lstm_backward"]
    cells = ["cell_forward", "cell_backward"]
    every = [*cells, *steps, *scores, *scores]
    boxes, pairs = ["boxesforward", "boxesbackward"], ["pairsforward", "pairsbackward"]
    small = every[:2] + steps + every[2:]  # in float32 there are small states, too
    assert done.stdout.split() == small + 2 * every + 4 * boxes + 4 * pairs

"""Who runs on a row, and how: the loops, the peers, mtgnn's paths and the floors."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from _cases import Batch, Case, build
from _floors import SilentLSTMs, product_call
from _peers import DenseGATLoop, GConvLSTMLoop
from torch import Tensor, nn
from user_loop import user_loop

from mtgnn.ops import gpu
from mtgnn.ops.native import build as native

ASKED = ("native", "triton")  # what "auto" takes where somebody asks for it
KERNELS = ("reference", "auto", "fused", *ASKED)
PEERS = {"dense-gat": DenseGATLoop, "gconv-lstm": GConvLSTMLoop}
NAMES = ("loop", "loop-tuned", *PEERS, *KERNELS, "silent", "products")

# Largest relative error (in norm) of values and of gradients against the reference without
# autocast. bfloat16 has 8 bits, and the loops keep even their states in it: the check is coarse
# there, and the same rows in float32 have the fine one.
TOLERANCES = {"float64": (1e-10, 1e-8), "float32": (1e-4, 1e-3), "bfloat16": (1e-1, 3e-1)}


class Skipped(Exception):
    """A candidate that cannot run here, and why."""


def names_of(case: Case, wanted: list[str] | None = None) -> list[str]:
    """The candidates of a row, of those that are wanted."""
    absent = set() if case.kind == "mutual" else {"dense-gat"}
    absent |= set() if case.kind in ("mutual", "sparse") else {"gconv-lstm"}
    absent |= {"loop-tuned"} if case.kind in ("star", "mailbox") else set()
    return [n for n in NAMES if n not in absent and (wanted is None or n in wanted)]


class Candidate:
    """Something to run on the batches of a row.

    Args:
        case: The row.
        name: One of ``NAMES``.
        device: ``"cpu"`` or ``"cuda"``.

    Attributes:
        layer: The layer whose parameters it uses, if its values are to be those of the others.

    Raises:
        Skipped: Where ``kernel="fused"`` cannot serve, the C++ loops cannot be built, there is no
            GPU for Triton, or a peer is not installed.
    """

    def __init__(self, case: Case, name: str, device: str) -> None:
        self.case, self.name, self.device = case, name, device
        self.layer: nn.Module | None = None
        self.module: nn.Module | None = None
        torch.manual_seed(0)
        self.loops = native_loops(device) if name == "native" else None
        if name == "triton" and device != "cuda":
            raise Skipped("the kernels in Triton are for GPUs")
        if name in KERNELS:
            self.module = self.layer = build(case, "auto" if name in ASKED else name, device)
        elif name in ("loop", "loop-tuned"):
            self.layer = build(case, "reference", device)
            self.module = user_loop(self.layer, tuned=name == "loop-tuned")
        elif name != "products":
            self.module = _beside(name, case).to(device, case.parameter_dtype)
        if name == "fused" or (self.module is not None and case.dtype == "bfloat16"):
            self._try()
        self._tilts: dict[tuple[torch.Size, torch.dtype], Tensor] = {}

    def _try(self) -> None:
        x = torch.zeros(1, 2, self.case.E, device=self.device, dtype=self.case.parameter_dtype)
        try:
            self.outputs((x, torch.tensor([2]), torch.tensor([0])))
        except ValueError as error:
            raise Skipped(str(error)) from error
        except RuntimeError as error:
            if "primitive" not in str(error):
                raise
            raise Skipped("nn.LSTM has no bfloat16 autocast on this processor") from error

    def call(self, batches: list[Batch], train: bool) -> Callable[[], None]:
        """What is timed: every batch, forward without gradients, or forward and backward."""
        if self.module is None:
            return product_call(self.case, batches, self.device, train)
        self.module.train(train)
        if train:
            return lambda: self._train(batches)
        return lambda: self._infer(batches)

    def outputs(self, batch: Batch) -> list[Tensor]:
        """The states that it returns."""
        assert self.module is not None
        # For a backward pass too: all else comes after the next call.
        native._built = self.loops
        if self.device == "cuda":
            gpu._wanted = self.name == "triton"
        autocast = self.case.dtype == "bfloat16"
        with torch.autocast(self.device, torch.bfloat16, enabled=autocast):
            out = self.module(*batch)
        if self.name in KERNELS:
            out = out[0]
        return out if isinstance(out, list) else [out]

    def _infer(self, batches: list[Batch]) -> None:
        with torch.no_grad():
            for batch in batches:
                self.outputs(batch)

    def _train(self, batches: list[Batch]) -> None:
        assert self.module is not None
        self.module.zero_grad()
        for x, lengths, task in batches:
            x.grad = None
            outs = self.outputs((x.requires_grad_(), lengths, task))
            torch.autograd.backward(outs, [self._tilt(out) for out in outs])

    def _tilt(self, out: Tensor) -> Tensor:
        """The gradient of an output, the same for all candidates."""
        key = (out.shape, out.dtype)
        if key not in self._tilts:
            generator = torch.Generator().manual_seed(1)
            self._tilts[key] = torch.randn(out.shape, generator=generator).to(out.device, out.dtype)
        return self._tilts[key]

    def values(self, batches: list[Batch]) -> tuple[list[Tensor], list[Tensor]]:
        """Outputs with and without gradients, and the gradients of inputs and parameters."""
        assert self.module is not None and self.layer is not None
        self.module.train(False)
        with torch.no_grad():
            outs = [self.outputs(batch)[0] for batch in batches]
        self.module.train(True)
        self._train(batches)
        grads = [x.grad.clone() for x, _, _ in batches if x.grad is not None]
        for parameter in self.layer.parameters():
            grad = parameter.grad
            grads.append(torch.zeros_like(parameter) if grad is None else grad.clone())
        outs += [self.outputs(batch)[0].detach() for batch in batches]
        self.module.zero_grad()
        return outs, grads


def _beside(name: str, case: Case) -> nn.Module:
    """A peer, or LSTMs that do not talk."""
    kind: Callable[[Case], nn.Module] = {**PEERS, "silent": SilentLSTMs}[name]
    try:
        return kind(case)
    except ImportError as error:
        raise Skipped(str(error)) from error


def native_loops(device: str) -> Any:
    """The C++ loops, built but not yet in use.

    Raises:
        Skipped: If there are none.
    """
    if device != "cpu":
        raise Skipped("the C++ loops are for CPUs")
    before, native._built = native._built, None
    try:
        native.compile_native()
    except RuntimeError as error:
        raise Skipped(str(error)) from error
    finally:
        loops, native._built = native._built, before
    return loops


def check(case: Case, candidates: list[Candidate], batches: list[Batch]) -> dict[str, float]:
    """The largest relative error of each that computes the layer's mathematics.

    Raises:
        AssertionError: If one is too large: then nothing may be timed.
    """
    exact = Case(**{**case.to_dict(), "dtype": str(case.parameter_dtype).removeprefix("torch.")})
    expected = Candidate(exact, "reference", batches[0][0].device.type).values(batches)
    errors = {}
    for candidate in candidates:
        if candidate.layer is None:
            continue
        got = candidate.values(batches)
        for what, mine, theirs, bound in zip(
            ("values", "gradients"), got, expected, TOLERANCES[case.dtype], strict=True
        ):
            error = max(_error(a, b) for a, b in zip(mine, theirs, strict=True))
            errors[candidate.name] = max(error, errors.get(candidate.name, 0.0))
            assert error <= bound, f"{case.key}: {what} of {candidate.name} are off by {error:.1e}"
    return errors


def _error(got: Tensor, expected: Tensor) -> float:
    """Relative error in norm; NaN is infinitely wrong."""
    got, expected = got.double(), expected.double()
    error = float((got - expected).norm() / expected.norm().clamp(min=1e-30))
    return error if error == error else float("inf")

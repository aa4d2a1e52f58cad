"""What launches hand over of messages, and of the gate that these may pass."""

from torch import Tensor

from ..gate import GatedRunning
from ..talk import Running

Tensors = tuple[Tensor | None, ...]


class Gate:
    """Messages as the kernels take them, through a gate or not.

    Args:
        running: The communication.
        gated: The gate before it, or ``None``.

    Attributes:
        said: Whose messages slots receive.
    """

    def __init__(self, running: Running, gated: GatedRunning | None) -> None:
        self.running, self.gated = running, gated
        self.said: Running = running if gated is None else gated
        self.weights: Tensors = (None, None)
        if gated is not None:
            self.weights = gated.gate.contiguous(), gated.bias.contiguous()

    def options(self) -> dict[str, bool]:
        """What kernels are compiled for."""
        return {"DROPS": self.said.keep_message is not None, "GATED": self.gated is not None}

    def forward(self) -> Tensors:
        """Messages, factors of their dropout, what was received before the gate, how far that is
        open, its weights and biases."""
        opened = None if self.gated is None else self.gated.opened
        said = self.said
        return said.message, said.keep_message, self.running.message, opened, *self.weights

    def backward(self, d_opened: Tensor | None) -> Tensors:
        """The same, without messages, and with room for the gates' gradient instead of biases."""
        keep = self.said.keep_message
        if self.gated is None:
            return keep, None, None, None, None
        return keep, self.running.message, self.gated.opened, self.weights[0], d_opened

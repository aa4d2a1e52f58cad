import math

import torch
from torch import Tensor, nn

from ...ops.device import no_autocast
from ...ops.recurrence import NodeWeights

FUSIONS = ("gates", "gated")


class NodeLSTM(nn.Module):
    """The parameters of one node, named and shaped as in :class:`torch.nn.LSTM`.

    Beside those, ``weight_rh_l0`` ``[4H, C]`` takes a message of size C in, and with
    ``fusion="gated"`` ``weight_gate_l0`` ``[C, H + C]`` and ``bias_gate_l0`` ``[C]`` open it. A
    node that receives nothing (``message_size=0``) has neither, and loads the ``state_dict`` of an
    ``nn.LSTM``.

    With a ``rank`` R each matrix is the product of ``…_left [out, R]`` and ``…_right [R, in]``, in
    the place of one parameter; with rank 0 there are the biases alone.

    Args:
        input_size: E.
        hidden_size: H.
        num_layers: Number of layers.
        bidirectional: Whether there is a second stack for the reversed sequence.
        message_size: C.
        fusion: ``"gates"`` or ``"gated"``.
        zero: Whether the node starts as nothing, to be added to what all nodes have in common: its
            parameters at zero, but for right factors, without which left ones would learn nothing.
        rank: R, of a node that starts as nothing; by default matrices are whole.
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int,
        bidirectional: bool,
        message_size: int,
        fusion: str,
        zero: bool = False,
        rank: int | None = None,
    ) -> None:
        super().__init__()
        self.hidden_size = hidden_size
        self.zero, self.rank = zero, rank
        self.message_size = message_size
        self.gated = fusion == "gated" and message_size > 0
        suffixes = ("", "_reverse") if bidirectional else ("",)
        for layer in range(num_layers):
            width = input_size if layer == 0 else hidden_size * len(suffixes)
            for suffix in suffixes:
                self._add_layer(f"l{layer}{suffix}", width)
        self.reset_parameters()

    def _add_layer(self, key: str, width: int) -> None:
        gates, message = 4 * self.hidden_size, self.message_size
        shapes: dict[str, tuple[int, ...]] = {
            "weight_ih": (gates, width),
            "weight_hh": (gates, self.hidden_size),
            "bias_ih": (gates,),
            "bias_hh": (gates,),
        }
        if message > 0:
            shapes["weight_rh"] = (gates, message)
        if self.gated:
            shapes["weight_gate"] = (message, self.hidden_size + message)
            shapes["bias_gate"] = (message,)
        for name, shape in shapes.items():
            for part, size in self._parts(shape).items():
                self.register_parameter(f"{name}_{key}{part}", nn.Parameter(torch.empty(size)))

    def _parts(self, shape: tuple[int, ...]) -> dict[str, tuple[int, ...]]:
        """What a parameter is made of: endings of names, and shapes."""
        if self.rank is None or len(shape) == 1:
            return {"": shape}
        rows, columns = shape
        if self.rank == 0:
            return {}
        return {"_left": (rows, self.rank), "_right": (self.rank, columns)}

    def reset_parameters(self) -> None:
        """Draw all parameters uniformly from ±1/√H, as :class:`torch.nn.LSTM` does; or those that
        start at zero."""
        bound = 1 / math.sqrt(self.hidden_size)
        for name, parameter in self.named_parameters():
            drawn = not self.zero or name.endswith("_right")
            nn.init.uniform_(parameter, -bound * drawn, bound * drawn)

    def get(self, name: str, key: str) -> Tensor | None:
        """The parameter ``name`` of the layer and direction ``key``, as in ``l0_reverse``; if the
        node has none, ``None``."""
        left = getattr(self, f"{name}_{key}_left", None)
        if left is None:
            return getattr(self, f"{name}_{key}", None)
        with no_autocast(left.device.type):  # parameters are in their own type
            return left @ getattr(self, f"{name}_{key}_right")

    def bias(self, key: str) -> Tensor:
        """The sum of both biases."""
        return getattr(self, f"bias_ih_{key}") + getattr(self, f"bias_hh_{key}")


def stack_biases(nodes: list[NodeLSTM], key: str, common: NodeLSTM | None = None) -> Tensor:
    """The biases of several nodes, both together, ``[R, 4H]``."""
    # Added before they are stacked: a gradient handed to two stacks would reach both biases as
    # views of one tensor, which autograd takes for two. Accumulated or clipped in place, it would
    # change twice.
    each = torch.stack([node.bias(key) for node in nodes])
    return each if common is None else each + common.bias(key)


def stack_nodes(
    nodes: list[NodeLSTM], key: str, message_size: int, common: NodeLSTM | None = None
) -> NodeWeights:
    """Parameters of several nodes side by side, for messages of ``message_size`` (0: none).

    What nodes have in ``common`` is added to each node's own.

    Raises:
        ValueError: If one was replaced by a module of another kind.
    """
    for node in nodes:
        if not isinstance(node, NodeLSTM):
            raise ValueError(
                "layers read the parameters of nodes and do not call them: expected a NodeLSTM in "
                f"nodes, got a {type(node).__name__}"
            )

    def stack(name: str) -> Tensor:
        """A parameter of all nodes; one without it hears nothing, so any value will do, or has
        nothing of its own beside what all have in common."""
        shared = None if common is None else common.get(name, key)
        own = [node.get(name, key) for node in nodes]
        like = next(parameter for parameter in (shared, *own) if parameter is not None)
        each = torch.stack([torch.zeros_like(like) if p is None else p for p in own])
        return each if shared is None else each + shared

    talks = message_size > 0 and any(node.message_size > 0 for node in nodes)
    gated = talks and any(node.gated for node in nodes)
    return NodeWeights(
        stack("weight_ih"),
        stack("weight_hh"),
        stack("weight_rh") if talks else None,
        stack_biases(nodes, key, common),
        stack("weight_gate") if gated else None,
        stack("bias_gate") if gated else None,
    )

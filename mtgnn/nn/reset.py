"""Drawing parameters anew."""

from __future__ import annotations

from torch import nn
from torch_geometric.nn import MessagePassing


def reset_children(module: nn.Module) -> None:
    """Draw the parameters of a module's parts anew, each by the outermost part that knows how: its
    own parts by themselves would draw from other distributions than it does.

    Parameters of a ``ParameterDict`` are the caller's.

    Raises:
        TypeError: If a part has parameters, and no ``reset_parameters``.
    """
    for part in module.children():
        if _knows_how(part):
            part.reset_parameters()  # type: ignore[operator]
        elif any(True for _ in part.parameters(recurse=False)):
            if not isinstance(part, nn.ParameterDict):
                raise TypeError(f"expected reset_parameters of a module with parameters: {part}")
        else:
            reset_children(part)


def _knows_how(part: nn.Module) -> bool:
    """Whether a module resets its parameters: what a conv inherits resets its aggregation alone."""
    reset = getattr(type(part), "reset_parameters", None)
    return callable(reset) and reset is not MessagePassing.reset_parameters

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch
from torch import nn

from ...nn.compiled import uncompiled
from ...nn.modes import evaluating
from ..readouts.readout import Batch, arguments, find_encoder, on_its_device
from .cut import with_encoder
from .effects import EdgeEffects, EffectSums, LossPerSample, find_loss, labelled
from .tap import tap_for


def edge_gradient(
    model: nn.Module,
    batches: Iterable[Batch],
    loss: LossPerSample | None = None,
    *,
    tasks: Sequence[str] | None = None,
) -> EdgeEffects:
    r"""What cutting an edge would do to the loss, to first order: gradient × message.

    With :math:`g_i = \partial L / \partial \alpha_i = \langle \partial L / \partial \mathbf{r},
    \mathbf{m}_i \rangle` at every step, head, layer and direction, and summed over these,

    .. math::
        \Delta_i = \alpha_i \Bigl(\frac{\sum_{j \ne i} \alpha_j g_j}{1 - \alpha_i} - g_i\Bigr):

    the receiver's other senders take the place of the message, as when the edge is cut.

    One backward pass a batch, in the place of :func:`edge_ablation`'s run an edge. It is exact
    where the loss is linear in the messages. Where receivers read whole texts,
    :math:`g_i = \partial L / \partial \alpha_i` is of the senders' shares in a mailbox, one an
    edge, layer and direction; what stands in the mailbox also decides where it is read, so there
    the loss would have to be linear in its contents.

    Args:
        model: As in :func:`edge_ablation`; where its encoder reads word by word, it is called with
            ``return_attention_weights=True`` too, and returns a tuple that begins with its answer.
        batches: As in :func:`edge_ablation`.
        loss: As in :func:`edge_ablation`.
        tasks: As in :func:`edge_ablation`.

    Raises:
        ValueError: As in :func:`edge_ablation`; also for mailboxes of one sender, as in a star, and
            for uniform scores, which have no gradient.
    """
    model = uncompiled(model)
    encoder, measure = find_encoder(model), find_loss(model, loss)
    kind, by_step = tap_for(encoder), encoder.memory == "current"
    sums = EffectSums(encoder.graph, tasks)
    with evaluating(model):
        for batch in on_its_device(model, batches):
            tap = kind(encoder)
            tapped = tap.encoder if model is encoder else with_encoder(model, tap.encoder)
            with torch.enable_grad():
                given = arguments(batch)
                if by_step:
                    losses = measure(tapped(*given, return_attention_weights=True)[0], batch)
                else:
                    losses = measure(tapped(*given), batch)
            rows, task = labelled(batch)
            sums.add_loss(losses.detach().cpu()[rows], task)
            change = tap.changes(losses).cpu()
            edge, row = torch.cartesian_prod(
                torch.arange(encoder.graph.num_edges), torch.arange(len(rows))
            ).unbind(1)
            sums.add_change(change[rows[row], edge], edge, task[row])
    return sums.compute()

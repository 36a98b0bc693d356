"""Rounding to int8 with the error of each weight made good by those that are still to be rounded.

The fitted weights are large and cancel, since neighbouring taps and related channels carry nearly the same numbers:
rounded one by one, they lose more than a held-out reconstruction can spare. But for the same reason the error of one
can be cancelled by its neighbours.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from jaxtyping import Float, Int8
from torch import Tensor

from universal_style.networks.checkpoints import SCALE
from universal_style.networks.decoder import Decoder
from universal_style.networks.pooling import Pooling
from universal_style.networks.vgg import Encoder
from universal_style.training.coordinates import convolutions_in, watch_inputs
from universal_style.training.patches import patches_at, random_places

DAMPING = 1e-3
"""Share of the mean diagonal that is added to the second moments, so that they can be inverted."""
INT8_STEPS = 127
BLOCK = 128
"""Weights of an output channel that are rounded before the error reaches the rest."""
COLUMNS_PER_PICTURE = 1500


@torch.no_grad()
def rounded(
    decoder: Decoder, encoder: Encoder, pooling: Pooling, batches: Iterable[Float[Tensor, "n 3 h w"]]
) -> dict[str, Tensor]:
    """Store a decoder's weights as int8 with a float32 scale per output channel; biases stay float32.

    Source: Frantar et al. 2023 (GPTQ), algorithm 1, for the 3×3 patches that each convolution is given.

    Args:
        batches: pixels whose features the rounding should leave alone.
    """
    seen: dict[torch.nn.Module, Tensor] = {}

    def see(convolution: torch.nn.Module, given: Tensor) -> None:
        columns = patches_at(given, random_places(given, COLUMNS_PER_PICTURE))
        seen[convolution] = seen.get(convolution, 0) + columns @ columns.T

    watch_inputs(decoder, encoder, pooling, batches, see)
    names = {id(module): name for block in decoder.blocks for name, module in block.named_children()}
    stored: dict[str, Tensor] = {}
    for layer in convolutions_in(decoder):
        name = names[id(layer)]
        weight, scale = compensated(layer.weight.float().flatten(1), seen.pop(layer))
        stored[f"{name}.weight"] = weight.reshape(layer.weight.shape).cpu()  # (d, 9c) -> (d, c, 3, 3)
        stored[f"{name}.weight{SCALE}"] = scale.cpu()
        stored[f"{name}.bias"] = decoder.plain()[f"{name}.bias"].detach().float().cpu()
    return stored


def compensated(
    weight: Float[Tensor, "d n"], moments: Float[Tensor, "n n"]
) -> tuple[Int8[Tensor, "d n"], Float[Tensor, " d"]]:
    """Round weights to int8 steps so that their products with given columns change least.

    Args:
        weight: one row per output channel.
        moments: sum of x xᵀ over the columns x that the weights are multiplied with.

    Returns:
        The steps and the scale of each row.
    """
    order = moments.diagonal().argsort(descending=True)
    left = weight[:, order].double()
    ordered = moments[order][:, order].double()
    ordered.diagonal().add_(DAMPING * ordered.diagonal().mean().clamp(min=torch.finfo(torch.float32).tiny))
    inverse = torch.cholesky_inverse(torch.linalg.cholesky(ordered))
    reach = torch.linalg.cholesky(inverse, upper=True)
    scale = weight.abs().amax(dim=1).double().clamp(min=1e-12) / INT8_STEPS
    steps = torch.zeros_like(left)
    for start in range(0, left.shape[1], BLOCK):
        stop = min(start + BLOCK, left.shape[1])
        errors = torch.zeros_like(left[:, start:stop])
        for place in range(start, stop):
            steps[:, place] = (left[:, place] / scale).round().clamp(-INT8_STEPS, INT8_STEPS)
            error = (left[:, place] - steps[:, place] * scale) / reach[place, place]
            left[:, place:stop] -= error[:, None] * reach[place, place:stop]
            errors[:, place - start] = error
        left[:, stop:] -= errors @ reach[start:stop, stop:]
    back = torch.empty_like(steps)
    back[:, order] = steps
    return back.to(torch.int8), scale.float()

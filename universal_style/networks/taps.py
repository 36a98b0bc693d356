"""3×3 convolutions to few channels, such as the pixels: what each tap multiplies first, then sums of shifted planes."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from universal_style.networks.borders import bordered
from universal_style.networks.layout import layout_of

MOST_CHANNELS = 4
"""That come out, up to which it gains: the products of nine taps are then fewer than what goes in."""


def gains_by_taps(features: Float[Tensor, "n c h w"], weight: Float[Tensor, "d c 3 3"]) -> bool:
    """Say whether features lie so, plane by plane, that a direct convolution would put them in another order first."""
    learns = torch.is_grad_enabled() and (weight.requires_grad or features.requires_grad)
    planes = features.device.type == "cpu" and layout_of(features) == torch.contiguous_format
    return planes and not learns and len(weight) <= MOST_CHANNELS and not torch.is_autocast_enabled("cpu")


def convolution_by_taps(
    features: Float[Tensor, "n c h w"], weight: Float[Tensor, "d c 3 3"], bias: Float[Tensor, " d"]
) -> Float[Tensor, "n d h w"]:
    """Convolve features and their reflected border.

    A tap multiplies all pixels alike, so the border is set around its products, which are fewer than the features.
    """
    height, width = features.shape[2:]
    taps = weight.permute(2, 3, 0, 1).flatten(0, 2)  # (d, c, 3, 3) -> (9 d, c)
    products = bordered(functional.conv2d(features.to(weight.dtype), taps[:, :, None, None]), "reflect")
    by_tap = products.unflatten(1, (3, 3, -1))
    sums = bias[:, None, None].expand(len(features), -1, height, width).clone()
    for row in range(3):
        for column in range(3):
            sums += by_tap[:, row, column, :, row : row + height, column : column + width]
    return sums

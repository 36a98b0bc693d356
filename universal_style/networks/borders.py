"""A frame of one pixel around a feature picture, taken from within it."""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from universal_style.networks.layout import room_like

INWARD = {"reflect": 1, "replicate": 0}
"""Pixels from the border to the one that its frame repeats."""


def bordered(
    features: Float[Tensor, "n c h w"], mode: str, dtype: torch.dtype | None = None
) -> Float[Tensor, "n c g v"]:
    """Set a frame around each picture.

    torch's own padding takes channels apart on graphics cards, and the convolution after it puts them together again:
    many times what the convolution itself takes. On a CPU it copies what is part of a larger picture first, and its way
    back takes twice as long as that of copies.

    Args:
        features: sides of at least two pixels where they are reflected.
        mode: of `INWARD`.
        dtype: of the result; the features' own when left out.
    """
    wanted = features.dtype if dtype is None else dtype
    frame = Framed.apply if features.requires_grad else framed
    whole: Tensor = frame(features, INWARD[mode], wanted)
    return whole


def framed(
    features: Float[Tensor, "n c h w"], inward: int, dtype: torch.dtype, less: Float[Tensor, " c"] | None = None
) -> Float[Tensor, "n c g v"]:
    """Set the frame by copies of the picture, its rows and its columns.

    Args:
        less: is taken from each channel on the way, where it is given.
    """
    count, channels, height, width = features.shape
    whole = room_like(features, (count, channels, height + 2, width + 2), dtype)
    inside = whole[:, :, 1:-1, 1:-1]
    if less is None:
        inside.copy_(features)
    else:
        torch.sub(features, less[:, None, None], out=inside)
    whole[:, :, 0, 1:-1] = inside[:, :, inward]
    whole[:, :, -1, 1:-1] = inside[:, :, -1 - inward]
    whole[..., 0] = whole[..., 1 + inward]
    whole[..., -1] = whole[..., -2 - inward]
    return whole


class Framed(torch.autograd.Function):
    """`framed`, with the way back of its gradients, which overwrites what comes back.

    So nothing but a convolution may follow: it gives back numbers that no one else holds. Copies of them would be a
    tenth of what an iteration of the optimiser takes beside its convolutions.
    """

    @staticmethod
    def forward(ctx: Any, features: Tensor, inward: int, dtype: torch.dtype) -> Tensor:
        ctx.inward, ctx.dtype = inward, features.dtype
        return framed(features, inward, dtype)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        whole = gradients[0]
        whole[..., 1 + ctx.inward] += whole[..., 0]
        whole[..., -2 - ctx.inward] += whole[..., -1]
        whole[:, :, 1 + ctx.inward] += whole[:, :, 0]
        whole[:, :, -2 - ctx.inward] += whole[:, :, -1]
        return whole[:, :, 1:-1, 1:-1].to(ctx.dtype), None, None

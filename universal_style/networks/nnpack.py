"""3×3 convolutions by NNPACK, a library within torch: Winograd's minimal filtering on tiles of 8×8, F(6×6, 3×3).

Source: Lavin and Gray 2016, Fast Algorithms for Convolutional Neural Networks, section 4.3: a fifth of the products of
the direct way. It takes and gives planes, float32, and has no gradient.
"""

from __future__ import annotations

from functools import cache

import torch
from jaxtyping import Float
from torch import Tensor

from universal_style.networks.borders import INWARD, framed

MEAN_EVERY = 8
"""Rows of which one is looked at for the means."""


@cache
def has_nnpack() -> bool:
    """Say whether this torch brings NNPACK and this processor runs it; until it is asked, no convolution succeeds."""
    if not torch.backends.nnpack.is_available():
        return False
    torch.set_num_threads(torch.get_num_threads())  # it keeps threads of its own, as many as there are cores
    return True


def nnpack_convolution(
    features: Float[Tensor, "n c h w"],
    weight: Float[Tensor, "d c 3 3"],
    bias: Float[Tensor, " d"],
    mode: str = "reflect",
) -> Float[Tensor, "n d h w"]:
    """Convolve features and a frame of one pixel around them.

    Its rounding differs from place to place in a tile by some 1e-5 of the numbers: a pattern, faint, but all that a
    flat picture has, for the next level to whiten. So the features' means, which carry most of them, go through the
    layer by themselves, and what is flat stays so: the mean of equal numbers must be that number, no rounding off.

    Args:
        mode: of the frame, of `INWARD`.
    """
    some = features[:, :, ::MEAN_EVERY]
    first = some[0, :, 0, 0]
    means = first + (some - first[:, None, None]).mean(dim=(0, 2, 3))
    of_means = torch.addmv(bias, weight.sum(dim=(2, 3)), means)
    deviations = framed(features, INWARD[mode], weight.dtype, less=means)
    convolved: Tensor = torch._nnpack_spatial_convolution(deviations, weight, of_means, padding=0)
    return convolved

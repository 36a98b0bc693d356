"""Crops in other colours, other light and other contrast, with every edge where it was."""

from __future__ import annotations

import math
import random

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from universal_style.moments import Moments
from universal_style.transforms import OptimalTransport

COLOURS = (0.3, 1.0)
"""How far colours go towards the others'."""
CONTRAST, RADII = (-0.5, 0.7), (2, 8)
"""What of the difference to their means in squares of these radii, in pixels, is added: under 0 contrast is lost."""
LOG_GAMMA = (-0.35, 0.35)
"""In the end the power of a number from the exponential of this range is taken."""


def recoloured(
    content: Float[Tensor, "m 3 h w"], colours: Float[Tensor, "m 3 h w"], seed: int
) -> Float[Tensor, "m 3 h w"]:
    """Give crops of [0, 1] the colours of others, some of the way, and another contrast and light, all by chance.

    Colours go by the transport map of their moments over all crops.
    """
    rng = random.Random(seed)
    own, others = (Moments.of(pixels.float().transpose(0, 1).flatten(1)) for pixels in (content, colours))
    pixels = OptimalTransport()(own, others).blend(rng.uniform(*COLOURS))(content.float())
    for radius in RADII:
        means = functional.avg_pool2d(pixels, 2 * radius + 1, 1, radius, count_include_pad=False)
        pixels = pixels + rng.uniform(*CONTRAST) * (pixels - means)
    lit: Tensor = pixels.clamp(0, 1) ** math.exp(rng.uniform(*LOG_GAMMA))
    return lit.contiguous(memory_format=torch.channels_last)

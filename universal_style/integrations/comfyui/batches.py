"""ComfyUI's batches: pictures (b, h, w, c) and masks (b, h, w), floats in [0, 1]."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from universal_style.errors import InputError, OptionError
from universal_style.images import Image

INSIDE = 0.5
"""Coverage of a mask from which a pixel counts as inside."""


def pictures(batch: Float[Tensor, "b h w c"]) -> list[Image]:
    """Take a batch apart; numbers that other nodes pushed out of range are clipped."""
    return [Image.of(planes.permute(2, 0, 1).float().clamp(0, 1)) for planes in batch]  # (h, w, c) -> (c, h, w)


def batch_of(images: Sequence[Image]) -> Float[Tensor, "b h w c"]:
    """Put pictures of one size together; those with alpha keep it as a fourth channel."""
    planes = []
    for image in images:
        channels = [torch.from_numpy(image.pixels)]
        if image.alpha is not None:
            channels.append(torch.from_numpy(image.alpha)[:, :, None])  # (h, w) -> (h, w, 1)
        planes.append(torch.cat(channels, dim=2))
    return torch.stack(planes)


def inside(mask: Image | None) -> bool:
    """Say whether a mask has an inside; a picture without a mask lies inside as a whole."""
    return mask is None or bool((mask.pixels >= INSIDE).any())


def regions(
    mask: Float[Tensor, "b h w"] | None, painted: Float[Tensor, "d g v c"] | None, count: int, side: str
) -> list[Image | None]:
    """Give the picture of regions of each of some pictures, of which one in a batch stands for all.

    Args:
        mask: white where it is at least `INSIDE`, black elsewhere: two regions.
        painted: pictures whose colours say which region is which.
        count: of the pictures.
        side: content or style, for the messages.

    Raises:
        OptionError: both are given.
        InputError: there are neither one nor as many as pictures, or there is no picture.
    """
    if mask is not None and painted is not None:
        raise OptionError(f"{side} has a mask and a picture of regions; connect one of them")
    if mask is not None:
        painted = (mask >= INSIDE).float()[..., None]  # (b, h, w) -> (b, h, w, 1)
    if painted is None:
        return [None] * count
    if count == 0:
        raise InputError(f"the {side} has a mask or regions but no picture; connect the {side}'s pictures for them")
    found: list[Image | None] = list(pictures(painted))
    if len(found) not in (1, count):
        raise InputError(f"{len(found)} masks for {count} pictures of the {side}; connect one, or one for each")
    return found * count if len(found) == 1 else found

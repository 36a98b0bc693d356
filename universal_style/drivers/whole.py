"""The whole-picture driver: one walk over one picture, its size made to fit the stage and cut back after."""

from __future__ import annotations

from collections.abc import Callable

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from universal_style.moments import Moments
from universal_style.networks.stage import Site, Stage, Walk
from universal_style.transforms import AffineMap

Fit = Callable[[Site, Moments], AffineMap]
"""Says, from the moments of the content's columns at a site, which map they go through."""


def reflected(length: int, total: int, device: torch.device) -> Int64[Tensor, " total"]:
    """Index 0 … total - 1 into a line of `length` by reflecting at its ends, however short it is."""
    period = max(1, 2 * (length - 1))
    folded = torch.arange(total, device=device) % period
    return torch.minimum(folded, period - folded) if length > 1 else torch.zeros_like(folded)


def grown(pixels: Float[Tensor, "1 3 h w"], stride: int) -> Float[Tensor, "1 3 g v"]:
    """Reflect a picture at its lower and right end up to multiples of a stride, at least two of them."""
    height, width = pixels.shape[2:]
    rows, columns = (max(2 * stride, -(-length // stride) * stride) for length in (height, width))
    if (rows, columns) == (height, width):
        return pixels
    pixels = pixels[:, :, reflected(height, rows, pixels.device)]
    return pixels[:, :, :, reflected(width, columns, pixels.device)].contiguous(memory_format=torch.channels_last)


def inside(features: Float[Tensor, "1 c g v"], site: Site, height: int, width: int) -> Float[Tensor, "c n"]:
    """Give the columns that lie over the picture itself, not over what it was grown by."""
    rows, columns = (-(-length // site.stride) for length in (height, width))
    return features[0, :, :rows, :columns].flatten(1)  # (c, rows, columns) -> (c, n)


@torch.inference_mode()
def carry(stage: Stage, pixels: Float[Tensor, "1 3 h w"], fit: Fit) -> Float[Tensor, "1 3 h w"]:
    """Carry a picture through a stage, each site's features through the map that fits them."""
    height, width = pixels.shape[2:]

    def edit(site: Site, features: Tensor) -> Tensor:
        chosen = fit(site, Moments.of(inside(features, site, height, width)))
        return chosen(features.float()).to(features.dtype)

    return _drive(stage.walk(grown(pixels, stage.stride)), edit)[:, :, :height, :width]


@torch.inference_mode()
def observe(walk: Walk, height: int, width: int) -> dict[str, Moments]:
    """Take a walk without editing and give the moments at each of its sites."""
    seen: dict[str, Moments] = {}

    def edit(site: Site, features: Tensor) -> Tensor:
        seen[site.name] = Moments.of(inside(features, site, height, width))
        return features

    _drive(walk, edit)
    return seen


def _drive(walk: Walk, edit: Callable[[Site, Tensor], Tensor]) -> Tensor:
    try:
        site, features = next(walk)
        while True:
            site, features = walk.send(edit(site, features))
    except StopIteration as end:
        picture: Tensor = end.value
        return picture

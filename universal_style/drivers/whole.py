"""The whole-picture driver: one walk over one picture, its size made to fit the stage and cut back after."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from jaxtyping import Float, Int64
from torch import Tensor
from torch.nn import functional

from universal_style.moments import Moments
from universal_style.networks.stage import Site, Stage, Walk
from universal_style.regions import LabelMap, moment_weights
from universal_style.transforms import AffineMap

Fit = Callable[[Site, Sequence[Moments]], Sequence[AffineMap]]
"""Says, from the moments of each label's columns at a site, which maps they go through."""


def reflected(length: int, total: int, device: torch.device) -> Int64[Tensor, " total"]:
    """Index 0 … total - 1 into a line of `length` by reflecting at its ends, however short it is."""
    period = max(1, 2 * (length - 1))
    folded = torch.arange(total, device=device) % period
    return torch.minimum(folded, period - folded) if length > 1 else torch.zeros_like(folded)


def grown(pixels: Float[Tensor, "n 3 h w"], stride: int) -> Float[Tensor, "n 3 g v"]:
    """Reflect a picture at its lower and right end up to multiples of a stride, at least two of them."""
    height, width = pixels.shape[2:]
    rows, columns = (max(2 * stride, -(-length // stride) * stride) for length in (height, width))
    if (rows, columns) == (height, width):
        return pixels
    pixels = pixels[:, :, reflected(height, rows, pixels.device)]
    return pixels[:, :, :, reflected(width, columns, pixels.device)].contiguous(memory_format=torch.channels_last)


def moments_of_regions(features: Float[Tensor, "1 c g v"], site: Site, regions: LabelMap) -> list[Moments]:
    """Give the moments of each label, of the columns that lie over the picture itself, not what it was grown by."""
    rows, columns = _cells(site, regions)
    inside = features[0, :, :rows, :columns].flatten(1)  # (c, rows, columns) -> (c, n)
    shares = moment_weights(regions.coverage(site.stride, rows, columns)).to(features.device)
    return [Moments.of(inside, share.flatten()) for share in shares]


@torch.inference_mode()
def carry(stage: Stage, pixels: Float[Tensor, "1 3 h w"], fit: Fit, regions: LabelMap) -> Float[Tensor, "1 3 h w"]:
    """Carry a picture through a stage, the features of each region through the map that fits them at each site.

    Args:
        regions: of the picture, of the same size.
    """
    height, width = pixels.shape[2:]

    def edit(site: Site, features: Tensor) -> Tensor:
        maps = fit(site, moments_of_regions(features, site, regions))
        shares = regions.feathered(site.stride, *_cells(site, regions), regions.feather).to(features.device)
        given = features.float()
        edited = torch.zeros_like(given)
        for chosen, share in zip(maps, shares, strict=True):
            edited += _stretched(share, given) * chosen(given)
        return edited.to(features.dtype)

    return drive(stage.walk(grown(pixels, stage.stride)), edit)[:, :, :height, :width]


@torch.inference_mode()
def observe(walk: Walk, regions: LabelMap) -> list[dict[str, Moments]]:
    """Take a walk over a picture without editing and give, for each label, the moments at each site by its key."""
    seen: list[dict[str, Moments]] = [{} for _ in range(regions.count)]

    def edit(site: Site, features: Tensor) -> Tensor:
        for moments, known in zip(moments_of_regions(features, site, regions), seen, strict=True):
            known[site.key] = moments
        return features

    drive(walk, edit)
    return seen


def _cells(site: Site, regions: LabelMap) -> tuple[int, int]:
    return -(-regions.height // site.stride), -(-regions.width // site.stride)


def _stretched(share: Float[Tensor, "rows columns"], features: Float[Tensor, "1 c g v"]) -> Float[Tensor, "g v"]:
    """Go on with a share beyond the picture's lower and right end, where the features were grown."""
    below, right = features.shape[2] - share.shape[0], features.shape[3] - share.shape[1]
    return functional.pad(share[None, None], (0, right, 0, below), mode="replicate")[0, 0]


def drive(walk: Walk, edit: Callable[[Site, Tensor], Tensor]) -> Tensor:
    """Take a walk, sending back at each site what an edit makes of the features; give what the walk returns."""
    try:
        site, features = next(walk)
        while True:
            site, features = walk.send(edit(site, features))
    except StopIteration as end:
        picture: Tensor = end.value
        return picture

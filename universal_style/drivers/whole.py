"""The whole-picture driver: one walk over one picture, its size made to fit the stage and cut back after."""

from __future__ import annotations

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor

from universal_style.drivers.edits import Fit, send_through, tallies
from universal_style.moments import Moments
from universal_style.networks.stage import Passage, Site, Walk
from universal_style.regions import LabelMap
from universal_style.windows import Span, Window, grown, grown_length


@torch.inference_mode()
def carry(stage: Passage, pixels: Float[Tensor, "1 3 h w"], fit: Fit, regions: LabelMap) -> Float[Tensor, "1 3 h w"]:
    """Carry a picture through a stage, the features of each region through the map that fits them at each site.

    Args:
        regions: of the picture, of the same size.
    """
    height, width = pixels.shape[2:]
    everything = whole_window(height, width, stage.stride)

    def edit(site: Site, features: Tensor) -> Tensor:
        seen = moments_of_regions(features, site, regions)
        return send_through(fit(site, seen), features, site, regions, everything)

    return drive(stage.walk(grown(pixels, stage.stride)), edit)[:, :, :height, :width]


def moments_of_regions(features: Float[Tensor, "1 c g v"], site: Site, regions: LabelMap) -> list[Moments]:
    """Give the moments of each label, of the columns that lie over the picture itself, not what it was grown by."""
    everything = whole_window(regions.height, regions.width, site.stride)
    return [tally.total for tally in tallies(features, site, regions, everything)]


def whole_window(height: int, width: int, stride: int) -> Window:
    """Go over a whole picture at once."""
    return Window(Span.whole(grown_length(height, stride)), Span.whole(grown_length(width, stride)))


def drive(walk: Walk, edit: Callable[[Site, Tensor], Tensor]) -> Tensor:
    """Take a walk, sending back at each site what an edit makes of the features; give what the walk returns."""
    try:
        site, features = next(walk)
        while True:
            site, features = walk.send(edit(site, features))
    except StopIteration as end:
        picture: Tensor = end.value
        return picture

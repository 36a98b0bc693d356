"""Surveying a picture: the moments at the sites of a walk, which edits nothing, in windows where it is large."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from universal_style.canvas import rest
from universal_style.drivers.edits import Tally, tallies
from universal_style.drivers.whole import drive
from universal_style.moments import Moments
from universal_style.networks.stage import Site, Walker
from universal_style.networks.vgg import LEVELS, stride_at
from universal_style.regions import LabelMap
from universal_style.windows import Window, pixels_in, windows

WINDOW_PIXELS = 1024 * 1024
"""Most pixels of a window, halo included, where nothing asks for smaller ones."""


@torch.inference_mode()
def survey(
    walker: Walker,
    pixels: Float[Tensor, "1 3 h w"],
    regions: LabelMap,
    device: torch.device,
    most: int = WINDOW_PIXELS,
) -> list[dict[str, Moments]]:
    """Give, for each label, the moments at each site by its key.

    Moments merge in any order, and what lies around a window is walked over with it: those of windows are those of the
    whole picture but for rounding.

    Args:
        pixels: wherever they lie.
        regions: of the picture, of the same size.
        device: of the walker's networks.
        most: pixels of a window, halo included.
    """
    stride = stride_at(LEVELS[-1])
    halo = -(-walker.halo // stride) * stride
    seen: list[dict[str, Tally]] = [{} for _ in range(regions.count)]
    for window in windows(regions.height, regions.width, stride, halo, most):
        _look(walker, pixels_in(pixels, window).to(device), regions, window, seen)
        rest(pixels)
    return [{key: tally.total for key, tally in known.items()} for known in seen]


def _look(
    walker: Walker, pixels: Float[Tensor, "1 3 g v"], regions: LabelMap, window: Window, seen: list[dict[str, Tally]]
) -> None:
    """Add what a window shows to what was seen of each label."""

    def edit(site: Site, features: Tensor) -> Tensor:
        for tally, known in zip(tallies(features, site, regions, window), seen, strict=True):
            known[site.key] = known[site.key].join(tally) if site.key in known else tally
        return features

    drive(walker.walk(pixels), edit)

"""Smoothing of pictures that are too large to be smoothed at once."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from universal_style.canvas import blank, rest
from universal_style.devices import SHARE, exact_device, free_memory
from universal_style.smoothing.kinds import Smoothing
from universal_style.windows import pixels_in, windows

CARD_BYTES = 600
"""For a pixel on a graphics card, with some to spare: of 8 megapixels each took 390."""
FEWEST_PIXELS = 1_000_000


def most_pixels(smoothing: Smoothing, device: torch.device) -> int:
    """Say how many pixels are smoothed at once on a device, halo included."""
    if device.type == "cpu":
        return smoothing.at_once
    return max(FEWEST_PIXELS, int(SHARE * free_memory(device)) // CARD_BYTES)


@torch.no_grad()
def smoothed(
    smoothing: Smoothing,
    result: Float[Tensor, "1 3 h w"],
    guide: Float[Tensor, "1 3 h w"],
    most: int | None = None,
) -> Float[Tensor, "1 3 h w"]:
    """Smooth a result by its guide, in windows with a halo where it has more than so many pixels.

    What lies on a device without float64 is smoothed elsewhere and comes back.

    Args:
        most: pixels; as many as suit the device when left out.
    """
    height, width = result.shape[2:]
    if smoothing.reach and (exact := exact_device(result.device)) != result.device:
        return smoothed(smoothing, result.to(exact), guide.to(exact), most).to(result.device)
    most = most_pixels(smoothing, result.device) if most is None else most
    if height * width <= most or not smoothing.reach:
        return smoothing(result, guide)
    smooth = blank(height, width, result.device)
    for window in windows(height, width, smoothing.stride, smoothing.reach, most):
        part = smoothing(pixels_in(result, window), pixels_in(guide, window))
        rows, columns = window.place(height, width)
        smooth[:, :, rows, columns] = window.inside(part, height, width)
        for pixels in (result, guide, smooth):
            rest(pixels)
    return smooth

"""Mattes: regions that end where the picture has its edges, rather than where a mask was drawn."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, UInt8
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from universal_style.canvas import rest
from universal_style.smoothing.affine_fits import affine
from universal_style.smoothing.guided import GuidedFilter
from universal_style.windows import row_bands

WHOLE = 255
"""The share of a pixel that has one region alone."""
CELLS = 8
"""Of the radius of the windows that a matte is fitted in, at most; fewer would show, more would only take time."""
EPSILON = 1e-4
AT_ONCE = 8
"""Regions that are fitted at a time."""
BAND_NUMBERS = 1 << 23
"""Interpolated coefficients that are in memory at a time."""


Layer = tuple[NDArray[np.uint8], NDArray[np.uint8] | None]
"""A label for each pixel, and how much of the pixel is its, in 255ths; None where all of it is."""


@dataclass(frozen=True)
class Matte:
    """The two regions that have the most of each pixel; what others have of it is left out.

    Attributes:
        first: label of the region that has more, (h, w).
        second: label of the other, (h, w).
        share: of the first, in 255ths, (h, w).
    """

    first: UInt8[np.ndarray, "h w"]
    second: UInt8[np.ndarray, "h w"]
    share: UInt8[np.ndarray, "h w"]

    @property
    def planes(self) -> tuple[NDArray[np.uint8], NDArray[np.uint8], NDArray[np.uint8]]:
        """Give all three, in order."""
        return self.first, self.second, self.share

    def layers(self, place: tuple[slice, slice]) -> tuple[Layer, Layer]:
        """Give the two labels of some pixels with their shares."""
        share = self.share[place]
        return (self.first[place], share), (self.second[place], WHOLE - share)


def stride_for(radius: float) -> int:
    """Give the pixels from one cell to the next for windows of a radius in pixels."""
    return max(1, math.ceil(radius / CELLS))


def matte_of(shares: Float[Tensor, "k g v"], stride: int, radius: float, pixels: Float[Tensor, "1 3 h w"]) -> Matte:
    """Fit the shares of regions as affine functions of a picture's colours in every window, and read them per pixel.

    Source: He, Sun and Tang 2013 (guided feathering); fitted on cells and read at every pixel after He and Sun
    2015, so that neither time nor memory grows with the radius.

    Args:
        shares: of each cell, for at least two regions; those of a cell sum to 1.
        stride: pixels from one cell to the next; see `stride_for`.
        radius: of the windows, within which outlines are found, in pixels.
        pixels: RGB in [0, 1], on any device.
    """
    height, width = pixels.shape[2:]
    colours = _means(pixels, stride)
    fit = GuidedFilter(max(1, round(radius / stride)), EPSILON).fitted
    fields = [fit(some[None], colours)[0] for some in shares.split(AT_ONCE)]
    first, second, share = (np.empty((height, width), np.uint8) for _ in range(3))
    aside = _Line(0, width, stride, shares.shape[2])
    for top, stop in row_bands(height, width * sum(map(len, fields)), BAND_NUMBERS):
        above, band = _Line(top, stop - top, stride, shares.shape[1]), pixels[:, :, top:stop].cpu()
        near = (aside.sampled(field[:, above.first : above.last + 1], 2) for field in fields)
        matte = torch.cat([affine(above.sampled(field, 1)[None], band)[0] for field in near])
        most, labels = matte.clamp_(min=0).topk(2, dim=0)
        first[top:stop], second[top:stop] = labels.byte().numpy()
        share[top:stop] = (most[0] / most.sum(dim=0)).mul_(WHOLE).round_().byte().numpy()
        rest(pixels)
    return Matte(first, second, share)


def _means(pixels: Float[Tensor, "1 3 h w"], stride: int) -> Float[Tensor, "1 3 g v"]:
    """Average the pixels of each cell, of those that the picture's end cuts what is there."""
    height, width = pixels.shape[2:]
    means = []
    for top, stop in row_bands(-(-height // stride), 3 * width * stride, BAND_NUMBERS):
        band = pixels[:, :, top * stride : stop * stride]
        means.append(functional.avg_pool2d(band, stride, ceil_mode=True, count_include_pad=False).cpu())
        rest(pixels)
    return torch.cat(means, dim=2)


@dataclass(frozen=True)
class _Line:
    """Pixels along one axis, read out of a grid `factor` times as coarse.

    Attributes:
        start: the first pixel.
        length: how many there are.
        factor: pixels in a cell.
        total: cells along the axis.
    """

    start: int
    length: int
    factor: int
    total: int

    def _position(self, pixel: int) -> float:
        return min(max((pixel + 0.5) / self.factor - 0.5, 0.0), self.total - 1.0)

    @property
    def first(self) -> int:
        """First cell of the grid that is read."""
        return int(self._position(self.start))

    @property
    def last(self) -> int:
        """Last cell of the grid that is read."""
        return min(self.total - 1, int(self._position(self.start + self.length - 1)) + 1)

    def sampled(self, field: Float[Tensor, "k a b"], axis: int) -> Float[Tensor, "k c d"]:
        """Interpolate linearly between the cells first … last of the grid."""
        pixels = torch.arange(self.start, self.start + self.length, dtype=torch.float64)
        places = ((pixels + 0.5) / self.factor - 0.5).clamp(0, self.total - 1) - self.first
        lower = places.long()
        upper = (lower + 1).clamp(max=self.last - self.first)
        share = (places - lower).to(field.dtype)
        share = share[:, None] if axis == 1 else share
        return torch.lerp(field.index_select(axis, lower), field.index_select(axis, upper), share)

"""The guided filter: the fast smoothing."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from universal_style.smoothing.colour_factors import ColourFactors


@dataclass(frozen=True)
class GuidedFilter:
    """Fits the result as an affine function of the content's colours in every window, and averages the fits.

    Source: He, Sun and Tang 2013, equations 14 to 16 (colour guide), with exact box means at the border.

    Attributes:
        share: radius of the windows as a share of the picture's longer side …
        least: … but at least so many pixels.
        epsilon: ridge penalty ε of the fit, in squared units of [0, 1].
    """

    share: float = 0.02
    least: int = 3
    epsilon: float = 1e-3

    @torch.no_grad()
    def __call__(self, result: Float[Tensor, "1 3 h w"], guide: Float[Tensor, "1 3 h w"]) -> Float[Tensor, "1 3 h w"]:
        """Filter a result by its content, in time that does not grow with the radius."""
        height, width = result.shape[2:]
        radius = self._radius(height, width)
        red, green, blue = colours = guide[0].double().unbind(0)

        def mean(plane: Float[Tensor, "h w"]) -> Float[Tensor, "h w"]:
            return _box_mean(_box_mean(plane, radius, 0), radius, 1)

        means = [mean(plane) for plane in colours]
        pairs = ((0, 0), (0, 1), (0, 2), (1, 1), (1, 2), (2, 2))
        rr, rg, rb, gg, gb, bb = (mean(colours[i] * colours[j]) - means[i] * means[j] for i, j in pairs)
        factors = ColourFactors.of((rr, rg, rb, gg, gb, bb), self.epsilon)
        smooth = torch.empty_like(result)
        for number, wanted in enumerate(result[0].double()):
            average = mean(wanted)
            crossed = [mean(plane * wanted) - own * average for plane, own in zip(colours, means, strict=True)]
            slopes = factors.solve(*crossed)
            offset = average - sum(slope * own for slope, own in zip(slopes, means, strict=True))
            fitted = sum(mean(slope) * plane for slope, plane in zip(slopes, (red, green, blue), strict=True))
            smooth[0, number] = (fitted + mean(offset)).to(result.dtype)
        return smooth

    def reach(self, height: int, width: int) -> int:
        return 2 * self._radius(height, width)  # means of means

    def settled(self, height: int, width: int) -> GuidedFilter:
        return replace(self, share=0.0, least=self._radius(height, width))

    def _radius(self, height: int, width: int) -> int:
        return max(self.least, round(self.share * max(height, width)))


def _box_mean(plane: Float[Tensor, "h w"], radius: int, axis: int) -> Float[Tensor, "h w"]:
    """Average over the places within a radius along an axis, those beyond the picture left out."""
    length = plane.shape[axis]
    sums = functional.pad(plane.cumsum(axis), (1, 0) if axis == 1 else (0, 0, 1, 0))
    places = torch.arange(length, device=plane.device)
    first, last = (places - radius).clamp(min=0), (places + radius + 1).clamp(max=length)
    counts = (last - first).to(plane.dtype)
    total = sums.index_select(axis, last) - sums.index_select(axis, first)
    return total / (counts if axis == 1 else counts[:, None])

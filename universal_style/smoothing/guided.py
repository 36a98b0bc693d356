"""The guided filter: the fast smoothing."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional


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
        radius = max(self.least, round(self.share * max(height, width)))
        colours, wanted = guide[0].double(), result[0].double()

        def mean(planes: Float[Tensor, "c h w"]) -> Float[Tensor, "c h w"]:
            return _box_mean(_box_mean(planes, radius, 1), radius, 2)

        mean_guide, mean_wanted = mean(colours), mean(wanted)
        pairs = torch.combinations(torch.arange(3), 2, with_replacement=True)
        covariance = torch.empty(height, width, 3, 3, dtype=torch.float64, device=guide.device)
        for one, other in pairs.tolist():
            plane = mean(colours[one : one + 1] * colours[other : other + 1])[0] - mean_guide[one] * mean_guide[other]
            covariance[..., one, other] = covariance[..., other, one] = plane
        covariance.diagonal(dim1=-2, dim2=-1).add_(self.epsilon)
        crossed = torch.stack(
            [
                mean(colours * plane[None]) - mean_guide * average
                for plane, average in zip(wanted, mean_wanted, strict=True)
            ]
        )  # (result, guide, h, w)
        slopes = torch.linalg.solve(covariance, crossed.permute(2, 3, 1, 0))  # -> (h, w, guide, result)
        slopes = slopes.permute(3, 2, 0, 1)  # (result, guide, h, w)
        offsets = mean_wanted - (slopes * mean_guide).sum(1)
        smooth = (mean(slopes.flatten(0, 1)).view_as(slopes) * colours).sum(1) + mean(offsets)
        return smooth[None].to(result.dtype)


def _box_mean(planes: Float[Tensor, "c h w"], radius: int, axis: int) -> Float[Tensor, "c h w"]:
    """Average over the places within a radius along an axis, those beyond the picture left out; float64 sums."""
    length = planes.shape[axis]
    pads = (1, 0) if axis == 2 else (0, 0, 1, 0)
    sums = functional.pad(planes.cumsum(axis), pads)
    places = torch.arange(length, device=planes.device)
    first, last = (places - radius).clamp(min=0), (places + radius + 1).clamp(max=length)
    counts = (last - first).to(planes.dtype)
    total = sums.index_select(axis, last) - sums.index_select(axis, first)
    return total / (counts if axis == 2 else counts[:, None])

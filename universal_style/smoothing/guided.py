"""The guided filter: the fast smoothing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from universal_style.smoothing.affine_fits import affine, affine_fit, products_of


@dataclass(frozen=True)
class GuidedFilter:
    """Fits the result as an affine function of the content's colours in every window, and averages the fits.

    Source: He, Sun and Tang 2013, equations 14 to 16 (colour guide), with exact box means at the border.
    Departs: the radius is that of what networks do wrong, which is as wide as a cell of their deepest features however
        large the picture is; a wider one would spread colours over edges.

    Attributes:
        radius: of the windows, in pixels.
        epsilon: ridge penalty ε of the fit, in squared units of [0, 1].
    """

    radius: int = 8
    epsilon: float = 1e-4
    stride: ClassVar[int] = 1
    at_once: ClassVar[int] = 1 << 18  # some fifty planes, which caches hold

    def __call__(self, result: Float[Tensor, "1 3 h w"], guide: Float[Tensor, "1 3 h w"]) -> Float[Tensor, "1 3 h w"]:
        """Filter a result by its content."""
        return affine(self.fitted(result, guide), guide)

    @torch.no_grad()
    def fitted(self, result: Float[Tensor, "1 k h w"], guide: Float[Tensor, "1 3 h w"]) -> Float[Tensor, "1 m h w"]:
        """Fit each plane of a result by the colours of its guide.

        Returns:
            What `affine` takes, m = 4 k planes: three slopes for each, one after the other, then all offsets.
        """
        colours = guide - 0.5
        planes = result.shape[1]
        crossed = [colours * wanted[:, None] for wanted in result.unbind(1)]
        means = self._means([colours, products_of(colours), result, *crossed])
        return self._means(affine_fit(*means.split((3, 6, planes, 3 * planes), dim=1), epsilon=self.epsilon))

    def _means(self, planes: list[Float[Tensor, "1 _ h w"]]) -> Float[Tensor, "1 k h w"]:
        """Average all planes over the places of the picture within the radius."""
        means = torch.cat(planes, dim=1).contiguous(memory_format=torch.channels_last)
        return _along(_along(means, (0, self.radius)), (self.radius, 0))

    @property
    def reach(self) -> int:
        return 2 * self.radius  # means of means


def _along(planes: Float[Tensor, "1 k h w"], radius: tuple[int, int]) -> Float[Tensor, "1 k h w"]:
    """Average along an axis, what lies beyond the picture left out.

    A CPU convolves many planes quicker than it pools them; a card would round to TF32 as it convolves.
    """
    window = (2 * radius[0] + 1, 2 * radius[1] + 1)
    if planes.device.type != "cpu":
        return functional.avg_pool2d(planes, window, stride=1, padding=radius, count_include_pad=False)
    channels, height, width = planes.shape[1:]
    inside = planes.new_ones(1, 1, height if radius[0] else 1, width if radius[1] else 1)
    kernel = planes.new_ones(1, 1, *window)
    counts = functional.conv2d(inside, kernel, padding=radius)
    sums = functional.conv2d(planes, kernel.expand(channels, 1, *window), padding=radius, groups=channels)
    return sums.div_(counts)

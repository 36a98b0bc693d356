"""The bilateral grid: smoothing over what lies near and is as light."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from universal_style.smoothing.affine_fits import affine, affine_fit
from universal_style.smoothing.colour_factors import products
from universal_style.windows import grown

LUMA = (0.299, 0.587, 0.114)
"""Weights of red, green and blue in lightness (Rec. 601)."""
SUMS = (1, 3, 6, 3, 9)
"""Of ones, colours, products of colours, results, products of results with colours."""


@dataclass(frozen=True)
class BilateralFit:
    """Fits the result as an affine function of the content's colours, among pixels that are near and as light.

    Networks draw rims about dark outlines: there alone a sky keeps its light, while the rest of it has turned dark.
    Where outline and rim are fitted together, their colours explain the rim, and it stays. Here a sky is fitted with
    the sky around it alone, and the rim is spread over that.

    Source: Chen, Paris and Durand 2007, section 3 (a grid over place and lightness: splat, blur, slice), with the
        affine models of Chen, Adams, Wadhwa and Hasinoff 2016 in its cells.
    Departs: each cell has the ridge regression of He, Sun and Tang 2013, equations 14 and 15, of the blurred sums, in
        place of a system of equations over all cells.

    Attributes:
        cell: side of a cell, in pixels.
        shades: cells along lightness.
        epsilon: ridge penalty ε of the fits, in squared units of [0, 1].
    """

    cell: int = 12
    shades: int = 20
    epsilon: float = 5e-4
    at_once: ClassVar[int] = 1 << 19  # fewer would be halo too often

    @torch.no_grad()
    def __call__(self, result: Float[Tensor, "1 3 h w"], guide: Float[Tensor, "1 3 h w"]) -> Float[Tensor, "1 3 h w"]:
        """Smooth a result by its content."""
        height, width = guide.shape[2:]
        whole = grown(guide, self.cell)
        luma = torch.tensordot(whole.new_tensor(LUMA), whole[0], dims=1).clamp(0, 1)
        fits = self._fits(self._sums(grown(result, self.cell), whole, luma))
        return affine(self._read(fits, luma[:height, :width]), guide)

    @property
    def stride(self) -> int:
        return self.cell

    @property
    def reach(self) -> int:
        return 3 * self.cell  # half a cell that is summed, one that is blurred, one that is read between

    def _sums(
        self, result: Float[Tensor, "1 3 g v"], guide: Float[Tensor, "1 3 g v"], luma: Float[Tensor, "g v"]
    ) -> Float[Tensor, "rows columns shades sums"]:
        """Add up what fits need in every cell, a pixel shared by the two shades that it lies between."""
        rows, columns = (length // self.cell for length in guide.shape[2:])
        blocks = [
            plane.view(rows, self.cell, columns, self.cell).transpose(1, 2).reshape(rows * columns, -1)
            for plane in (*(guide[0] - 0.5).unbind(), *result[0].unbind(), luma * (self.shades - 1))
        ]
        colours, results, shade = blocks[:3], blocks[3:6], blocks[6]
        crossed = [colour * wanted for wanted in results for colour in colours]
        summands = torch.stack([torch.ones_like(shade), *colours, *products(*colours), *results, *crossed], dim=2)
        shades = torch.arange(self.shades, device=shade.device, dtype=shade.dtype)[:, None]
        shares = (1 - (shade[:, None] - shades).abs()).clamp_(min=0)
        sums: Tensor = (shares @ summands).view(rows, columns, self.shades, -1)
        return sums

    def _fits(self, sums: Float[Tensor, "rows columns shades sums"]) -> Float[Tensor, "1 12 shades rows columns"]:
        """Fit in every cell: three slopes for each colour of the result, then the three offsets."""
        for axis in range(3):
            sums = _blurred(sums, axis)
        number, *summed = sums.movedim(3, 1).split(SUMS, dim=1)
        number = number.clamp(min=torch.finfo(number.dtype).tiny)
        fits = torch.cat(affine_fit(*(each / number for each in summed), epsilon=self.epsilon), dim=1)
        return fits.permute(1, 3, 0, 2)[None]

    def _read(
        self, fits: Float[Tensor, "1 12 shades rows columns"], luma: Float[Tensor, "h w"]
    ) -> Float[Tensor, "1 12 h w"]:
        """Read between the cells, at every pixel; a CPU's threads share rows."""
        height, width = luma.shape
        places = (
            ((torch.arange(length, device=luma.device) + 0.5) / self.cell - 0.5) * (2 / (cells - 1)) - 1
            for length, cells in zip((height, width), fits.shape[3:], strict=True)
        )  # -1 is the middle of the first cell, 1 that of the last
        rows, columns = torch.meshgrid(*places, indexing="ij")
        where = torch.stack([columns.to(luma), rows.to(luma), luma * 2 - 1], dim=2)[:, None, None]
        every = fits.expand(height, -1, -1, -1, -1)
        read: Tensor = functional.grid_sample(every, where, padding_mode="border", align_corners=True)
        return read[:, :, 0, 0].transpose(0, 1)[None]


def _blurred(sums: Float[Tensor, "rows columns shades sums"], axis: int) -> Float[Tensor, "rows columns shades sums"]:
    """Blur along an axis by ¼, ½, ¼; beyond the grid there is nothing."""
    blurred = sums * 0.5
    inner = sums.shape[axis] - 1
    for one, other in ((0, 1), (1, 0)):
        blurred.narrow(axis, one, inner).add_(sums.narrow(axis, other, inner), alpha=0.25)
    return blurred

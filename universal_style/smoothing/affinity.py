"""The matting affinity of a guide: how alike each pixel is to the 24 around it, as a symmetric stencil."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from universal_style.smoothing.cards import kernels_for
from universal_style.smoothing.colour_factors import ColourFactors, products

OFFSETS = tuple((dy, dx) for dy in range(3) for dx in range(-2, 3) if (dy, dx) >= (0, 0))
"""Half of the 5×5 neighbourhood, the pixel itself first; the other half is its mirror image."""
WINDOW = tuple((y, x) for y in range(3) for x in range(3))
SMALLEST_SIDE = 3
EPSILON = 3e-6
"""Regularisation ε of a window's covariance, in squared units of [0, 1].

The papers have 1e-7, under which steps of a single grey level are walls: the blocks of a JPEG's sky then show in the
result. Here a step of one level of 255, whose variance over a window is about this, is half a wall.
"""
BAND_PIXELS = {"cpu": 1 << 15, "cuda": 1 << 21}
"""Pixels whose windows are treated at a time, in float64."""
CHUNK = 1 << 18
"""Pixels of a product computed at a time, so that its sums stay in a CPU's cache."""


@dataclass(frozen=True)
class Affinity:
    """The matrix W of Levin's matting Laplacian L = D - W over the pixels of a guide.

    Attributes:
        planes: W between each pixel and the one `OFFSETS[k]` further, row by row; 0 beyond the picture.
        degrees: the diagonal of D, the row sums of W: the number of 3×3 windows that hold the pixel.
    """

    planes: Float[Tensor, "13 h w"]
    degrees: Float[Tensor, "h w"]

    @classmethod
    def of(cls, guide: Float[Tensor, "3 h w"], epsilon: float) -> Affinity:
        """Build the affinity of a guide, window by window, in float64; it is kept in float32.

        Source: Levin, Lischinski and Weiss 2008, equation 12:
            W_ij = Σ_k (1 + (I_i - μ_k)ᵀ (Σ_k + ε/9 I)⁻¹ (I_j - μ_k)) / 9 over the windows k that hold i and j.
        Departs: only windows wholly inside the picture count, but every pixel of it lies in one: none is lost at the
            border. Inverses come from the LDLᵀ factors of Σ_k + ε/9 I, which stay exact where ε is far below float32's
            resolution of the entries.

        Args:
            guide: pixels in [0, 1], at least 3×3.
            epsilon: regularisation ε of a window's covariance, in squared units of the guide.
        """
        height, width = guide.shape[1:]
        planes = torch.zeros(len(OFFSETS), height, width, device=guide.device)
        pending = torch.zeros(len(OFFSETS), 2, width, dtype=torch.float64, device=guide.device)
        band = max(4, BAND_PIXELS[guide.device.type] // width)
        for top in range(0, height - 2, band):
            rows = min(band, height - 2 - top)
            sums = torch.zeros(len(OFFSETS), rows + 2, width, dtype=torch.float64, device=guide.device)
            sums[:, :2] = pending  # what windows above reach into this band
            _add_windows(sums, guide[:, top : top + rows + 2].double(), rows, width, epsilon / len(WINDOW))
            planes[:, top : top + rows] = sums[:, :rows]
            pending = sums[:, rows:]
        planes[:, height - 2 :] = pending
        return cls(planes, _windows_over(height, guide.device)[:, None] * _windows_over(width, guide.device))

    def to(self, device: torch.device) -> Affinity:
        """Move to a device."""
        return Affinity(self.planes.to(device), self.degrees.to(device))

    def __call__(self, values: Float[Tensor, "c h w"]) -> Float[Tensor, "c h w"]:
        """Give W times each plane of values."""
        return self.combined(values, 0, 1)

    def laplacian(self, values: Float[Tensor, "c h w"]) -> Float[Tensor, "c h w"]:
        """Give L times each plane of values; Σ v · L v is Deep Photo's photorealism term, its gradient 2 L v."""
        return self.combined(values, 1, -1)

    def combined(
        self,
        values: Float[Tensor, "c h w"],
        of_degrees: float,
        of_affinity: float,
        out: Float[Tensor, "c h w"] | None = None,
    ) -> Float[Tensor, "c h w"]:
        """Give (of_degrees · D + of_affinity · W) times each plane of values, in their precision.

        Args:
            values: one contiguous plane after the other; interleaved channels take five times as long.
            of_degrees: factor of D.
            of_affinity: factor of W.
            out: other memory to write to, contiguous; new by default.
        """
        if kernels := kernels_for(values):
            planes: Tensor = kernels.stencil(self.planes, self.degrees, values, of_degrees, of_affinity, out)
            return planes
        height, width = self.degrees.shape
        count = height * width
        stencil, given = self.planes.flatten(1), values.flatten(1)  # (c, h, w) -> (c, h w)
        degrees = self.degrees.flatten()  # (h, w) -> (h w,)
        product = (torch.empty_like(given) if out is None else out).view(given.shape)  # as above
        chunk = chunk_of(self.degrees)
        for start in range(0, count, chunk):
            stop = min(start + chunk, count)
            part = product[:, start:stop]
            own = of_affinity * stencil[0, start:stop].to(given.dtype) + of_degrees * degrees[start:stop]
            torch.mul(given[:, start:stop], own, out=part)
            for (dy, dx), plane in zip(OFFSETS[1:], stencil[1:], strict=True):
                shift = dy * width + dx  # weights that would wrap around the picture's sides are 0
                ahead = min(stop, count - shift)
                if ahead > start:
                    weights, further = plane[start:ahead].to(given.dtype), given[:, start + shift : ahead + shift]
                    part[:, : ahead - start].addcmul_(weights, further, value=of_affinity)
                behind = max(start, shift)
                if stop > behind:
                    back = slice(behind - shift, stop - shift)
                    weights = plane[back].to(given.dtype)
                    part[:, behind - start :].addcmul_(weights, given[:, back], value=of_affinity)
        return product.view(values.shape)


def chunk_of(plane: Float[Tensor, "h w"]) -> int:
    """Give the pixels to be worked on at a time: `CHUNK` on a CPU; a graphics card takes all of them at once."""
    return CHUNK if plane.device.type == "cpu" else max(1, plane.numel())


def at_least(planes: Float[Tensor, "1 c h w"], side: int) -> Float[Tensor, "1 c g v"]:
    """Repeat the last row and column of a picture that is smaller than a side asks for."""
    below, right = (max(0, side - length) for length in planes.shape[2:])
    return functional.pad(planes, (0, right, 0, below), mode="replicate") if below or right else planes


def _add_windows(sums: Tensor, guide: Float[Tensor, "3 g w"], rows: int, width: int, damping: float) -> None:
    """Add what the windows with their top in the first rows give to each pair of pixels."""
    taps = torch.stack([guide[:, y : y + rows, x : x + width - 2] for y, x in WINDOW])  # (9, 3, rows, width - 2)
    red, green, blue = (taps - taps.mean(0)).unbind(1)
    factors = ColourFactors.of((product.mean(0) for product in products(red, green, blue)), damping)
    spreads = (factors.first, factors.second, factors.third)
    # With Σ + ε/9 I = L D Lᵀ the quadratic form is the product of D^-½ L⁻¹ (I - μ) of both pixels.
    whitened = [
        plane / (len(WINDOW) * spread).sqrt()
        for plane, spread in zip(factors.forward(red, green, blue), spreads, strict=True)
    ]
    for number, (py, px) in enumerate(WINDOW):
        for other in range(number, len(WINDOW)):
            qy, qx = WINDOW[other]
            pair = sum(plane[number] * plane[other] for plane in whitened) + 1 / len(WINDOW)
            sums[OFFSETS.index((qy - py, qx - px)), py : py + rows, px : px + width - 2] += pair


def _windows_over(length: int, device: torch.device) -> Float[Tensor, " length"]:
    """Count the windows of three that hold each place of a line."""
    places = torch.arange(length, device=device)
    ends = torch.minimum(places + 1, length - places)
    return ends.clamp(max=min(SMALLEST_SIDE, length - 2)).float()

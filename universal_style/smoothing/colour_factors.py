"""LDLᵀ factors of many 3×3 covariances of colours at once, plane by plane."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import combinations_with_replacement

from torch import Tensor

Planes = tuple[Tensor, Tensor, Tensor]
"""Red, green and blue, of any one shape."""


def products(red: Tensor, green: Tensor, blue: Tensor) -> Iterator[Tensor]:
    """Multiply every colour by every other, one after the other: rr, rg, rb, gg, gb, bb."""
    return (one * other for one, other in combinations_with_replacement((red, green, blue), 2))


@dataclass(frozen=True)
class ColourFactors:
    """The factors L and D of Σ + δ I = L D Lᵀ at every place, L with ones on its diagonal."""

    low21: Tensor
    low31: Tensor
    low32: Tensor
    first: Tensor
    second: Tensor
    third: Tensor

    @classmethod
    def of(cls, covariance: Iterable[Tensor], damping: float) -> ColourFactors:
        """Factor Σ + δ I.

        Args:
            covariance: planes of Σ, in the order of `products`.
            damping: δ, above 0; no pivot falls below it, so that flat colours stay defined.
        """
        rr, rg, rb, gg, gb, bb = covariance
        first = (rr + damping).clamp(min=damping)
        low21, low31 = rg / first, rb / first
        second = (gg + damping - low21 * rg).clamp(min=damping)
        low32 = (gb - low31 * rg) / second
        third = (bb + damping - low31 * rb - low32 * low32 * second).clamp(min=damping)
        return cls(low21, low31, low32, first, second, third)

    def forward(self, red: Tensor, green: Tensor, blue: Tensor) -> Planes:
        """Give L⁻¹ times a vector of colours."""
        green = green - self.low21 * red
        return red, green, blue - self.low31 * red - self.low32 * green

    def solve(self, red: Tensor, green: Tensor, blue: Tensor) -> Planes:
        """Give (Σ + δ I)⁻¹ times a vector of colours."""
        red, green, blue = self.forward(red, green, blue)
        blue = blue / self.third
        green = green / self.second - self.low32 * blue
        return red / self.first - self.low21 * green - self.low31 * blue, green, blue

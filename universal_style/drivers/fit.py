"""The fit of a closed-form method: which map the content's columns go through at each site."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from universal_style.moments import Moments
from universal_style.networks.stage import Site
from universal_style.transforms import AffineMap, Transform, mix


@dataclass(frozen=True)
class StyleFit:
    """Transform towards each style, mix the maps by weight, blend with the identity by alpha.

    Attributes:
        transform: from two moments to a map.
        styles: the moments of each style by site name.
        weights: one per style, summing to 1.
        alphas: strength by site name, 0 to 1.
    """

    transform: Transform
    styles: Sequence[Mapping[str, Moments]]
    weights: Sequence[float]
    alphas: Mapping[str, float]

    def __call__(self, site: Site, content: Moments) -> AffineMap:
        """Fit one site."""
        alpha = self.alphas[site.name]
        if alpha == 0:
            return AffineMap.identity(content.channels, content.mean.device)
        maps = [self.transform(content, moments[site.name]) for moments in self.styles]
        return mix(maps, self.weights).blend(alpha)

"""The fit of a closed-form method: which map each region's columns go through at each site."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from universal_style.moments import Moments, merge_all
from universal_style.networks.stage import Site
from universal_style.regions import WHOLE
from universal_style.transforms import AffineMap, Transform, mix


@dataclass(frozen=True)
class Aim:
    """What a region of the content is carried towards.

    Attributes:
        weight: its share of the region's map.
        content: the content's label whose moments are carried, or WHOLE.
        style: the moments that they are carried to, by key of the site.
    """

    weight: float
    content: int
    style: Mapping[str, Moments]


@dataclass(frozen=True)
class StyleFit:
    """Transform towards each aim, mix the maps by weight, blend with the identity by alpha.

    Attributes:
        transform: from two moments to a map.
        aims: of each label of the content; what their weights leave of 1 goes to the identity.
        alphas: strength by level, 0 to 1.
    """

    transform: Transform
    aims: Sequence[Sequence[Aim]]
    alphas: Mapping[int, float]

    def __call__(self, site: Site, content: Sequence[Moments]) -> list[AffineMap]:
        """Fit one site: from the moments of each label of the content, give each label's map."""
        alpha = self.alphas[site.level]
        identity = AffineMap.identity(content[0].channels, content[0].mean.device)
        known: dict[tuple[int, int], AffineMap] = {}  # regions that fall back share their map

        def towards(aim: Aim) -> AffineMap:
            key = (aim.content, id(aim.style))
            if key not in known:
                ground = merge_all(content) if aim.content == WHOLE else content[aim.content]
                known[key] = self.transform(ground, aim.style[site.key])
            return known[key]

        maps = []
        for aims in self.aims:
            if alpha == 0 or not aims:
                maps.append(identity)
                continue
            weights = [aim.weight for aim in aims]
            mixed = mix([*map(towards, aims), identity], [*weights, 1 - sum(weights)])
            maps.append(mixed.blend(alpha))
        return maps

"""The fit of a closed-form method: which map each region's columns go through at each site."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from universal_style.errors import OutputError
from universal_style.mixing import Mixing
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
        mixing: of the styles that share their ground in the content.
        aims: of each label of the content; what their weights leave of 1 goes to the identity.
        alphas: strength by level, 0 to 1.
    """

    transform: Transform
    mixing: Mixing
    aims: Sequence[Sequence[Aim]]
    alphas: Mapping[int, float]

    def __call__(self, site: Site, content: Sequence[Moments]) -> list[AffineMap]:
        """Fit one site: from the moments of each label of the content, give each label's map.

        Raises:
            OutputError: a moment is not finite; of those on a graphics card the picture shows it in the end.
        """
        alpha = self.alphas[site.level]
        identity = AffineMap.identity(content[0].channels, content[0].mean.device)
        known: dict[tuple[tuple[float, int, int], ...], AffineMap] = {}  # regions that fall back share their map
        maps = []
        for aims in self.aims:
            key = tuple((aim.weight, aim.content, id(aim.style)) for aim in aims)
            if key not in known:
                known[key] = self._map(aims, site, content, identity).blend(alpha) if alpha and aims else identity
            maps.append(known[key])
        return maps

    def _map(self, aims: Sequence[Aim], site: Site, content: Sequence[Moments], identity: AffineMap) -> AffineMap:
        grounds: dict[int, list[tuple[float, Moments]]] = {}
        for aim in aims:
            grounds.setdefault(aim.content, []).append((aim.weight, aim.style[site.key]))
        maps, weights = [identity], [1 - sum(aim.weight for aim in aims)]
        for ground, styles in grounds.items():
            # a thin region may have vanished from a reduced copy
            unseen = ground == WHOLE or not content[ground].count > 0
            own = merge_all(content) if unseen else content[ground]
            # a card would wait for the answer
            if own.scatter.device.type == "cpu" and not bool(own.scatter.isfinite().all()):
                raise OutputError(f"features at {site.name} are not finite; try --dtype float32 and report it")
            for weight, style in self.mixing(styles):
                maps.append(self.transform(own, style))
                weights.append(weight)
        return mix(maps, weights)

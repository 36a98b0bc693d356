"""A fit with a memory: the content's moments are blended with those of the pictures before."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from universal_style.drivers.edits import Fit
from universal_style.moments import Moments
from universal_style.networks.stage import Site
from universal_style.transforms import AffineMap

Memory = Mapping[str, Sequence[Moments]]
"""Moments of the pictures so far, older ones at less weight: of each label, by key of the site."""


@dataclass(frozen=True)
class Steady:
    """Hand an inner fit the moments of a picture as if it were one with the pictures before it.

    The style a picture takes follows its own statistics, so a small change in them changes the whole look. Here they
    are a sum that fades: moments merge exactly and carry a weight, which is what fades.

    Attributes:
        inner: fits maps to the blended moments.
        past: what the pictures before left; empty at a beginning.
        kept: weight that the past has left, 0 to 1; 0 forgets it.
        seen: is filled, as a picture is carried, with what it leaves.
    """

    inner: Fit
    past: Memory
    kept: float
    seen: dict[str, Sequence[Moments]]

    def __call__(self, site: Site, content: Sequence[Moments]) -> Sequence[AffineMap]:
        before = self.past.get(site.key, [moments.scaled(0) for moments in content])
        blended = [new.merge(old.scaled(self.kept)) for new, old in zip(content, before, strict=True)]
        self.seen[site.key] = blended
        return self.inner(site, blended)

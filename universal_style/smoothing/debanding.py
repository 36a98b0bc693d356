"""Debanding: the steps that rounding and packing leave in calm parts of a picture are evened out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from universal_style.smoothing.windowed import smoothed

LEVEL = 1 / 255
DISTANCES = (16, 8, 4, 2, 1)
"""In pixels, between those that exchange colour: wide contours go first, and what is left of them after."""
RATE = 0.25
"""Share of a small difference that a pixel gives to each of its neighbours; with one half, neighbours would swap."""


@dataclass(frozen=True)
class Debanding:
    """Lets colours that hardly differ flow into each other.

    Calm skies come in steps of a grey level, and in blocks as faint where a JPEG was packed. Nobody sees them, but a
    map that stretches what a sky varies to the variance of a style makes contours and grain of them.

    Source: Perona and Malik 1990, equations 7 and 8: pixels exchange colour, the less of it the more they differ.
    Departs: neighbours are near and far ones in turn, one step for each of `DISTANCES`, so that contours far apart are
        reached in five steps. What flows is all but proportional to a small difference, and nothing from `edge` on in
        any of the three colours: drawings of colours that far apart stay as they are.

    Attributes:
        most: by which a colour is moved in the end, of [0, 1].
        edge: difference of a colour from which nothing flows, of [0, 1].
    """

    most: float = 1.5 * LEVEL
    edge: float = 4 * LEVEL
    at_once: ClassVar[int] = 1 << 20  # fewer would be halo too often
    stride: ClassVar[int] = 1
    reach: ClassVar[int] = sum(DISTANCES)

    def __call__(self, result: Float[Tensor, "1 3 h w"], guide: Float[Tensor, "1 3 h w"]) -> Float[Tensor, "1 3 h w"]:
        """Even a picture out by itself: both are the same."""
        even = guide.clone(memory_format=torch.contiguous_format)  # planes: the largest of three is found quickest so
        for distance in DISTANCES:
            for axis in (2, 3):
                if (pairs := even.shape[axis] - distance) > 0:
                    self._exchange(even.narrow(axis, 0, pairs), even.narrow(axis, distance, pairs))
        return result + even.sub_(guide).clamp_(-self.most, self.most)

    def _exchange(self, one: Float[Tensor, "1 3 g v"], other: Float[Tensor, "1 3 g v"]) -> None:
        gap = other - one
        widest = gap.abs().amax(dim=1, keepdim=True)
        flow = gap.mul_(widest.mul_(-RATE / self.edge).add_(RATE).clamp_(min=0))
        one += flow
        other -= flow


def debanded(pixels: Float[Tensor, "1 3 h w"], strength: float = 1.0) -> Float[Tensor, "1 3 h w"]:
    """Even out the steps of a picture's calm parts.

    Args:
        pixels: RGB in [0, 1].
        strength: 0 to 1, share of what a colour may be moved by.
    """
    return smoothed(Debanding(strength * Debanding.most), pixels, pixels) if strength else pixels

"""The pooling pair of a stage: how it goes down a level, and how the mirror comes back up."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

Kept = tuple[Tensor, ...]
"""What going down keeps for coming back up: nothing, indices or wavelet bands."""


@runtime_checkable
class Pooling(Protocol):
    """A pair of resamplings by two. Sizes are even: the drivers see to that."""

    name: str

    def down(self, features: Float[Tensor, "n c h w"]) -> tuple[Float[Tensor, "n c g v"], Kept]:
        """Halve the size; keep what `up` needs."""
        ...

    def up(self, features: Float[Tensor, "n c h w"], kept: Kept) -> Float[Tensor, "n d g v"]:
        """Double the size with what `down` kept."""
        ...


class NearestPooling:
    """Maximum of 2×2 down, nearest neighbour up.

    Source: Li et al. 2017 (universal style transfer), section 3.1.
    """

    name = "nearest"

    def down(self, features: Float[Tensor, "n c h w"]) -> tuple[Float[Tensor, "n c g v"], Kept]:
        return functional.max_pool2d(features, 2), ()

    def up(self, features: Float[Tensor, "n c h w"], kept: Kept) -> Float[Tensor, "n c g v"]:
        return functional.interpolate(features, scale_factor=2.0, mode="nearest")

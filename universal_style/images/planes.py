"""What is left of a picture once it is read: planes of floats, and what it takes to write them as they came."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float
from numpy.typing import NDArray

TRANSPARENT = 1 / 512
"""Alpha under which nothing is seen of a pixel: half a step of 8 bits."""


@dataclass(frozen=True)
class Planes:
    """The planes of a picture; see `Image`, which adds what can be done with them."""

    pixels: Float[np.ndarray, "h w 3"]
    alpha: Float[np.ndarray, "h w"] | None = None
    profile: bytes = b""
    bits: int = 8
    facts: bytes = b""

    @property
    def hidden(self) -> Bool[np.ndarray, "h w"] | None:
        """Pixels that are wholly transparent; None where there are none, or no others."""
        if self.alpha is None:
            return None
        hidden: NDArray[np.bool_] = self.alpha < TRANSPARENT
        return hidden if hidden.any() and not hidden.all() else None

    @property
    def height(self) -> int:
        """Rows of pixels."""
        return int(self.pixels.shape[0])

    @property
    def width(self) -> int:
        """Columns of pixels."""
        return int(self.pixels.shape[1])

"""Where a scene ends: the colours of a frame are far from those of the frame before."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from PIL import Image as Pillow

from universal_style.images import Image

SIDE = 48
"""Colours are compared on a thumbnail of so many pixels squared."""
CUT_DISTANCE = 0.06
"""Least distance of a cut, where 1 is from black to white; 96 % of pairs of unrelated photographs lie further apart."""
CUT_RATIO = 4.0
"""A cut's distance over the level of those before it: a fast motion grows by less from frame to frame."""
LEVEL_LEFT = 0.8
"""What a frame leaves of the level, unless its own distance is larger."""


@dataclass(frozen=True)
class Scene:
    """What is remembered of the frames so far.

    Attributes:
        colours: of the last frame's thumbnail, each channel sorted by itself.
        level: largest distance from frame to frame in the scene, older ones faded.
    """

    colours: Float[np.ndarray, "n 3"]
    level: float

    @classmethod
    def first(cls, image: Image) -> Scene:
        """Begin with a frame."""
        return cls(sorted_colours(image), 0.0)

    def followed_by(self, image: Image) -> tuple[Scene, bool]:
        """Go on with the next frame, and say whether another scene begins with it.

        The distance is the mean over the channels of the Wasserstein distance of their values. It knows nothing of
        places, so motion hardly moves it; and it is small only between frames whose colours are nearly the same,
        which may share their statistics without harm.
        """
        colours = sorted_colours(image)
        distance = float(np.abs(colours - self.colours).mean())
        if distance > max(CUT_DISTANCE, CUT_RATIO * self.level):
            return Scene(colours, 0.0), True
        return Scene(colours, max(distance, LEVEL_LEFT * self.level)), False


def sorted_colours(image: Image) -> Float[np.ndarray, "n 3"]:
    """Give the values of each channel of a picture's thumbnail in ascending order."""
    planes = [Pillow.fromarray(np.ascontiguousarray(image.pixels[:, :, c])) for c in range(3)]
    small = [np.asarray(plane.resize((SIDE, SIDE), Pillow.Resampling.BOX)).ravel() for plane in planes]
    return np.sort(np.stack(small, axis=-1).astype(np.float32), axis=0)

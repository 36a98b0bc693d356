"""The integers of a file: sRGB floats in the picture's own colours, as deep as these can be had."""

from __future__ import annotations

from typing import Any

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray
from PIL import Image as Pillow

from universal_style.images.arrays import integers
from universal_style.images.planes import Planes
from universal_style.images.profiles import from_srgb
from universal_style.images.shapers import shaper_of, srgb


def depth_of(planes: Planes) -> int:
    """Say with how many bits a picture can be written: 8 or 16; colours by tables have 8."""
    return 8 if planes.profile and shaper_of(planes.profile) is None else planes.bits


def numbers_of(pixels: Float[np.ndarray, "h w 3"], profile: bytes, bits: int) -> NDArray[Any]:
    """Give part of a picture as integers in the colours of a profile; where there is none, in sRGB."""
    if bits == 8:
        return np.asarray(from_srgb(Pillow.fromarray(integers(pixels, 8)), profile))
    shaper = shaper_of(profile) if profile else None
    return integers(pixels if shaper is None else srgb().to(shaper, pixels), 16)

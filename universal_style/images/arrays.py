"""Arrays of any kind as planes, and planes as integers; turned and resized."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray
from PIL import Image as Pillow

from universal_style.errors import InputError
from universal_style.images.planes import Planes


def planes_of(array: NDArray[Any]) -> Planes:
    """Take an array (h, w) or (h, w, 1 to 4) for sRGB or grey, the last of an even number of channels for alpha.

    Raises:
        InputError: it is of another shape or kind, or holds numbers outside its range.
    """
    if array.ndim == 2:
        array = array[:, :, None]
    if array.ndim != 3 or array.shape[2] not in (1, 2, 3, 4) or 0 in array.shape:
        raise InputError(f"an array of shape {array.shape} is not a picture; needed is (h, w) or (h, w, 1 to 4)")
    bits = 16 if array.dtype == np.uint16 else 8
    if array.dtype.kind in "ub" and array.dtype != np.bool_:
        values = array.astype(np.float32) / np.iinfo(array.dtype).max
    elif array.dtype.kind in "fb":
        values = array.astype(np.float32)
    else:
        raise InputError(f"an array of {array.dtype} is not a picture; use uint8, uint16 or floats in [0, 1]")
    low, high = float(values.min()), float(values.max())
    if not (math.isfinite(low) and math.isfinite(high)) or low < 0 or high > 1:
        raise InputError(f"float pixels lie in {low:g} … {high:g}; needed is 0 … 1")
    colours, alpha = (values[:, :, :-1], values[:, :, -1]) if values.shape[2] in (2, 4) else (values, None)
    rgb = np.array(np.broadcast_to(colours, (*values.shape[:2], 3)))  # a copy: torch takes no array that is read-only
    return Planes(rgb, alpha, bits=bits)


def upright(array: NDArray[Any], orientation: int) -> NDArray[Any]:
    """Turn what a camera wrote as it held it.

    Args:
        array: (h, w) or (h, w, c).
        orientation: EXIF's, 1 to 8; any other number is taken for 1, which is upright already.
    """
    if orientation in (5, 6, 7, 8):
        array = np.swapaxes(array, 0, 1)
    if orientation in (3, 4, 7, 8):
        array = array[::-1]
    if orientation in (2, 3, 6, 7):
        array = array[:, ::-1]
    return array


def integers(values: Float[np.ndarray, "*shape"], bits: int) -> NDArray[Any]:
    """Round values in [0, 1] to integers of 8 or 16 bits."""
    rounded: NDArray[Any] = np.rint(values * (2**bits - 1)).astype(np.uint8 if bits == 8 else np.uint16)
    return rounded


def resized(plane: Float[np.ndarray, "h w"], size: tuple[int, int]) -> Float[np.ndarray, "g v"]:
    """Resample a plane to (height, width), clipped to [0, 1]."""
    picture = Pillow.fromarray(np.ascontiguousarray(plane, dtype=np.float32))
    scaled = picture.resize((size[1], size[0]), Pillow.Resampling.LANCZOS)
    values: NDArray[np.float32] = np.clip(np.asarray(scaled, dtype=np.float32), 0, 1)
    return values

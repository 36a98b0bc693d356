"""Arrays of any kind as planes, and planes as integers; turned and resized."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import scipy
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from PIL import Image as Pillow

from universal_style.canvas import bands, blank, rest
from universal_style.errors import InputError
from universal_style.images.planes import Planes


def planes_of(array: NDArray[Any], name: str = "the picture") -> Planes:
    """Take an array (h, w) or (h, w, 1 to 4) for sRGB or grey, the last of an even number of channels for alpha.

    Args:
        array: whole numbers, or floats in [0, 1].
        name: of the picture, for the message.

    Raises:
        InputError: it is of another shape or kind, or holds numbers outside its range.
    """
    if array.ndim == 2:
        array = array[:, :, None]
    if array.ndim != 3 or array.shape[2] not in (1, 2, 3, 4) or 0 in array.shape:
        raise InputError(f"an array of shape {array.shape} is not a picture; needed is (h, w) or (h, w, 1 to 4)")
    if array.dtype.kind not in "ufb":
        raise InputError(f"an array of {array.dtype} is not a picture; use uint8, uint16 or floats in [0, 1]")
    height, width, channels = array.shape
    most = np.float32(np.iinfo(array.dtype).max if array.dtype.kind == "u" else 1)
    pixels = room(height, width)
    alpha = np.empty((height, width), np.float32) if channels in (2, 4) else None
    colours = slice(0, channels - (alpha is not None))
    for rows in bands(height, width):
        values = array[rows].astype(np.float32) / most
        low, high = float(values.min()), float(values.max())
        if not (math.isfinite(low) and math.isfinite(high)) or low < 0 or high > 1:
            raise InputError(f"{name}: float pixels lie in {low:g} … {high:g}; needed is 0 … 1")
        pixels[rows] = values[:, :, colours]
        if alpha is not None:
            alpha[rows] = values[:, :, -1]
        rest(torch.from_numpy(pixels))
    return Planes(pixels, alpha, bits=16 if array.dtype == np.uint16 else 8)


def room(height: int, width: int) -> Float[np.ndarray, "height width 3"]:
    """Make room for the pixels of a picture; what it holds is undefined."""
    pixels: NDArray[np.float32] = blank(height, width)[0].permute(1, 2, 0).numpy()  # (1, 3, h, w) -> (h, w, 3)
    return pixels


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


def integers(values: Float[np.ndarray, "h w *c"], bits: int) -> NDArray[Any]:
    """Round values in [0, 1] to integers of 8 or 16 bits."""
    rounded = np.empty(values.shape, np.uint8 if bits == 8 else np.uint16)
    for rows in bands(*values.shape[:2]):
        rounded[rows] = np.rint(values[rows] * (2**bits - 1))
    return rounded


def size_at(long_side: int, height: int, width: int) -> tuple[int, int]:
    """Give (height, width) with so many pixels on the longer side, keeping the aspect; at least 1×1."""
    scale = long_side / max(height, width)
    return max(1, round(height * scale)), max(1, round(width * scale))


def resize(values: Float[np.ndarray, "h w c"], into: Float[np.ndarray, "g v c"]) -> None:
    """Resample to the size of another array, clipped to [0, 1]: rows first and then columns, some at a time."""
    (height, width, channels), (rows, columns) = values.shape, into.shape[:2]
    narrow = np.empty((height, columns, channels), np.float32)
    for band in bands(height, max(width, columns)):
        narrow[band] = _resampled(values[band], (band.stop - band.start, columns))
        rest(torch.from_numpy(values))
    for band in bands(columns, max(height, rows)):
        into[:, band] = np.clip(_resampled(narrow[:, band], (rows, band.stop - band.start)), 0, 1)
        rest(torch.from_numpy(into))


def _resampled(values: Float[np.ndarray, "h w c"], size: tuple[int, int]) -> Float[np.ndarray, "g v c"]:
    planes = [Pillow.fromarray(np.ascontiguousarray(plane, np.float32)) for plane in np.moveaxis(values, -1, 0)]
    scaled = [np.asarray(plane.resize((size[1], size[0]), Pillow.Resampling.LANCZOS)) for plane in planes]
    return np.stack(scaled, axis=-1)


def below_transparency(planes: Planes) -> Float[np.ndarray, "h w 3"]:
    """Give the pixels, those that are wholly transparent with the colour of the nearest that is not.

    What programs left there is no part of the picture, but networks would see it at the edges of what is.
    """
    hidden = planes.hidden
    if hidden is None:
        return planes.pixels
    rows, columns = scipy.ndimage.distance_transform_edt(hidden, return_distances=False, return_indices=True)
    seen = room(planes.height, planes.width)
    for band in bands(planes.height, planes.width):
        seen[band] = planes.pixels[rows[band], columns[band]]
        rest(torch.from_numpy(seen))
    return seen

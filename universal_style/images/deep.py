"""Files of 16 bits per channel at their full depth, which Pillow cuts to 8 bits; PNGs by themselves."""

from __future__ import annotations

import io
import zlib
from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import UInt8, UInt16
from numpy.typing import NDArray
from PIL import ExifTags
from PIL import Image as Pillow

from universal_style.images.arrays import upright
from universal_style.images.shapers import shaper_of
from universal_style.images.tiffs import WHITE, deep_tiff


def deep_array(data: bytes, picture: Pillow.Image, most_pixels: int) -> NDArray[Any] | None:
    """Read a PNG or TIFF of 16 bits, upright, in its own colours; None for all others, and where a profile has tables.

    Args:
        data: the file.
        picture: the same as Pillow has opened it.
        most_pixels: that a TIFF may unpack to; Pillow has looked at the size in its header alone.

    Raises:
        Pillow.DecompressionBombError: it unpacks to more.
    """
    if (profile := profile_of(picture)) and shaper_of(profile) is None:
        return None
    array: NDArray[Any] | None = None
    if picture.format == "PNG" and data[24] == 16 and picture.mode != "I;16":
        array = _of_png(data, picture.mode)
        if "transparency" in picture.info:
            array = with_alpha(array, picture.info["transparency"])
    elif picture.format == "TIFF" and getattr(picture, "tag_v2", {}).get(258, (8,))[0] == 16:
        array = deep_tiff(data, picture, most_pixels)
    return None if array is None else upright(array, picture.getexif().get(ExifTags.Base.Orientation, 1))


def profile_of(picture: Pillow.Image) -> bytes:
    """Give the profile of a picture's colours; those of deep grey mean nothing to Pillow."""
    profile: bytes = picture.info.get("icc_profile") or b""
    return b"" if picture.mode == "I;16" else profile


def _of_png(data: bytes, mode: str) -> UInt16[np.ndarray, "h w c"]:
    """Read a PNG of 16 bits with Pillow, which keeps one byte of the two: once the high ones, once the low.

    Args:
        mode: of Pillow: RGB, or RGBA, also for grey and alpha.
    """
    if data[25] == 4:  # grey and alpha in 16 bits are four bytes, like red, green, blue and alpha in 8
        header = data[:24] + b"\x08\x06" + data[26:29]
        four = _unpacked(header + zlib.crc32(header[12:]).to_bytes(4, "big") + data[33:], "RGBA")
        high, low = four[:, :, ::2], four[:, :, 1::2]
    else:
        high, low = (_unpacked(data, f"{mode};16{order}") for order in "BL")
    array: NDArray[np.uint16] = high.astype(np.uint16) << 8 | low
    return array


def with_alpha(colours: UInt16[np.ndarray, "h w c"], clear: int | Sequence[int]) -> UInt16[np.ndarray, "h w d"]:
    """Add an alpha channel to a PNG that names one colour as transparent."""
    alpha = np.where((colours == clear).all(axis=2, keepdims=True), 0, WHITE)
    return np.concatenate([colours, alpha.astype(np.uint16)], axis=2)


def _unpacked(data: bytes, raw_mode: str) -> UInt8[np.ndarray, "h w c"]:
    """Read a PNG, taking its bytes for what a mode of Pillow's decoder says."""
    with Pillow.open(io.BytesIO(data), formats=["PNG"]) as picture:
        tiles: Any = [(*picture.tile[0][:3], raw_mode)]
        picture.tile = tiles
        array: NDArray[np.uint8] = np.asarray(picture)
        return array

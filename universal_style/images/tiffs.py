"""TIFFs of 16 bits per channel at their full depth, whichever way they are packed."""

from __future__ import annotations

import io
import math
import sys
from typing import Any

import numpy as np
import tifffile
from jaxtyping import UInt8, UInt16
from numpy.typing import NDArray
from PIL import Image as Pillow
from tifffile import EXTRASAMPLE, PHOTOMETRIC, PLANARCONFIG, TIFF

from universal_style.canvas import bands

COLOURS = {PHOTOMETRIC.MINISWHITE: 1, PHOTOMETRIC.MINISBLACK: 1, PHOTOMETRIC.RGB: 3}
"""Kinds of TIFF that are read at full depth, and their channels of colour."""
MODES = {3: "RGB", 4: "RGBA"}
"""Of Pillow, by the channels that it unpacks; it reads deep grey by itself."""
WHITE = 65535
ORDERS = "BL" if sys.byteorder == "little" else "LB"
"""Pillow's orders of bytes by which it keeps the lower of the two that it has unpacked, and the higher."""


def deep_tiff(data: bytes, picture: Pillow.Image, most_pixels: int) -> NDArray[Any] | None:
    """Read a TIFF of grey or RGB, its alpha beside the colours; None for what Pillow alone reads.

    Args:
        data: the file.
        picture: the same as Pillow has opened it.
        most_pixels: that it may unpack to; Pillow has looked at the size in its header alone.

    Raises:
        Pillow.DecompressionBombError: it unpacks to more.
    """
    with tifffile.TiffFile(io.BytesIO(data)) as file:
        page: Any = file.pages[0]  # those after it are other pictures
        if page.photometric not in COLOURS:
            return None
        if max(math.prod(page.shape), math.prod(page.chunks)) > 4 * most_pixels:
            raise Pillow.DecompressionBombError
        if unpacks(page):
            array: NDArray[Any] = page.asarray()
        elif page.dtype == np.uint16 and page.planarconfig == PLANARCONFIG.CONTIG and page.samplesperpixel in MODES:
            array = _by_pillow(data, MODES[page.samplesperpixel])
        else:
            return None
    if array.ndim == 2:
        array = array[:, :, None]
    elif page.axes.startswith("S"):
        array = np.moveaxis(array, 0, -1)
    # where the file does not say what it has beside the colours, it is alpha, as for Pillow
    alpha = next(iter(page.extrasamples), EXTRASAMPLE.UNASSALPHA)
    array = array[:, :, : COLOURS[page.photometric] + (alpha in (EXTRASAMPLE.ASSOCALPHA, EXTRASAMPLE.UNASSALPHA))]
    if page.photometric == PHOTOMETRIC.MINISWHITE:
        array[:, :, 0] = WHITE - array[:, :, 0]
    if alpha == EXTRASAMPLE.ASSOCALPHA:
        _divide(array)
    return array


def unpacks(page: Any) -> bool:
    """Say whether tifffile unpacks a page by itself; for LZW, for one, it asks for another library."""
    return page.compression in TIFF.DECOMPRESSORS and page.predictor in TIFF.UNPREDICTORS


def _by_pillow(data: bytes, mode: str) -> UInt16[np.ndarray, "h w c"]:
    """Let Pillow unpack it, which keeps one byte of the two: once the higher ones, once the lower."""
    low, high = (_unpacked(data, f"{mode};16{order}", mode) for order in ORDERS)
    array: NDArray[np.uint16] = high.astype(np.uint16) << 8 | low
    return array


def _unpacked(data: bytes, raw_mode: str, mode: str) -> UInt8[np.ndarray, "h w c"]:
    with Pillow.open(io.BytesIO(data), formats=["TIFF"]) as picture:
        (tile,) = picture.tile
        tiles: Any = [(*tile[:3], (raw_mode, *tuple(tile[3] or ())[1:]))]
        picture.tile = tiles
        picture._mode = mode  # whatever the fourth channel is
        array: NDArray[np.uint8] = np.asarray(picture)
        return array


def _divide(array: UInt16[np.ndarray, "h w c"]) -> None:
    """Divide the last channel, alpha, out of those before it, in place."""
    for rows in bands(*array.shape[:2]):
        colours, alpha = array[rows, :, :-1], array[rows, :, -1:].astype(np.float32)
        whole = np.divide(colours * np.float32(WHITE), alpha, out=np.zeros(colours.shape, np.float32), where=alpha > 0)
        colours[:] = np.rint(whole).clip(0, WHITE)

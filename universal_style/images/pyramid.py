"""Large pictures as pyramidal BigTIFF: tiles that a viewer fetches one by one, and smaller copies beside them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import IO, Any

import numpy as np
import tifffile
import torch
from jaxtyping import Float
from numpy.typing import NDArray

from universal_style.canvas import bands, rest
from universal_style.images.arrays import integers, room
from universal_style.images.own_colours import depth_of, numbers_of
from universal_style.images.planes import Planes

TILE = 512
"""Side of a tile in pixels."""
SMALLEST = 1024
"""Copies are made until the longer side is no more than this."""


def write_pyramid(planes: Planes, stream: IO[bytes]) -> None:
    """Write a picture and its halved copies; only a tile at a time is in memory."""
    levels = [planes]
    while max(levels[-1].height, levels[-1].width) > SMALLEST:
        levels.append(halved(levels[-1]))
    bits = depth_of(planes)
    options: dict[str, Any] = {
        "photometric": "rgb",
        "dtype": np.uint8 if bits == 8 else np.uint16,
        "tile": (TILE, TILE),
        "compression": "zlib",
        "extrasamples": [] if planes.alpha is None else ["unassalpha"],
        "iccprofile": planes.profile or None,
        "metadata": None,
    }
    with tifffile.TiffWriter(stream, bigtiff=True) as file:
        for number, level in enumerate(levels):
            beside: dict[str, Any] = {"subifds": len(levels) - 1} if number == 0 else {"subfiletype": 1}
            channels = 3 if level.alpha is None else 4
            file.write(_tiles(level, bits), shape=(level.height, level.width, channels), **options, **beside)


def halved(planes: Planes) -> Planes:
    """Average cells of 2×2 pixels; an odd last row or column stands for its cell alone."""
    pixels = room(-(-planes.height // 2), -(-planes.width // 2))
    for rows in bands(*pixels.shape[:2]):
        pixels[rows] = _cell_means(planes.pixels[2 * rows.start : 2 * rows.stop])
        rest(torch.from_numpy(planes.pixels))
        rest(torch.from_numpy(pixels))
    alpha = None if planes.alpha is None else _cell_means(planes.alpha[:, :, None])[:, :, 0]
    return Planes(pixels, alpha, planes.profile, planes.bits)


def _cell_means(values: Float[np.ndarray, "h w c"]) -> Float[np.ndarray, "g v c"]:
    means = values
    for axis in (0, 1):
        first, second = (means[::2], means[1::2]) if axis == 0 else (means[:, ::2], means[:, 1::2])
        whole = second.shape[axis]
        mean = first.copy()
        part = mean[:whole] if axis == 0 else mean[:, :whole]
        part += second
        part /= 2
        means = mean
    return means


def _tiles(planes: Planes, bits: int) -> Iterator[NDArray[Any]]:
    """Give the tiles row by row, as integers in the picture's own colours."""
    for top in range(0, planes.height, TILE):
        for left in range(0, planes.width, TILE):
            place = slice(top, top + TILE), slice(left, left + TILE)
            tile = numbers_of(planes.pixels[place], planes.profile, bits)
            if planes.alpha is not None:
                tile = np.concatenate([tile, integers(planes.alpha[place], bits)[:, :, None]], axis=-1)
            yield tile
        rest(torch.from_numpy(planes.pixels))

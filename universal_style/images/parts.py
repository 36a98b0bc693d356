"""Large TIFFs in parts: strips and tiles are unpacked one after the other, and only floats are kept, in a file."""

from __future__ import annotations

import io
import math
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from PIL import ExifTags
from PIL import Image as Pillow
from tifffile import PHOTOMETRIC

from universal_style.canvas import bands, is_mapped, rest
from universal_style.images.arrays import integers, room, upright
from universal_style.images.facts import facts_of
from universal_style.images.formats import BEGINNINGS, identified
from universal_style.images.planes import Planes
from universal_style.images.profiles import to_srgb
from universal_style.images.shapers import shaper_of, srgb
from universal_style.images.tiffs import COLOURS, unpacks

PART_BYTES = 2**28
"""That a strip or tile may unpack to; larger ones are no parts of a picture, but all of it."""
READ_BYTES = 2**22
"""Of the file, that are read at a time."""
TURNED_BACK = {6: 8, 8: 6}
"""EXIF's orientations that undo another; the rest undo themselves."""

Part = tuple[tuple[slice, slice, slice], NDArray[Any]]
"""A place in the file's own rows, columns and channels, and its numbers (h, w, c)."""


class Bounded(io.FileIO):
    """A file of which no more is asked for than it has; memory is taken for all that is asked for."""

    def read(self, size: int | None = -1) -> bytes:
        """Read so many bytes, or all that are left."""
        left = os.fstat(self.fileno()).st_size - self.tell()
        return super().read(left if size is None or size < 0 else min(size, max(0, left))) or b""


def has_parts(path: Path) -> bool:
    """Say whether `planes_in_parts` reads a file.

    Raises:
        InputError: it is a TIFF that cannot be read here, or not as it is.
    """
    with Bounded(path) as stream:
        if stream.read(4) not in BEGINNINGS:
            return False
    with Bounded(path) as stream, identified(stream, str(path)) as picture:
        if not is_mapped(*picture.size):
            return False
        profile = picture.info.get("icc_profile") or b""
    with Bounded(path) as stream, tifffile.TiffFile(stream) as file:
        page: Any = file.pages[0]
        return (
            sorted(picture.size) == sorted((page.imagewidth, page.imagelength))  # Pillow turns some
            and page.dtype in (np.uint8, np.uint16)
            and not page.extrasamples
            and page.samplesperpixel == COLOURS.get(page.photometric)
            and unpacks(page)
            and (page.is_contiguous or math.prod(page.chunks) * page.dtype.itemsize <= PART_BYTES)
            and _is_known(profile, page)
        )


def _is_known(profile: bytes, page: Any) -> bool:
    """Say whether a page's colours can be converted part by part, at its depth."""
    if not profile or page.samplesperpixel == 1:
        return not profile
    return page.dtype == np.uint8 or shaper_of(profile) is not None


def planes_in_parts(path: Path) -> Planes:
    """Read a TIFF of grey or RGB with 8 or 16 bits, of whose strips or tiles one at a time is in memory.

    Raises:
        OutputError: there is no room for it on the disk.
        Exception: of many kinds, for a damaged file.
    """
    with (
        Bounded(path) as header,
        Pillow.open(header, formats=["TIFF"]) as picture,
        Bounded(path) as stream,
        tifffile.TiffFile(stream) as file,
    ):
        page: Any = file.pages[0]
        turn: int = picture.getexif().get(ExifTags.Base.Orientation, 1)
        size = (page.imagelength, page.imagewidth)
        pixels = room(*(size[::-1] if turn in (5, 6, 7, 8) else size))
        lying = upright(pixels, TURNED_BACK.get(turn, turn))  # as the file has it
        white = np.iinfo(page.dtype).max
        for place, numbers in _parts(page, file.byteorder):
            light = white - numbers if page.photometric == PHOTOMETRIC.MINISWHITE else numbers
            lying[place] = light.astype(np.float32) / np.float32(white)
            rest(torch.from_numpy(pixels))
        profile = _out_of_own_colours(pixels, picture.info.get("icc_profile") or b"", page.dtype)
        return Planes(pixels, None, profile, 8 * page.dtype.itemsize, facts_of(picture))


def _parts(page: Any, byteorder: str) -> Iterator[Part]:
    return _rows(page, byteorder) if page.is_contiguous else _segments(page)


def _rows(page: Any, byteorder: str) -> Iterator[Part]:
    """Read what lies in the file as it is, band by band; channels one by one where they lie apart."""
    apart = page.axes.startswith("S")
    channels = 1 if apart else page.samplesperpixel
    dtype = page.dtype.newbyteorder(byteorder)
    file = page.parent.filehandle
    file.seek(page.dataoffsets[0])
    for plane in range(page.samplesperpixel if apart else 1):
        for rows in bands(page.imagelength, page.imagewidth):
            shape = (rows.stop - rows.start, page.imagewidth, channels)
            numbers = np.frombuffer(file.read(math.prod(shape) * dtype.itemsize), dtype).reshape(shape)
            yield (rows, slice(None), slice(plane, plane + 1) if apart else slice(None)), numbers


def _segments(page: Any) -> Iterator[Part]:
    """Unpack strips or tiles; those that the file leaves out are black."""
    apart = page.axes.startswith("S")
    for numbers, (plane, _, top, left, _), (_, height, width, _) in page.segments(maxworkers=1, buffersize=READ_BYTES):
        height, width = min(height, page.imagelength - top), min(width, page.imagewidth - left)
        place = slice(top, top + height), slice(left, left + width), slice(plane, plane + 1) if apart else slice(None)
        yield place, np.zeros((height, width, 1), page.dtype) if numbers is None else numbers[0, :height, :width]


def _out_of_own_colours(pixels: Float[np.ndarray, "h w 3"], profile: bytes, dtype: np.dtype[Any]) -> bytes:
    """Convert to sRGB in place, band by band; give the profile that leads back, if any does."""
    kept = profile
    shaper = shaper_of(profile) if profile and dtype == np.uint16 else None
    for rows in bands(*pixels.shape[:2]) if profile else ():
        if shaper is not None:
            pixels[rows] = shaper.to(srgb(), pixels[rows])
        else:
            rgb, kept = to_srgb(Pillow.fromarray(integers(pixels[rows], 8)), profile)
            np.divide(np.asarray(rgb), np.float32(255), out=pixels[rows])
        rest(torch.from_numpy(pixels))
    return kept

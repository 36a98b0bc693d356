"""What Pillow does not write: PNG and TIFF of 16 bits per channel, and PNG in parts."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from typing import IO, Any

import numpy as np
import png
import tifffile
import torch
from numpy.typing import NDArray
from PIL import ExifTags

from universal_style.canvas import bands, rest
from universal_style.images.arrays import integers
from universal_style.images.facts import saving
from universal_style.images.own_colours import depth_of, numbers_of
from universal_style.images.planes import Planes

BEFORE_EXIF = b"Exif\0\0"
BYTES = frozenset(tag for tag in ExifTags.Base if tag.name.startswith("XP"))
UP = 2
"""The filter of PNG that stores what each byte has more than the one above it."""


def write_png(planes: Planes, stream: IO[bytes]) -> None:
    """Write a PNG, band by band, as deep as the picture is."""
    png.write_chunks(stream, _chunks(planes))


def _chunks(planes: Planes) -> Iterator[tuple[bytes, bytes]]:
    kind, bits = 2 if planes.alpha is None else 6, depth_of(planes)
    size = planes.width.to_bytes(4, "big") + planes.height.to_bytes(4, "big")
    yield b"IHDR", size + bytes((bits, kind, 0, 0, 0))
    if planes.profile:
        yield b"iCCP", b"ICC profile\0\0" + zlib.compress(planes.profile)
    if planes.facts:
        yield b"eXIf", planes.facts.removeprefix(BEFORE_EXIF)
    packer, above = zlib.compressobj(), np.zeros(1, np.uint8)
    for rows in bands(planes.height, planes.width):
        numbers = _numbers(planes, rows, bits).astype(f">u{bits // 8}")
        lines = numbers.reshape(rows.stop - rows.start, -1).view(np.uint8)
        over = np.concatenate([np.broadcast_to(above, (1, lines.shape[1])), lines[:-1]])
        above = lines[-1:]
        filtered = np.concatenate([np.full((len(lines), 1), UP, np.uint8), lines - over], axis=1)
        if packed := packer.compress(filtered.tobytes()):
            yield b"IDAT", packed
        rest(torch.from_numpy(planes.pixels))
    yield b"IDAT", packer.flush()
    yield b"IEND", b""


def write_deep_tiff(planes: Planes, stream: IO[bytes]) -> None:
    """Write a TIFF of 16 bits."""
    extra = [] if planes.alpha is None else ["unassalpha"]
    tags = saving(planes.facts, "TIFF").get("tiffinfo", {})
    described: dict[str, Any] = {"metadata": None, "software": False}  # or it would describe itself as the picture
    tifffile.imwrite(
        stream,
        np.concatenate([_numbers(planes, rows, 16) for rows in bands(planes.height, planes.width)]),
        photometric="rgb",
        extrasamples=extra,
        compression="zlib",
        iccprofile=planes.profile or None,
        extratags=[_extra(tag, value) for tag, value in tags.items()],
        **described,
    )


def _extra(tag: int, value: bytes | int) -> tuple[int, str, int, bytes | int, bool]:
    """Say a fact as tifffile wants it: as a number, as letters, or as the bytes of Windows' own tags."""
    if isinstance(value, int):
        return tag, "H", 1, value, True
    return tag, "B" if tag in BYTES else "s", len(value), value, True


def _numbers(planes: Planes, rows: slice, bits: int) -> NDArray[Any]:
    numbers = numbers_of(planes.pixels[rows], planes.profile, bits)
    if planes.alpha is None:
        return numbers
    return np.concatenate([numbers, integers(planes.alpha[rows], bits)[:, :, None]], axis=-1)

"""Which formats of pictures are read, one of them by a plugin of Pillow that the extra `heif` brings."""

from __future__ import annotations

from functools import cache
from io import BufferedReader, BytesIO, FileIO
from pathlib import Path

from PIL import Image as Pillow
from PIL import UnidentifiedImageError

from universal_style.errors import InputError

File = Path | BufferedReader | BytesIO | FileIO
"""A picture's file by its path, or its bytes."""

HEIF = "HEIF"
READ = (
    "AVIF", "BMP", "DIB", "GIF", HEIF, "ICO", "JPEG", "JPEG2000", "MPO", "PNG", "PPM", "QOI", "TGA", "TIFF", "WEBP",
)  # fmt: skip
"""Formats of pictures that are read. Others are left out on purpose: EPS, for one, is a program that Pillow runs."""
BRANDS = frozenset({b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs", b"mif1", b"msf1"})
"""What a HEIF file may call itself, ISO/IEC 23008-12, annex B and section 10."""
BEGINNINGS = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
"""Of a TIFF and of a BigTIFF in either order of bytes; the last is unknown to Pillow."""
BRIGHTER = {16: "PQ", 18: "HLG"}
"""Transfer functions of colours brighter than white, by their numbers in ITU-T H.273."""
SUBFILE_TYPE, DNG_VERSION = 254, 50706
"""Tags of a TIFF: its lowest bit is set where a picture is a smaller one of another; this is a raw file."""


@cache
def known_formats() -> tuple[str, ...]:
    """Name the formats that are tried: those of `READ` that Pillow has here."""
    Pillow.init()
    if HEIF not in Pillow.OPEN:
        try:
            from pillow_heif import register_heif_opener
        except ImportError:
            pass
        else:
            register_heif_opener()
    return tuple(name for name in READ if name in Pillow.OPEN)


def identified(file: File, name: str) -> Pillow.Image:
    """Open a picture in one of these formats; its pixels are decoded when they are asked for.

    Args:
        file: its path or its bytes.
        name: of the file, for messages.

    Raises:
        InputError: it is a picture that cannot be read here, or not as it is.
        UnidentifiedImageError: it is in no format that is read.
    """
    try:
        picture = Pillow.open(file, formats=known_formats())
    except UnidentifiedImageError as error:
        if what := _unread(_head(file)):
            raise InputError(f"{name} is {what}") from error
        raise
    if what := _misread(picture, file):
        picture.close()
        raise InputError(f"{name} {what}")
    return picture


def _head(file: File) -> bytes:
    """Give what a file begins with, and leave it where it stands."""
    if isinstance(file, Path):
        with file.open("rb") as stream:
            return stream.read(12)
    place = file.tell()
    file.seek(0)
    head = file.read(12)
    file.seek(place)
    return head


def _unread(head: bytes) -> str:
    """Say what a file is that Pillow does not know here."""
    if HEIF not in known_formats() and head[4:8] == b"ftyp" and head[8:12] in BRANDS:
        return (
            "a HEIF picture, which needs pillow-heif: pip install 'universal-style[heif]', "
            "or give a JPEG, PNG or TIFF of it"
        )
    if head[:4] in BEGINNINGS:
        return "a TIFF of a kind that is not read, or damaged; save it with 8 or 16 bits per channel"
    return ""


def _misread(picture: Pillow.Image, file: File) -> str:
    """Say why a picture would not come out as it is."""
    if picture.format == "TIFF":
        tags = getattr(picture, "tag_v2", {})
        if tags.get(SUBFILE_TYPE, 0) & 1 or DNG_VERSION in tags or _head(file)[8:10] == b"CR":  # Canon's mark
            return (
                "is a camera's raw file, of which only a preview would be read; "
                "develop it and give a JPEG or TIFF of it"
            )
    colours = picture.info.get("nclx_profile") or {}
    curve = BRIGHTER.get(colours.get("transfer_characteristics", 0))
    if curve and not picture.info.get("icc_profile"):
        return f"has HDR colours ({curve}), which are not read; export it as JPEG or TIFF"
    return ""

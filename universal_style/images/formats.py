"""Which formats of pictures are read, one of them by a plugin of Pillow that the extra `heif` brings."""

from __future__ import annotations

from functools import cache
from io import BufferedReader, BytesIO
from pathlib import Path

from PIL import Image as Pillow
from PIL import UnidentifiedImageError

from universal_style.errors import InputError

HEIF = "HEIF"
READ = (
    "AVIF", "BMP", "DIB", "GIF", HEIF, "ICO", "JPEG", "JPEG2000", "MPO", "PNG", "PPM", "QOI", "TGA", "TIFF", "WEBP",
)  # fmt: skip
"""Formats of pictures that are read. Others are left out on purpose: EPS, for one, is a program that Pillow runs."""
BRANDS = frozenset({b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs", b"mif1", b"msf1"})
"""What a HEIF file may call itself, ISO/IEC 23008-12, annex B and section 10."""
BRIGHTER = {16: "PQ", 18: "HLG"}
"""Transfer functions of colours brighter than white, by their numbers in ITU-T H.273."""


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


def identified(file: Path | BufferedReader | BytesIO, name: str) -> Pillow.Image:
    """Open a picture in one of these formats; its pixels are decoded when they are asked for.

    Args:
        file: its path or its bytes.
        name: of the file, for messages.

    Raises:
        InputError: it is HEIF, and what reads that is not here or would misread its colours.
        UnidentifiedImageError: it is in no format that is read.
    """
    try:
        picture = Pillow.open(file, formats=known_formats())
    except UnidentifiedImageError as error:
        if HEIF not in known_formats() and _calls_itself_heif(file):
            raise InputError(
                f"{name} is a HEIF picture, which needs pillow-heif: pip install 'universal-style[heif]', "
                "or give a JPEG, PNG or TIFF of it"
            ) from error
        raise
    curve = BRIGHTER.get(picture.info.get("nclx_profile", {}).get("transfer_characteristics"))
    if curve and not picture.info.get("icc_profile"):
        picture.close()
        raise InputError(f"{name} has HDR colours ({curve}), which are not read; export it as JPEG or TIFF")
    return picture


def _calls_itself_heif(file: Path | BufferedReader | BytesIO) -> bool:
    if isinstance(file, Path):
        with file.open("rb") as stream:
            return _calls_itself_heif(stream)
    file.seek(0)
    head = file.read(12)
    return head[4:8] == b"ftyp" and head[8:12] in BRANDS

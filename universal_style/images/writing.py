"""Planes as Pillow images and files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from PIL import Image as Pillow

from universal_style.atomic import replacing
from universal_style.canvas import is_mapped
from universal_style.errors import OptionError, OutputError
from universal_style.images.arrays import integers
from universal_style.images.deep_writing import write_deep_tiff, write_png
from universal_style.images.facts import saving
from universal_style.images.own_colours import depth_of
from universal_style.images.planes import Planes
from universal_style.images.profiles import from_srgb
from universal_style.images.pyramid import write_pyramid

FORMATS = {
    ".png": "PNG",
    ".jpg": "JPEG",
    ".jpeg": "JPEG",
    ".webp": "WEBP",
    ".tif": "TIFF",
    ".tiff": "TIFF",
    ".bmp": "BMP",
}
OPAQUE_FORMATS = frozenset({"JPEG", "BMP"})
DEEP_FORMATS = {"PNG": write_png, "TIFF": write_deep_tiff}
LARGE_FORMATS = {"PNG": write_png, "TIFF": write_pyramid}
"""Those that are written in parts."""
HELD_BYTES = 8
"""For each pixel of what Pillow writes: four, and as many while it is converted."""
MOST_SIDE = {"JPEG": 65500, "WEBP": 16383}
"""Pixels of the longer side that a format has room for; the others have room for any picture."""
SAVE_OPTIONS: dict[str, dict[str, Any]] = {
    "JPEG": {"quality": 95, "subsampling": 0},
    "WEBP": {"quality": 95, "method": 4},
    "TIFF": {"compression": "tiff_deflate"},
}


def to_pillow(planes: Planes) -> Pillow.Image:
    """Give an 8-bit Pillow image, in the picture's own colour profile, alpha carried over."""
    picture = from_srgb(Pillow.fromarray(integers(planes.pixels, 8)), planes.profile)
    if planes.alpha is not None:
        picture.putalpha(Pillow.fromarray(integers(planes.alpha, 8)))
    return picture


def write(planes: Planes, path: Path) -> None:
    """Write atomically, in the format of the suffix.

    Raises:
        OptionError: the suffix names no known format.
        OutputError: the file cannot be written.
    """
    form = output_format(path)
    check_fits(path, max(planes.height, planes.width))
    with replacing(path) as temporary, temporary.open("wb") as stream:
        if is_mapped(planes.height, planes.width) and form in LARGE_FORMATS:
            LARGE_FORMATS[form](planes, stream)
            return
        if depth_of(planes) == 16 and form in DEEP_FORMATS:
            DEEP_FORMATS[form](planes, stream)
            return
        picture = to_pillow(planes)
        if form in OPAQUE_FORMATS and planes.alpha is not None:
            ground = Pillow.new("RGBA", picture.size, "white")
            picture = Pillow.alpha_composite(ground, picture).convert("RGB")
        options = saving(planes.facts, form) | SAVE_OPTIONS.get(form, {})
        picture.save(stream, form, icc_profile=planes.profile or None, **options)


def bytes_to_write(path: Path, height: int, width: int) -> int:
    """Say how much memory writing takes beside the floats; where it goes in parts, none worth speaking of.

    Raises:
        OptionError: the suffix names no known format.
    """
    parted = is_mapped(height, width) and output_format(path) in LARGE_FORMATS
    return 0 if parted else HELD_BYTES * height * width


def output_format(path: Path) -> str:
    """Say in which format a path is written.

    Raises:
        OptionError: its suffix names none.
    """
    form = FORMATS.get(path.suffix.lower())
    if form is None:
        found = f"the suffix {path.suffix!r}" if path.suffix else "no suffix"
        raise OptionError(f"output {path.name} has {found}; use one of {', '.join(FORMATS)}")
    return form


def check_fits(path: Path, long_side: int) -> None:
    """Make sure that the format of a path has room for a picture with so many pixels on its longer side.

    Raises:
        OptionError: the suffix names no known format.
        OutputError: the picture is larger.
    """
    form = output_format(path)
    if long_side > MOST_SIDE.get(form, long_side):
        larger = [suffix for suffix, other in FORMATS.items() if long_side <= MOST_SIDE.get(other, long_side)]
        raise OutputError(
            f"output {path.name} would be {long_side} pixels long, {form} has at most {MOST_SIDE[form]} a side; "
            f"use one of {', '.join(larger)}"
        )

"""Files of any kind, Pillow images, arrays and tensors as planes."""

from __future__ import annotations

import io
import os
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import ExifTags, ImageOps, UnidentifiedImageError
from PIL import Image as Pillow
from torch import Tensor

from universal_style.canvas import bands, rest
from universal_style.errors import InputError, UniversalStyleError
from universal_style.images.arrays import planes_of, room
from universal_style.images.deep import deep_array, profile_of, with_alpha
from universal_style.images.facts import facts_of
from universal_style.images.formats import identified
from universal_style.images.limits import most_pixels
from universal_style.images.parts import has_parts, planes_in_parts
from universal_style.images.planes import Planes
from universal_style.images.profiles import to_srgb
from universal_style.images.shapers import shaper_of, srgb
from universal_style.images.tiffs import WHITE

Source = str | os.PathLike[str] | Pillow.Image | NDArray[Any] | Tensor | Planes
"""What stands for a picture: a path, a Pillow image, an array (h, w[, c]), a tensor ([c, ]h, w) or an `Image`."""

MOST_BYTES = 2**31
"""Length of a picture's file that is read whole, or …"""
PIXEL_BYTES = 12
"""… so many for each of the most pixels: 16 bits of four channels take less."""
HELD_BYTES = 8
"""For each pixel of what Pillow reads: four, and as many while it is turned or converted."""


def read(source: Source) -> Planes:
    """Read any kind of picture.

    Files of 16 bits per channel stay so if they have no colour profile; with one they come through 8 bits.

    Raises:
        InputError: it is missing, damaged, empty, too large, not a picture or holds numbers outside its range.
    """
    if isinstance(source, Planes):
        return source
    if isinstance(source, str | os.PathLike):
        return _of_file(Path(source))
    if isinstance(source, Pillow.Image):
        with _decoding("the picture"):
            return replace(_of_pillow(source), facts=facts_of(source))
    if isinstance(source, Tensor):
        planes = source.detach().cpu()
        planes = planes.float() if planes.is_floating_point() else planes
        array = planes.numpy()
        return planes_of(np.moveaxis(array, 0, -1) if array.ndim == 3 else array)
    if isinstance(source, np.ndarray):
        return planes_of(source)
    raise InputError(f"{type(source).__name__} is not a picture; give a path, a PIL image, an array or a tensor")


def _of_file(path: Path) -> Planes:
    with _decoding(str(path)):
        if is_in_parts(path):
            return planes_in_parts(path)
        data = _data(path)
        with identified(io.BytesIO(data), str(path)) as picture:
            deep = deep_array(data, picture, most_pixels())
            if deep is None:
                planes = _of_pillow(picture, str(path))
            else:
                planes = _of_deep(planes_of(deep, str(path)), profile_of(picture))
            return replace(planes, facts=facts_of(picture))


@contextmanager
def opened(path: Path) -> Iterator[Pillow.Image]:
    """Open a picture's file; of its pixels, those are decoded that the block asks for.

    Raises:
        InputError: it is missing, damaged, empty, too large or not a picture.
    """
    with ExitStack() as stack:
        stack.enter_context(_decoding(str(path)))
        stream: Any = stack.enter_context(path.open("rb") if is_in_parts(path) else io.BytesIO(_data(path)))
        yield stack.enter_context(identified(stream, str(path)))


def size_of(path: Path) -> tuple[int, int]:
    """Give height and width of a picture's file by what its header says, as it lies there.

    Raises:
        InputError: as `opened` does.
    """
    with opened(path) as picture:
        return picture.height, picture.width


def is_in_parts(path: Path) -> bool:
    """Say whether of a picture's file, parts alone are held in memory while it is read.

    Raises:
        InputError: it is missing, empty, too large or not a picture.
    """
    with _decoding(str(path)):
        if path.is_dir():
            raise InputError(f"{path} is a folder; give a picture file")
        if not path.exists():
            raise InputError(f"{path} does not exist; give a picture file")
        if path.stat().st_size == 0:
            raise InputError(f"{path} is empty (0 bytes); give a picture file")
        return has_parts(path)


def bytes_to_read(source: Source) -> int:
    """Say how much memory reading takes beside the floats; where it goes in parts, none worth speaking of.

    Raises:
        InputError: as `opened` does.
    """
    if not isinstance(source, str | os.PathLike) or is_in_parts(path := Path(source)):
        return 0
    with opened(path) as picture:
        return path.stat().st_size + HELD_BYTES * picture.width * picture.height


def _data(path: Path) -> bytes:
    """Read a whole file: of a file, decoders read as many bytes as it claims to have, with memory for all of them."""
    size = path.stat().st_size
    if size > max(MOST_BYTES, PIXEL_BYTES * most_pixels()):
        raise InputError(f"{path} has {size / 2**30:.1f} GiB, more than a picture can have here; shrink it first")
    return path.read_bytes()


@contextmanager
def _decoding(name: str) -> Iterator[None]:
    """Turn whatever a decoder stumbles upon into one line."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what can be read in spite of them is as good as any
            yield
    except UniversalStyleError:
        raise
    except Pillow.DecompressionBombError as error:
        most = f"{most_pixels() // 10**6 or most_pixels() / 10**6} megapixels"
        raise InputError(
            f"{name} unpacks to more than {most}; shrink it first, or allow more if it is no hostile file "
            "(--most-megapixels of transfer and repeat)"
        ) from error
    except UnidentifiedImageError as error:
        raise InputError(
            f"{name} is not a picture in a known format; give a JPEG, PNG, WebP, TIFF or the like"
        ) from error
    except Exception as error:  # a decoder raises many kinds for a damaged file
        reason = " ".join(str(error).split()) or type(error).__name__
        raise InputError(f"{name} cannot be read as a picture ({reason}); it may be damaged or cut off") from error


def _of_pillow(picture: Pillow.Image, name: str = "the picture") -> Planes:
    profile = picture.info.get("icc_profile", b"")
    picture.load()  # which of some files changes the size
    if picture.getexif().get(ExifTags.Base.Orientation, 1) != 1:  # else it would be copied
        picture = ImageOps.exif_transpose(picture)
    if picture.width == 0 or picture.height == 0:
        raise InputError("the picture has no pixels; give one of at least 1×1")
    if picture.mode in ("I;16", "I;16L", "I;16B", "I", "F"):
        return _of_deep_grey(picture, name)
    alpha = None
    if picture.has_transparency_data:
        picture = picture.convert("RGBA") if picture.mode not in ("LA", "La") else picture.convert("LA")
        alpha = np.asarray(picture.getchannel("A"), dtype=np.float32) / 255
        picture = picture.convert("L" if picture.mode == "LA" else "RGB")
    if picture.mode not in ("L", "RGB", "CMYK"):
        picture = picture.convert("L" if picture.mode == "1" else "RGB")
    rgb, kept = to_srgb(picture, profile)
    return Planes(_floats(rgb), alpha, kept)


def _of_deep(planes: Planes, profile: bytes) -> Planes:
    """Take what was read at full depth out of its own colours, in place."""
    if not profile or (shaper := shaper_of(profile)) is None:
        return planes
    for rows in bands(planes.height, planes.width):
        planes.pixels[rows] = shaper.to(srgb(), planes.pixels[rows])
        rest(torch.from_numpy(planes.pixels))
    return replace(planes, profile=profile)


def _floats(picture: Pillow.Image) -> NDArray[np.float32]:
    """Turn 8-bit colours into floats band by band, in a file where the picture is large."""
    pixels = room(picture.height, picture.width)
    for rows in bands(picture.height, picture.width):
        part = np.asarray(picture.crop((0, rows.start, picture.width, rows.stop)))
        np.divide(part, np.float32(255), out=pixels[rows])
        rest(torch.from_numpy(pixels))
    return pixels


def _of_deep_grey(picture: Pillow.Image, name: str) -> Planes:
    array = np.asarray(picture)
    if array.dtype.kind == "f":
        return planes_of(array, name)
    grey = np.clip(array, 0, WHITE).astype(np.uint16)
    clear = picture.info.get("transparency")
    return planes_of(grey if clear is None else with_alpha(grey[:, :, None], clear))

"""Files of any kind, Pillow images, arrays and tensors as planes."""

from __future__ import annotations

import os
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
import torch
from numpy.typing import NDArray
from PIL import ExifTags, ImageOps, UnidentifiedImageError
from PIL import Image as Pillow
from torch import Tensor

from universal_style.canvas import bands, rest
from universal_style.errors import InputError
from universal_style.images.arrays import planes_of, room, upright
from universal_style.images.planes import Planes
from universal_style.images.profiles import to_srgb

Source = str | os.PathLike[str] | Pillow.Image | NDArray[Any] | Tensor | Planes
"""What stands for a picture: a path, a Pillow image, an array (h, w[, c]), a tensor ([c, ]h, w) or an `Image`."""

MOST_PIXELS = 2 * Pillow.MAX_IMAGE_PIXELS if Pillow.MAX_IMAGE_PIXELS else 178_956_970
"""Pillow's bound for a file that may be a decompression bomb, in pixels."""


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
        return _of_pillow(source)
    if isinstance(source, Tensor):
        planes = source.detach().cpu()
        planes = planes.float() if planes.is_floating_point() else planes
        array = planes.numpy()
        return planes_of(np.moveaxis(array, 0, -1) if array.ndim == 3 else array)
    if isinstance(source, np.ndarray):
        return planes_of(source)
    raise InputError(f"{type(source).__name__} is not a picture; give a path, a PIL image, an array or a tensor")


def _of_file(path: Path) -> Planes:
    if path.is_dir():
        raise InputError(f"{path} is a folder; give a picture file")
    if not path.exists():
        raise InputError(f"{path} does not exist; give a picture file")
    try:
        if path.stat().st_size == 0:
            raise InputError(f"{path} is empty (0 bytes); give a picture file")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Pillow.DecompressionBombWarning)
            with Pillow.open(path) as picture:
                deep = _deep_array(path, picture)
                return _of_pillow(picture) if deep is None else planes_of(deep)
    except Pillow.DecompressionBombError as error:
        raise InputError(
            f"{path} unpacks to more than {MOST_PIXELS // 10**6} megapixels; shrink it first (or it is a hostile file)"
        ) from error
    except UnidentifiedImageError as error:
        raise InputError(
            f"{path} is not a picture in a known format; give a JPEG, PNG, WebP, TIFF or the like"
        ) from error
    except InputError:
        raise
    except (OSError, ValueError, SyntaxError, RuntimeError, EOFError) as error:
        raise InputError(f"{path} cannot be read as a picture ({error}); it may be damaged or cut off") from error


def _deep_array(path: Path, picture: Pillow.Image) -> NDArray[Any] | None:
    """Read 16-bit PNG and TIFF files at their full depth, which Pillow cuts to 8 bits; None for all others."""
    if picture.info.get("icc_profile"):
        return None
    if picture.format == "PNG":
        with path.open("rb") as stream:
            header = stream.read(25)
        if header[24] != 16:
            return None
        from torchvision.io import ImageReadMode, decode_image  # a second and 160 MB, for those who need it

        data = torch.frombuffer(bytearray(path.read_bytes()), dtype=torch.uint8)
        array = decode_image(data, ImageReadMode.UNCHANGED).permute(1, 2, 0).numpy()
    elif picture.format == "TIFF" and getattr(picture, "tag_v2", {}).get(258, (8,))[0] == 16:
        array = tifffile.imread(path)
        array = array if array.ndim == 2 or array.shape[-1] <= 4 else np.moveaxis(array, 0, -1)
    else:
        return None
    return upright(array, picture.getexif().get(ExifTags.Base.Orientation, 1))


def _of_pillow(picture: Pillow.Image) -> Planes:
    profile = picture.info.get("icc_profile", b"")
    picture = ImageOps.exif_transpose(picture)
    if picture.width == 0 or picture.height == 0:
        raise InputError("the picture has no pixels; give one of at least 1×1")
    if picture.mode in ("I;16", "I;16L", "I;16B", "I", "F"):
        return _of_deep_grey(picture)
    alpha = None
    if picture.has_transparency_data:
        picture = picture.convert("RGBA") if picture.mode not in ("LA", "La") else picture.convert("LA")
        alpha = np.asarray(picture.getchannel("A"), dtype=np.float32) / 255
        picture = picture.convert("L" if picture.mode == "LA" else "RGB")
    if picture.mode not in ("L", "RGB", "CMYK"):
        picture = picture.convert("L" if picture.mode == "1" else "RGB")
    rgb, kept = to_srgb(picture, profile)
    return Planes(_floats(rgb), alpha, kept)


def _floats(picture: Pillow.Image) -> NDArray[np.float32]:
    """Turn 8-bit colours into floats band by band, in a file where the picture is large."""
    pixels = room(picture.height, picture.width)
    for rows in bands(picture.height, picture.width):
        part = np.asarray(picture.crop((0, rows.start, picture.width, rows.stop)))
        np.divide(part, np.float32(255), out=pixels[rows])
        rest(torch.from_numpy(pixels))
    return pixels


def _of_deep_grey(picture: Pillow.Image) -> Planes:
    array = np.asarray(picture)
    if array.dtype.kind == "f":
        return planes_of(array)
    return planes_of(np.clip(array, 0, 65535).astype(np.uint16))

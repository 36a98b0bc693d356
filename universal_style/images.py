"""Pictures in and out: any file, array or tensor becomes upright sRGB floats, and goes back as it came."""

from __future__ import annotations

import io
import math
import os
import warnings
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Union

import numpy as np
import png
import tifffile
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from PIL import Image as Pillow
from PIL import ImageCms, ImageOps, UnidentifiedImageError
from torch import Tensor

from universal_style.atomic import replacing
from universal_style.errors import InputError, OptionError, OutputError

Source = Union[str, os.PathLike[str], Pillow.Image, NDArray[Any], Tensor, "Image"]
"""What stands for a picture: a path, a Pillow image, an array (h, w[, c]), a tensor ([c, ]h, w) or an `Image`."""

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
DEEP_FORMATS = frozenset({"PNG", "TIFF"})
SAVE_OPTIONS: dict[str, dict[str, Any]] = {
    "JPEG": {"quality": 95, "subsampling": 0},
    "WEBP": {"quality": 95, "method": 4},
    "TIFF": {"compression": "tiff_deflate"},
}
MOST_PIXELS = 2 * Pillow.MAX_IMAGE_PIXELS if Pillow.MAX_IMAGE_PIXELS else 178_956_970
"""Pillow's bound for a file that may be a decompression bomb, in pixels."""
SRGB = ImageCms.createProfile("sRGB")


@dataclass(frozen=True)
class Image:
    """A picture as the package works on it.

    Attributes:
        pixels: upright sRGB, float32 in [0, 1], (h, w, 3).
        alpha: coverage in [0, 1], (h, w); None for a picture without an alpha channel.
        profile: the file's RGB colour profile (ICC), to which it is converted back when written; empty for sRGB.
        bits: 8 or 16 per channel, as the file had and as PNG and TIFF are written.
    """

    pixels: Float[np.ndarray, "h w 3"]
    alpha: Float[np.ndarray, "h w"] | None = None
    profile: bytes = b""
    bits: int = 8

    @classmethod
    def of(cls, source: Source) -> Image:
        """Read any kind of picture.

        Raises:
            InputError: it is missing, damaged, empty, too large, not a picture or holds numbers outside its range.
        """
        if isinstance(source, Image):
            return source
        if isinstance(source, str | os.PathLike):
            return _read_file(Path(source))
        if isinstance(source, Pillow.Image):
            return _of_pillow(source)
        if isinstance(source, Tensor):
            planes = source.detach().cpu()
            planes = planes.float() if planes.is_floating_point() else planes
            array = planes.numpy()
            return _of_array(np.moveaxis(array, 0, -1) if array.ndim == 3 else array)
        if isinstance(source, np.ndarray):
            return _of_array(source)
        raise InputError(f"{type(source).__name__} is not a picture; give a path, a PIL image, an array or a tensor")

    @property
    def height(self) -> int:
        """Rows of pixels."""
        return int(self.pixels.shape[0])

    @property
    def width(self) -> int:
        """Columns of pixels."""
        return int(self.pixels.shape[1])

    def scaled_to(self, long_side: int) -> Image:
        """Resize so that the longer side has so many pixels, keeping the aspect; at least 1×1."""
        scale = long_side / max(self.height, self.width)
        size = (max(1, round(self.height * scale)), max(1, round(self.width * scale)))
        if size == (self.height, self.width):
            return self
        alpha = None if self.alpha is None else _resized(self.alpha, size)
        planes = [_resized(self.pixels[:, :, channel], size) for channel in range(3)]
        return replace(self, pixels=np.stack(planes, axis=-1), alpha=alpha)

    def tensor(self, device: torch.device | str = "cpu") -> Float[Tensor, "1 3 h w"]:
        """Give the pixels as the networks take them, channels last."""
        planes = torch.from_numpy(self.pixels).permute(2, 0, 1)[None]  # (h, w, 3) -> (1, 3, h, w)
        return planes.to(device).contiguous(memory_format=torch.channels_last)

    def with_pixels(self, planes: Float[Tensor, "1 3 h w"]) -> Image:
        """Put new pixels in place, clipped to [0, 1], keeping alpha, profile and depth.

        Raises:
            OutputError: a pixel is not finite.
        """
        if not bool(torch.isfinite(planes).all()):
            raise OutputError(
                "the result holds pixels that are not finite; try --dtype float32 and report the pictures"
            )
        array = planes[0].permute(1, 2, 0).float().clamp(0, 1).cpu().numpy()  # (1, 3, h, w) -> (h, w, 3)
        return replace(self, pixels=array)

    def pillow(self) -> Pillow.Image:
        """Give an 8-bit Pillow image, in the picture's own colour profile, alpha carried over."""
        picture = Pillow.fromarray(_to_integers(self.pixels, 8))
        if self.profile:
            profile = ImageCms.ImageCmsProfile(io.BytesIO(self.profile))
            picture = _converted(picture, SRGB, profile, "RGB")
            picture.info["icc_profile"] = self.profile
        if self.alpha is not None:
            picture.putalpha(Pillow.fromarray(_to_integers(self.alpha, 8)))
        return picture

    def write(self, path: str | os.PathLike[str]) -> None:
        """Write atomically, in the format of the suffix.

        Raises:
            OptionError: the suffix names no known format.
            OutputError: the file cannot be written.
        """
        path = Path(path)
        form = output_format(path)
        with replacing(path) as temporary, temporary.open("wb") as stream:
            if self.bits == 16 and form in DEEP_FORMATS and not self.profile:
                self._write_deep(stream, form)
                return
            picture = self.pillow()
            if form in OPAQUE_FORMATS and self.alpha is not None:
                ground = Pillow.new("RGBA", picture.size, "white")
                picture = Pillow.alpha_composite(ground, picture).convert("RGB")
            picture.save(stream, form, icc_profile=self.profile or None, **SAVE_OPTIONS.get(form, {}))

    def _write_deep(self, stream: io.BufferedWriter, form: str) -> None:
        planes = [self.pixels] if self.alpha is None else [self.pixels, self.alpha[:, :, None]]
        array = _to_integers(np.concatenate(planes, axis=-1), 16)
        if form == "TIFF":
            extra = ["unassalpha"] if self.alpha is not None else []
            tifffile.imwrite(stream, array, photometric="rgb", extrasamples=extra, compression="zlib")
            return
        writer = png.Writer(self.width, self.height, greyscale=False, alpha=self.alpha is not None, bitdepth=16)
        writer.write(stream, array.reshape(self.height, -1))


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


def check_writable(path: Path) -> None:
    """Make sure, before any work is done, that a result can be written to a path.

    Raises:
        OutputError: it cannot.
    """
    folder = path.parent
    if path.is_dir():
        raise OutputError(f"output {path} is a folder; name a file in it, such as {path / 'result.png'}")
    if not folder.is_dir():
        raise OutputError(f"output folder {folder} does not exist; create it or choose another")
    if not os.access(folder, os.W_OK) or (path.exists() and not os.access(path, os.W_OK)):
        raise OutputError(f"output {path} is not writable; choose another place or change its permissions")


def make_folder(path: Path) -> None:
    """Make a folder for results, with those above it, unless it is there.

    Raises:
        OutputError: it cannot be made.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"output folder {path} cannot be made ({error.strerror}); choose another place") from error


def _read_file(path: Path) -> Image:
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
                deep = _read_deep(path, picture)
                return _of_pillow(picture) if deep is None else deep
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


def _read_deep(path: Path, picture: Pillow.Image) -> Image | None:
    """Read 16-bit PNG and TIFF files at their full depth, which Pillow cuts to 8 bits; None for all others."""
    if picture.info.get("icc_profile") or ImageOps.exif_transpose(picture).size != picture.size:
        return None
    if picture.format == "PNG":
        with path.open("rb") as stream:
            header = stream.read(25)
        if header[24] != 16:
            return None
        from torchvision.io import ImageReadMode, decode_image  # a second and 160 MB, for those who need it

        data = torch.frombuffer(bytearray(path.read_bytes()), dtype=torch.uint8)
        return _of_array(decode_image(data, ImageReadMode.UNCHANGED).permute(1, 2, 0).numpy())
    if picture.format == "TIFF" and getattr(picture, "tag_v2", {}).get(258, (8,))[0] == 16:
        array = tifffile.imread(path)
        return _of_array(array if array.ndim == 2 or array.shape[-1] <= 4 else np.moveaxis(array, 0, -1))
    return None


def _of_pillow(picture: Pillow.Image) -> Image:
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
    rgb, kept = _to_srgb(picture, profile)
    return Image(np.asarray(rgb, dtype=np.float32) / 255, alpha, kept)


def _of_deep_grey(picture: Pillow.Image) -> Image:
    array = np.asarray(picture)
    if array.dtype.kind == "f":
        return _of_array(array)
    return _of_array(np.clip(array, 0, 65535).astype(np.uint16))


def _to_srgb(picture: Pillow.Image, profile: bytes) -> tuple[Pillow.Image, bytes]:
    """Convert to sRGB; give the profile too where it is one of RGB that the result can be converted back to."""
    if not profile:
        return picture.convert("RGB"), b""
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        kept = profile if source.profile.xcolor_space.strip() == "RGB" else b""
        return _converted(picture, source, SRGB, "RGB"), kept
    except (ImageCms.PyCMSError, OSError):  # a profile that is damaged or of another mode means nothing
        return picture.convert("RGB"), b""


def _converted(picture: Pillow.Image, source: Any, target: Any, mode: str) -> Pillow.Image:
    intent = ImageCms.Intent.RELATIVE_COLORIMETRIC
    flags = ImageCms.Flags.BLACKPOINTCOMPENSATION
    result = ImageCms.profileToProfile(picture, source, target, intent, mode, flags=flags)
    assert result is not None  # only in-place conversion gives None
    return result


def _of_array(array: NDArray[Any]) -> Image:
    if array.ndim == 2:
        array = array[:, :, None]
    if array.ndim != 3 or array.shape[2] not in (1, 2, 3, 4) or 0 in array.shape:
        raise InputError(f"an array of shape {array.shape} is not a picture; needed is (h, w) or (h, w, 1 to 4)")
    bits = 16 if array.dtype == np.uint16 else 8
    if array.dtype.kind in "ub" and array.dtype != np.bool_:
        values = array.astype(np.float32) / np.iinfo(array.dtype).max
    elif array.dtype.kind in "fb":
        values = array.astype(np.float32)
    else:
        raise InputError(f"an array of {array.dtype} is not a picture; use uint8, uint16 or floats in [0, 1]")
    low, high = float(values.min()), float(values.max())
    if not (math.isfinite(low) and math.isfinite(high)) or low < 0 or high > 1:
        raise InputError(f"float pixels lie in {low:g} … {high:g}; needed is 0 … 1")
    colours, alpha = (values[:, :, :-1], values[:, :, -1]) if values.shape[2] in (2, 4) else (values, None)
    rgb = np.array(np.broadcast_to(colours, (*values.shape[:2], 3)))  # a copy: torch takes no array that is read-only
    return Image(rgb, alpha, bits=bits)


def _resized(plane: Float[np.ndarray, "h w"], size: tuple[int, int]) -> Float[np.ndarray, "g v"]:
    picture = Pillow.fromarray(np.ascontiguousarray(plane, dtype=np.float32))
    resized = picture.resize((size[1], size[0]), Pillow.Resampling.LANCZOS)
    values: NDArray[np.float32] = np.clip(np.asarray(resized, dtype=np.float32), 0, 1)
    return values


def _to_integers(values: Float[np.ndarray, "*shape"], bits: int) -> NDArray[Any]:
    most = 2**bits - 1
    integers: NDArray[Any] = np.rint(values * most).astype(np.uint8 if bits == 8 else np.uint16)
    return integers

"""What a visitor may bring, and how it is read: nothing is decoded before its size is known."""

from __future__ import annotations

import re
import warnings
from dataclasses import dataclass
from pathlib import Path

from PIL import Image as Pillow
from PIL import UnidentifiedImageError

from universal_style.errors import InputError, OptionError
from universal_style.images import FORMATS, Image, size_at
from universal_style.styles import Style
from universal_style.subjects import StyleSource
from universal_style.tensor_files import is_tensor_file

MOST_STYLES = 4
"""Styles that one transfer may mix."""
ABSOLUTE_PATH = re.compile(r"(?<![\w.:/])(?:/[^/\s,;]+)+")


@dataclass(frozen=True)
class Limits:
    """What the server takes on.

    Attributes:
        megapixels: most that a picture may have, above 0.
        megabytes: most that an uploaded file may have, at least 1.
        queue: most requests that wait, at least 1.
        minutes: after which a file is removed, whether its visitor is still there or not; at least 1.

    Raises:
        OptionError: a limit is out of range.
    """

    megapixels: float = 12.0
    megabytes: int = 64
    queue: int = 16
    minutes: int = 60

    def __post_init__(self) -> None:
        if not 0 < self.megapixels <= 1000:
            raise OptionError(f"most-megapixels {self.megapixels:g} is out of range; it lies above 0, up to 1000")
        for name, value in (("most-megabytes", self.megabytes), ("queue", self.queue), ("keep-minutes", self.minutes)):
            if not 1 <= value <= 100_000:
                raise OptionError(f"{name} {value} is out of range; it lies between 1 and 100000")

    def check(self, width: int, height: int, name: str) -> None:
        """Make sure that a picture is not too large.

        Raises:
            InputError: it is.
        """
        if width * height > self.megapixels * 1e6:
            raise InputError(
                f"{name} has {width * height / 1e6:.1f} megapixels ({width}×{height}); "
                f"this page takes up to {self.megapixels:g}; shrink it first"
            )

    def check_seen(self, width: int, height: int, style_size: int | None, name: str) -> None:
        """Make sure that a style is not too large as it is to be seen, which may be larger than it was brought.

        Args:
            style_size: long side in pixels; None enlarges nothing.

        Raises:
            InputError: it is.
        """
        if style_size is None:
            return
        height, width = size_at(style_size, height, width)
        if width * height > self.megapixels * 1e6:
            raise InputError(
                f"{name} seen at {style_size} would have {width * height / 1e6:.1f} megapixels ({width}×{height}); "
                f"this page takes up to {self.megapixels:g}; choose a smaller style-size"
            )


def read_picture(path: Path, limits: Limits) -> Image:
    """Read a picture that a visitor uploaded.

    Only formats that the package writes too are opened: others bring decoders along that nobody needs here.

    Raises:
        InputError: it is too large, damaged or no picture. The message holds its name, not its path.
    """
    check_picture(path, limits)
    try:
        return Image.of(path)
    except InputError as error:
        raise InputError(str(error).replace(str(path), path.name)) from error


def check_picture(path: Path, limits: Limits) -> None:
    """Look at a picture's head, not its pixels.

    Raises:
        InputError: it is too large, has several pages or is no picture.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with Pillow.open(path, formats=sorted(set(FORMATS.values()))) as picture:
                limits.check(*picture.size, path.name)
                if picture.format == "TIFF" and getattr(picture, "n_frames", 1) > 1:
                    raise InputError(f"{path.name} has several pages; give a picture of one page")
    except Pillow.DecompressionBombError as error:
        raise InputError(
            f"{path.name} unpacks to far more than {limits.megapixels:g} megapixels, which is what this page takes; "
            "shrink it first"
        ) from error
    except UnidentifiedImageError as error:
        raise InputError(f"{path.name} is not a picture in a known format; give a JPEG, PNG, WebP or TIFF") from error
    except FileNotFoundError as error:
        raise InputError(f"{path.name} is no longer here; files are removed after a while: upload it again") from error
    except InputError:
        raise
    except (OSError, ValueError, SyntaxError, RuntimeError, EOFError) as error:
        raise InputError(f"{path.name} cannot be read as a picture; it may be damaged or cut off") from error


def read_style(path: Path, limits: Limits) -> StyleSource:
    """Read a style that a visitor uploaded: a preset or a picture.

    Raises:
        InputError: it is neither, too large or damaged.
    """
    if not is_tensor_file(path):
        return read_picture(path, limits)
    try:
        return Style.load(path)
    except InputError as error:
        raise InputError(str(error).replace(str(path), path.name)) from error


def without_paths(text: str) -> str:
    """Put a file's name in the place of its path, and all on one line."""
    return " ".join(ABSOLUTE_PATH.sub(lambda found: Path(found.group()).name, text).split())

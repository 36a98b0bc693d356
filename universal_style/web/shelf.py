"""The styles that the page offers: pictures and presets of folders, each with a small square to look at."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from PIL import Image as Pillow
from PIL import ImageDraw, ImageOps

from universal_style.demo import CONTENTS, PICTURES
from universal_style.errors import InputError
from universal_style.folders import files_right_in
from universal_style.images import FORMATS, opened
from universal_style.names import looked_up
from universal_style.tensor_files import SUFFIX, is_tensor_file

SQUARE = 320
"""Sides of the small squares in pixels."""
GROUND, INK = "#3d5a5b", "#f5f2ea"


@dataclass(frozen=True)
class Shelf:
    """Styles by name.

    Attributes:
        styles: files, pictures or presets.
    """

    styles: Mapping[str, Path]

    @classmethod
    def of(cls, folders: Iterable[Path] = ()) -> Shelf:
        """Offer the bundled pictures and what lies in folders.

        Raises:
            InputError: a folder is missing or holds neither pictures nor presets.
        """
        offered = {*FORMATS, SUFFIX}
        files = [path for path in files_right_in(PICTURES, offered) if path.name not in CONTENTS]
        for folder in folders:
            if not folder.is_dir():
                raise InputError(f"{folder} is not a folder; give a folder of pictures or presets")
            found = files_right_in(folder, offered)
            if not found:
                raise InputError(f"no style in {folder}; needed are pictures or presets (.safetensors)")
            files += found
        styles: dict[str, Path] = {}
        for path in files:
            name = path.stem.replace("-", " ").replace("_", " ").strip().title()
            # A preset beside the picture of its name is the same style, seen before.
            if name not in styles or is_tensor_file(path):
                styles[name] = path
        return cls(styles)

    def named(self, name: str) -> Path:
        """Look a style up.

        Raises:
            OptionError: none has this name.
        """
        return looked_up("style", name, self.styles)

    def squares(self, folder: Path) -> list[tuple[str, str]]:
        """Draw a small square for each style into a folder, made for them; give its file and name.

        Raises:
            InputError: a picture cannot be read.
        """
        folder.mkdir(exist_ok=True)
        squares = []
        for number, (name, path) in enumerate(self.styles.items()):
            square = folder / f"style-{number}.jpg"
            _square(name, path).save(square, quality=88)
            squares.append((str(square), name))
        return squares


def _square(name: str, path: Path) -> Pillow.Image:
    """Show a picture, the one beside a preset, or the preset's name."""
    beside = [path.with_suffix(suffix) for suffix in sorted(FORMATS)]
    pictures = [other for other in beside if other.is_file()] if is_tensor_file(path) else [path]
    if pictures:
        with opened(pictures[0]) as picture:
            return ImageOps.fit(ImageOps.exif_transpose(picture).convert("RGB"), (SQUARE, SQUARE))
    plain = Pillow.new("RGB", (SQUARE, SQUARE), GROUND)
    words = "\n".join(name.split())
    ImageDraw.Draw(plain).multiline_text(
        (SQUARE / 2, SQUARE / 2), words, INK, anchor="mm", align="center", font_size=36
    )
    return plain

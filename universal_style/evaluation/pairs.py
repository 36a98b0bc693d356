"""A folder of pairs: contents and styles of the same names, with masks or without."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from universal_style.errors import InputError
from universal_style.folders import files_right_in

FOLDERS = ("content", "style", "content_seg", "style_seg")


@dataclass(frozen=True)
class Pair:
    """Files of one pair; masks are None where the folder has none."""

    name: str
    content: Path
    style: Path
    content_mask: Path | None
    style_mask: Path | None

    @property
    def masks(self) -> dict[str, Any]:
        """Give the masks as options of `Stylizer.run`."""
        return {"content_mask": self.content_mask, "style_masks": [self.style_mask]}


def pairs_in(folder: Path) -> list[Pair]:
    """Match the pictures of content/, style/, content_seg/ and style_seg/ by their names without suffix.

    Raises:
        InputError: content/ or style/ is missing, or no name occurs in both.
    """
    files: dict[str, dict[str, Path]] = {}
    for part in FOLDERS:
        place = folder / part
        files[part] = pictures_by_name(place) if place.is_dir() else {}
    names = sorted(files["content"].keys() & files["style"].keys())
    if not names:
        raise InputError(f"{folder} holds no pairs; it needs content/ and style/ with pictures of the same names")
    return [
        Pair(
            name,
            files["content"][name],
            files["style"][name],
            files["content_seg"].get(name) if name in files["style_seg"] else None,
            files["style_seg"].get(name) if name in files["content_seg"] else None,
        )
        for name in names
    ]


def unpaired(folder: Path) -> list[str]:
    """Name the pictures of content/ that have no style, and the other way round."""
    content, style = (pictures_by_name(folder / part).keys() for part in ("content", "style"))
    return sorted(content ^ style)


def pictures_by_name(folder: Path) -> dict[str, Path]:
    """Give the pictures of a folder by their names without suffix."""
    return {path.stem: path for path in files_right_in(folder)}

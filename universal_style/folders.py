"""Folders of pictures."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from universal_style.errors import InputError

SUFFIXES = frozenset({
    ".avif", ".bmp", ".dib", ".gif", ".heic", ".heif", ".hif", ".j2k", ".jfif", ".jp2", ".jpeg", ".jpg", ".jpx", ".mpo",
    ".pbm", ".pgm", ".png", ".pnm", ".ppm", ".qoi", ".tga", ".tif", ".tiff", ".webp",
})  # fmt: skip
"""Of the files that are pictures in a folder: those of the formats that are read."""


def files_in(folder: Path, suffixes: Collection[str]) -> list[Path]:
    """List the files under a folder that have one of some suffixes, sorted, without what programs hide there.

    Raises:
        InputError: the folder is missing.
    """
    if not folder.is_dir():
        raise InputError(f"{folder} is not a folder; give a folder of pictures")
    return sorted(path for path in folder.rglob("*") if _is_shown(path, folder, suffixes))


def files_right_in(folder: Path, suffixes: Collection[str] = SUFFIXES) -> list[Path]:
    """List the files in a folder itself that have one of some suffixes, sorted; it may hold none."""
    return sorted(path for path in folder.iterdir() if _is_shown(path, folder, suffixes))


def pictures_in(*folders: Path) -> list[Path]:
    """List the picture files under folders, sorted.

    Raises:
        InputError: a folder is missing or none holds a picture.
    """
    found = sorted(path for folder in folders for path in files_in(folder, SUFFIXES))
    if not found:
        names = ", ".join(str(f) for f in folders)
        raise InputError(f"no picture in {names}; needed are files such as .jpg or .png")
    return found


def _is_shown(path: Path, folder: Path, suffixes: Collection[str]) -> bool:
    """Tell a file from a folder, and from what programs hide: thumbnails, halves of files, what macOS keeps of each."""
    hidden = any(part.startswith(".") for part in path.relative_to(folder).parts)
    return not hidden and path.suffix.lower() in suffixes and not path.is_dir()

"""Folders of pictures."""

from __future__ import annotations

from pathlib import Path

from universal_style.errors import InputError

SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp", ".tif", ".tiff", ".bmp"})


def pictures_in(*folders: Path) -> list[Path]:
    """List the picture files under folders, sorted.

    Raises:
        InputError: a folder is missing or none holds a picture.
    """
    for folder in folders:
        if not folder.is_dir():
            raise InputError(f"{folder} is not a folder; give a folder of pictures")
    found = sorted(p for folder in folders for p in folder.rglob("*") if p.suffix.lower() in SUFFIXES)
    if not found:
        names = ", ".join(str(f) for f in folders)
        raise InputError(f"no picture in {names}; needed are files such as .jpg or .png")
    return found

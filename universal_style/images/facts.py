"""What a picture's file says of who took it, when, how and where: kept, where its pixels become others."""

from __future__ import annotations

from typing import Any

from PIL import ExifTags
from PIL import Image as Pillow

WHOLE = (
    "ImageDescription", "Make", "Model", "DateTime", "Artist", "Copyright", "Rating",
    "XPTitle", "XPComment", "XPAuthor", "XPKeywords", "XPSubject",
)  # fmt: skip
"""Tags that stay as they are. Others say how pixels lie in the file, which is another now."""
PARTS = (ExifTags.IFD.Exif, ExifTags.IFD.GPSInfo)
SPOILT = frozenset({ExifTags.Base.MakerNote, ExifTags.Base.ExifImageWidth, ExifTags.Base.ExifImageHeight})
"""Tags of the parts that do not: sizes, and what points to places in the old file."""


def facts_of(picture: Pillow.Image) -> bytes:
    """Give the EXIF data of a picture that still hold for its result; empty where there are none, or damaged ones."""
    try:
        given, kept = picture.getexif(), Pillow.Exif()
        for name in WHOLE:
            tag = ExifTags.Base[name]
            if isinstance(value := given.get(tag), str | int | bytes):
                kept[tag] = _as_read(value)
        for part in PARTS:
            if tags := {tag: value for tag, value in given.get_ifd(part).items() if tag not in SPOILT}:
                kept.get_ifd(part).update(tags)
        return kept.tobytes() if len(kept) or any(kept.get_ifd(part) for part in PARTS) else b""
    except Exception:  # of many kinds; what is damaged there keeps nobody from the picture
        return b""


def _as_read(value: Any) -> Any:
    """Give the bytes that Pillow took for Latin letters; it would write ? for all that are not ASCII."""
    return value.encode("latin-1", "replace") if isinstance(value, str) else value


def saving(facts: bytes, form: str) -> dict[str, Any]:
    """Give the options by which Pillow writes EXIF data; into a TIFF only those of the picture as a whole."""
    if not facts:
        return {}
    if form != "TIFF":
        return {"exif": facts}
    exif = Pillow.Exif()
    exif.load(facts)
    return {"tiffinfo": {tag: _as_read(value) for tag, value in exif.items() if tag not in PARTS}}

"""Colour profiles (ICC): from a file's own colours to sRGB and back, at 8 bits, as Pillow has no deeper colours."""

from __future__ import annotations

import io
from typing import Any

from PIL import Image as Pillow
from PIL import ImageCms

SRGB = ImageCms.createProfile("sRGB")


def to_srgb(picture: Pillow.Image, profile: bytes) -> tuple[Pillow.Image, bytes]:
    """Convert to sRGB; give the profile too where it is one of RGB that the result can be converted back to."""
    if not profile:
        return picture if picture.mode == "RGB" else picture.convert("RGB"), b""
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        return _converted(picture, source, SRGB), profile if _leads_back(source) else b""
    except (ImageCms.PyCMSError, OSError):  # a profile that is damaged or of another mode means nothing
        return picture.convert("RGB"), b""


def _leads_back(profile: Any) -> bool:
    """Say whether a profile is one of RGB that can be converted to; a scanner's may only be converted from."""
    if profile.profile.xcolor_space.strip() != "RGB":
        return False
    try:
        _converted(Pillow.new("RGB", (1, 1)), SRGB, profile)
    except ImageCms.PyCMSError:
        return False
    return True


def from_srgb(picture: Pillow.Image, profile: bytes) -> Pillow.Image:
    """Convert from sRGB to a profile that `to_srgb` gave, and attach it."""
    if not profile:
        return picture
    picture = _converted(picture, SRGB, ImageCms.ImageCmsProfile(io.BytesIO(profile)))
    picture.info["icc_profile"] = profile
    return picture


def _converted(picture: Pillow.Image, source: Any, target: Any) -> Pillow.Image:
    intent = ImageCms.Intent.RELATIVE_COLORIMETRIC
    flags = ImageCms.Flags.BLACKPOINTCOMPENSATION
    result = ImageCms.profileToProfile(picture, source, target, intent, "RGB", flags=flags)
    assert result is not None  # only in-place conversion gives None
    return result

"""What a path stands for as a clip."""

from __future__ import annotations

import math
from fractions import Fraction
from pathlib import Path

from universal_style.errors import OptionError
from universal_style.video.clips import Clip
from universal_style.video.films import USUAL_RATE, Film
from universal_style.video.frame_folders import FrameFolder

FINEST_RATE = 1001
"""Rates are fractions with denominators up to this: 29.97 is 30000/1001."""


def clip_named(path: Path, rate: float | None = None) -> Clip:
    """Open a folder of frames, or a file with a video stream.

    Args:
        rate: of a folder's frames, in a second; `USUAL_RATE` when left out.

    Raises:
        InputError: it is neither.
        OptionError: the rate is out of range, or given for a file, which has its own.
    """
    if rate is not None and not (math.isfinite(rate) and 0.01 <= rate <= 1000):
        raise OptionError(f"rate {rate:g} is out of range; it is frames in a second, 0.01 to 1000")
    if path.is_dir():
        return FrameFolder.of(path, USUAL_RATE if rate is None else Fraction(rate).limit_denominator(FINEST_RATE))
    if rate is not None:
        raise OptionError(f"rate is for folders of frames, and {path} has its own; leave rate out")
    return Film.of(path)

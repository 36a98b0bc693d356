"""What a clip is, wherever its frames come from."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from universal_style.images import Image


@dataclass(frozen=True)
class Frame:
    """One picture of a clip.

    Attributes:
        number: from 1.
        image: upright.
        at: when it is shown, in ticks of the clip's time base.
        ticks: how long, likewise; 0 where the clip does not say.
    """

    number: int
    image: Image
    at: int
    ticks: int


@dataclass(frozen=True)
class Colours:
    """How pixels are coded as luma and chroma, in the numbers of ITU-T H.273; 2 says nothing.

    Attributes:
        matrix: from RGB, 1 is BT.709.
        primaries: 1 is BT.709.
        transfer: 1 is BT.709.
        levels: 1 is 16 to 235, 2 is 0 to 255, 0 says nothing.
    """

    matrix: int
    primaries: int
    transfer: int
    levels: int

    def matrix_at(self, height: int) -> int:
        """Give the matrix, or what players take where none is named: BT.709 from 720 rows on, BT.601 under it."""
        if self.matrix not in (0, 2):
            return self.matrix
        return 1 if height >= 720 else 5


SCREEN_COLOURS = Colours(matrix=1, primaries=1, transfer=1, levels=1)
"""Of films made from what has no such coding: pictures and GIFs."""


@dataclass(frozen=True)
class Timing:
    """When frames are shown.

    Attributes:
        base: seconds in a tick.
        rate: frames in a second, or about so many where it varies.
        frames: how many there are; 0 where only reading will tell.
    """

    base: Fraction
    rate: Fraction
    frames: int


@dataclass(frozen=True)
class Coding:
    """What a film made from the clip should keep of how its pixels are stored.

    Attributes:
        pixel_format: FFmpeg's name.
        colours: of it.
        aspect: width of a pixel over its height.
    """

    pixel_format: str
    colours: Colours
    aspect: Fraction


@runtime_checkable
class Clip(Protocol):
    """Frames in their order.

    Attributes:
        path: of the file or folder.
        timing: of the frames.
        coding: of the pixels.
        mark: changes when the file or folder changes.
    """

    @property
    def path(self) -> Path: ...
    @property
    def timing(self) -> Timing: ...
    @property
    def coding(self) -> Coding: ...
    @property
    def mark(self) -> Any: ...

    def frames(self) -> Iterator[Frame]:
        """Read from the beginning.

        Raises:
            InputError: a frame is damaged or unlike the first, or there is none.
        """

"""Folders of numbered pictures as clips."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from universal_style.errors import InputError
from universal_style.folders import files_right_in
from universal_style.images import Image
from universal_style.video.clips import SCREEN_COLOURS, Coding, Frame, Timing

USUAL_CODING = Coding("yuv420p", SCREEN_COLOURS, Fraction(1))


@dataclass(frozen=True)
class FrameFolder:
    """Pictures in one folder, in the order of the last number in their names.

    Attributes:
        path: of the folder.
        files: in order.
        rate: frames in a second.
    """

    path: Path
    files: tuple[Path, ...]
    rate: Fraction

    @classmethod
    def of(cls, path: Path, rate: Fraction) -> FrameFolder:
        """List a folder.

        Raises:
            InputError: it holds no pictures, or one without a number.
        """
        files = files_right_in(path)
        if not files:
            raise InputError(f"{path} holds no picture; a folder of frames holds numbered ones, such as 0001.png")
        return cls(path, tuple(sorted(files, key=lambda file: (_number(file), file.name))), rate)

    @property
    def timing(self) -> Timing:
        return Timing(1 / self.rate, self.rate, len(self.files))

    @property
    def coding(self) -> Coding:
        return USUAL_CODING

    @property
    def mark(self) -> list[tuple[str, int, int]]:
        return [(str(file.absolute()), file.stat().st_size, file.stat().st_mtime_ns) for file in self.files]

    def frames(self) -> Iterator[Frame]:
        size = None
        for number, file in enumerate(self.files, start=1):
            image = Image.of(file)
            size = size or (image.height, image.width)
            if (image.height, image.width) != size:
                raise InputError(
                    f"{file} has {image.width}×{image.height} pixels, the frames before it {size[1]}×{size[0]}; "
                    "all must have one size"
                )
            yield Frame(number, image, number - 1, 1)


def _number(file: Path) -> int:
    numbers = re.findall(r"\d+", file.stem)
    if not numbers:
        raise InputError(f"{file} has no number in its name; frames are numbered pictures, such as 0001.png")
    return int(numbers[-1])

"""Films read: any file with a video stream that FFmpeg knows, GIF included."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from itertools import islice
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.container import InputContainer
from av.stream import Disposition
from av.video.frame import VideoFrame
from av.video.reformatter import Interpolation
from av.video.stream import VideoStream

from universal_style.errors import InputError
from universal_style.images import Image
from universal_style.video.clips import SCREEN_COLOURS, Coding, Colours, Frame, Timing

EXACTLY = (
    Interpolation.BICUBIC | Interpolation.ACCURATE_RND | Interpolation.FULL_CHR_H_INT | Interpolation.FULL_CHR_H_INP
)
"""How chroma is sampled up and down, and rounded."""
EXACT_FORMATS = frozenset({"mp4", "matroska"})
"""Kinds of files whose header says how long they are."""
LEAST_MISSING = Fraction(1, 2)
"""Seconds that must be missing at the end for a file to count as cut off; less may be a matter of rounding."""
USUAL_RATE = Fraction(25)
"""Frames in a second where a file names no rate."""


@dataclass(frozen=True)
class Film:
    """A file with a video stream.

    Attributes:
        path: of the file.
        timing: of the frames.
        coding: of the pixels.
    """

    path: Path
    timing: Timing
    coding: Coding

    @classmethod
    def of(cls, path: Path) -> Film:
        """Look at a file.

        Raises:
            InputError: it is missing or no film.
        """
        with opened(path) as container:
            stream = video_stream(container, path)
            context = stream.codec_context
            base = stream.time_base or 1 / USUAL_RATE
            rate = stream.average_rate or stream.guessed_rate or USUAL_RATE
            length = 0 if stream.duration is None else round(stream.duration * base * rate)
            colours = Colours(context.colorspace, context.color_primaries, context.color_trc, context.color_range)
            pixels = context.pix_fmt or "yuv420p"
            if pixels.startswith("yuvj"):  # an old name for the same with all levels
                pixels, colours = pixels.replace("yuvj", "yuv"), Colours(*_but_levels(colours), levels=2)
            is_rgb = not pixels.startswith(("yuv", "nv", "p0", "gray"))
            aspect = Fraction(stream.sample_aspect_ratio or 1)
            if aspect != 1 and _lies_on_its_side(container, stream):
                aspect = 1 / aspect
            return cls(
                path,
                Timing(base, rate, stream.frames or length),
                Coding(pixels, SCREEN_COLOURS if is_rgb else colours, aspect),
            )

    @property
    def mark(self) -> tuple[str, int, int]:
        facts = self.path.stat()
        return str(self.path.absolute()), facts.st_size, facts.st_mtime_ns

    def frames(self) -> Iterator[Frame]:
        number, last, size = 0, None, (0, 0)
        try:
            with opened(self.path) as container:
                stream = video_stream(container, self.path)
                stream.thread_type = "SLICE"  # with frames in parallel, an error would not say in which it is
                stream.codec_context.options = {"err_detect": "explode"}
                end = Ending()
                for packet in container.demux():  # all streams, for the longest says how long the file is
                    end.pass_over(packet)
                    if packet.stream is not stream:
                        continue
                    if packet.is_corrupt:
                        raise self._damaged(number + 1, "a packet is cut off")
                    for decoded in stream.decode(packet):
                        number += 1
                        if decoded.is_corrupt:
                            raise self._damaged(number, "its data is not whole")
                        size = size if number > 1 else (decoded.height, decoded.width)
                        if (decoded.height, decoded.width) != size:
                            raise InputError(
                                f"{self.path} changes from {size[1]}×{size[0]} to {decoded.width}×{decoded.height} at "
                                f"frame {number}; all frames must have one size: cut it there"
                            )
                        last = self._shown_at(decoded, last)
                        yield Frame(number, self._image(decoded), last, decoded.duration or 0)
                promised = promised_seconds(container)
        except av.FFmpegError as error:
            raise self._damaged(number + 1, error.strerror or str(error)) from error
        if not number:
            raise InputError(f"{self.path} holds no frame; needed is at least one")
        if end.seconds + max(LEAST_MISSING, 1 / self.timing.rate) < promised:
            raise self._damaged(
                number + 1, f"it ends at {float(end.seconds):.1f} s where {float(promised):.1f} s are promised"
            )

    def _damaged(self, number: int, found: str) -> InputError:
        return InputError(f"{self.path} is damaged at frame {number} ({found}); repair it, or cut it off before that")

    def _shown_at(self, decoded: VideoFrame, last: int | None) -> int:
        """Give the time of a frame, always later than the last one's."""
        usual = round(1 / (self.timing.rate * self.timing.base))
        if decoded.pts is None:
            return 0 if last is None else last + max(1, usual)
        return decoded.pts if last is None else max(decoded.pts, last + 1)

    def _image(self, decoded: VideoFrame) -> Image:
        deep = max(component.bits for component in decoded.format.components) > 8
        rgb = decoded.reformat(
            format="rgb48le" if deep else "rgb24",
            src_colorspace=self.coding.colours.matrix_at(decoded.height),
            interpolation=EXACTLY,
        ).to_ndarray()
        return Image.of(np.rot90(rgb, round(decoded.rotation / 90)))


@dataclass
class Ending:
    """How far packets have come.

    Attributes:
        seconds: when the last of them ends, from the first one's beginning.
    """

    seconds: Fraction = Fraction(0)
    _begin: Fraction | None = None

    def pass_over(self, packet: av.Packet[Any]) -> None:
        """Go on with a packet."""
        if packet.pts is None or packet.time_base is None:
            return
        begin = packet.pts * packet.time_base
        self._begin = begin if self._begin is None else min(begin, self._begin)
        self.seconds = max(self.seconds, begin + (packet.duration or 0) * packet.time_base - self._begin)


def promised_seconds(container: InputContainer) -> Fraction:
    """Give the length that a file's header names; 0 where it names none, or only an estimate."""
    if container.duration is None or not EXACT_FORMATS & set(container.format.name.split(",")):
        return Fraction(0)
    return Fraction(container.duration, av.time_base)


@contextmanager
def opened(path: Path) -> Iterator[InputContainer]:
    """Open a media file.

    Raises:
        InputError: it is missing or none.
    """
    if not path.is_file():
        raise InputError(f"{path} does not exist; give a film, a GIF or a folder of frames")
    if path.stat().st_size == 0:
        raise InputError(f"{path} is empty (0 bytes); give a film, a GIF or a folder of frames")
    try:
        container = av.open(str(path), "r")
    except (av.FFmpegError, ValueError) as error:
        found = getattr(error, "strerror", None) or error
        raise InputError(f"{path} is not a film that can be read ({found}); give a film or a GIF") from error
    with container:
        if container.format.name.endswith("_pipe") or container.format.name == "image2":
            raise InputError(f"{path} is one picture; give it to transfer, or give a film, a GIF or a folder of frames")
        yield container


def video_stream(container: InputContainer, path: Path) -> VideoStream:
    """Give the first video stream that is no cover picture.

    Raises:
        InputError: there is none.
    """
    for stream in container.streams.video:
        if not stream.disposition & Disposition.attached_pic:
            return stream
    found = ", ".join(sorted({stream.type for stream in container.streams})) or "nothing"
    raise InputError(f"{path} has no video stream (it has {found}); give a film or a GIF")


def _lies_on_its_side(container: InputContainer, stream: VideoStream) -> bool:
    """Say whether frames are turned by a quarter to stand upright."""
    try:
        return any(frame.rotation % 180 for frame in islice(container.decode(stream), 1))
    except av.FFmpegError:  # reading will say where the damage is
        return False


def _but_levels(colours: Colours) -> tuple[int, int, int]:
    return colours.matrix, colours.primaries, colours.transfer

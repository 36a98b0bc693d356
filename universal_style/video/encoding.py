"""Frames encoded, a segment of a film at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

import av
import numpy as np
from av.codec import Codec as FFmpegCodec
from av.codec.codec import find_best_pix_fmt_of_list
from av.container import OutputContainer
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from universal_style.errors import OptionError
from universal_style.images import Image
from universal_style.video.clips import Coding, Frame, Timing
from universal_style.video.films import EXACTLY

SEGMENT_FORMAT = "nut"
"""Holds any codec with any time base."""


@dataclass(frozen=True)
class Codec:
    """How films are compressed.

    Attributes:
        name: what FFmpeg calls the kind of stream.
        encoder: what FFmpeg calls the one that makes it.
        quality: the usual constant rate factor: lower is better and larger; None where nothing is lost.
        worst: the largest factor.
        options: of the encoder.
    """

    name: str
    encoder: str
    quality: int | None
    worst: int = 0
    options: Mapping[str, str] = field(default_factory=dict)

    def check_quality(self, quality: int | None) -> None:
        """Make sure that a factor, if one is given, means something.

        Raises:
            OptionError: it does not.
        """
        if quality is None:
            return
        if self.quality is None:
            raise OptionError(f"codec {self.name} loses nothing and has no quality; leave quality out")
        if not 0 <= quality <= self.worst:
            raise OptionError(f"quality {quality} is out of range; for {self.name} it is 0 (best) to {self.worst}")


CODECS = {
    codec.name: codec
    for codec in (
        Codec("h264", "libx264", 18, 51),
        Codec("hevc", "libx265", 20, 51, {"x265-params": "log-level=none"}),
        Codec("vp9", "libvpx-vp9", 24, 63, {"b:v": "0", "row-mt": "1"}),
        Codec("ffv1", "ffv1", None),
    )
}


@dataclass(frozen=True)
class Encoding:
    """Everything that an encoder is told; the same for every segment, so that segments join.

    Attributes:
        codec: of the stream.
        options: of the encoder, quality included.
        pixel_format: FFmpeg's name.
        size: (height, width).
        coding: of the clip.
        timing: of the clip.
    """

    codec: Codec
    options: Mapping[str, str]
    pixel_format: str
    size: tuple[int, int]
    coding: Coding
    timing: Timing

    @classmethod
    def of(cls, codec: Codec, quality: int | None, size: tuple[int, int], coding: Coding, timing: Timing) -> Encoding:
        """Choose what is left open.

        Chroma is sampled as the clip has it, where the codec can; at odd sizes at every pixel, for the other samplings
        know only even ones.

        Args:
            quality: constant rate factor; the codec's usual one when left out.

        Raises:
            OptionError: the codec cannot do the size.
        """
        factor = codec.quality if quality is None else quality
        options = dict(codec.options) if factor is None else {**codec.options, "crf": str(factor)}
        return cls(codec, options, _pixel_format(codec, size, coding), size, coding, timing)

    @contextmanager
    def writer(self, path: Path) -> Iterator[Callable[[Frame], None]]:
        """Write a segment, which can be decoded by itself."""
        with av.open(str(path), "w", format=SEGMENT_FORMAT) as container:
            stream = self.stream_in(container)

            def write(frame: Frame) -> None:
                for packet in stream.encode(self._encodable(frame)):
                    container.mux(packet)

            yield write
            for packet in stream.encode(None):
                container.mux(packet)

    def stream_in(self, container: OutputContainer) -> VideoStream:
        """Add the stream to a file; packets of segments fit it, for an encoder told the same writes the same head."""
        added = container.add_stream(self.codec.encoder, rate=self.timing.rate, options=dict(self.options))
        stream = cast(VideoStream, added)
        stream.height, stream.width = self.size
        stream.pix_fmt = self.pixel_format
        stream.time_base = self.timing.base
        context = stream.codec_context
        context.time_base = self.timing.base
        context.max_b_frames = 0  # so that segments join without a gap or an overlap in the order of decoding
        context.sample_aspect_ratio = self.coding.aspect
        colours = self.coding.colours
        context.colorspace, context.color_range = colours.matrix, colours.levels
        context.color_primaries, context.color_trc = colours.primaries, colours.transfer
        return stream

    def _encodable(self, frame: Frame) -> VideoFrame:
        colours = self.coding.colours
        made = video_frame(frame.image).reformat(
            format=self.pixel_format,
            dst_colorspace=colours.matrix_at(self.size[0]),
            dst_color_range=colours.levels or 1,
            interpolation=EXACTLY,
        )
        made.colorspace, made.color_range = colours.matrix, colours.levels
        made.color_primaries, made.color_trc = colours.primaries, colours.transfer
        made.pts, made.time_base, made.duration = frame.at, self.timing.base, frame.ticks
        return made


def video_frame(image: Image) -> VideoFrame:
    """Give a picture as FFmpeg takes it, at the picture's depth."""
    kind, form = (np.uint8, "rgb24") if image.bits == 8 else (np.uint16, "rgb48le")
    integers = np.rint(image.pixels * np.iinfo(kind).max).astype(kind)
    return VideoFrame.from_ndarray(np.ascontiguousarray(integers), format=form)


def codec_named(name: str) -> Codec:
    """Look a codec up.

    Raises:
        OptionError: there is none of this name, or this FFmpeg has no encoder for it.
    """
    if name not in CODECS:
        raise OptionError(f"codec {name!r} is unknown; use one of {', '.join(CODECS)}")
    if CODECS[name].encoder not in av.codecs_available:
        raise OptionError(f"codec {name} needs FFmpeg's {CODECS[name].encoder}, which is not installed; use another")
    return CODECS[name]


def _best(known: Sequence[str], wanted: str) -> str:
    best, _ = find_best_pix_fmt_of_list(known, wanted)
    assert best is not None  # of some, one is the best
    return best.name


def _pixel_format(codec: Codec, size: tuple[int, int], coding: Coding) -> str:
    """Choose among the codec's formats of luma and chroma the one nearest to the clip's."""
    known = [form.name for form in FFmpegCodec(codec.encoder, "w").video_formats or ()]
    fitting = [name for name in known if name.startswith("yuv4" if not any(s % 2 for s in size) else "yuv444p")]
    if not fitting:
        raise OptionError(
            f"{size[1]}×{size[0]} is odd, and codec {codec.name} takes even sizes only; use h264, or another --size"
        )
    wanted = coding.pixel_format if coding.pixel_format.startswith("yuv") else "yuv420p"
    return wanted if wanted in fitting else _best(fitting, wanted)

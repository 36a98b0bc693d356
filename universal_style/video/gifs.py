"""Segments made a GIF: one palette for all frames, so that flat colours stay the same."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from av.video.frame import VideoFrame
from av.video.stream import VideoStream
from numpy.typing import NDArray
from PIL import Image as Pillow

from universal_style.video.clips import Timing

GIF_BASE = Fraction(1, 100)
"""Seconds in a GIF's tick."""
SEEN_SIDE = 64
SEEN_FRAMES = 64
"""The palette is made of so many frames, seen at so many pixels squared."""


def write_gif(segments: Sequence[Path], timing: Timing, path: Path) -> None:
    """Decode segments twice: for the palette, and with it."""
    palette = common_palette(segments)
    table = argb_table(palette)
    with av.open(str(path), "w", format="gif") as container:
        stream = container.add_stream("gif", rate=timing.rate)
        stream.pix_fmt = "pal8"
        stream.time_base = stream.codec_context.time_base = GIF_BASE
        last = -1
        for frame in frames_of(segments):
            picture = pictured(frame)
            if last < 0:
                stream.height, stream.width = picture.height, picture.width
            indices = np.asarray(picture.quantize(palette=palette, dither=Pillow.Dither.FLOYDSTEINBERG))
            made = VideoFrame.from_ndarray((indices, table), format="pal8")  # type: ignore[arg-type]
            ticks = (frame.time_base or GIF_BASE) / GIF_BASE
            last = max(last + 1, round((frame.pts or 0) * ticks))
            made.pts, made.time_base, made.duration = last, GIF_BASE, round(frame.duration * ticks)
            container.mux(stream.encode(made))
        container.mux(stream.encode(None))


def argb_table(palette: Pillow.Image) -> NDArray[np.uint8]:
    """Give a picture's palette as 256 rows of opacity, red, green and blue."""
    colours = np.frombuffer(bytes(palette.getpalette() or b""), np.uint8).reshape(-1, 3)  # (3 n) -> (n, 3)
    table = np.full((256, 4), 255, np.uint8)
    table[: len(colours), 1:] = colours
    return table


def common_palette(segments: Sequence[Path]) -> Pillow.Image:
    """Choose 256 colours for frames taken all along the clip."""
    total = sum(1 for _ in packets_of(segments))
    step = max(1, -(-total // SEEN_FRAMES))
    seen = [
        pictured(frame).resize((SEEN_SIDE, SEEN_SIDE), Pillow.Resampling.NEAREST)
        for number, frame in enumerate(frames_of(segments))
        if number % step == 0
    ]
    sheet = Pillow.fromarray(np.concatenate([np.asarray(picture) for picture in seen]))
    return sheet.quantize(256, Pillow.Quantize.MEDIANCUT)


def pictured(frame: VideoFrame) -> Pillow.Image:
    """Give a decoded frame as Pillow has it."""
    return Pillow.fromarray(frame.to_ndarray(format="rgb24"))


def frames_of(segments: Sequence[Path]) -> Iterator[VideoFrame]:
    """Decode segments, one after the other."""
    for segment in segments:
        with av.open(str(segment), "r") as container:
            yield from container.decode(video=0)


def packets_of(segments: Sequence[Path]) -> Iterator[av.Packet[VideoStream]]:
    """Read the packets of segments, one segment after the other."""
    for segment in segments:
        with av.open(str(segment), "r") as container:
            yield from (packet for packet in container.demux(video=0) if packet.size)

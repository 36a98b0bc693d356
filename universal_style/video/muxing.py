"""Segments joined to a film, with the sound and the subtitles of their clip as they are."""

from __future__ import annotations

import heapq
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
from av.container import InputContainer, OutputContainer
from av.stream import Stream

from universal_style.errors import OutputError
from universal_style.video.clips import Clip
from universal_style.video.encoding import Encoding
from universal_style.video.films import Film, opened

COPIED = ("audio", "subtitle")
"""Kinds of streams that are taken over."""
FILE_FACTS = frozenset({"major_brand", "minor_version", "compatible_brands", "encoder"})
"""Metadata that speak of the clip's file, not of what it shows."""


def streams_left_out(clip: Clip, output: Path, container: str) -> list[str]:
    """Say in a line each which streams of a clip a kind of file cannot hold.

    Args:
        container: FFmpeg's name; empty for a folder of frames.

    Raises:
        OutputError: it is a film that cannot hold the sound.
    """
    if not isinstance(clip, Film):
        return []
    silent = container in ("", "gif")
    held = frozenset() if silent else supported(container)
    lines = []
    with opened(clip.path) as source:
        for stream in source.streams:
            if stream.type not in COPIED or kind(stream) in held:
                continue
            what = {"audio": "sound", "subtitle": "subtitles"}[stream.type]
            if stream.type == "audio" and not silent:
                raise OutputError(
                    f"{output.suffix} cannot hold the {kind(stream)} sound of {clip.path.name}; write .mkv, or .mp4"
                )
            lines.append(f"{what} ({kind(stream)}) left out: {output.name} cannot hold it")
    return lines


def supported(container: str) -> frozenset[str]:
    """List the codecs that a kind of file holds."""
    with av.open(os.devnull, "w", format=container) as probe:
        return frozenset(probe.supported_codecs)


def kind(stream: Stream) -> str:
    """Name the codec of a stream, not the decoder that would read it."""
    context = getattr(stream, "codec_context", None)
    return "unknown" if context is None else str(context.codec.canonical_name)


def mux(
    segments: Sequence[Path], encoding: Encoding, clip: Clip, path: Path, container: str, options: Mapping[str, str]
) -> None:
    """Write a film.

    Args:
        segments: of the video stream, in order.
        encoding: of them.
        clip: whose sound and subtitles are copied.
        container: FFmpeg's name of the kind of file.
        options: of its writer.
    """
    with ExitStack() as stack:
        output = stack.enter_context(av.open(str(path), "w", format=container, options=dict(options)))
        sources = [_joined(segments, encoding.stream_in(output))]
        if isinstance(clip, Film):
            source = stack.enter_context(opened(clip.path))
            sources.append(_copied(source, output))
            output.metadata.update({key: text for key, text in source.metadata.items() if key not in FILE_FACTS})
            output.set_chapters(source.chapters())
        output.start_encoding()
        for packet in heapq.merge(*sources, key=_decoded_at):
            output.mux_one(packet)


def _joined(segments: Sequence[Path], video: Any) -> Iterator[av.Packet[Any]]:
    for segment in segments:
        with av.open(str(segment), "r") as part:
            for packet in part.demux(video=0):
                if packet.size:
                    packet.stream = video
                    yield packet


def _copied(source: InputContainer, output: OutputContainer) -> Iterator[av.Packet[Any]]:
    """Add a clip's streams to a film now, and give their packets as they are asked for."""
    streams: dict[int, Stream] = {}
    for stream in source.streams:
        if stream.type in COPIED and kind(stream) in output.supported_codecs:
            copy = output.add_stream_from_template(stream, opaque=True)
            copy.metadata.update(stream.metadata)
            streams[stream.index] = copy

    def packets() -> Iterator[av.Packet[Any]]:
        if not streams:
            return
        for packet in source.demux(*(source.streams[index] for index in streams)):
            if packet.size and packet.dts is not None:
                packet.stream = streams[packet.stream_index]
                yield packet

    return packets()


def _decoded_at(packet: av.Packet[Any]) -> Fraction:
    return (packet.dts or 0) * packet.time_base

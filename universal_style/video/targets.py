"""Where a clip is written to: a kind for each suffix. All write segments first, and join them at the end."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from universal_style.atomic import replacing
from universal_style.errors import OptionError, OutputError
from universal_style.outputs import check_writable
from universal_style.video.clips import Clip, Coding, Frame
from universal_style.video.encoding import CODECS, Codec, Encoding, codec_named
from universal_style.video.frame_folders import USUAL_CODING
from universal_style.video.gifs import write_gif
from universal_style.video.muxing import mux, streams_left_out

Write = Callable[[Frame], None]


@runtime_checkable
class Target(Protocol):
    """A kind of output.

    Attributes:
        path: of the output.
    """

    @property
    def path(self) -> Path: ...

    def check(self, clip: Clip) -> list[str]:
        """Make sure, before any work is done, that a clip can be written; say in a line each what is left out.

        Raises:
            OutputError: it cannot.
        """

    def facts(self, clip: Clip, size: tuple[int, int]) -> dict[str, Any]:
        """Say for a report how frames of a size are stored.

        Raises:
            OptionError: they cannot be.
        """

    def segment(self, clip: Clip, size: tuple[int, int], path: Path) -> AbstractContextManager[Write]:
        """Write frames of a size to a path without a suffix."""

    def join(self, clip: Clip, size: tuple[int, int], segments: Sequence[Path]) -> None:
        """Put the output in place, whole; begun again after an interruption, it goes on."""


@dataclass(frozen=True)
class Container:
    """A kind of file that films are kept in.

    Attributes:
        name: FFmpeg's.
        codec: the usual one.
        known: those that it and its players take.
        options: of the writer.
    """

    name: str
    codec: str
    known: tuple[str, ...]
    options: Mapping[str, str]


_MP4 = Container("mp4", "h264", ("h264", "hevc", "vp9"), {"movflags": "+faststart"})
CONTAINERS = {
    ".mp4": _MP4,
    ".m4v": _MP4,
    ".mov": Container("mov", "h264", ("h264", "hevc"), {"movflags": "+faststart"}),
    ".mkv": Container("matroska", "h264", tuple(CODECS), {}),
    ".webm": Container("webm", "vp9", ("vp9",), {}),
}
GIF_SEGMENTS = Codec("gif", "ffv1", None)
"""What becomes a GIF is kept without loss until all colours are known."""
RGB_CODING = Coding("bgr0", USUAL_CODING.colours, USUAL_CODING.aspect)


@dataclass(frozen=True)
class FilmTarget:
    """A film, with the sound of its clip.

    Attributes:
        path: of the film.
        container: of its suffix.
        codec: of its frames.
        quality: constant rate factor; None for the codec's usual one.
    """

    path: Path
    container: Container
    codec: Codec
    quality: int | None

    def check(self, clip: Clip) -> list[str]:
        check_writable(self.path)
        return streams_left_out(clip, self.path, self.container.name)

    def facts(self, clip: Clip, size: tuple[int, int]) -> dict[str, Any]:
        encoding = self._encoding(clip, size)
        return {"codec": self.codec.name, "pixel_format": encoding.pixel_format, "encoder": dict(encoding.options)}

    def segment(self, clip: Clip, size: tuple[int, int], path: Path) -> AbstractContextManager[Write]:
        return self._encoding(clip, size).writer(path)

    def join(self, clip: Clip, size: tuple[int, int], segments: Sequence[Path]) -> None:
        with replacing(self.path) as temporary:
            mux(segments, self._encoding(clip, size), clip, temporary, self.container.name, self.container.options)

    def _encoding(self, clip: Clip, size: tuple[int, int]) -> Encoding:
        return Encoding.of(self.codec, self.quality, size, clip.coding, clip.timing)


@dataclass(frozen=True)
class GifTarget:
    """A GIF of one palette."""

    path: Path

    def check(self, clip: Clip) -> list[str]:
        check_writable(self.path)
        return streams_left_out(clip, self.path, "gif")

    def facts(self, clip: Clip, size: tuple[int, int]) -> dict[str, Any]:
        return {"codec": "gif", "pixel_format": "pal8"}

    def segment(self, clip: Clip, size: tuple[int, int], path: Path) -> AbstractContextManager[Write]:
        return Encoding(GIF_SEGMENTS, {}, RGB_CODING.pixel_format, size, RGB_CODING, clip.timing).writer(path)

    def join(self, clip: Clip, size: tuple[int, int], segments: Sequence[Path]) -> None:
        with replacing(self.path) as temporary:
            write_gif(segments, clip.timing, temporary)


@dataclass(frozen=True)
class FolderTarget:
    """A folder of numbered PNG files."""

    path: Path

    def check(self, clip: Clip) -> list[str]:
        if self.path.is_dir():
            if any(self.path.iterdir()):
                raise OutputError(f"output folder {self.path} is not empty; choose another, or empty it")
            check_writable(self.path / "any.png")
        else:
            check_writable(self.path)
        return streams_left_out(clip, self.path, "")

    def facts(self, clip: Clip, size: tuple[int, int]) -> dict[str, Any]:
        return {"codec": "png", "pixel_format": "rgb"}

    @contextmanager
    def segment(self, clip: Clip, size: tuple[int, int], path: Path) -> Iterator[Write]:
        shutil.rmtree(path, ignore_errors=True)
        path.mkdir()
        yield lambda frame: frame.image.write(path / f"{frame.number:06d}.png")

    def join(self, clip: Clip, size: tuple[int, int], segments: Sequence[Path]) -> None:
        whole = segments[0].with_name("whole")
        whole.mkdir(exist_ok=True)
        for segment in segments:
            for file in segment.iterdir():  # those that an interrupted joining has moved are gone from here
                file.replace(whole / file.name)
        whole.replace(self.path)


def target_named(path: Path, codec: str | None = None, quality: int | None = None) -> Target:
    """Say what a path is: a film or a GIF by its suffix, a folder if it has none.

    Args:
        codec: of a film; the usual one of its suffix when left out.
        quality: of a film, the codec's constant rate factor.

    Raises:
        OptionError: the suffix is unknown, or does not go with the codec.
    """
    suffix = path.suffix.lower()
    if suffix in CONTAINERS:
        container = CONTAINERS[suffix]
        chosen = codec_named(codec or container.codec)
        if chosen.name not in container.known:
            raise OptionError(f"{suffix} holds no {chosen.name} here; use one of {', '.join(container.known)}, or .mkv")
        chosen.check_quality(quality)
        return FilmTarget(path, container, chosen, quality)
    if codec is not None or quality is not None:
        raise OptionError(f"codec and quality are for films, and {path.name} will be none; leave them out")
    if suffix == ".gif":
        return GifTarget(path)
    if not suffix or path.is_dir():
        return FolderTarget(path)
    known = ", ".join([*CONTAINERS, ".gif"])
    raise OptionError(
        f"output {path.name} has the suffix {suffix!r}; use one of {known}, or none for a folder of frames"
    )

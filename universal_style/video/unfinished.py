"""The hidden folder beside an output in which a long work goes on after an interruption."""

from __future__ import annotations

import hashlib
import json
import shutil
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from universal_style.drivers.steady import Memory
from universal_style.errors import CheckpointError, OutputError
from universal_style.locks import claim
from universal_style.moments import Moments
from universal_style.tensor_files import read_tensors, write_tensors
from universal_style.video.clips import Frame
from universal_style.video.cuts import Scene

SEGMENT_FRAMES = 48
"""Frames in a segment: what an interruption costs at most."""
PARTS = ("count", "mean", "scatter")


@dataclass(frozen=True)
class Progress:
    """Where a work stands between two frames.

    Attributes:
        frames: done so far.
        cuts: numbers of the frames with which a scene began, the first one's left out.
        last: when the last frame was shown, in ticks.
        memory: of the content's moments.
        scene: of the cuts' search; None before the first frame.
    """

    frames: int = 0
    cuts: tuple[int, ...] = ()
    last: int = 0
    memory: Memory = field(default_factory=dict)
    scene: Scene | None = None

    def scene_with(self, frame: Frame) -> tuple[Scene, bool]:
        """Go on with a frame, and say whether another scene begins with it."""
        return (Scene.first(frame.image), False) if self.scene is None else self.scene.followed_by(frame.image)


@dataclass(frozen=True)
class Unfinished:
    """Segments of an output and the state after the last of them.

    Attributes:
        folder: that holds them.
    """

    folder: Path

    @classmethod
    @contextmanager
    def beside(cls, output: Path, order: Mapping[str, Any]) -> Iterator[Unfinished]:
        """Take up an unfinished work, or begin one if there is none of the same order; keep other runs out of it.

        Args:
            output: the folder is hidden beside it.
            order: everything that the result depends on.

        Raises:
            OutputError: the folder cannot be made, or another run works in it.
        """
        work = cls(output.absolute().with_name(f".{output.name}.unfinished"))
        digest = hashlib.sha256(json.dumps(order, sort_keys=True, default=str).encode()).hexdigest()
        with work._locked(output):
            work._begin(digest)
            yield work
        if sys.platform == "win32" and not work._digest.exists():
            work.remove()  # there, a file that is open, such as the lock was, stays

    @contextmanager
    def _locked(self, output: Path) -> Iterator[None]:
        try:
            self.folder.mkdir(exist_ok=True)
            lock = self._lock.open("w")
        except OSError as error:
            raise self._refusal(error) from error
        with lock:
            try:
                claim(lock)
            except BlockingIOError as error:
                raise OutputError(f"another run writes {output}; let it end, or choose another output") from error
            yield

    def _begin(self, digest: str) -> None:
        """Empty the folder, but for the lock, if what it holds is of another order."""
        try:
            if self._digest.is_file() and self._digest.read_text() == digest:
                return
            for entry in self.folder.iterdir():
                if entry.is_dir():
                    shutil.rmtree(entry)
                elif entry != self._lock:
                    entry.unlink()
            self._digest.write_text(digest)
        except OSError as error:
            raise self._refusal(error) from error

    def _refusal(self, error: OSError) -> OutputError:
        return OutputError(f"{self.folder} cannot be made ({error.strerror}); choose another place")

    @property
    def _lock(self) -> Path:
        return self.folder / "lock"

    @property
    def _digest(self) -> Path:
        return self.folder / "order.sha256"

    @property
    def _state(self) -> Path:
        return self.folder / "state.safetensors"

    def segments(self, progress: Progress) -> list[Path]:
        """Give the segments that hold the frames done."""
        return [self.segment(number) for number in range(0, progress.frames, SEGMENT_FRAMES)]

    def segment(self, frames: int) -> Path:
        """Give the path of the segment that begins after so many frames."""
        return self.folder / f"{frames:08d}"

    def save(self, progress: Progress) -> None:
        """Keep a state; the segments before it must be whole."""
        assert progress.scene is not None  # there is a segment, so there was a frame
        tensors: dict[str, Tensor] = {"colours": torch.from_numpy(progress.scene.colours)}
        for site, labels in progress.memory.items():
            for label, moments in enumerate(labels):
                for part in PARTS:
                    tensors[f"{site}|{label}|{part}"] = getattr(moments, part).cpu()
        facts = {
            "frames": progress.frames,
            "cuts": progress.cuts,
            "last": progress.last,
            "level": progress.scene.level,
        }
        write_tensors(self._state, tensors, {"facts": json.dumps(facts)})

    def progress(self, device: torch.device | str) -> Progress:
        """Read the last state; a work just begun, or one that is damaged, stands at its beginning.

        Args:
            device: where moments live.
        """
        if not self._state.is_file():
            return Progress()
        try:
            said, tensors = read_tensors(self._state)
            facts = json.loads(said["facts"])
        except (CheckpointError, KeyError, ValueError):
            return Progress()
        memory: dict[str, list[Moments]] = {}
        for key in sorted(tensors):
            if key.endswith("|count"):  # labels of a site come in their order, for there are less than ten
                site, label, _ = key.split("|")
                moments = Moments(*(tensors[f"{site}|{label}|{part}"] for part in PARTS))
                memory.setdefault(site, []).append(moments.to(device))
        scene = Scene(tensors["colours"].numpy(), facts["level"])
        found = Progress(facts["frames"], tuple(facts["cuts"]), facts["last"], memory, scene)
        return found if all(segment.exists() for segment in self.segments(found)) else Progress()

    def remove(self) -> None:
        """Leave nothing behind."""
        shutil.rmtree(self.folder, ignore_errors=True)

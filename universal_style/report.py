"""What a transfer did, and how long each step took."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch

from universal_style.networks.checkpoints import sha256

Progress = Callable[[str, int, int], None]
"""Called with (what begins now, steps done, steps in all)."""


def silent(step: str, done: int, total: int) -> None:
    """Ignore progress."""


@dataclass(frozen=True)
class Report:
    """What a transfer did, and all that is needed to do it again.

    Attributes:
        method: its name.
        stylizer: arguments of `Stylizer`; device and precision are those that were chosen.
        content: its path; None for what came as no file.
        styles: the same of each style …
        content_mask: … of the content's mask …
        style_masks: … and of each style's.
        options: of `Stylizer.run`, defaults filled in.
        size: (height, width) of the result.
        seconds: by step.
        peak_memory: in bytes; of the process so far, and of the device.
        checkpoints: SHA-256 by file name.
        regions: of the content, with what each took from each style and why.
        notes: the same in a line each, where there is more than one region, and what was asked for in vain.
        versions: of this package, torch and Python's other parts that matter.
        trace: of an optimiser: weighted losses and seconds so far, by iteration.
    """

    method: str
    stylizer: Mapping[str, Any]
    content: str | None
    styles: Sequence[str | None]
    content_mask: str | None
    style_masks: Sequence[str | None]
    options: Mapping[str, Any]
    size: tuple[int, int]
    seconds: Mapping[str, float]
    peak_memory: Mapping[str, int]
    checkpoints: Mapping[str, str]
    regions: Sequence[Mapping[str, Any]]
    notes: Sequence[str]
    versions: Mapping[str, str]
    trace: Sequence[Mapping[str, float]] = ()

    def digests(self) -> dict[str, str]:
        """Give the SHA-256 of the files that went in, by path, as they are now."""
        return {path: sha256(Path(path)) for path in files_of(vars(self)) if Path(path).is_file()}

    def written(self) -> dict[str, Any]:
        """Give what JSON holds: all of it, and the files' digests."""
        return asdict(self) | {"files": self.digests()}


def files_of(told: Mapping[str, Any]) -> list[str]:
    """List the files that went into the picture of a report, as JSON holds it."""
    given = (told["content"], *told["styles"], told["content_mask"], *told["style_masks"])
    return [path for path in given if path is not None]


@dataclass
class Steps:
    """The steps of one transfer: announced as they begin, their seconds booked as they end, device work included.

    Attributes:
        device: that does the work.
        progress: told of each step.
        total: number of steps expected.
        seconds: by step.
    """

    device: torch.device
    progress: Progress
    total: int
    seconds: dict[str, float] = field(default_factory=dict)
    _now: str = ""
    _done: int = -1
    _since: float = field(default_factory=time.perf_counter)

    def begin(self, step: str, told: str = "") -> None:
        """End the step before, begin one.

        Args:
            step: its name; the seconds of steps of one name are added up.
            told: what is announced in its place.
        """
        self.end()
        self._now, self._done = step, self._done + 1
        self.progress(told or step, self._done, self.total)

    def end(self) -> None:
        """End the step that runs."""
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        now = time.perf_counter()
        if self._now:
            self.seconds[self._now] = self.seconds.get(self._now, 0.0) + now - self._since
        self._now, self._since = "", now

    def finish(self) -> None:
        """End the last step."""
        self.end()
        self.progress("done", self.total, self.total)

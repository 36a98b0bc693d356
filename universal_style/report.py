"""What a transfer did, and how long each step took."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch


@dataclass(frozen=True)
class Report:
    """What a transfer did.

    Attributes:
        method: its name.
        options: as the request understood them.
        size: (height, width) of the result.
        seconds: by step.
        peak_memory: in bytes; of the process so far, and of the device.
        checkpoints: SHA-256 by file name.
        regions: of the content, with what each took from each style and why.
        notes: the same in a line each, where there is more than one region.
        versions: of this package, torch and Python's other parts that matter.
    """

    method: str
    options: Mapping[str, Any]
    size: tuple[int, int]
    seconds: Mapping[str, float]
    peak_memory: Mapping[str, int]
    checkpoints: Mapping[str, str]
    regions: Sequence[Mapping[str, Any]]
    notes: Sequence[str]
    versions: Mapping[str, str]


@dataclass
class Clock:
    """Seconds by step, device work included."""

    device: torch.device
    seconds: dict[str, float] = field(default_factory=dict)
    _since: float = field(default_factory=time.perf_counter)

    def lap(self, step: str) -> None:
        """Book the time since the last lap to a step."""
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        now = time.perf_counter()
        self.seconds[step] = self.seconds.get(step, 0.0) + now - self._since
        self._since = now

"""Fits of the sites of a wave side by side, on graphics cards, which a single one leaves idle."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cache

import torch

from universal_style.drivers.edits import Fit
from universal_style.moments import Moments
from universal_style.networks.stage import Passage, Site
from universal_style.transforms import AffineMap

MOST_THREADS = 4
"""As many as a wave has sites: a level's, and the three bands kept below it."""


def taken_together(stage: Passage, device: torch.device) -> dict[Site, frozenset[Site]]:
    """Say for each site with which others it is edited: on graphics cards with those of its wave.

    Elsewhere each is alone, so that the moments of one at a time are held.
    """
    side_by_side = device.type == "cuda"
    return {site: wave if side_by_side else frozenset({site}) for wave in stage.waves for site in wave}


def fitted(fit: Fit, seen: Mapping[Site, Sequence[Moments]]) -> list[Sequence[AffineMap]]:
    """Fit sites that do not depend on each other."""
    device = next(iter(seen.values()))[0].mean.device
    if len(seen) == 1 or device.type != "cuda":
        return [fit(site, content) for site, content in seen.items()]
    return _side_by_side(device).fit(fit, seen)


@dataclass(frozen=True)
class _SideBySide:
    """Threads that wait for a graphics card, each with a stream and the libraries' memory that goes with it."""

    device: torch.device
    threads: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(MOST_THREADS))
    own: threading.local = field(default_factory=threading.local)

    def fit(self, fit: Fit, seen: Mapping[Site, Sequence[Moments]]) -> list[Sequence[AffineMap]]:
        here = torch.cuda.current_stream(self.device)

        @torch.inference_mode()
        def beside(site: Site, content: Sequence[Moments]) -> tuple[torch.cuda.Stream, Sequence[AffineMap]]:
            stream = self._stream()
            stream.wait_stream(here)
            with torch.cuda.stream(stream):
                return stream, fit(site, content)

        answers = list(self.threads.map(beside, seen.keys(), seen.values()))
        for stream, _ in answers:
            here.wait_stream(stream)
        return [maps for _, maps in answers]

    def _stream(self) -> torch.cuda.Stream:
        """Give the stream of this thread."""
        if not hasattr(self.own, "stream"):
            self.own.stream = torch.cuda.Stream(self.device)
        stream: torch.cuda.Stream = self.own.stream
        return stream


@cache
def _side_by_side(device: torch.device) -> _SideBySide:
    # torch loads its linear algebra at the first call, and cannot do so in two threads at once
    torch.linalg.eigh(torch.eye(2, dtype=torch.float64, device=device))
    return _SideBySide(device)

"""Fits of the sites of a wave side by side, on graphics cards, which a single one leaves idle."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache

import torch

from universal_style.drivers.edits import Fit
from universal_style.moments import Moments
from universal_style.networks.stage import Passage, Site
from universal_style.transforms import AffineMap


def taken_together(stage: Passage, device: torch.device) -> dict[Site, frozenset[Site]]:
    """Say for each site with which others it is edited: on graphics cards with those of its wave.

    Elsewhere each is alone, so that the moments of one at a time are held.
    """
    side_by_side = device.type == "cuda"
    return {site: wave if side_by_side else frozenset({site}) for wave in stage.waves for site in wave}


def fitted(fit: Fit, seen: Mapping[Site, Sequence[Moments]]) -> list[Sequence[AffineMap]]:
    """Fit sites that do not depend on each other."""
    if len(seen) == 1:
        return [fit(site, content) for site, content in seen.items()]
    device = next(iter(seen.values()))[0].mean.device
    _ready(device)
    here = torch.cuda.current_stream(device)
    streams = [torch.cuda.Stream(device) for _ in seen]

    @torch.inference_mode()
    def beside(stream: torch.cuda.Stream, site: Site, content: Sequence[Moments]) -> Sequence[AffineMap]:
        stream.wait_stream(here)
        with torch.cuda.stream(stream):
            return fit(site, content)

    with ThreadPoolExecutor(len(seen)) as threads:
        maps = list(threads.map(beside, streams, seen.keys(), seen.values()))
    for stream in streams:
        here.wait_stream(stream)
    return maps


@cache
def _ready(device: torch.device) -> None:
    """Let torch load its linear algebra, which it does at the first call and not in two threads at once."""
    torch.linalg.eigh(torch.eye(2, dtype=torch.float64, device=device))

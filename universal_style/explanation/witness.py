"""Who looks on while a picture is carried, and keeps what an explanation needs."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from universal_style.methods import Task
from universal_style.networks.stage import Site, Walker


class Explainer:
    """Sees one transfer.

    Attributes:
        task: what was to be done.
        walks: those that see a picture at the sites …
        sites: … where features were edited, coarse to fine; none for a method that edits none.
        steps: what each step left, in [0, 1]; those that changed nothing are left out.
    """

    task: Task

    def __init__(self) -> None:
        self.walks: Sequence[Walker] = ()
        self.sites: Sequence[Site] = ()
        self.steps: list[tuple[str, Float[Tensor, "1 3 h w"]]] = []

    def begins(self, task: Task) -> None:
        """Hear what is to be done."""
        self.task = task
        self.steps = [("content", task.pixels)]

    def plans(self, step: str, windows: str) -> None:
        """Forget it: windows do not change the picture."""

    def edits(self, walks: Sequence[Walker], sites: Collection[Site]) -> None:
        """Hear where features will be edited or compared, and which walks see a picture there."""
        self.walks = walks
        self.sites = sorted(sites, key=lambda site: (-site.level, site.key))

    def sees(self, step: str, pixels: Float[Tensor, "1 3 h w"]) -> None:
        """See the picture as a step leaves it."""
        clipped = pixels.detach().float().clamp(0, 1)
        before = self.steps[-1][1]
        if clipped.shape != before.shape or not torch.equal(clipped, before):
            self.steps.append((step, clipped))

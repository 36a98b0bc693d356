"""A trained feed-forward net as a method: its file is the method's name, its style lies in it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import torch

from universal_style.drivers.windows import grown
from universal_style.methods.kinds import Carried, Task
from universal_style.networks.feed_forward import STRIDE, net_facts
from universal_style.subjects import Loaded

SUFFIX = ".safetensors"


@dataclass(frozen=True)
class FeedForward:
    """A net of one style.

    Attributes:
        path: of its file.
    """

    path: Path
    smoothing: ClassVar[str] = "none"
    precision: ClassVar[str] = "float32"
    holds_style: ClassVar[bool] = True

    @classmethod
    def of(cls, path: Path) -> FeedForward:
        """Check that a file is a net.

        Raises:
            CheckpointError: it is not.
        """
        net_facts(path)
        return cls(path)

    @property
    def name(self) -> str:
        """The file's own."""
        return self.path.name

    def recipe(self) -> Pass:
        """There is nothing to choose."""
        return Pass(self.path)


@dataclass(frozen=True)
class Pass:
    """One pass through a net."""

    path: Path

    def as_options(self) -> dict[str, Any]:
        return {}

    def steps(self, styles: int) -> int:
        return 2

    @torch.inference_mode()
    def carry(self, loaded: Loaded, task: Task) -> Carried:
        task.steps.begin("load networks")
        network, checkpoint = loaded.net(self.path)
        task.steps.begin("feed forward")
        height, width = task.pixels.shape[2:]
        pixels = network(grown(task.pixels, STRIDE))[:, :, :height, :width]
        return Carried(pixels, [checkpoint])

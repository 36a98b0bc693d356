"""A trained feed-forward net as a method: its file is the method's name, its style lies in it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from universal_style.drivers.edits import Fit
from universal_style.methods.kinds import Carried, Task
from universal_style.networks.checkpoints import Checkpoint
from universal_style.networks.feed_forward import STRIDE, TransformNet, net_facts
from universal_style.regions import LabelMap
from universal_style.report import Steps
from universal_style.subjects import Loaded
from universal_style.windows import grown


@dataclass(frozen=True)
class FeedForward:
    """A net of one style.

    Attributes:
        path: of its file.
    """

    path: Path
    smoothing: ClassVar[str] = "none"
    precisions: ClassVar[Sequence[str]] = ("float32",)
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

    def checkpoints(self, folder: Path) -> tuple[Path, ...]:
        """There is one: the net's own file, wherever it lies."""
        return (self.path,)


@dataclass(frozen=True)
class Pass:
    """One pass through a net."""

    path: Path

    def as_options(self) -> dict[str, Any]:
        return {}

    def steps(self, styles: int) -> int:
        return 2

    def carry(self, loaded: Loaded, task: Task) -> Carried:
        ready = self.ready(loaded, task)
        pixels = ready.carry(task.pixels, task.regions, task.steps)
        task.witness.sees("feed forward", pixels)
        return Carried(pixels, ready.checkpoints)

    def ready(self, loaded: Loaded, task: Task) -> Net:
        """Load the net, once for any number of pictures."""
        task.steps.begin("load networks")
        network, checkpoint = loaded.net(self.path)
        return Net(network, [checkpoint])


@dataclass(frozen=True)
class Net:
    """A net that is loaded."""

    network: TransformNet
    checkpoints: Sequence[Checkpoint]

    def wrapped(self, wrap: Callable[[Fit], Fit]) -> Net:
        """Stay as it is: a net fits nothing."""
        return self

    @torch.inference_mode()
    def carry(self, pixels: Float[Tensor, "1 3 h w"], regions: LabelMap, steps: Steps) -> Float[Tensor, "1 3 h w"]:
        steps.begin("feed forward")
        height, width = pixels.shape[2:]
        result: Tensor = self.network(grown(pixels, STRIDE))
        return result[:, :, :height, :width]

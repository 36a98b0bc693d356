"""Gradient descent on pixels: L-BFGS or Adam, iteration by iteration."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor

from universal_style.errors import UniversalStyleError

Loss = Callable[[Tensor], Mapping[str, Tensor]]
"""From pixels to weighted terms."""


@runtime_checkable
class Optimizer(Protocol):
    """A way of descent."""

    def start(self, pixels: Tensor) -> torch.optim.Optimizer:
        """Prepare for pixels that require gradients."""
        ...

    def rate(self, share: float) -> float:
        """Give the learning rate after a share of the iterations, 0 to 1."""
        ...


class _Bounded(torch.optim.LBFGS):
    """Shortens steps of one tensor, so that no number goes too far."""

    def __init__(self, pixels: Tensor, history: int, farthest: float) -> None:
        super().__init__([pixels], lr=1.0, max_iter=1, history_size=history, tolerance_grad=0.0, tolerance_change=0.0)
        self.pixels, self.farthest = pixels, farthest

    def step(self, closure: Callable[[], float]) -> float:  # type: ignore[override]
        before = self.pixels.detach().clone()
        loss: float = super().step(closure)  # type: ignore[no-untyped-call]
        with torch.no_grad():
            way = self.pixels - before
            longest = float(way.abs().max())
            if longest > self.farthest:
                share = self.farthest / longest
                self.pixels.copy_(before + share * way)
                self.state[self.pixels]["t"] *= share  # the next step looks back along the direction of this one
        return loss


@dataclass(frozen=True)
class LBFGS:
    """Quasi-Newton steps from the last gradients, without a line search.

    Source: Liu and Nocedal 1989.
    Departs: a step that would take a pixel further than `farthest` is shortened. The first one is tiny, and of what it
        shows of the curvature rounding can leave so little that the second would go hundreds of times as far.

    Attributes:
        history: gradients that are kept, each with its step: 24 bytes per pixel and gradient.
        farthest: that a pixel goes in a step: the range of its values.
    """

    history: int = 20
    farthest: float = 1.0

    def start(self, pixels: Tensor) -> torch.optim.Optimizer:
        return _Bounded(pixels, self.history, self.farthest)

    def rate(self, share: float) -> float:
        return 1.0


@dataclass(frozen=True)
class Adam:
    """Adam with a drop of the learning rate late in the run.

    Source: Kingma and Ba 2015.

    Attributes:
        learning_rate: in units of the pixels, of [0, 1].
        drop_at: share of the iterations after which the rate drops …
        drop: … to this share of itself.
    """

    learning_rate: float = 0.02
    drop_at: float = 0.75
    drop: float = 0.1

    def start(self, pixels: Tensor) -> torch.optim.Optimizer:
        return torch.optim.Adam([pixels], lr=self.learning_rate)

    def rate(self, share: float) -> float:
        return self.learning_rate * (self.drop if share >= self.drop_at else 1.0)


OPTIMIZERS: dict[str, Optimizer] = {"lbfgs": LBFGS(), "adam": Adam()}
"""By name on the command line."""


@dataclass(frozen=True)
class Iterate:
    """One iteration.

    Attributes:
        number: from 1.
        losses: weighted terms before its step.
        pixels: after it; shared with the next iteration, so copy what you keep.
    """

    number: int
    losses: Mapping[str, float]
    pixels: Float[Tensor, "1 3 h w"]


def descend(start: Float[Tensor, "1 3 h w"], loss: Loss, optimizer: Optimizer, iterations: int) -> Iterator[Iterate]:
    """Make a loss small, yielding after every iteration.

    Raises:
        UniversalStyleError: the loss is no longer finite.
    """
    pixels = start.detach().clone(memory_format=torch.contiguous_format).requires_grad_()
    steps = optimizer.start(pixels)
    for number in range(1, iterations + 1):
        losses: dict[str, float] = {}

        def closure(losses: dict[str, float] = losses) -> float:
            steps.zero_grad()
            terms = loss(pixels)
            total = torch.stack(list(terms.values())).sum()
            total.backward()
            losses.update({name: float(term.detach()) for name, term in terms.items()})
            return sum(losses.values())

        for group in steps.param_groups:
            group["lr"] = optimizer.rate((number - 1) / iterations)
        steps.step(closure)
        if not all(map(math.isfinite, losses.values())) or not bool(pixels.isfinite().all()):
            raise UniversalStyleError(
                f"the optimiser diverged at iteration {number}; use --optimizer adam, or smaller weights"
            )
        yield Iterate(number, losses, pixels.detach())

"""What a smoothing is, and what its names stand for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from jaxtyping import Float
from torch import Tensor

from universal_style.names import looked_up
from universal_style.smoothing.closed_form import ClosedForm
from universal_style.smoothing.guided import GuidedFilter


@runtime_checkable
class Smoothing(Protocol):
    """Smooths a result along the edges of its content."""

    def __call__(self, result: Float[Tensor, "1 3 h w"], guide: Float[Tensor, "1 3 h w"]) -> Float[Tensor, "1 3 h w"]:
        """Give the smoothed result; both are pixels in [0, 1], the result may leave it a little."""
        ...

    def reach(self, height: int, width: int) -> int:
        """Say how far from a pixel of a picture of this size lies what it depends on, in pixels."""
        ...

    def settled(self, height: int, width: int) -> Smoothing:
        """Fix what depends on the size of the picture, for windows of it."""
        ...


@dataclass(frozen=True)
class NoSmoothing:
    """Leaves a result as it is."""

    def __call__(self, result: Float[Tensor, "1 3 h w"], guide: Float[Tensor, "1 3 h w"]) -> Float[Tensor, "1 3 h w"]:
        return result

    def reach(self, height: int, width: int) -> int:
        return 0

    def settled(self, height: int, width: int) -> NoSmoothing:
        return self


SMOOTHINGS: dict[str, Smoothing] = {"none": NoSmoothing(), "closed-form": ClosedForm(), "guided": GuidedFilter()}


def smoothing_named(name: str) -> Smoothing:
    """Look a smoothing up by its name on the command line.

    Raises:
        OptionError: no smoothing has this name.
    """
    return looked_up("smoothing", name, SMOOTHINGS)

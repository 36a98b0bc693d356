"""What a smoothing is, and what its names stand for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Protocol, runtime_checkable

from jaxtyping import Float
from torch import Tensor

from universal_style.names import looked_up
from universal_style.smoothing.bilateral import BilateralFit
from universal_style.smoothing.closed_form import ClosedForm
from universal_style.smoothing.guided import GuidedFilter


@runtime_checkable
class Smoothing(Protocol):
    """Smooths a result along the edges of its content."""

    def __call__(self, result: Float[Tensor, "1 3 h w"], guide: Float[Tensor, "1 3 h w"]) -> Float[Tensor, "1 3 h w"]:
        """Give the smoothed result; both are pixels in [0, 1], the result may leave it a little."""
        ...

    @property
    def stride(self) -> int:
        """What all borders of windows are multiples of, in pixels."""
        ...

    @property
    def reach(self) -> int:
        """How far from a pixel lies what it depends on, in pixels, a multiple of the stride."""
        ...

    @property
    def at_once(self) -> int:
        """Pixels that a CPU takes at once, halo included."""
        ...


@dataclass(frozen=True)
class NoSmoothing:
    """Leaves a result as it is."""

    stride: ClassVar[int] = 1
    reach: ClassVar[int] = 0
    at_once: ClassVar[int] = 0

    def __call__(self, result: Float[Tensor, "1 3 h w"], guide: Float[Tensor, "1 3 h w"]) -> Float[Tensor, "1 3 h w"]:
        return result


SMOOTHINGS: dict[str, Smoothing] = {
    "none": NoSmoothing(),
    "closed-form": ClosedForm(),
    "bilateral": BilateralFit(),
    "guided": GuidedFilter(),
}


def smoothing_named(name: str) -> Smoothing:
    """Look a smoothing up by its name on the command line.

    Raises:
        OptionError: no smoothing has this name.
    """
    return looked_up("smoothing", name, SMOOTHINGS)

"""Who runs the errands over the windows of a picture: this process, or several."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol, TypeVar, runtime_checkable

from torch import Tensor

from universal_style.drivers.errands import Errand
from universal_style.networks.stage import Stage
from universal_style.regions import LabelMap
from universal_style.windows import Window, pixels_in

Answer = TypeVar("Answer")


@runtime_checkable
class Hands(Protocol):
    """A crew that is there and works."""

    @property
    def workers(self) -> int:
        """Processes beside this one that run errands; 0 where this one does."""
        ...

    def answers(
        self, errand: Errand[Answer], stage: Stage, pixels: Tensor, regions: LabelMap, tiles: Sequence[Window]
    ) -> Iterator[tuple[int, Answer]]:
        """Run an errand over windows; give each one's number and answer in whatever order they come.

        Args:
            errand: run once for each window.
            stage: that is walked through.
            pixels: the whole picture, (1, 3, h, w); windows are cut out of it one by one.
            regions: of the whole picture.
            tiles: the windows.
        """
        ...


@runtime_checkable
class Crew(Protocol):
    """Can be brought together for a picture."""

    def gathered(self) -> AbstractContextManager[Hands]:
        """Bring the crew together for one or more stages."""
        ...

    def as_options(self) -> dict[str, Any]:
        """Give the options that make it."""
        ...


@dataclass(frozen=True)
class Here:
    """Run all errands in this process, one after the other."""

    workers: ClassVar[int] = 0

    def gathered(self) -> AbstractContextManager[Hands]:
        return nullcontext(self)

    def answers(
        self, errand: Errand[Answer], stage: Stage, pixels: Tensor, regions: LabelMap, tiles: Sequence[Window]
    ) -> Iterator[tuple[int, Answer]]:
        for number, window in enumerate(tiles):
            yield number, errand(stage, pixels_in(pixels, window), regions, window)

    def as_options(self) -> dict[str, Any]:
        return {"workers": 1, "address": None}


def in_order(answers: Iterable[tuple[int, Answer]]) -> Iterator[Answer]:
    """Give numbered answers from the first to the last, keeping those that come too early."""
    early: dict[int, Answer] = {}
    following = 0
    for number, answer in answers:
        early[number] = answer
        while following in early:
            yield early.pop(following)
            following += 1

"""What every method offers: a recipe, made of options once, that carries one picture."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from jaxtyping import Float
from torch import Tensor

from universal_style.drivers.edits import Fit
from universal_style.networks.checkpoints import Checkpoint
from universal_style.networks.stage import Site, Walker
from universal_style.regions import LabelMap, Match
from universal_style.report import Steps
from universal_style.subjects import Loaded, Subject


@runtime_checkable
class Witness(Protocol):
    """Sees a transfer go on, and changes nothing."""

    def begins(self, task: Task) -> None:
        """Hear what is to be done."""

    def plans(self, step: str, windows: str) -> None:
        """Hear how a step will divide the picture."""

    def edits(self, walks: Sequence[Walker], sites: Collection[Site]) -> None:
        """Hear where features will be edited or compared, and which walks see a picture there."""

    def sees(self, step: str, pixels: Float[Tensor, "1 3 h w"]) -> None:
        """See the picture as a step leaves it, not clipped."""


class Blind:
    """Sees nothing."""

    def begins(self, task: Task) -> None:
        """Forget it."""

    def plans(self, step: str, windows: str) -> None:
        """Forget it."""

    def edits(self, walks: Sequence[Walker], sites: Collection[Site]) -> None:
        """Forget it."""

    def sees(self, step: str, pixels: Float[Tensor, "1 3 h w"]) -> None:
        """Forget it."""


BLIND = Blind()


@dataclass(frozen=True)
class Task:
    """One picture to be given a style.

    Attributes:
        pixels: of the content, RGB in [0, 1].
        coloured: the same with the content's own colours, where another picture is carried in its place.
        regions: of the content.
        subjects: the styles.
        regions_of_styles: one map for each of them.
        matched: what each region takes from each style.
        seed: of everything random.
        steps: to be told of what is done.
        witness: to be shown what is made.
    """

    pixels: Float[Tensor, "1 3 h w"]
    coloured: Float[Tensor, "1 3 h w"]
    regions: LabelMap
    subjects: Sequence[Subject]
    regions_of_styles: Sequence[LabelMap]
    matched: Match
    seed: int
    steps: Steps
    witness: Witness = BLIND


@dataclass(frozen=True)
class Carried:
    """A picture in its style.

    Attributes:
        pixels: of the content's size, not clipped.
        checkpoints: that were used.
        trace: of an optimiser, by iteration.
    """

    pixels: Float[Tensor, "1 3 h w"]
    checkpoints: Sequence[Checkpoint]
    trace: Sequence[Mapping[str, float]] = ()


@runtime_checkable
class Recipe(Protocol):
    """A method with its options checked and turned into objects."""

    def as_options(self) -> dict[str, Any]:
        """Give the options that would make the same recipe, as JSON can hold them."""

    def steps(self, styles: int) -> int:
        """Say how many steps `carry` will begin, for so many styles."""

    def carry(self, loaded: Loaded, task: Task) -> Carried:
        """Give one picture its style."""


@runtime_checkable
class Carrier(Protocol):
    """A recipe with its networks loaded and its styles observed, for any number of pictures.

    Attributes:
        checkpoints: that it uses.
    """

    @property
    def checkpoints(self) -> Sequence[Checkpoint]: ...

    def wrapped(self, wrap: Callable[[Fit], Fit]) -> Carrier:
        """Give the same with something around its fit; a method that fits nothing stays as it is."""

    def carry(self, pixels: Float[Tensor, "1 3 h w"], regions: LabelMap, steps: Steps) -> Float[Tensor, "1 3 h w"]:
        """Give one picture its style; not clipped."""


@runtime_checkable
class Lasting(Protocol):
    """A recipe whose costly part is done once and serves many pictures; the optimisers are none."""

    def ready(self, loaded: Loaded, task: Task) -> Carrier:
        """Load the networks and observe the styles of a task, whose regions all pictures share."""


@runtime_checkable
class Method(Protocol):
    """A name on the command line.

    Attributes:
        smoothing: name of the result's, in `SMOOTHINGS`, unless another is asked for.
        precisions: that its networks may have: auto, or names of `DTYPES`; the first where the user leaves the choice.
        holds_style: whether it comes with its style and takes none.
    """

    @property
    def name(self) -> str: ...
    @property
    def smoothing(self) -> str: ...
    @property
    def precisions(self) -> Sequence[str]: ...
    @property
    def holds_style(self) -> bool: ...

    @property
    def recipe(self) -> Any:
        """Give what makes a `Recipe` of the method's own options, handed over by keyword.

        Raises:
            OptionError: an option is out of range or contradicts another.
        """
        ...

    def checkpoints(self, folder: Path) -> Sequence[Path]:
        """Name the files of its networks beside the encoder, whether or not they are there.

        Args:
            folder: where decoders lie.
        """
        ...

"""The table of methods: what a name on the command line stands for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from universal_style.errors import OptionError
from universal_style.networks.pooling import NearestPooling, Pooling
from universal_style.transforms import OptimalTransport, Transform


@dataclass(frozen=True)
class Method:
    """A closed-form method: a cascade of stages, one per level, and what it does when nothing else is asked.

    Attributes:
        name: on the command line.
        pooling: of every stage.
        levels: those that have a stage.
        cascade: the levels that run unless others are asked for, in order.
        strengths: by level; alpha is multiplied by it.
        transform: of the features at every site.
    """

    name: str
    pooling: Pooling
    levels: tuple[int, ...]
    cascade: tuple[int, ...]
    strengths: Mapping[int, float]
    transform: Transform


METHODS: dict[str, Method] = {
    "wct": Method(
        name="wct",
        pooling=NearestPooling(),
        levels=(5, 4, 3, 2, 1),
        cascade=(4, 3, 2, 1),
        strengths={5: 1.0, 4: 1.0, 3: 1.0, 2: 1.0, 1: 1.0},
        transform=OptimalTransport(),
    ),
}


def method_named(name: str) -> Method:
    """Look a method up.

    Raises:
        OptionError: no method has this name.
    """
    if name not in METHODS:
        raise OptionError(f"method {name!r} is unknown; use one of {', '.join(METHODS)}")
    return METHODS[name]

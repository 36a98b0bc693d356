"""Numbers given as options, held against their range."""

from __future__ import annotations

import math
from collections.abc import Iterable
from numbers import Integral, Real
from typing import Any

from universal_style.errors import OptionError

LONGEST_SIDE = 100_000
MOST_SEEDS = 1 << 63


def at_least(least: int, **options: float) -> None:
    """Make sure that options are finite and at least so much.

    Args:
        least: the smallest value that does.
        **options: values by name, with underscores for dashes.

    Raises:
        OptionError: one is not.
    """
    for name, value in options.items():
        if not least <= value < math.inf:
            said = f"{value:g}" if isinstance(value, float) else str(value)
            raise OptionError(f"{name.replace('_', '-')} {said} is out of range; it is at least {least}")


def real_numbers(name: str, value: Any) -> list[float]:
    """Take one number or several.

    Raises:
        OptionError: it is something else.
    """
    several = list(value) if isinstance(value, Iterable) and not isinstance(value, str) else [value]
    if not all(isinstance(number, Real) for number in several):
        raise OptionError(f"{name} {value!r} does not do; it is a number, or one for each")
    return [float(number) for number in several]


def whole_number(name: str, value: Any) -> int:
    """Take a whole number.

    Raises:
        OptionError: it is something else.
    """
    if not isinstance(value, Integral):
        raise OptionError(f"{name} {value!r} does not do; it is a whole number")
    return int(value)


def long_side(name: str, value: int | None) -> int | None:
    """Make sure that a picture can have a long side; none is asked for by None.

    Args:
        name: of the option.
        value: in pixels.

    Raises:
        OptionError: it cannot.
    """
    if value is not None and not 1 <= whole_number(name, value) <= LONGEST_SIDE:
        raise OptionError(f"{name} {value} is out of range; it is the long side in pixels, 1 to {LONGEST_SIDE}")
    return value


def whole_seed(value: int) -> int:
    """Make sure that a seed is a whole number of 64 bits, of any sign.

    Raises:
        OptionError: it is not.
    """
    if not isinstance(value, int) or not -MOST_SEEDS <= value < MOST_SEEDS:
        raise OptionError(f"seed {value} is out of range; it is a whole number of 64 bits")
    return value


def unsigned(seed: int) -> int:
    """Give a seed as NumPy takes it, which knows of no negative ones: the same 64 bits."""
    return seed % (2 * MOST_SEEDS)

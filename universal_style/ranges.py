"""Numbers given as options, held against their range."""

from __future__ import annotations

import math

from universal_style.errors import OptionError


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

"""What a name on the command line stands for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar

from universal_style.errors import OptionError

T = TypeVar("T")


def looked_up(kind: str, name: str, table: Mapping[str, T]) -> T:
    """Give the entry of a table.

    Args:
        kind: what the table holds, for the message.

    Raises:
        OptionError: the table has no such name.
    """
    if name not in table:
        raise OptionError(f"{kind} {name!r} is unknown; use one of {', '.join(table)}")
    return table[name]


def name_in(table: Mapping[str, T], entry: T) -> str:
    """Give the name under which a table has an entry, which undoes `looked_up`."""
    return next(name for name, other in table.items() if other == entry)

"""What clients send, read as it comes: kinds are checked here, before Gradio opens any file of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from universal_style.errors import InputError
from universal_style.ranges import long_side
from universal_style.web.worker import Order

Sent = Any
"""What a client sent for a component, not yet looked at."""


def pictures_of(uploads: Sent) -> list[Sent]:
    """Give the files that a gallery holds."""
    if not isinstance(uploads, Sequence) or isinstance(uploads, str):
        return []
    return [entry.get("image") if isinstance(entry, Mapping) else entry for entry in uploads]


def order_of(method: Sent, strength: Sent, keep_colors: Sent, smooth: Sent, style_size: Sent, regions: Sent) -> Order:
    """Read how a picture is to be given its style.

    Raises:
        InputError: a word or number is something else.
        OptionError: the style size is out of range.
    """
    return Order(
        word(method), _number(strength), word(keep_colors), word(smooth), style_size_of(style_size), _whole(regions)
    )


def word(sent: Sent) -> str:
    """Read a name.

    Raises:
        InputError: it is something else.
    """
    if not isinstance(sent, str):
        raise InputError(f"{sent!r} is no name; give one".replace("\n", " ")[:200])
    return sent


def _number(sent: Sent) -> float:
    try:
        return float(sent)
    except (TypeError, ValueError) as error:
        raise InputError("a number is needed here") from error


def _whole(sent: Sent) -> int:
    number = _number(sent or 0)
    if not number.is_integer():
        raise InputError(f"{number:g} is not a whole number; give one")
    return int(number)


def style_size_of(sent: Sent) -> int | None:
    """Read a long side of styles; 0 stands for their own."""
    return long_side("style-size", _whole(sent) or None)

"""Names for many files: readable, unlike each other, and the same whenever they are made."""

from __future__ import annotations

import hashlib
import os
import re
import unicodedata
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from universal_style.errors import InputError

SEPARATOR = "--"
"""Between the two labels of a result's name. No label holds it, so two pairs never have one name."""
MOST_BYTES = 100
"""Of a label: two of them, a separator and suffixes stay under the 255 bytes of a file name."""
DIGEST_DIGITS = 8


def label(text: str, most_bytes: int = MOST_BYTES) -> str:
    """Make a text part of a file name: short enough, without the separator and without a hyphen at its ends."""
    raw = os.fsencode(text)
    cut = text if len(raw) <= most_bytes else raw[:most_bytes].decode(errors="ignore")
    return re.sub("-{2,}", "-", cut).strip("-") or "picture"


def names_of(path: Path) -> list[str]:
    """Propose labels for a file: its stem, its name, the stem with its folder, with a digest of its place."""
    digest = hashlib.sha256(os.fsencode(path)).hexdigest()[:DIGEST_DIGITS]
    numbered = f"{label(path.stem, MOST_BYTES - DIGEST_DIGITS - 1)}-{digest}"
    return [label(path.stem), label(path.name), label(f"{path.parent.name}-{path.stem}"), numbered]


def told_apart(proposals: Sequence[Sequence[str]], places: Sequence[str]) -> list[str]:
    """Choose a name for each item: the first of its proposals that no other item takes in the same place.

    Names that differ in case or composition alone count as equal, since some file systems say so. All items that share
    a name go on to their next one, so the choice does not hang on their order.

    Args:
        proposals: of each item, in order of preference.
        places: of each item; equal names in unlike places do not meet.

    Raises:
        InputError: two items share all their names.
    """
    ranks = [0] * len(proposals)
    while True:
        names = [own[rank] for own, rank in zip(proposals, ranks, strict=True)]
        keys = [_folded(f"{place}/{name}") for place, name in zip(places, names, strict=True)]
        counts = Counter(keys)
        shared = [number for number, key in enumerate(keys) if counts[key] > 1]
        if not shared:
            return names
        movable = [number for number in shared if ranks[number] + 1 < len(proposals[number])]
        if not movable:
            raise InputError(f"two files would both be named {names[shared[0]]}; rename one of them")
        for number in movable:
            ranks[number] += 1


def _folded(text: str) -> str:
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", text).casefold())

"""How many pixels a window may have: a number, or as many as fit in memory."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import psutil
import torch

from universal_style.allocator import give_freed_memory_back
from universal_style.canvas import is_mapped
from universal_style.devices import SHARE, free_memory
from universal_style.errors import InputError, OptionError
from universal_style.networks.stage import Stage
from universal_style.regions import LabelMap
from universal_style.windows import grown_length


@dataclass(frozen=True)
class Footprint:
    """Bytes at the peak of a walk.

    Attributes:
        small: for each pixel walked over, while the layers take a picture whole.
        large: for each pixel where they go over it in bands …
        beside: … and what a band takes.
    """

    small: int
    large: int
    beside: int

    def most(self, left: int) -> int:
        """Give the most pixels that a number of bytes has room for."""
        return max(left // self.small, (left - self.beside) // self.large)

    def of(self, pixels: int) -> int:
        """Give the bytes for some pixels."""
        return min(self.small * pixels, self.large * pixels + self.beside)


BAND = 600 * 2**20
FOOTPRINTS = {
    "nearest": (Footprint(1700, 820, BAND), Footprint(3000, 450, BAND)),
    "index": (Footprint(2000, 1000, BAND), Footprint(3050, 850, BAND)),
    "haar-sum": (Footprint(2050, 1050, BAND), Footprint(3100, 1000, BAND)),
    "haar-cat5": (Footprint(2250, 1500, BAND), Footprint(3200, 1250, BAND)),
}
"""Of a walk by pooling: with networks of two bytes, and of four.

Measured on a CPU as the growth of the process (`benchmarks/memory.py`), rounded up by a tenth or so: window after
window leaves holes that the next does not fit. 100 megapixels of `wct2` took 2.9 GiB of 3. Its numbers for networks of
two bytes are of the time when it went to relu4_1. Of small windows those of four bytes were measured, down to 0.07
megapixels.
"""
PICTURE_BYTES = 36
"""Bytes for each pixel of a picture in memory: three floats before a stage, after it, and while it is written."""
BASE_BYTES = 800 * 2**20
"""What the process needs beside the walks: the interpreter, torch and the networks.

The peak of the command line over a tiny picture, 664 to 787 MiB by method and precision (`benchmarks/memory.py`).
"""
REGION_BYTES = 20 * 2**20
"""What is known of a region beside the first: its moments in the content and in a style, and its maps.

Measured as the growth of the process from one region to 36 to 100: 7 MiB of `wct`, 11 of `wct2`, 13 of five levels,
and half as much again in windows, whose moments are held beside what is known.
"""
LIBRARY_BYTES = 300 * 2**20
"""Of what a process holds, the files of torch's libraries, which several processes hold once."""
NEARLY = 0.8
"""Of a bound, how much a process holds before it gives back what it has freed, between two windows.

Window after window leaves holes that the next does not fit: 6 megapixels of `wct` reached 2.5 GiB of 2 without.
"""
FEWEST_PIXELS = 256 * 256
"""Windows are no smaller than this …"""
HALOS = 3
"""… nor than the square of so many halos, of which a ninth counts: a megapixel of relu5_1 would take an hour."""
UNITS = {"": 1, "K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40}


@runtime_checkable
class Bound(Protocol):
    """Says how many pixels a window of a stage may have."""

    def most(self, stage: Stage, regions: LabelMap, workers: int) -> int:
        """Give the most pixels of a window, halo included.

        Args:
            stage: that is walked through.
            regions: of the picture, of the same size.
            workers: processes beside this one that each take a walk at a time; 0 where this one does.
        """
        ...

    def shared(self, workers: int) -> Bound:
        """Give the bound of each of several processes that keep to this one together.

        Args:
            workers: as for `most`.
        """
        ...

    def begin(self) -> None:
        """Do what keeps the process under the bound, before the windows of a stage."""
        ...

    def keep(self) -> None:
        """Do the same between two of them."""
        ...

    def as_options(self) -> dict[str, Any]:
        """Give the options that make it, of `bound_of`."""
        ...


class Freely:
    """Nothing is to be kept to."""

    def shared(self: Bound, workers: int) -> Bound:
        return self

    def begin(self) -> None:
        pass

    def keep(self) -> None:
        pass


@dataclass(frozen=True)
class Unbounded(Freely):
    """A picture is one window."""

    def most(self, stage: Stage, regions: LabelMap, workers: int) -> int:
        return 2**62

    def as_options(self) -> dict[str, Any]:
        return {"tile": "off", "memory": None}


@dataclass(frozen=True)
class Side(Freely):
    """A window has so many pixels, whatever the stage.

    Attributes:
        pixels: side of a square with as many, halo included.
    """

    pixels: int

    def most(self, stage: Stage, regions: LabelMap, workers: int) -> int:
        return self.pixels**2

    def as_options(self) -> dict[str, Any]:
        return {"tile": str(self.pixels), "memory": None}


@dataclass(frozen=True)
class Memory:
    """The whole process stays under a bound, or it and its workers together.

    Attributes:
        number: bytes.
    """

    number: int

    def most(self, stage: Stage, regions: LabelMap, workers: int) -> int:
        """Give what is left for windows once the process and the picture have their share.

        Raises:
            OptionError: it is too little for any picture.
            InputError: it is too little for this one, and others may do.
        """
        walks, base, pixels = max(1, workers), BASE_BYTES * (1 + workers), regions.labels.size
        smallest = walks * footprint(stage).of(fewest_pixels(stage, regions))
        known = known_of(regions) * (1 + workers)
        needed = base + known + held_by(pixels) + smallest
        if self.number < needed:
            wrong = OptionError if self.number < base + smallest else InputError
            parts = f" in {regions.count} regions" if regions.count > 1 else ""
            raise wrong(
                f"memory {self.number / 2**20:.0f}MiB is too little for {pixels / 1e6:.1f} megapixels{parts}; "
                f"this picture needs {-(-needed // 2**20)}MiB"
            )
        return footprint(stage).most((self.number - base - known - held_by(pixels)) // walks)

    def shared(self, workers: int) -> Memory:
        """Give each an equal part, and room for the libraries' files, which count once."""
        return Memory(self.number // (1 + workers) + (LIBRARY_BYTES if workers else 0))

    def begin(self) -> None:
        """Give back what reading a picture, or a stage with windows of other shapes, has freed.

        Without, 100 megapixels of `wct` took 3.2 of 3 GiB in its last stages.
        """
        give_freed_memory_back()

    def keep(self) -> None:
        if psutil.Process().memory_info().rss > NEARLY * self.number:
            give_freed_memory_back()

    def as_options(self) -> dict[str, Any]:
        return {"tile": "auto", "memory": self.number}


@dataclass(frozen=True)
class FreeMemory(Freely):
    """Windows take at most a share of the memory that is free when they are chosen."""

    def most(self, stage: Stage, regions: LabelMap, workers: int) -> int:
        beside = workers if stage.device.type == "cpu" else 0  # each has a graphics card of its own
        known = known_of(regions) * (1 + beside)
        held = held_by(regions.labels.size, stage.device) + known + BASE_BYTES * beside
        left = SHARE * free_memory(stage.device) - held
        return max(fewest_pixels(stage, regions), footprint(stage).most(int(left) // max(1, beside)))

    def as_options(self) -> dict[str, Any]:
        return {"tile": "auto", "memory": None}


def check_room(memory: int | None, needed: int, doing: str) -> None:
    """Make sure that a bound on memory leaves room for what is done to a picture before or after its walks.

    Args:
        memory: bytes that the process may take; None for no bound.
        needed: bytes; of 0 there is room under any bound.
        doing: what is done, for the message.

    Raises:
        OptionError: there is too little for any picture.
        InputError: there is too little for this one, and others may do.
    """
    if memory is not None and needed and memory < BASE_BYTES + needed:
        raise (OptionError if memory < BASE_BYTES else InputError)(
            f"memory {memory / 2**20:.0f}MiB is too little for {doing}, which takes "
            f"{-(-(BASE_BYTES + needed) // 2**20)}MiB; a .tif is read and written in parts"
        )


def held_by(picture: int, device: torch.device | str = "cpu") -> int:
    """Estimate the bytes that the pixels of a picture take on a device beside its windows; one in a file takes none."""
    mapped = torch.device(device).type == "cpu" and is_mapped(1, picture)
    return 0 if mapped else PICTURE_BYTES * picture


def known_of(regions: LabelMap) -> int:
    """Estimate the bytes of what is known of regions, in each process; a picture without any has it in the base."""
    matte = 0 if regions.matte is None else sum(plane.nbytes for plane in regions.matte.planes)
    return REGION_BYTES * (regions.count - 1) + matte


def fewest_pixels(stage: Stage, regions: LabelMap) -> int:
    """Give the pixels of the smallest window of a picture that is worth a walk through a stage, halo included."""
    whole = grown_length(regions.height, stage.stride) * grown_length(regions.width, stage.stride)
    return max(FEWEST_PIXELS, min(whole, (HALOS * stage.halo) ** 2))


def footprint(stage: Stage) -> Footprint:
    """Estimate what a walk through a stage takes."""
    two, four = FOOTPRINTS[stage.pooling.name]
    return two if stage.dtype.itemsize == 2 else four


def bound_of(tile: str | int, memory: str | int | None) -> Bound:
    """Turn the options into a bound.

    Args:
        tile: auto, off, or the side of a window in pixels, halo included.
        memory: none, or what the process may take: bytes, or a text such as 4GiB.

    Raises:
        OptionError: they cannot be read, or contradict each other.
    """
    if memory is not None and tile != "auto":
        raise OptionError(f"tile {tile} and memory exclude each other; give one of them")
    if memory is not None:
        return Memory(bytes_of(memory))
    if tile == "auto":
        return FreeMemory()
    if tile == "off":
        return Unbounded()
    if not str(tile).isdecimal() or int(tile) < 1:
        raise OptionError(f"tile {tile!r} is unknown; use auto, off, or a number of pixels such as 1024")
    return Side(int(tile))


def bytes_of(memory: str | int) -> int:
    """Read an amount of memory: 4GiB, 800M, or a number of bytes; units are powers of 1024.

    Raises:
        OptionError: it cannot be read.
    """
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([KMGT]?)(?:i?B)?", str(memory).strip(), re.IGNORECASE)
    if match is None:
        raise OptionError(f"memory {memory!r} is not an amount; write for example 4GiB or 800MiB")
    return int(float(match[1]) * UNITS[match[2].upper()])


__all__ = ["Bound", "FreeMemory", "Memory", "Side", "Unbounded", "bound_of"]

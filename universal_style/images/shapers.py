"""Colour profiles (ICC) of three curves and a matrix, which most of RGB are, at full depth."""

from __future__ import annotations

import io
from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np
import scipy  # its parts are loaded where they are used
from jaxtyping import Float
from numpy.typing import NDArray
from PIL import ImageCms

from universal_style.images.profiles import SRGB

ENTRIES = 65536
"""Of a curve: one for each number of 16 bits."""
GRID = np.linspace(0, 1, ENTRIES)
PARAMETERS = ("g", "gab", "gabc", "gabcd", "gabcdef")
"""Of a curve by formula, by its kind."""
TABLES = frozenset({b"A2B0", b"A2B1", b"B2A0", b"B2A1", b"D2B0", b"D2B1", b"B2D0", b"B2D1"})
"""What goes before curves and matrix where a profile has it."""


@dataclass(frozen=True)
class Shaper:
    """How a profile's colours become light: a curve for each of red, green and blue, then a matrix.

    Source: ICC.1:2022 (the colour profile standard), annex F.3, and sections 10.6 and 10.18 for the curves.

    Attributes:
        curves: of red, green and blue, over `GRID`; none falls.
        matrix: of their light to XYZ about D50.
    """

    curves: tuple[Float[np.ndarray, " n"], ...]
    matrix: Float[np.ndarray, "3 3"]

    @cached_property
    def backward(self) -> list[Float[np.ndarray, " n"]]:
        """What number gives the light that is the square of each number of `GRID`: squares, for what is dark."""
        return [np.interp(GRID**2, curve, GRID) for curve in self.curves]

    def to(self, other: Shaper, pixels: Float[np.ndarray, "h w 3"]) -> Float[np.ndarray, "h w 3"]:
        """Say colours in [0, 1] as another profile does; what it has no numbers for is cut off at 0 and 1."""
        light = np.stack([_found(curve, pixels[..., i]) for i, curve in enumerate(self.curves)], axis=-1)
        light = np.sqrt((light @ np.linalg.solve(other.matrix, self.matrix).T).clip(0, 1))
        return np.stack(
            [_found(curve, light[..., i]) for i, curve in enumerate(other.backward)], axis=-1, dtype=np.float32
        )


def _found(table: Float[np.ndarray, " n"], places: Float[np.ndarray, "h w"]) -> Float[np.ndarray, "h w"]:
    """Read a table over `GRID` between its entries too."""
    entries = places[None].astype(np.float64) * (ENTRIES - 1)
    found: NDArray[np.float64] = scipy.ndimage.map_coordinates(table, entries, order=1, mode="nearest")
    return found


@lru_cache(maxsize=4)
def shaper_of(profile: bytes) -> Shaper | None:
    """Read a profile; None where it is of another kind, or damaged."""
    try:
        read = ImageCms.ImageCmsProfile(io.BytesIO(profile)).profile
        colorants = read.red_colorant, read.green_colorant, read.blue_colorant
        tags = _tags(profile)
        if not read.is_matrix_shaper or read.xcolor_space.strip() != "RGB" or None in colorants or tags.keys() & TABLES:
            return None
        matrix = np.array([colorant[0] for colorant in colorants if colorant]).T
        curves = tuple(_curve(tags[name]) for name in (b"rTRC", b"gTRC", b"bTRC"))
    except (ImageCms.PyCMSError, OSError, ValueError, LookupError, ArithmeticError):
        return None
    usable = all(curve.min() >= 0 and curve[-1] > curve[0] and (np.diff(curve) >= 0).all() for curve in curves)
    return Shaper(curves, matrix) if usable and np.linalg.cond(matrix) < ENTRIES else None


@lru_cache(maxsize=1)
def srgb() -> Shaper:
    """Give sRGB's."""
    shaper = shaper_of(ImageCms.ImageCmsProfile(SRGB).tobytes())
    assert shaper is not None  # it is one of curves and a matrix
    return shaper


def _tags(profile: bytes) -> dict[bytes, bytes]:
    """Give what a profile holds by names of four letters."""
    count = min(int.from_bytes(profile[128:132], "big"), len(profile) // 12)
    tags = {}
    for entry in (profile[at : at + 12] for at in range(132, 132 + 12 * count, 12)):
        place, size = (int.from_bytes(entry[at : at + 4], "big") for at in (4, 8))
        tags[entry[:4]] = profile[place : place + size]
    return tags


def _curve(tag: bytes) -> NDArray[np.float64]:
    """Give the light of each number of `GRID`."""
    if tag[:4] == b"curv":
        count = int.from_bytes(tag[8:12], "big")
        numbers = np.frombuffer(tag[12 : 12 + 2 * count], ">u2").astype(np.float64)
        if len(numbers) != count:
            raise ValueError("a curve is cut off")
        if count == 0:
            return GRID
        return GRID ** (numbers[0] / 256) if count == 1 else np.interp(GRID, np.linspace(0, 1, count), numbers / 65535)
    if tag[:4] != b"para":
        raise ValueError("not a curve")
    names = PARAMETERS[int.from_bytes(tag[8:10], "big")]
    values = np.frombuffer(tag[12 : 12 + 4 * len(names)], ">i4") / 65536
    p = dict(zip(names, values.tolist(), strict=True))
    a, b = p.get("a", 1.0), p.get("b", 0.0)
    if "d" not in p:  # where a straight line begins, which is level there
        p |= {"d": -b / a, "e": p.get("c", 0.0), "f": p.get("c", 0.0), "c": 0.0}
    bent = np.maximum(a * GRID + b, 0) ** p["g"] + p.get("e", 0.0)
    light: NDArray[np.float64] = np.where(p["d"] <= GRID, bent, p["c"] * GRID + p.get("f", 0.0))
    return light.clip(0, 1)

"""A result as a 3-D colour lookup table, the .cube file that photo and film programs read."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray
from scipy import ndimage, sparse
from scipy.fft import dctn, idctn
from scipy.sparse.linalg import LinearOperator, cg

from universal_style.atomic import write_bytes
from universal_style.errors import InputError, OptionError, OutputError
from universal_style.images import Image

SIZE = 33
"""Entries along each axis, what Lightroom, Resolve, darktable and ffmpeg take."""
SMOOTHNESS = 1.0
"""Weight of the squared second differences of the change, per entry, where every entry sees one pixel on average.

Less follows the result more closely and amplifies the noise of the files that the table is used on: at a thousandth the
blocks of a JPEG show.
"""
MOST_PIXELS = 400_000
"""Pixels of a picture that are fitted; more say nothing new about 36 thousand entries."""
STEADINESS = 0.05
"""Weight of the squared first differences beside it, which ends the change's growth beyond the content's colours."""
TOLERANCE = 1e-7
MOST_ITERATIONS = 2000
SUFFIX = ".cube"


@dataclass(frozen=True)
class Lut:
    """A map of colours, interpolated linearly between its entries.

    Attributes:
        table: RGB by (red, green, blue), values and axes in [0, 1].
        mean_error: of the pixels that were fitted, absolute, in steps of 1/255.
        high_error: what 95 % of their errors stay under.
    """

    table: Float[np.ndarray, "r g b 3"]
    mean_error: float
    high_error: float

    @classmethod
    def fit(cls, content: Image, result: Image, size: int = SIZE) -> Lut:
        """Find the table that turns a content into a result as nearly as a map of colours can.

        The change of each colour is fitted in the least-squares sense and kept smooth, so that colours that the content
        does not have change as their neighbours do.

        Raises:
            InputError: the pictures differ in size.
        """
        if content.pixels.shape != result.pixels.shape:
            raise InputError(
                f"the content is {content.width}×{content.height}, the result {result.width}×{result.height}; "
                "a lookup table is fitted to pictures of one size"
            )
        step = -(-content.height * content.width // MOST_PIXELS)
        before, after = (image.pixels.reshape(-1, 3)[::step].astype(np.float64) for image in (content, result))
        weights = interpolation(before, size)
        bends, slopes = differences(size, (1.0, -2.0, 1.0)), differences(size, (-1.0, 1.0))
        scale = SMOOTHNESS * weights.shape[0] / weights.shape[1] * size
        rough = bends.T @ bends + STEADINESS * (slopes.T @ slopes)
        seen = weights.T @ weights
        normal = (seen + scale * rough).tocsr()
        alike = seen.diagonal().mean() + scale * _spectrum(size)  # as if each entry saw as many pixels

        def precondition(values: NDArray[np.float64]) -> NDArray[np.float64]:
            waves = dctn(values.reshape(alike.shape), norm="ortho")
            solved: NDArray[np.float64] = idctn(waves / alike, norm="ortho").ravel()
            return solved

        easier = LinearOperator(normal.shape, matvec=precondition, dtype=np.float64)
        change = []
        for channel in range(3):
            wanted = weights.T @ (after[:, channel] - before[:, channel])
            solution, failed = cg(normal, wanted, rtol=TOLERANCE, maxiter=MOST_ITERATIONS, M=easier)
            if failed:
                raise OutputError("the lookup table could not be fitted; leave --lut out and report the pictures")
            change.append(solution.reshape(size, size, size))
        table = np.clip(identity(size) + np.stack(change, axis=-1), 0, 1).astype(np.float32)
        gaps = np.abs(_interpolated(table, before) - after) * 255
        return cls(table, float(gaps.mean()), float(np.quantile(gaps, 0.95)))

    def __call__(self, image: Image) -> Image:
        """Give a picture the table's colours."""
        flat = _interpolated(self.table, image.pixels.reshape(-1, 3).astype(np.float64))
        pixels = flat.reshape(image.pixels.shape).astype(np.float32)
        return replace(image, pixels=pixels)

    def write(self, path: Path, title: str) -> None:
        """Write a .cube file, atomically.

        Source: Adobe's Cube LUT Specification 1.0; red runs fastest.
        """
        size = len(self.table)
        rows = self.table.transpose(2, 1, 0, 3).reshape(-1, 3)  # (r, g, b, 3) -> (b g r, 3)
        name = " ".join(title.replace('"', "'").split())
        head = f'TITLE "{name}"\nLUT_3D_SIZE {size}\nDOMAIN_MIN 0.0 0.0 0.0\nDOMAIN_MAX 1.0 1.0 1.0\n'
        lines = "".join(f"{red:.6f} {green:.6f} {blue:.6f}\n" for red, green, blue in rows)
        write_bytes(path, (head + lines).encode("ascii", errors="replace"))


def check_lut(path: Path) -> None:
    """Make sure, before any work is done, that a path is one of a table.

    Raises:
        OptionError: it has another suffix.
    """
    if path.suffix.lower() != SUFFIX:
        raise OptionError(f"lookup table {path.name} needs the suffix {SUFFIX}")


def identity(size: int) -> Float[np.ndarray, "r g b 3"]:
    """Give the table that changes nothing."""
    axis = np.linspace(0, 1, size)
    return np.stack(np.meshgrid(axis, axis, axis, indexing="ij"), axis=-1)


def interpolation(colours: Float[np.ndarray, "n 3"], size: int) -> Any:
    """Give the sparse matrix (n, size³) of trilinear interpolation at some colours."""
    places = np.clip(colours, 0, 1) * (size - 1)
    lower = np.minimum(places.astype(np.int64), size - 2)
    share = places - lower
    rows, columns, values = [], [], []
    for corner in np.ndindex(2, 2, 2):
        entry = lower + corner
        columns.append((entry[:, 0] * size + entry[:, 1]) * size + entry[:, 2])
        values.append(np.prod(np.where(corner, share, 1 - share), axis=1))
        rows.append(np.arange(len(colours)))
    triple = (np.concatenate(values), (np.concatenate(rows), np.concatenate(columns)))
    return sparse.csr_array(triple, shape=(len(colours), size**3))


def differences(size: int, stencil: tuple[float, ...]) -> Any:
    """Give the sparse matrix of a stencil's products along the three axes of a table."""
    line = sparse.diags_array(stencil, offsets=range(len(stencil)), shape=(size + 1 - len(stencil), size))
    same = sparse.eye_array(size)
    red, green, blue = (line, same, same), (same, line, same), (same, same, line)
    return sparse.vstack([sparse.kron(sparse.kron(r, g), b) for r, g, b in (red, green, blue)]).tocsr()


def _spectrum(size: int) -> Float[np.ndarray, "r g b"]:
    """Give what the smoothness terms make of each cosine wave along the axes, but for the table's faces."""
    slope = 2 - 2 * np.cos(np.pi * np.arange(size) / size)
    line = slope**2 + STEADINESS * slope
    return line[:, None, None] + line[:, None] + line


def _interpolated(table: NDArray[np.float32], colours: Float[np.ndarray, "n 3"]) -> Float[np.ndarray, "n 3"]:
    places = np.clip(colours, 0, 1).T * (len(table) - 1)  # (n, 3) -> (3, n)
    return np.stack([ndimage.map_coordinates(plane, places, order=1) for plane in np.moveaxis(table, 3, 0)], axis=1)

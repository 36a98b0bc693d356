"""Room for the pixels of a picture: in memory, or in a temporary file where the picture is large."""

from __future__ import annotations

import mmap
import os
import shutil
import tempfile
import weakref
from collections.abc import Iterator
from typing import IO

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from universal_style.errors import OutputError
from universal_style.windows import row_bands

MAPPED_PIXELS = 24_000_000
"""Pictures of more pixels than this lie in a file; one of them is 288 MB, and a transfer keeps three."""
BAND_PIXELS = 1 << 21
"""Pixels worked on at a time where each is on its own."""

_mappings: weakref.WeakValueDictionary[int, mmap.mmap] = weakref.WeakValueDictionary()
"""The files that are mapped, by the address of their first byte."""


def is_mapped(height: int, width: int) -> bool:
    """Say whether a picture of a size lies in a file."""
    return height * width > MAPPED_PIXELS


def blank(height: int, width: int, device: torch.device | str = "cpu") -> Float[Tensor, "1 3 h w"]:
    """Make room for a picture, channels last; what it holds is undefined.

    A large one on the CPU lies in a file in the system's folder for temporary files (TMPDIR). The file has no name, so
    nothing is left of it when the process ends, however it ends.

    Raises:
        OutputError: there is no room on the disk.
    """
    if torch.device(device).type != "cpu" or not is_mapped(height, width):
        return torch.empty(1, 3, height, width, device=device, memory_format=torch.channels_last)
    size = 12 * height * width
    folder = tempfile.gettempdir()
    if (free := shutil.disk_usage(folder).free) < size:
        raise OutputError(
            f"a picture of {height * width / 1e6:.0f} megapixels needs {size / 2**20:.0f} MiB in {folder}, "
            f"which has {free / 2**20:.0f} MiB left; make room, or set TMPDIR to another folder"
        )
    with tempfile.TemporaryFile(dir=folder) as file:
        _reserve(file, size, folder)
        mapping = mmap.mmap(file.fileno(), size)
    pixels = torch.frombuffer(mapping, dtype=torch.float32).view(1, height, width, 3).permute(0, 3, 1, 2)
    _mappings[pixels.untyped_storage().data_ptr()] = mapping
    return pixels


def _reserve(file: IO[bytes], size: int, folder: str) -> None:
    """Make a file as large as it will be; its room on the disk is taken now, for a page that finds none is a crash."""
    try:
        if hasattr(os, "posix_fallocate"):
            os.posix_fallocate(file.fileno(), 0, size)
        else:
            file.truncate(size)
    except OSError as error:
        raise OutputError(f"{folder} has no room for {size / 2**20:.0f} MiB ({error.strerror}); make room") from error


def rest(pixels: Tensor) -> None:
    """Give back the memory that holds parts of a file, which stay there; anything else stays as it is."""
    mapping = _mappings.get(pixels.untyped_storage().data_ptr())
    if mapping is not None and hasattr(mmap, "MADV_DONTNEED"):
        mapping.madvise(mmap.MADV_DONTNEED)


def reduced(pixels: Float[Tensor, "1 3 h w"], size: tuple[int, int]) -> Float[Tensor, "1 3 g v"]:
    """Average a picture down to (height, width): rows first, band by band, so that no more of it is held."""
    height, width = pixels.shape[2:]
    narrow = []
    for rows in bands(height, width):
        narrow.append(_averaged(pixels[:, :, rows], (rows.stop - rows.start, size[1])))
        rest(pixels)
    return _averaged(torch.cat(narrow, dim=2), size)


def _averaged(pixels: Float[Tensor, "1 3 h w"], size: tuple[int, int]) -> Float[Tensor, "1 3 g v"]:
    return functional.interpolate(pixels, size, mode="bilinear", antialias=True)


def bands(height: int, width: int) -> Iterator[slice]:
    """Divide a picture into bands of rows to work on one after the other."""
    return (slice(top, stop) for top, stop in row_bands(height, width, BAND_PIXELS))

"""Training pictures: folders in, batches of random crops out, the same ones for the same seed and step."""

from __future__ import annotations

import signal
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import UInt8
from PIL import Image as Pillow
from PIL import ImageOps
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from universal_style.errors import InputError, OptionError, UniversalStyleError
from universal_style.images import identified
from universal_style.ranges import unsigned

SMALLEST_SCALE = 0.7
"""A picture is shrunk at random by up to this factor before the crop, where the crop still fits."""
HELD_OUT_EVERY = 50
GAINS = (0.7, 1.3)
"""Of each channel by itself, in other light …"""
LOG_GAMMA = (-0.35, 0.35)
"""… after a power of so much."""
OF_ONE = 4
"""At most so many of the crops that are recoloured come from one picture."""

Crop = Callable[[Pillow.Image, int, np.random.Generator], UInt8[Tensor, "3 side side"]]


def check_side(side: int, least: int) -> None:
    """Make sure that square crops of a side can be encoded to the deepest level.

    Args:
        side: in pixels.
        least: the smallest that does.

    Raises:
        OptionError: it is smaller, or no multiple of 16.
    """
    if side < least or side % 16:
        raise OptionError(f"side {side} does not do; it is a multiple of 16 from {least}")


def held_out_of(found: Sequence[Path]) -> tuple[list[Path], list[Path]]:
    """Part pictures into every 50th, to be measured on, and the others; there may be none."""
    kept = list(found[::HELD_OUT_EVERY])
    measured = set(kept)
    return kept, [path for path in found if path not in measured]


def check_outside(output: Path, home: Path, folders: Sequence[Path]) -> None:
    """Make sure that what a training draws does not come among its pictures, where it would be learned from.

    Args:
        output: as the user named it, for the message.
        home: folder that is written to.
        folders: that are learned from.

    Raises:
        OptionError: it lies in one of them.
    """
    for folder in folders:
        if home.resolve().is_relative_to(folder.resolve()):
            raise OptionError(f"output {output} lies in {folder}, which is learned from; choose another folder")


def read_rgb(path: Path) -> Pillow.Image:
    """Open a training picture as upright 8-bit RGB.

    Raises:
        InputError: the file is not a readable picture.
    """
    try:
        with identified(path, str(path)) as picture:
            return ImageOps.exif_transpose(picture).convert("RGB")
    except InputError:
        raise
    except Exception as error:  # a decoder raises many kinds for a damaged file
        reason = " ".join(str(error).split()) or type(error).__name__
        raise InputError(
            f"{path} cannot be read as a picture ({reason}); remove it from the training folder"
        ) from error


def random_crop(picture: Pillow.Image, side: int, rng: np.random.Generator) -> UInt8[Tensor, "3 side side"]:
    """Cut a random square at a random scale, mirrored half of the time; small pictures are enlarged to fit."""
    short = min(picture.size)
    scale = rng.uniform(min(1.0, max(SMALLEST_SCALE, side / short)), 1.0) if short > side else side / short
    width, height = (max(side, round(length * scale)) for length in picture.size)
    left, top = int(rng.integers(width - side + 1)), int(rng.integers(height - side + 1))
    across, down = picture.width / width, picture.height / height
    # what lies around the box still enters its border, so this is a crop of the whole picture resized
    box = (left * across, top * down, (left + side) * across, (top + side) * down)
    pixels = np.array(picture.resize((side, side), Pillow.Resampling.LANCZOS, box))
    if rng.random() < 0.5:
        pixels = pixels[:, ::-1].copy()
    return torch.from_numpy(pixels).permute(2, 0, 1)  # (h, w, 3) -> (3, h, w)


def varied_crop(picture: Pillow.Image, side: int, rng: np.random.Generator) -> UInt8[Tensor, "3 side side"]:
    """Cut a random square as `random_crop` does; half of them are turned by quarters, and half are seen in other light.

    From deep features a decoder learns its pictures by heart: relu5_1's gave back those that it had seen 1.5 dB better
    than others. These are never the same.
    """
    crop = random_crop(picture, side, rng)
    if rng.random() < 0.5:
        crop = torch.rot90(crop, int(rng.integers(1, 4)), (1, 2)).contiguous()
    if rng.random() < 0.5:
        gains, gamma = rng.uniform(*GAINS, (3, 1)), np.exp(rng.uniform(*LOG_GAMMA))
        tables = 255 * np.clip(gains * np.linspace(0, 1, 256) ** gamma, 0, 1)
        lit = [table[plane] for table, plane in zip(tables.round().astype(np.uint8), crop.numpy(), strict=True)]
        crop = torch.from_numpy(np.stack(lit))
    return crop


class Batch(NamedTuple):
    """What one training step sees.

    Attributes:
        plain: crops of different pictures, to be reconstructed as they are.
        content: crops of one picture, whose features are transformed …
        style: … to the statistics of these crops of one other picture.
        own: crops of some pictures, group by group, that are recoloured …
        colours: … each group to the colours of these crops of another picture.
    """

    plain: UInt8[Tensor, "n 3 side side"]
    content: UInt8[Tensor, "m 3 side side"]
    style: UInt8[Tensor, "m 3 side side"]
    own: UInt8[Tensor, "k 3 side side"]
    colours: UInt8[Tensor, "k 3 side side"]


def groups(count: int) -> int:
    """Say in how many groups, as even as can be, so many crops are recoloured."""
    return max(1, -(-count // OF_ONE))


@dataclass(frozen=True)
class Batches(Dataset[Batch]):
    """The batch of every step, made on demand from a seed.

    Attributes:
        pictures: files that are reconstructed and serve as content.
        styles: files that serve as style.
        side: side of the square crops in pixels.
        plain: crops per batch that are reconstructed as they are.
        transformed: crops per batch whose features are transformed first.
        recolored: crops per batch that are recoloured.
        seed: same seed, same batches; of any sign.
        crop: cuts those that are reconstructed.
    """

    pictures: Sequence[Path]
    styles: Sequence[Path]
    side: int
    plain: int
    transformed: int
    seed: int
    crop: Crop = random_crop
    recolored: int = 0

    def __getitem__(self, step: int) -> Batch:
        rng = np.random.default_rng((unsigned(self.seed), step))
        several = [self.pictures[i] for i in rng.integers(len(self.pictures), size=self.plain)]
        return Batch(
            torch.stack([self.crop(read_rgb(path), self.side, rng) for path in several]),
            self._crops(self.pictures, self.transformed, 1, rng),
            self._crops(self.styles, self.transformed, 1, rng),
            self._crops(self.pictures, self.recolored, groups(self.recolored), rng),
            self._crops(self.styles, self.recolored, groups(self.recolored), rng),
        )

    def _crops(self, paths: Sequence[Path], count: int, pictures: int, rng: np.random.Generator) -> Tensor:
        """Cut crops of so many pictures, those of one after those of another."""
        cut = torch.empty(count, 3, self.side, self.side, dtype=torch.uint8)
        for part in cut.chunk(pictures) if count else ():
            picture = read_rgb(paths[int(rng.integers(len(paths)))])
            for place in part:
                place.copy_(random_crop(picture, self.side, rng))
        return cut


@dataclass(frozen=True)
class Told(Dataset[Batch | UniversalStyleError]):
    """Batches in which an error takes the place of the batch that it kept from being made.

    What a process raises, `DataLoader` wraps into the text of a traceback; what it returns arrives as it is.
    """

    batches: Batches

    def __getitem__(self, step: int) -> Batch | UniversalStyleError:
        try:
            return self.batches[step]
        except UniversalStyleError as error:
            return error


def stream(batches: Batches, start: int, stop: int, workers: int) -> Generator[Batch, None, None]:
    """Give the batches of steps, in their order.

    Args:
        start: the first step …
        stop: … and the one after the last.
        workers: processes that make them ahead; 0 makes each when it is asked for.

    Raises:
        InputError: a picture cannot be read.
    """
    loader = DataLoader(
        Told(batches), batch_size=None, sampler=range(start, stop), num_workers=workers, worker_init_fn=_left_to_parent
    )
    for given in loader:
        if isinstance(given, UniversalStyleError):
            raise given
        yield given


def _left_to_parent(worker: int) -> None:
    """Let a process that reads ahead go on at Ctrl-C, which reaches it too: the one that reads from it ends it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def as_pixels(crops: UInt8[Tensor, "n 3 h w"], device: torch.device) -> Tensor:
    """Put 8-bit crops on a device as channels-last float pixels in [0, 1]."""
    return crops.to(device).float().div_(255).contiguous(memory_format=torch.channels_last)

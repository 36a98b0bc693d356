"""A style: what one or several pictures look like at every level, and the preset file that keeps it."""

from __future__ import annotations

import re
from collections import ChainMap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from universal_style.devices import backend_named
from universal_style.drivers.survey import WINDOW_PIXELS, survey
from universal_style.errors import CheckpointError, InputError
from universal_style.images import Image, Source
from universal_style.moments import Moments, merge_all
from universal_style.networks.checkpoints import bundled_folder, encoder_digest, load_encoder
from universal_style.networks.pooling import ASCENDING
from universal_style.networks.stage import Ascent, Site, Walker, to_precision
from universal_style.networks.vgg import Encoder, channels_at
from universal_style.ranges import long_side
from universal_style.regions import LabelMap
from universal_style.smoothing import debanded
from universal_style.tensor_files import read_tensors, write_tensors

PRESET_KIND = "universal-style preset"
PRESET_VERSION = "3"
SITE = re.compile(r"[\w-]+/(?:relu|pool)([1-5])_[a-z0-9]+", re.ASCII)
"""Key of a site in a preset: a family, a layer or a band, and its level."""
LARGEST = 1e30
"""No number of a preset reaches this: a picture's features are some thousands at most, and what is squared of them and
summed over all its pixels stays far below."""
STYLE_LONG_SIDE = 1024
"""Styles are observed at their own size, but no larger than this long side in pixels unless asked."""


def scaled_style(image: Image, style_size: int | None) -> Image:
    """Give a style picture at the size at which it is observed.

    Raises:
        OptionError: the size is out of range.
    """
    asked = long_side("style-size", style_size)
    return image.scaled_to(min(STYLE_LONG_SIDE, max(image.height, image.width)) if asked is None else asked)


def every_ascent(encoder: Encoder) -> list[Walker]:
    """Give the walks that see what any method needs: to relu5_1 by maxima, to relu4_1 by Haar averages."""
    return [Ascent(encoder, ASCENDING["max"], 5), Ascent(encoder, ASCENDING["haar"], 4)]


def upper(channels: int) -> tuple[Tensor, Tensor]:
    """Index the upper triangle of a symmetric matrix: half the numbers say all."""
    rows, columns = torch.triu_indices(channels, channels)
    return rows, columns


@dataclass(frozen=True)
class Style:
    """The moments of a style at each site; all that the closed-form methods need of it.

    Attributes:
        moments: by key of the site: `max/relu1_1` … `max/relu5_1`, `haar/relu1_1`, `haar/pool1_lh` and so on.
        name: for reports.
    """

    moments: Mapping[str, Moments]
    name: str = "style"

    @property
    def pixels(self) -> int:
        """How many it was observed from; those that show count."""
        return round(max((float(moments.count) for moments in self.moments.values()), default=0.0))

    @classmethod
    def from_images(
        cls,
        *images: Source,
        style_size: int | None = None,
        device: str = "auto",
        dtype: str = "auto",
        name: str = "style",
    ) -> Style:
        """Observe one or several pictures together as one style, for every method.

        Args:
            images: paths, Pillow images, arrays or tensors.
            style_size: long side in pixels; left out, a picture's own size up to `STYLE_LONG_SIDE`.
            device: auto, cpu, cuda or mps.
            dtype: auto, float32, bfloat16 or float16, of the encoder.

        Raises:
            InputError: no picture is given, or one cannot be used, or the size is out of range (`OptionError`).
        """
        if not images:
            raise InputError("no picture given; a style is made from at least one")
        backend = backend_named(device, dtype)
        encoder, _ = load_encoder(bundled_folder())
        to_precision(encoder, backend.device, backend.dtype)
        walks, parts = every_ascent(encoder), []
        for image in images:
            parts.append(cls.of_picture(scaled_style(Image.of(image), style_size), walks, backend.device, name))
        return parts[0].merge(*parts[1:])

    @classmethod
    def of_picture(
        cls,
        picture: Image,
        walks: Sequence[Walker],
        device: torch.device,
        name: str = "style",
        most: int = WINDOW_PIXELS,
    ) -> Style:
        """Observe a picture as one region, at its own size, with networks that are on a device."""
        uniform = LabelMap.uniform(picture.height, picture.width).hiding(picture.hidden)
        (whole,) = cls.of_regions(picture.tensor(), walks, uniform, device, name, most)
        return whole

    @classmethod
    def of_regions(
        cls,
        pixels: Float[Tensor, "1 3 h w"],
        walks: Sequence[Walker],
        regions: LabelMap,
        device: torch.device,
        name: str = "style",
        most: int = WINDOW_PIXELS,
    ) -> list[Style]:
        """Observe each region of a picture as a style, in the order of the labels; calm parts without their steps.

        Args:
            walks: those to take over the picture, grown to multiples of the deepest stride.
            regions: of the picture, of the same size.
            device: of the networks.
            most: pixels that are walked over at a time.
        """
        even = debanded(pixels)
        seen = [survey(walk, even, regions, device, most) for walk in walks]
        return [cls(dict(ChainMap(*parts)), name) for parts in zip(*seen, strict=True)]

    def at(self, site: Site) -> Moments:
        """Give the moments at a site.

        Raises:
            InputError: the style was not observed there.
        """
        if site.key not in self.moments:
            raise InputError(
                f"{self.name} holds no moments of {site.key}; give the picture itself, or save the preset anew"
            )
        return self.moments[site.key]

    def merge(self, *others: Style) -> Style:
        """Join with other styles as if all their pictures had been observed together."""
        every = [self, *others]
        shared = [key for key in self.moments if all(key in style.moments for style in others)]
        return Style({key: merge_all(style.moments[key] for style in every) for key in shared}, self.name)

    def to(self, device: torch.device | str) -> Style:
        """Move to a device."""
        return Style({site: moments.to(device) for site, moments in self.moments.items()}, self.name)

    def save(self, path: str | Path) -> None:
        """Write a preset file (safetensors), atomically.

        Raises:
            OutputError: the file cannot be written.
        """
        path = Path(path)
        tensors = {}
        for site, moments in self.moments.items():
            tensors[f"{site}.count"] = moments.count.cpu()
            tensors[f"{site}.mean"] = moments.mean.cpu()
            tensors[f"{site}.scatter"] = moments.scatter.cpu()[upper(moments.channels)]
        metadata = {
            "kind": PRESET_KIND,
            "version": PRESET_VERSION,
            "encoder": encoder_digest(),
            "name": self.name,
        }
        write_tensors(path, tensors, metadata)

    @classmethod
    def load(cls, path: str | Path) -> Style:
        """Read a preset file.

        Raises:
            InputError: the file is missing, damaged or no preset.
        """
        path = Path(path)
        if not path.is_file():
            raise InputError(f"{path} does not exist; a preset is made by: universal-style style save IMAGE -o PRESET")
        try:
            metadata, tensors = read_tensors(path, "preset")
        except CheckpointError as error:
            raise InputError(str(error)) from error
        if metadata.get("kind") != PRESET_KIND or metadata.get("version") != PRESET_VERSION:
            raise InputError(f"{path} is not a preset of this version; make it anew: universal-style style save")
        if metadata.get("encoder") != encoder_digest():
            raise InputError(f"{path} was made with another encoder; make it anew: universal-style style save")
        moments = {}
        for site in sorted({key.split(".")[0] for key in tensors}):
            channels = _channels(site)
            shapes: dict[str, tuple[int, ...]] = {
                "count": (),
                "mean": (channels,),
                "scatter": (channels * (channels + 1) // 2,),
            }
            parts = [tensors.get(f"{site}.{part}") for part in shapes]
            if any(
                part is None or part.shape != shape or not part.is_floating_point()
                for part, shape in zip(parts, shapes.values(), strict=True)
            ):
                raise InputError(f"{path} does not hold the moments of {site!r}; make it anew")
            count, mean, half = (part.double() for part in parts if part is not None)
            if not all((t.abs() < LARGEST).all() for t in (count, mean, half)) or count < 0:
                raise InputError(f"{path} holds numbers that are not finite, or none of a picture's; make it anew")
            scatter = mean.new_zeros(channels, channels)
            scatter[upper(channels)] = half
            moments[site] = Moments(count, mean, scatter + scatter.triu(1).T)
        return cls(moments, metadata.get("name", path.stem))


def _channels(key: str) -> int:
    """Count the channels at a site of a preset, which is one of the encoder's; 0 for any other."""
    found = SITE.fullmatch(key)
    return channels_at(int(found[1])) if found else 0

"""What stands for a style in a transfer, and what is loaded and observed once for many pictures."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import torch

from universal_style.devices import Backend, exact_device
from universal_style.drivers.fit import Aim
from universal_style.drivers.survey import WINDOW_PIXELS
from universal_style.errors import InputError
from universal_style.images import Image, Source
from universal_style.keep_colors import KeepColors
from universal_style.networks.checkpoints import Checkpoint, bundled_folder, load_decoder, load_encoder
from universal_style.networks.decoder import Decoder
from universal_style.networks.feed_forward import TransformNet, load_net
from universal_style.networks.pooling import Pooling
from universal_style.networks.stage import Site, Walker, to_precision
from universal_style.networks.torchvision_encoder import fetched_encoder
from universal_style.networks.vgg import Encoder
from universal_style.regions import KEEP, WHOLE, LabelMap, Match
from universal_style.styles import Style, scaled_style
from universal_style.tensor_files import is_tensor_file

REMEMBERED_STYLES = 16
"""Styles from files whose moments are kept, at some 4 MB each; the one used longest ago makes room."""

FileKey = tuple[str, int, int, int | None, int] | None
"""Path, time of change, length and style size of a picture's file, and the long side in pixels at which it is seen.

None for what is no file.
"""


@dataclass(frozen=True)
class Subject:
    """What stands for a style: exactly one of a preset and a picture."""

    name: str
    file: FileKey
    preset: Style | None
    picture: Image | None

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) in pixels; of a preset, which has forgotten its own, all in one row."""
        if self.preset is not None:
            return 1, max(1, self.preset.pixels)
        assert self.picture is not None  # it is one of the two
        return self.picture.height, self.picture.width

    def scaled(self, factor: float) -> Subject:
        """Give the same at a share of its picture's size; a preset stays as it is."""
        if self.picture is None or factor == 1:
            return self
        small = self.picture.scaled_to(max(1, round(max(self.size) * factor)))
        file = None if self.file is None else (*self.file[:4], max(small.height, small.width))
        return replace(self, file=file, picture=small)

    def recolored(self, kept: KeepColors, content: Image) -> Subject:
        """Give the same as a way of keeping the content's colours wants it.

        Raises:
            InputError: it wants a picture and this is a preset.
        """
        if not kept.recolors_style:
            return self
        if self.picture is None:
            raise InputError(f"{self.name} is a preset, whose colours are fixed; give the picture, or keep luminance")
        return replace(self, file=None, picture=kept.before(self.picture, content))


StyleSource = Style | Subject | Source
"""A preset, anything that stands for a picture, or what was read of one already."""


def subject_of(source: StyleSource, style_size: int | None) -> Subject:
    """Read what stands for a style: a preset, or a picture at the size at which it is observed."""
    if isinstance(source, Subject):
        return source
    if isinstance(source, Style):
        return Subject(source.name, None, source, None)
    if not isinstance(source, str | Path):
        return Subject("style", None, None, scaled_style(Image.of(source), style_size))
    path = Path(source)
    if is_tensor_file(path):
        return Subject(path.name, None, Style.load(path), None)
    mark = _mark(path)  # before it is read: what comes into its place later is another
    picture = scaled_style(Image.of(path), style_size)
    file = None if mark is None else (*mark, style_size, max(picture.height, picture.width))
    return Subject(path.name, file, None, picture)


def unminded(style_size: int | None, subjects: Iterable[Subject]) -> list[str]:
    """Say in a line each which styles a size changes nothing of: presets were observed when they were made."""
    presets = [subject.name for subject in subjects if subject.picture is None and style_size is not None]
    return [f"style-size {style_size} changes nothing of {name}: a preset was observed before" for name in presets]


def _mark(path: Path) -> tuple[str, int, int] | None:
    """Tell a file from what may lie in its place later; None where it cannot be had, of which reading tells why."""
    try:
        facts = path.stat()
    except (OSError, ValueError):
        return None
    return str(path.absolute()), facts.st_mtime_ns, facts.st_size


@dataclass(frozen=True)
class Observed:
    """A style as a whole and by label; no labels where it is one region."""

    whole: Style
    parts: tuple[Style, ...]

    def at(self, label: int) -> Style:
        """Give the region of a label, or the whole."""
        return self.whole if label == WHOLE else self.parts[label]


def aims_of(regions: LabelMap, matched: Match, observed: Sequence[Observed]) -> list[list[Aim]]:
    """Turn what each region takes from each style into what its moments are carried to, for every label."""
    aims: list[list[Aim]] = [[] for _ in range(regions.count)]
    for region in matched.regions:
        for source, style in zip(region.sources, observed, strict=True):
            if source.style != KEEP and source.weight > 0:
                aims[region.label].append(Aim(source.weight, source.content, style.at(source.style).moments))
    return aims


class Loaded:
    """Networks and observed styles, each loaded or observed when first asked for.

    Args:
        backend: where the networks live, and in which precision.
        folder: of the decoders' checkpoints.
    """

    def __init__(self, backend: Backend, folder: Path) -> None:
        self.backend = backend
        self.folder = folder
        self._decoders: dict[tuple[str, int], tuple[Decoder, Checkpoint]] = {}
        self._nets: dict[Path, tuple[TransformNet, Checkpoint]] = {}
        self._styles: dict[tuple[FileKey, tuple[Walker, ...]], Style] = {}

    @cached_property
    def _bundled(self) -> tuple[Encoder, Checkpoint]:
        encoder, checkpoint = load_encoder(bundled_folder())
        to_precision(encoder, self.backend.device, self.backend.dtype)
        return encoder, checkpoint

    @property
    def encoder(self) -> Encoder:
        """The bundled encoder."""
        return self._bundled[0]

    @property
    def encoder_checkpoint(self) -> Checkpoint:
        """The file that the bundled encoder came from."""
        return self._bundled[1]

    @cached_property
    def torchvision_encoder(self) -> Encoder:
        """The encoder with the numbers that torchvision publishes, fetched when first asked for."""
        encoder = fetched_encoder()
        to_precision(encoder, self.backend.device, self.backend.dtype)
        return encoder

    def decoder(self, pooling: Pooling, level: int) -> tuple[Decoder, Checkpoint]:
        """Give the mirror decoder of a level, and the file it came from.

        Raises:
            CheckpointError: it is missing, damaged or swapped.
        """
        key = (pooling.name, level)
        if key not in self._decoders:
            decoder, checkpoint = load_decoder(self.folder, pooling, level)
            to_precision(decoder, self.backend.device, self.backend.dtype)
            self._decoders[key] = decoder, checkpoint
        return self._decoders[key]

    def net(self, path: Path) -> tuple[TransformNet, Checkpoint]:
        """Give a feed-forward net, and the file it came from.

        Raises:
            CheckpointError: the file is missing, damaged, or no net.
        """
        if path not in self._nets:
            network, checkpoint = load_net(path)
            network.to(self.backend.device).to(memory_format=torch.channels_last)
            self._nets[path] = network, checkpoint
        return self._nets[path]

    def observe(
        self,
        subject: Subject,
        regions: LabelMap,
        walks: Sequence[Walker],
        sites: Iterable[Site],
        most: int = WINDOW_PIXELS,
    ) -> Observed:
        """Observe a style label by label.

        Args:
            regions: of its picture.
            walks: those that see it at the sites.
            sites: where its moments will be needed.
            most: pixels that are walked over at a time.

        Raises:
            InputError: a preset does not hold them.
        """
        if regions.is_uniform:
            whole = self.whole(subject, walks, most)
            for site in sites:
                whole.at(site)
            return Observed(whole, ())
        assert subject.picture is not None  # a preset has the uniform map
        pixels, device = subject.picture.tensor(), self.backend.device
        parts = Style.of_regions(pixels, walks, regions, device, subject.name, most)
        return Observed(parts[0].merge(*parts[1:]), tuple(parts))

    def whole(self, subject: Subject, walks: Sequence[Walker], most: int = WINDOW_PIXELS) -> Style:
        """Observe a style as one region; the last few files are remembered."""
        if subject.preset is not None:
            return subject.preset.to(self.home)
        assert subject.picture is not None
        if not subject.file:
            return Style.of_picture(subject.picture, walks, self.backend.device, subject.name, most)
        key = (subject.file, tuple(walks))
        style = self._styles.pop(key, None)
        if style is None:
            style = Style.of_picture(subject.picture, walks, self.backend.device, subject.name, most)
        self._styles[key] = style  # at the end, as the last used
        while len(self._styles) > REMEMBERED_STYLES:
            del self._styles[next(iter(self._styles))]
        return style

    @property
    def home(self) -> torch.device:
        """Where moments live."""
        return exact_device(self.backend.device)

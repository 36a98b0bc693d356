"""How one picture travels: read, observe the styles, carry through the stages, give back."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from PIL import Image as Pillow
from torch.nn import functional

from universal_style.devices import backend_named, peak_memory
from universal_style.drivers.fit import Aim, StyleFit
from universal_style.drivers.whole import carry, grown
from universal_style.errors import InputError, OptionError
from universal_style.images import Image, Source
from universal_style.methods import StagePlan, method_named
from universal_style.networks.checkpoints import Checkpoint, bundled_folder, decoder_name, load_decoder, load_encoder
from universal_style.networks.decoder import Decoder
from universal_style.networks.pooling import NearestPooling
from universal_style.networks.stage import Ascent, Stage, Walker, to_precision
from universal_style.networks.vgg import stride_at
from universal_style.regions import (
    KEEP,
    WHOLE,
    LabelMap,
    Match,
    Segmenter,
    automatic_regions,
    match,
    read_masks,
    stacked,
)
from universal_style.report import Clock, Report
from universal_style.request import Request
from universal_style.styles import Style, every_ascent, scaled_style

REGION_LONG_SIDE = 512
"""Pictures are divided into automatic regions at this long side in pixels, or their own if it is smaller."""
REGION_LEVELS = (3, 4)
"""Automatic regions come from relu3_1, relu4_1 and colour."""

Progress = Callable[[str, int, int], None]
"""Called with (what begins now, steps done, steps in all)."""

StyleSource = Style | Source
"""A preset or anything that stands for a picture."""


def silent(step: str, done: int, total: int) -> None:
    """Ignore progress."""


FileKey = tuple[str, int, int, int | None] | None
"""Path, time of change, length and style size of a picture's file; None for what is no file."""


@dataclass(frozen=True)
class Subject:
    """What stands for a style: exactly one of a preset and a picture."""

    name: str
    file: FileKey
    preset: Style | None
    picture: Image | None

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) in pixels; a preset has forgotten its own."""
        return (1, 1) if self.picture is None else (self.picture.height, self.picture.width)


def subject_of(source: StyleSource, style_size: int | None) -> Subject:
    """Read what stands for a style: a preset, or a picture at the size at which it is observed."""
    if isinstance(source, Style):
        return Subject(source.name, None, source, None)
    if not isinstance(source, str | Path):
        return Subject("style", None, None, scaled_style(Image.of(source), style_size))
    path = Path(source)
    if path.suffix == ".safetensors":
        return Subject(path.name, None, Style.load(path), None)
    picture = scaled_style(Image.of(path), style_size)
    facts = path.stat()
    return Subject(path.name, (str(path.absolute()), facts.st_mtime_ns, facts.st_size, style_size), None, picture)


@dataclass(frozen=True)
class Observed:
    """A style as a whole and by label; no labels where it is one region."""

    whole: Style
    parts: tuple[Style, ...]

    def at(self, label: int) -> Style:
        """Give the region of a label, or the whole."""
        return self.whole if label == WHOLE else self.parts[label]


def walks_over(stages: Sequence[Stage]) -> list[Walker]:
    """Give the walks that see a style at the sites of stages.

    Sites on the way up need one ascent to the deepest of them; those on the way down need their stage's whole walk.
    """
    decoded: list[Walker] = [s for s in stages if any(site.family == s.pooling.name for site in s.sites)]
    if decoded:
        return decoded
    deepest = max((site.level for stage in stages for site in stage.sites), default=1)
    return [Ascent(stages[0].encoder, stages[0].pooling, deepest)]


def _aims(regions: LabelMap, matched: Match, observed: Sequence[Observed]) -> list[list[Aim]]:
    """Turn what each region takes from each style into what its moments are carried to, for every label."""
    aims: list[list[Aim]] = [[] for _ in range(regions.count)]
    for region in matched.regions:
        for source, style in zip(region.sources, observed, strict=True):
            if source.style != KEEP and source.weight > 0:
                aims[region.label].append(Aim(source.weight, source.content, style.at(source.style).moments))
    return aims


class Stylizer:
    """Keeps the networks and the observed styles of one method for many pictures.

    Args:
        method: a name of the methods table.
        device: auto, cpu, cuda or mps.
        dtype: auto, float32, bfloat16 or float16, of the networks.
        decoders: folder of checkpoints; the bundled ones when left out.

    Raises:
        OptionError: a name is unknown or the device is not there.
        CheckpointError: a checkpoint is missing, damaged or swapped.
    """

    def __init__(
        self, method: str = "wct", *, device: str = "auto", dtype: str = "auto", decoders: str | Path | None = None
    ) -> None:
        self.method = method_named(method)
        self.backend = backend_named(device, dtype)
        self.folder = Path(decoders) if decoders is not None else bundled_folder()
        self.encoder, checkpoint = load_encoder(bundled_folder())
        to_precision(self.encoder, self.backend.device, self.backend.dtype)
        self.checkpoints: dict[str, Checkpoint] = {checkpoint.path.name: checkpoint}
        self._decoders: dict[int, Decoder] = {}
        self._styles: dict[tuple[FileKey, tuple[Walker, ...]], Style] = {}

    def transfer(self, content: Source, *styles: StyleSource, **options: Any) -> Pillow.Image:
        """Give the content in the style.

        Args:
            content: path, Pillow image, array or tensor.
            styles: one or more of the same, or `Style` presets.
            **options: those of `run` and of `Request.of`: content_mask, style_masks, auto_regions, missing, alpha,
                levels, sites, transform, smooth, style_weights, size, style_size, seed.

        Returns:
            The result in exactly the content's size (or with the long side `size`), with its alpha and colour profile.

        Raises:
            InputError: a picture cannot be used, or an option is out of range (`OptionError`).
        """
        return self.run(content, *styles, **options)[0].pillow()

    def run(
        self,
        content: Source,
        *styles: StyleSource,
        content_mask: Source | None = None,
        style_masks: Sequence[Source | None] = (),
        progress: Progress = silent,
        **options: Any,
    ) -> tuple[Image, Report]:
        """Do the same, giving the picture as the package keeps it, and the report.

        Args:
            content_mask: a picture whose colours say which region of the content is which.
            style_masks: none, or one for each style; the same colour means the same region.
            progress: told of each step as it begins.
        """
        request = Request.of(self.method.name, styles=len(styles), **options)
        torch.manual_seed(request.seed)
        clock = Clock(self.backend.device)
        total = 2 + len(styles) + len(request.stages)
        progress("reading", 0, total)
        picture = Image.of(content)
        if request.size is not None:
            picture = picture.scaled_to(request.size)
        subjects = [subject_of(style, request.style_size) for style in styles]
        clock.lap("read")
        stages = [self.stage(plan) for plan in request.stages]
        clock.lap("load decoders")
        regions, regions_of_styles = self._regions(request, picture, content_mask, subjects, style_masks)
        matched = match(regions, regions_of_styles, request.missing, request.weights)
        clock.lap("find regions")
        observed = []
        for number, (subject, labels) in enumerate(zip(subjects, regions_of_styles, strict=True), start=1):
            progress(f"observing style {number}", number, total)
            observed.append(self._observe(subject, labels, stages))
        clock.lap("observe styles")
        fit = StyleFit(request.transform, _aims(regions, matched, observed), request.alphas)
        original = pixels = picture.tensor(self.backend.device)
        for number, (plan, stage) in enumerate(zip(request.stages, stages, strict=True)):
            progress(f"relu{plan.level}_1", 1 + len(styles) + number, total)
            pixels = carry(stage, pixels, fit, regions)
            clock.lap(f"relu{plan.level}_1")
        progress("smoothing", total - 1, total)
        pixels = request.smoothing(pixels, original)
        clock.lap("smooth")
        progress("done", total, total)
        result = picture.with_pixels(pixels)
        return result, self._report(request, [s.name for s in subjects], matched, result, clock)

    def observe(self, *sources: StyleSource, style_size: int | None = None) -> Style:
        """Observe pictures together as one style, for every method; presets are merged in.

        Args:
            style_size: long side in pixels; left out, a picture's own size up to `STYLE_LONG_SIDE`.
        """
        walks = every_ascent(self.encoder)
        first, *others = [self._whole(subject_of(source, style_size), walks) for source in sources]
        return first.merge(*others) if others else first

    def stage(self, plan: StagePlan) -> Stage:
        """Give a stage, its decoder loaded when first asked for."""
        pooling = self.method.pooling
        if plan.level not in self._decoders:
            decoder, checkpoint = load_decoder(self.folder, pooling, plan.level)
            to_precision(decoder, self.backend.device, self.backend.dtype)
            self.checkpoints[checkpoint.path.name] = checkpoint
            self._decoders[plan.level] = decoder
        return Stage(self.encoder, self._decoders[plan.level], pooling, plan.sites)

    def _regions(
        self,
        request: Request,
        picture: Image,
        content_mask: Source | None,
        subjects: Sequence[Subject],
        style_masks: Sequence[Source | None],
    ) -> tuple[LabelMap, list[LabelMap]]:
        """Read the regions from masks, find them, or take each picture as one."""
        for subject, mask in zip(subjects, style_masks, strict=False):
            if subject.picture is None and mask is not None:
                raise InputError(f"{subject.name} is a preset, which has no regions; give the picture for its mask")
        if not (request.auto_regions or request.semantic_regions):
            sizes = [subject.size for subject in subjects]
            return read_masks(content_mask, style_masks, (picture.height, picture.width), sizes)
        if content_mask is not None or any(mask is not None for mask in style_masks):
            raise OptionError("found regions and masks exclude each other; give one of them")
        pictures = [picture, *(subject.picture for subject in subjects if subject.picture is not None)]
        if request.semantic_regions:
            segmenter = Segmenter.pretrained(self.backend.device)
            content, *found = segmenter([p.tensor(self.backend.device) for p in pictures])
        else:
            content, *found = self._found_regions(pictures, request.auto_regions, request.seed)
        rest = iter(found)
        return content, [LabelMap.uniform(1, 1) if subject.picture is None else next(rest) for subject in subjects]

    @torch.inference_mode()
    def _found_regions(self, pictures: Sequence[Image], count: int, seed: int) -> list[LabelMap]:
        """Cut pictures up together by their features, seen at `REGION_LONG_SIDE`."""
        fine, coarse = REGION_LEVELS
        features = []
        for picture in pictures:
            small = picture.scaled_to(min(REGION_LONG_SIDE, max(picture.height, picture.width)))
            pixels = grown(small.tensor(self.backend.device), stride_at(coarse))
            levels = dict(self.encoder.ascend(pixels, NearestPooling(), coarse))
            blurred = functional.avg_pool2d(pixels, stride_at(fine))
            features.append(stacked([levels[fine][0], levels[coarse][0], blurred[0]], *levels[fine].shape[2:]))
        return automatic_regions(features, [(p.height, p.width) for p in pictures], count, seed)

    def _observe(self, subject: Subject, regions: LabelMap, stages: Sequence[Stage]) -> Observed:
        """Observe a style at the sites of some stages, as deep as they ask, label by label."""
        walks = walks_over(stages)
        if regions.is_uniform:
            whole = self._whole(subject, walks)
            for site in frozenset(site for stage in stages for site in stage.sites):
                whole.at(site)
            return Observed(whole, ())
        assert subject.picture is not None  # a preset has the uniform map
        parts = Style.of_regions(subject.picture.tensor(self.backend.device), walks, regions, subject.name)
        return Observed(parts[0].merge(*parts[1:]), tuple(parts))

    def _whole(self, subject: Subject, walks: Sequence[Walker]) -> Style:
        """Observe a style as one region; files are remembered."""
        if subject.preset is not None:
            return subject.preset.to(self._home)
        assert subject.picture is not None
        key = (subject.file, tuple(walks))
        if subject.file and key in self._styles:
            return self._styles[key]
        style = Style.of_picture(subject.picture, walks, self.backend.device, subject.name)
        if subject.file:
            self._styles[key] = style
        return style

    @property
    def _home(self) -> torch.device:
        """Where moments live: on the device, but MPS has no float64."""
        return torch.device("cpu") if self.backend.device.type == "mps" else self.backend.device

    def _report(self, request: Request, styles: Sequence[str], matched: Match, result: Image, clock: Clock) -> Report:
        transform = type(request.transform).__name__
        options = {
            "levels": list(request.levels),
            "alpha": {f"relu{level}_1": alpha for level, alpha in request.alphas.items()},
            "sites": list(request.places),
            "transform": transform,
            "smooth": request.smooth,
            "missing": request.missing,
            "auto_regions": request.auto_regions,
            "semantic_regions": request.semantic_regions,
            "styles": list(styles),
            "style_weights": list(request.weights),
            "size": request.size,
            "style_size": request.style_size,
            "seed": request.seed,
            "device": str(self.backend.device),
            "dtype": str(self.backend.dtype).removeprefix("torch."),
        }
        used = [f"{decoder_name(self.method.pooling.name, plan.level)}.safetensors" for plan in request.stages]
        digests = {name: c.digest for name, c in self.checkpoints.items() if name in used or "encoder" in name}
        return Report(
            method=self.method.name,
            options=options,
            size=(result.height, result.width),
            seconds={step: round(value, 4) for step, value in clock.seconds.items()},
            peak_memory=peak_memory(self.backend.device),
            checkpoints=digests,
            regions=matched.as_dict()["regions"],
            notes=matched.lines() if len(matched.regions) > 1 else [],
            versions={name: version(name) for name in ("universal-style", "torch", "torchvision", "numpy", "pillow")},
        )


def transfer(
    content: Source,
    *styles: StyleSource,
    method: str = "wct",
    device: str = "auto",
    dtype: str = "auto",
    **options: Any,
) -> Pillow.Image:
    """Give the content in the style, in one call; see `Stylizer.transfer` for the options.

    Example:
        >>> import universal_style
        >>> universal_style.transfer("photo.jpg", "painting.jpg", alpha=0.8).save("out.png")  # doctest: +SKIP
    """
    return Stylizer(method, device=device, dtype=dtype).transfer(content, *styles, **options)

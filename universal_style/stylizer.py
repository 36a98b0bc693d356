"""How one picture travels: read, observe the styles, carry through the stages, give back."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from PIL import Image as Pillow

from universal_style.devices import backend_named, peak_memory
from universal_style.drivers.fit import StyleFit
from universal_style.drivers.whole import carry
from universal_style.images import Image, Source
from universal_style.methods import method_named
from universal_style.networks.checkpoints import Checkpoint, bundled_folder, load_decoder, load_encoder
from universal_style.networks.stage import Stage, site_at, to_precision
from universal_style.request import Request
from universal_style.styles import Style

STYLE_LONG_SIDE = 1024
"""Styles are observed at their own size, but no larger than this long side in pixels unless asked."""

Progress = Callable[[str, int, int], None]
"""Called with (what begins now, steps done, steps in all)."""

StyleSource = Style | Source
"""A preset or anything that stands for a picture."""


def silent(step: str, done: int, total: int) -> None:
    """Ignore progress."""


@dataclass(frozen=True)
class Report:
    """What a transfer did.

    Attributes:
        method: its name.
        options: as the request understood them.
        size: (height, width) of the result.
        seconds: by step.
        peak_memory: in bytes; of the process so far, and of the device.
        checkpoints: SHA-256 by file name.
        versions: of this package, torch and Python's other parts that matter.
    """

    method: str
    options: Mapping[str, Any]
    size: tuple[int, int]
    seconds: Mapping[str, float]
    peak_memory: Mapping[str, int]
    checkpoints: Mapping[str, str]
    versions: Mapping[str, str]


@dataclass
class Clock:
    """Seconds by step, device work included."""

    device: torch.device
    seconds: dict[str, float] = field(default_factory=dict)
    _since: float = field(default_factory=time.perf_counter)

    def lap(self, step: str) -> None:
        """Book the time since the last lap to a step."""
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        now = time.perf_counter()
        self.seconds[step] = self.seconds.get(step, 0.0) + now - self._since
        self._since = now


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
        self._stages: dict[int, Stage] = {}
        self._styles: dict[tuple[str, int, int, int | None], Style] = {}

    def transfer(self, content: Source, *styles: StyleSource, **options: Any) -> Pillow.Image:
        """Give the content in the style.

        Args:
            content: path, Pillow image, array or tensor.
            styles: one or more of the same, or `Style` presets.
            **options: those of `Request.of`: alpha, levels, transform, style_weights, size, style_size, seed.

        Returns:
            The result in exactly the content's size (or with the long side `size`), with its alpha and colour profile.

        Raises:
            InputError: a picture cannot be used, or an option is out of range (`OptionError`).
        """
        return self.run(content, *styles, **options)[0].pillow()

    def run(
        self, content: Source, *styles: StyleSource, progress: Progress = silent, **options: Any
    ) -> tuple[Image, Report]:
        """Do the same, giving the picture as the package keeps it, and the report."""
        request = Request.of(self.method.name, styles=len(styles), **options)
        torch.manual_seed(request.seed)
        clock = Clock(self.backend.device)
        total = 1 + len(styles) + len(request.levels)
        progress("reading", 0, total)
        picture = Image.of(content)
        if request.size is not None:
            picture = picture.scaled_to(request.size)
        clock.lap("read")
        observed = []
        for number, style in enumerate(styles, start=1):
            progress(f"observing style {number}", number, total)
            observed.append(self.observe(style, style_size=request.style_size))
        clock.lap("observe styles")
        fit = StyleFit(request.transform, [s.moments for s in observed], request.weights, request.alphas)
        pixels = picture.tensor(self.backend.device)
        for number, level in enumerate(request.levels):
            progress(f"relu{level}_1", 1 + len(styles) + number, total)
            stage = self.stage(level)
            clock.lap("load decoders")
            pixels = carry(stage, pixels, fit)
            clock.lap(f"relu{level}_1")
        progress("done", total, total)
        result = picture.with_pixels(pixels)
        return result, self._report(request, [s.name for s in observed], result, clock)

    def observe(self, *sources: StyleSource, style_size: int | None = None) -> Style:
        """Observe pictures together as one style; presets are merged in, files are remembered.

        Args:
            style_size: long side in pixels; left out, a picture's own size up to `STYLE_LONG_SIDE`.
        """
        first, *others = [self._observe_one(source, style_size) for source in sources]
        return first.merge(*others) if others else first

    def stage(self, level: int) -> Stage:
        """Give the stage of a level, its decoder loaded when first asked for."""
        if level not in self._stages:
            pooling = self.method.pooling
            decoder, checkpoint = load_decoder(self.folder, pooling.name, level)
            to_precision(decoder, self.backend.device, self.backend.dtype)
            self.checkpoints[checkpoint.path.name] = checkpoint
            self._stages[level] = Stage(self.encoder, decoder, pooling, (level,))
        return self._stages[level]

    def _observe_one(self, source: StyleSource, style_size: int | None) -> Style:
        if isinstance(source, Style):
            return source.to(self._home)
        if not isinstance(source, str | Path):
            return self._observe_picture(Image.of(source), "style", style_size)
        path = Path(source)
        if path.suffix == ".safetensors":
            return Style.load(path).to(self._home)
        changed, length = (path.stat().st_mtime_ns, path.stat().st_size) if path.exists() else (0, 0)
        key = (str(path.absolute()), changed, length, style_size)
        if key not in self._styles:
            self._styles[key] = self._observe_picture(Image.of(path), path.name, style_size)
        return self._styles[key]

    def _observe_picture(self, image: Image, name: str, style_size: int | None) -> Style:
        long_side = style_size or min(STYLE_LONG_SIDE, max(image.height, image.width))
        pixels = image.scaled_to(long_side).tensor(self.backend.device)
        return Style.of_pixels(self.encoder, [pixels], name)

    @property
    def _home(self) -> torch.device:
        """Where moments live: on the device, but MPS has no float64."""
        return torch.device("cpu") if self.backend.device.type == "mps" else self.backend.device

    def _report(self, request: Request, styles: Sequence[str], result: Image, clock: Clock) -> Report:
        transform = type(request.transform).__name__
        options = {
            "levels": list(request.levels),
            "alpha": dict(request.alphas),
            "transform": transform,
            "styles": list(styles),
            "style_weights": list(request.weights),
            "size": request.size,
            "style_size": request.style_size,
            "seed": request.seed,
            "device": str(self.backend.device),
            "dtype": str(self.backend.dtype).removeprefix("torch."),
        }
        used = [f"decoder-{self.method.pooling.name}-{site_at(level).name}.safetensors" for level in request.levels]
        digests = {name: c.digest for name, c in self.checkpoints.items() if name in used or "encoder" in name}
        return Report(
            method=self.method.name,
            options=options,
            size=(result.height, result.width),
            seconds={step: round(value, 4) for step, value in clock.seconds.items()},
            peak_memory=peak_memory(self.backend.device),
            checkpoints=digests,
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

"""How one picture travels: read, observe the styles, carry through the stages, give back."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

from PIL import Image as Pillow

from universal_style import pretrained
from universal_style.devices import backend_named, peak_memory
from universal_style.dividing import divided
from universal_style.drivers.bounds import check_room
from universal_style.errors import InputError, OptionError
from universal_style.images import Image, Source, bytes_to_read
from universal_style.keep_colors import recoloured
from universal_style.methods import BLIND, Carried, Task, Witness, method_named
from universal_style.networks.checkpoints import bundled_folder
from universal_style.report import Progress, Report, Steps, silent
from universal_style.request import Request
from universal_style.smoothing import smoothed
from universal_style.styles import Style, every_ascent
from universal_style.subjects import Loaded, StyleSource, subject_of, unminded

_version = cache(version)  # reading it anew costs a tenth of the time of a small picture


class Stylizer:
    """Keeps the networks and the observed styles of one method for many pictures.

    Args:
        method: a name of the methods table, or the file of a trained net.
        device: auto, cpu, cuda or mps.
        dtype: auto, float32, bfloat16 or float16, of the networks.
        decoders: folder of checkpoints; the bundled ones when left out.

    Raises:
        OptionError: a name is unknown, the device is not there, or the method does not compute in the precision.
        CheckpointError: a checkpoint is missing, damaged or swapped.
    """

    def __init__(
        self, method: str = "wct", *, device: str = "auto", dtype: str = "auto", decoders: str | Path | None = None
    ) -> None:
        self.named = method
        self.method = method_named(method)
        self.backend = backend_named(device, self.method.precisions[0] if dtype == "auto" else dtype)
        if dtype not in ("auto", *self.method.precisions):
            able = " or ".join(name for name in self.method.precisions if name != "auto")
            raise OptionError(f"{self.method.name} does not compute in {dtype}; use --dtype auto or {able}")
        self.dtype = dtype
        self.decoders = decoders
        self.loaded = Loaded(self.backend, Path(decoders) if decoders is not None else bundled_folder())

    @classmethod
    def from_pretrained(
        cls, source: str | Path, *, device: str = "auto", dtype: str | None = None, revision: str | None = None
    ) -> Stylizer:
        """Take a method and its networks from a folder that `save_pretrained` wrote.

        Args:
            source: the folder; or OWNER/NAME of a repository on a model hub, which is fetched where no such folder is
                there (the extra `hub`; HF_HUB_OFFLINE is respected).
            device: auto, cpu, cuda or mps.
            dtype: as of `Stylizer`; the folder's own when left out.
            revision: of the repository: a branch, tag or commit.

        Raises:
            InputError: there is no such folder, and it cannot be fetched.
            CheckpointError: it is no pretrained folder, or a file is missing, damaged or swapped.
        """
        folder = pretrained.folder_of(source, revision)
        config = pretrained.Pretrained.read(folder)
        return cls(config.place(folder), device=device, dtype=dtype or config.dtype, decoders=folder)

    def save_pretrained(self, folder: str | Path) -> None:
        """Write the method and its networks, for `from_pretrained`: config, checkpoints, SHA-256 sums, model card.

        Raises:
            CheckpointError: a checkpoint is missing or damaged.
            OutputError: the folder cannot be written.
        """
        pretrained.save(Path(folder), self.method, self.dtype, self.loaded.folder)

    def transfer(
        self, content: Source, style: StyleSource | None = None, *others: StyleSource, **options: Any
    ) -> Pillow.Image:
        """Give the content in the style.

        Args:
            content: path, Pillow image, array or tensor.
            style: one of the same, or a `Style` preset; none for a net that holds its own.
            others: more styles, to be mixed with it.
            **options: those of `run` and of `Request.of`: content_mask, style_masks, style_regions, auto_regions,
                semantic_regions, missing, keep_colors, smooth, style_weights, size, style_size, seed; and those of the
                method's own `recipe`, for the closed-form ones alpha, levels, sites, transform, covariance_floor, mix,
                tile, memory, observe_size, workers, address.

        Returns:
            The result in exactly the content's size (or with the long side `size`), with its alpha and colour profile.

        Raises:
            InputError: a picture cannot be used, or an option is out of range (`OptionError`).
        """
        styles = others if style is None else (style, *others)
        if any(isinstance(given, list | tuple) for given in styles):
            raise OptionError("a list is no style; give styles one after the other: transfer(photo, one, other)")
        return self.run(content, *styles, **options)[0].pillow()

    def run(
        self,
        content: Source,
        *styles: StyleSource,
        content_mask: Source | None = None,
        style_masks: Sequence[Source | None] = (),
        progress: Progress = silent,
        witness: Witness = BLIND,
        **options: Any,
    ) -> tuple[Image, Report]:
        """Do the same, giving the picture as the package keeps it, and the report.

        Args:
            content_mask: a picture whose colours say which region of the content is which.
            style_masks: none, or one for each style; the same colour means the same region.
            progress: told of each step as it begins.
            witness: shown what is made on the way, see `universal_style.explanation`.
        """
        picture, request, task = self.prepare(
            content,
            *styles,
            content_mask=content_mask,
            style_masks=style_masks,
            progress=progress,
            witness=witness,
            **options,
        )
        witness.begins(task)
        carried = request.recipe.carry(self.loaded, task)
        task.steps.begin("smooth")
        smooth = smoothed(request.smoothing, carried.pixels, task.coloured)
        witness.sees("smooth", smooth)
        pixels = recoloured(request.keep_colors, smooth, task.coloured)
        witness.sees("keep colours", pixels)
        task.steps.finish()
        result = picture.with_pixels(pixels)
        asked = {
            "content": _path(content),
            "styles": [_path(style) for style in styles],
            "content_mask": _path(content_mask),
            "style_masks": [_path(mask) for mask in style_masks],
        }
        return result, self.report(request, task, result, carried, asked)

    def prepare(
        self,
        content: Source,
        *styles: StyleSource,
        content_mask: Source | None = None,
        style_masks: Sequence[Source | None] = (),
        progress: Progress = silent,
        witness: Witness = BLIND,
        **options: Any,
    ) -> tuple[Image, Request, Task]:
        """Read the pictures, check the options and find the regions, as `run` does before it begins."""
        if not isinstance(style_masks, list | tuple):
            raise OptionError("style-masks does not do; it is a list of masks, one or None for each style")
        request = Request.of(self.method, styles=len(styles), **options)
        steps = Steps(self.backend.device, progress, 3 + request.recipe.steps(len(styles)))
        steps.begin("read")
        if request.memory is not None:
            check_room(request.memory, bytes_to_read(content), "reading the picture")
        picture = Image.of(content)
        if request.size is not None:
            picture = picture.scaled_to(request.size)
        subjects = [subject_of(style, request.style_size).recolored(request.keep_colors, picture) for style in styles]
        carried = request.keep_colors.carried(picture)
        steps.begin("find regions")
        regions, of_styles, matched = divided(
            request, self.loaded, picture, carried, subjects, content_mask, style_masks
        )
        coloured = picture.tensor(self.backend.device)
        pixels = coloured if carried is picture else carried.tensor(self.backend.device)
        task = Task(pixels, coloured, regions, subjects, of_styles, matched, request.seed, steps, witness)
        return picture, request, task

    def observe(self, *sources: StyleSource, style_size: int | None = None, progress: Progress = silent) -> Style:
        """Observe pictures together as one style, for every method; presets are merged in.

        Args:
            style_size: long side in pixels; left out, a picture's own size up to `STYLE_LONG_SIDE`.
            progress: told of each picture.

        Raises:
            InputError: there is none, a picture cannot be used, or the size is out of range (`OptionError`).
        """
        if not sources:
            raise InputError("no style given; give one or more pictures or presets")
        walks = every_ascent(self.loaded.encoder)
        style: Style | None = None
        for number, source in enumerate(sources):
            subject = subject_of(source, style_size)
            progress(f"observing {subject.name}", number, len(sources))
            seen = self.loaded.whole(subject, walks)
            style = seen if style is None else style.merge(seen)
        assert style is not None  # there is a source
        return style

    def report(self, request: Request, task: Task, result: Image, carried: Carried, asked: Mapping[str, Any]) -> Report:
        """Say what was done to a picture that was prepared, or to several.

        Args:
            asked: content, styles, content_mask and style_masks: paths, or None where they are no files.
        """
        return Report(
            method=self.method.name,
            stylizer={
                "method": self.named,
                "device": self.backend.device.type,
                "dtype": str(self.backend.dtype).removeprefix("torch."),
                "decoders": None if self.decoders is None else str(self.decoders),
            },
            **asked,
            options=request.as_options(),
            size=(result.height, result.width),
            seconds={step: round(value, 4) for step, value in task.steps.seconds.items()},
            peak_memory=peak_memory(self.backend.device),
            checkpoints={c.path.name: c.digest for c in carried.checkpoints},
            regions=task.matched.as_dict()["regions"],
            notes=[
                *(task.matched.lines() if len(task.matched.regions) > 1 else []),
                *unminded(request.style_size, task.subjects),
            ],
            versions={name: _version(name) for name in ("universal-style", "torch", "torchvision", "numpy", "pillow")},
            trace=carried.trace,
        )


def _path(source: StyleSource | None) -> str | None:
    return str(source) if isinstance(source, str | os.PathLike) else None


def transfer(
    content: Source,
    style: StyleSource | None = None,
    *others: StyleSource,
    method: str = "wct",
    device: str = "auto",
    dtype: str = "auto",
    **options: Any,
) -> Pillow.Image:
    """Give the content in the style, in one call; see `Stylizer.transfer` for the options.

    Examples:
        >>> import universal_style
        >>> universal_style.transfer("photo.jpg", "painting.jpg", alpha=0.8).save("out.png")  # doctest: +SKIP
    """
    return Stylizer(method, device=device, dtype=dtype).transfer(content, style, *others, **options)

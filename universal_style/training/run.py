"""One training run: a plan checked, decoders trained one after the other, checkpoints, card and curves written."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from universal_style.devices import Backend, backend_named, exact_device
from universal_style.errors import OptionError
from universal_style.folders import pictures_in
from universal_style.images import Image
from universal_style.methods import CLOSED_FORMS
from universal_style.names import looked_up
from universal_style.networks.checkpoints import bundled_folder, decoder_name, load_decoder, load_encoder
from universal_style.networks.decoder import Decoder
from universal_style.networks.pooling import POOLINGS, HaarSumPooling, Pooling
from universal_style.networks.vgg import LEVELS, stride_at
from universal_style.outputs import make_folder
from universal_style.ranges import at_least
from universal_style.tensor_files import SUFFIX
from universal_style.training.export import CARD, CURVES, draw_curves, export_decoder, write_card
from universal_style.training.loop import Recipe, Report, TrainingState, train_decoder
from universal_style.training.objective import keeps_features
from universal_style.training.pictures import Batches, as_pixels, check_outside, held_out_of
from universal_style.training.states import reading_state
from universal_style.training.warm_start import widened
from universal_style.windows import grown

HELD_OUT_LONG_SIDE = 512
HELD_OUT_MOST = 20
CALIBRATION_BATCHES = 12


@dataclass(frozen=True)
class Plan:
    """What to train, on what, where to write it."""

    pooling: Pooling
    recipes: tuple[Recipe, ...]
    pictures: tuple[Path, ...]
    styles: tuple[Path, ...]
    held_out: tuple[Path, ...]
    output: Path
    backend: Backend
    workers: int
    start: Path | None
    resume: bool

    @classmethod
    def of(
        cls,
        *,
        pictures: Sequence[Path],
        output: Path,
        styles: Path | None = None,
        held_out: Path | None = None,
        pooling: str = "nearest",
        levels: Sequence[int] = LEVELS,
        steps: Sequence[int] = (20000,),
        workers: int = 2,
        start: Path | None = None,
        resume: bool = True,
        device: str = "auto",
        dtype: str = "auto",
        **recipe: Any,
    ) -> Plan:
        """Check options, look names up and find the pictures.

        Args:
            pictures: folders to learn from.
            output: folder for checkpoints, card, curves, and states to resume from.
            styles: folder of style pictures; the pictures themselves when left out.
            held_out: folder to measure on; every 50th picture when left out, which is then not learned from.
            pooling: name of the decoders'.
            levels: those to train, in this order.
            steps: gradient steps, one number for all levels or one for each.
            workers: processes that read pictures, at least 0.
            start: folder of decoders to go on from; the closed form when left out.
            resume: whether to go on from the states in the output folder.
            device: auto, cpu, cuda or mps.
            dtype: auto, float32, bfloat16 or float16.
            **recipe: what all decoders share, see `Recipe`.

        Raises:
            InputError: a folder holds no picture.
            OptionError: an option is out of range, the device lacks float64, or the output lies among the pictures.
        """
        chosen = looked_up("pooling", pooling, POOLINGS)
        for level in levels:
            if level not in LEVELS:
                raise OptionError(f"level {level} is unknown; the encoder has {', '.join(map(str, LEVELS))}")
        budget = tuple(steps) * len(levels) if len(steps) == 1 else tuple(steps)
        if len(budget) != len(levels):
            raise OptionError(
                f"{len(budget)} numbers of steps for {len(levels)} levels; give one for all or one for each"
            )
        recipes = tuple(
            Recipe(level, edited_levels(chosen, level), count, **recipe)
            for level, count in zip(levels, budget, strict=True)
        )
        if any(recipe.disguised for recipe in recipes) and not keeps_features(chosen):
            raise OptionError(f"disguised is for poolings that keep features, haar-cat5 alone; {pooling} keeps none")
        at_least(0, workers=workers)
        backend = backend_named(device, dtype)
        if exact_device(backend.device) != backend.device:
            raise OptionError(
                f"decoders are trained in float64 too, which device {backend.device.type} lacks; use --device cpu"
            )
        found = pictures_in(*pictures)
        check_outside(output, output, [*pictures, *([] if styles is None else [styles])])
        if held_out is None:
            kept, rest = held_out_of(found)
            found = rest or found
        else:
            kept = pictures_in(held_out)
        return cls(
            pooling=chosen,
            recipes=recipes,
            pictures=tuple(found),
            styles=tuple(pictures_in(styles)) if styles is not None else tuple(found),
            held_out=tuple(kept[:HELD_OUT_MOST]),
            output=output,
            backend=backend,
            workers=workers,
            start=start,
            resume=resume,
        )


@dataclass(frozen=True)
class Event:
    """A report of one decoder's training."""

    name: str
    report: Report


def run(plan: Plan) -> Iterator[Event]:
    """Train every decoder of a plan, each written as soon as it is done.

    Raises:
        OutputError: the output folder cannot be made or written to.
    """
    make_folder(plan.output)
    device = plan.backend.device
    encoder, _ = load_encoder(bundled_folder())
    encoder = encoder.to(device).to(memory_format=torch.channels_last)
    pooling = plan.pooling
    measured = [held_out_picture(path, device) for path in plan.held_out]
    facts = {
        "pictures": f"{len(plan.pictures)} pictures, {len(plan.styles)} of them styles or beside them",
        "date": date.today().isoformat(),
        "commit": source_commit(Path(__file__).resolve().parents[1]),
    }
    starts = {}
    if plan.start is not None:
        for recipe in plan.recipes:
            starts[recipe.level] = start_from(plan.start, pooling, recipe.level)
    for recipe in plan.recipes:
        name = decoder_name(pooling.name, recipe.level)
        state: TrainingState | None = None
        for event in train_decoder(
            encoder,
            pooling,
            recipe,
            plan.pictures,
            plan.styles,
            measured,
            plan.output / f"{name}.state",
            device=device,
            precision=plan.backend.dtype,
            workers=plan.workers,
            start=starts.get(recipe.level) or starts.get(recipe.level - 1),
            resume=plan.resume,
            facts=facts,
        ):
            if isinstance(event, TrainingState):
                state = event
            else:
                yield Event(name, event)
        assert state is not None  # the last event of train_decoder
        starts[recipe.level] = state.average.plain()  # the tail of the next deeper one
        exported = export_decoder(
            plan.output, encoder, pooling, state, recipe, measured, calibration(plan, recipe), state.facts
        )
        yield Event(name, Report("measure", state.step, recipe.steps, "written", psnr=exported.stored))
        write_card(plan.output / CARD, exported, recipe, state, state.facts)
        draw_curves(plan.output / CURVES, saved_curves(plan.output))


def calibration(plan: Plan, recipe: Recipe) -> Iterator[Tensor]:
    """Give the pixels by which a decoder is rounded: other crops of the training pictures."""
    batches = Batches(plan.pictures, (), recipe.side, 4, 0, recipe.seed + 2)
    return (as_pixels(batches[number].plain, plan.backend.device) for number in range(CALIBRATION_BATCHES))


def edited_levels(pooling: Pooling, level: int) -> tuple[int, ...]:
    """Say at which levels a method with this pooling edits features on the way up to a decoder's level."""
    for method in CLOSED_FORMS.values():
        levels = [own for own in method.levels if own <= level]
        for stage in method.arrangement(levels, ("encoder",), method.pooling):
            if method.pooling.name == pooling.name and stage.level == level:
                return tuple(sorted(site.level for site in stage.sites))
    return (level,)


def start_from(folder: Path, pooling: Pooling, level: int) -> dict[str, Tensor]:
    """Read the decoder to go on from: the level's own, or what says nearly the same.

    Without one by concatenation that is the one by summation, widened, or else the last blocks of a deeper one.

    Raises:
        CheckpointError: the folder holds none of them.
    """

    def holds(kind: Pooling, depth: int) -> bool:
        return (folder / f"{decoder_name(kind.name, depth)}{SUFFIX}").exists()

    narrow = HaarSumPooling()
    if not holds(pooling, level) and pooling.widening > 1 and holds(narrow, level):
        return widened(load_decoder(folder, narrow, level)[0].plain(), Decoder(level, pooling.widening))
    depth = next((depth for depth in LEVELS if depth >= level and holds(pooling, depth)), level)
    decoder = Decoder(level, pooling.widening)
    decoder.load_shallow(load_decoder(folder, pooling, depth)[0].plain())
    return decoder.plain()


def held_out_picture(path: Path, device: torch.device) -> Tensor:
    """Read a picture to measure on: long side 512 pixels, grown to multiples of 16, (1, 3, h, w)."""
    picture = Image.of(path)
    if max(picture.height, picture.width) > HELD_OUT_LONG_SIDE:
        picture = picture.scaled_to(HELD_OUT_LONG_SIDE)
    return grown(picture.tensor(device), stride_at(LEVELS[-1]))


def saved_curves(folder: Path) -> dict[str, list[tuple[int, float, float]]]:
    """Collect the held-out curve of every training state in a folder."""
    curves = {}
    for path in sorted(folder.glob("decoder-*.state")):
        with reading_state(path) as saved:
            curves[path.stem] = [tuple(point) for point in saved["curve"]]
    return curves


def source_commit(package: Path) -> str:
    """Name the commit of the sources where they lie in a checkout of their own, not installed in another's."""
    asked = ["git", "-C", str(package), "rev-parse", "--show-toplevel", "--short=12", "HEAD"]
    try:
        top, commit = subprocess.run(asked, capture_output=True, text=True, check=True).stdout.splitlines()
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return commit if Path(top).resolve() == package.parent else "unknown"


__all__ = ["Event", "Plan", "run"]

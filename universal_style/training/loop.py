"""The training loop of one decoder: warm start, steps, held-out measure, and a state to resume from."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from universal_style.errors import CheckpointError, OptionError
from universal_style.networks.decoder import Decoder
from universal_style.networks.pooling import Pooling
from universal_style.networks.vgg import Encoder
from universal_style.ranges import at_least, whole_seed
from universal_style.training.coordinates import placeholder_coordinates, whiten_coordinates
from universal_style.training.gradients import autocast
from universal_style.training.muon import Muon
from universal_style.training.objective import Given, Objective, Weights
from universal_style.training.pictures import Batch, Batches, as_pixels, check_side, groups, stream, varied_crop
from universal_style.training.states import reading_state, restore_scaler, write_state
from universal_style.training.steps import Steps, follow
from universal_style.training.warm_start import regression_warm_start

WARM_START_SIDE = 256
WARM_START_BATCH = 4
WHITENING_BATCHES = 6
WARM_UP_STEPS = 100
EMA_DECAY, LAST_SHARE = 0.998, 0.1
"""What is written is the average of the last 500 steps, or of the last tenth of fewer."""
OF_A_LEG = ("plain", "disguised", "recolored", "transformed", "side", "learning_rate", "seed")
"""Of a recipe, what the model card says; a training may go on with others."""
NONE_THEN = {"disguised": 0.0, "recolored": 0}
"""What states have not named from the first."""


@dataclass(frozen=True)
class Recipe:
    """How one decoder is trained.

    Attributes:
        level: relu{level}_1 is decoded.
        edited: levels at which the decoder's stage edits features, as its method does.
        steps: gradient steps in all; 0 keeps the warm start.
        plain: crops per step that are reconstructed as they are.
        disguised: share of these whose features beside the bands are not theirs, 0 to 1; of poolings that keep some.
        recolored: crops per step that are carried onto themselves in other colours.
        transformed: crops per step whose features are transformed first.
        transformed_from: share of the steps that pass before transformed features join in, 0 to 1.
        side: side of the square crops in pixels, a multiple of 16.
        learning_rate: peak rate of Muon, about the share by which a step changes what a layer gives; it decays along a
            half cosine.
        measure_every: steps from one held-out measure to the next.
        seed: of the crops and the transforms.

    Raises:
        OptionError: a number is out of range.
    """

    level: int
    edited: tuple[int, ...]
    steps: int
    plain: int = 4
    disguised: float = 0.0
    recolored: int = 0
    transformed: int = 2
    transformed_from: float = 0.5
    side: int = 192
    learning_rate: float = 8e-3
    measure_every: int = 200
    seed: int = 0
    weights: Weights = field(default_factory=Weights)

    def __post_init__(self) -> None:
        check_side(self.side, 32)
        at_least(0, steps=self.steps, recolored=self.recolored, transformed=self.transformed)
        at_least(1, plain=self.plain, measure_every=self.measure_every)
        whole_seed(self.seed)
        if not 0 <= self.disguised <= 1 or (self.disguised and self.plain < 2):
            raise OptionError(
                f"disguised {self.disguised:g} is out of range; it is a share of the plain crops, two at least, 0 … 1"
            )
        if not 0 <= self.transformed_from <= 1 or not 0 < self.learning_rate < 1:
            raise OptionError("transformed-from lies in 0 … 1 and learning-rate between 0 and 1")


@dataclass(frozen=True)
class Report:
    """One event of the training: a layer of the warm start, a step, or a held-out measure.

    Attributes:
        phase: "warm start", "train" or "measure".
        done: steps done.
        steps: steps in all.
        detail: the layer just solved, empty otherwise.
        loss: weighted terms of the last step.
        psnr: mean held-out PSNR in dB, when just measured.
    """

    phase: str
    done: int
    steps: int
    detail: str = ""
    loss: dict[str, float] = field(default_factory=dict)
    psnr: float | None = None


@dataclass
class TrainingState:
    """All that a stopped training needs to go on.

    Attributes:
        scaler: of the loss, for half precision; one that is not enabled in others.
        legs: the steps that were made with other options, oldest first: `OF_A_LEG`, and "until", the last step.
        facts: of the run that took the last step, for the model card.
    """

    decoder: Decoder
    average: Decoder
    optimizer: Muon
    scaler: torch.amp.GradScaler
    step: int = 0
    curve: list[tuple[int, float, float]] = field(default_factory=list)
    legs: list[dict[str, Any]] = field(default_factory=list)
    facts: Mapping[str, str] = field(default_factory=dict)

    def save(self, path: Path, recipe: Recipe) -> None:
        """Write atomically."""
        write_state(
            path,
            {
                "decoder": self.decoder.state_dict(),
                "average": self.average.state_dict(),
                "optimizer": self.optimizer.state_dict(),
                "scaler": self.scaler.state_dict(),
                "step": self.step,
                "curve": self.curve,
                "recipe": asdict(recipe),
                "legs": self.legs,
                "facts": dict(self.facts),
            },
        )

    def load(self, path: Path, recipe: Recipe) -> None:
        """Take over a saved state; where its recipe was another, its steps so far become a leg.

        Raises:
            CheckpointError: the file is damaged, belongs to another decoder or to another optimiser.
        """
        with reading_state(path) as saved:
            before = NONE_THEN | saved["recipe"]
            if before["level"] != recipe.level:
                raise CheckpointError(
                    f"{path} trains relu{before['level']}_1, not relu{recipe.level}_1; choose another folder"
                )
            self.decoder.load_state_dict(saved["decoder"])
            self.average.load_state_dict(saved["average"])
            if "bias_rate" not in saved["optimizer"]["param_groups"][0]:
                raise CheckpointError(f"{path} is a state of Adam, not of Muon; delete it to start anew")
            self.optimizer.load_state_dict(saved["optimizer"])
            restore_scaler(self.scaler, saved)
            self.step, self.curve = int(saved["step"]), [tuple(point) for point in saved["curve"]]
            self.legs = [NONE_THEN | leg for leg in saved.get("legs", [])]  # states had no legs once
            self.facts = dict(saved.get("facts", {}))
            if self.step and any(before[name] != getattr(recipe, name) for name in OF_A_LEG):
                self.legs.append({"until": self.step, **{name: before[name] for name in OF_A_LEG}})


@torch.no_grad()
def mean_psnr(encoder: Encoder, decoder: Decoder, pooling: Pooling, pictures: Sequence[Tensor]) -> float:
    """Average the PSNR in dB of plain reconstructions, clipped to [0, 1], over pictures (1, 3, h, w)."""
    objective = Objective(encoder, pooling, decoder.level, (decoder.level,), Weights())
    values = []
    for picture in pictures:
        kept, features = objective.climb(picture)
        error = (decoder(features[-1], kept, pooling).float().clamp(0, 1) - picture).square().mean()
        values.append(-10 * math.log10(max(float(error), 1e-12)))
    return sum(values) / len(values)


def train_decoder(
    encoder: Encoder,
    pooling: Pooling,
    recipe: Recipe,
    pictures: Sequence[Path],
    styles: Sequence[Path],
    held_out: Sequence[Tensor],
    state_path: Path,
    *,
    device: torch.device,
    precision: torch.dtype,
    workers: int,
    start: Mapping[str, Tensor] | None = None,
    resume: bool = True,
    facts: Mapping[str, str] | None = None,
) -> Iterator[Report | TrainingState]:
    """Train one mirror decoder, reporting as it goes; the last item is the final state.

    Args:
        held_out: pictures (1, 3, h, w) in [0, 1], sizes multiples of 16, never trained on.
        state_path: written at every measure; read first when `resume`.
        precision: torch.float32, or a lower one for autocast.
        start: plain parameters to go on from: of the whole decoder, or of its shallower blocks, with the others
            fitted in closed form; all of them are when left out.
        facts: of this run, for the model card; a state that needs no more steps keeps those of the run that made it.
    """
    torch.manual_seed(recipe.seed)
    decoder = Decoder(recipe.level, pooling.widening).to(device).to(memory_format=torch.channels_last)
    average = Decoder(recipe.level, pooling.widening).to(device).to(memory_format=torch.channels_last)
    average.requires_grad_(False)

    def measure() -> float:
        with autocast(device, precision):
            return mean_psnr(encoder, average, pooling, held_out)

    scaler = torch.amp.GradScaler(device.type, enabled=precision == torch.float16)
    if resume and state_path.exists():
        placeholder_coordinates(decoder)
        state = TrainingState(decoder, average, Muon(decoder), scaler)
        state.load(state_path, recipe)
    else:
        batches = Batches(pictures, styles, WARM_START_SIDE, WARM_START_BATCH, 0, recipe.seed + 1)
        with closing(stream(batches, 0, 1_000_000, workers)) as crops:  # ends the processes that read ahead
            source = (as_pixels(batch.plain, device) for batch in crops)
            unfitted = decoder.load_shallow(start or {})
            for name in regression_warm_start(decoder, encoder, pooling, source, unfitted):
                yield Report("warm start", 0, recipe.steps, detail=name)
            whiten_coordinates(decoder, encoder, pooling, islice(source, WHITENING_BATCHES))
        state = TrainingState(decoder, average, Muon(decoder), scaler)
        follow(average, decoder, torch.zeros((), device=device))
        psnr = measure()
        state.curve.append((0, math.nan, psnr))
        state.save(state_path, recipe)
        yield Report("measure", 0, recipe.steps, psnr=psnr)

    state.facts = state.facts or facts or {}
    objective = Objective(encoder, pooling, recipe.level, recipe.edited, recipe.weights)
    batches = Batches(
        pictures, styles, recipe.side, recipe.plain, recipe.transformed, recipe.seed, varied_crop, recipe.recolored
    )
    steps = Steps(decoder, average, objective, state.optimizer, scaler, precision)
    for batch in stream(batches, state.step, recipe.steps, workers):
        with autocast(device, precision):
            given = prepared(objective, recipe, batch, state.step, device)
        rate = recipe.learning_rate * _rate(state.step, recipe.steps)
        state.step, state.facts = state.step + 1, facts or {}
        keep = min(EMA_DECAY, max(0.0, 1 - 1 / (LAST_SHARE * recipe.steps)), state.step / (state.step + 10))
        loss = steps.take(given, rate, keep)
        yield Report("train", state.step, recipe.steps, loss=loss)
        if state.step % recipe.measure_every == 0 or state.step == recipe.steps:
            psnr = measure()
            state.curve.append((state.step, sum(loss.values()), psnr))
            state.save(state_path, recipe)
            yield Report("measure", state.step, recipe.steps, loss=loss, psnr=psnr)
    yield state


def prepared(objective: Objective, recipe: Recipe, batch: Batch, step: int, device: torch.device) -> Given:
    """Make of a batch what a step is given."""
    seed, count = recipe.seed + step, groups(recipe.recolored)
    wanted, shown, transformed = as_pixels(batch.plain, device), None, None
    if recipe.disguised or recipe.recolored:
        shown = objective.shown(wanted, recipe.disguised, seed)
        parts = (as_pixels(part, device).chunk(count) for part in (batch.own, batch.colours))
        for number, (own, colours) in enumerate(zip(*parts, strict=True) if recipe.recolored else ()):
            other, carried = objective.recolour(own, colours, seed * count + number)
            wanted, shown = torch.cat([wanted, other]), shown.joined(carried)
    if recipe.transformed and step >= recipe.transformed_from * recipe.steps:
        content, style = as_pixels(batch.content, device), as_pixels(batch.style, device)
        transformed = objective.transform(content, style, seed)
    return Given(wanted, shown, transformed)


def _rate(step: int, steps: int) -> float:
    warm_up = min(1.0, (step + 1) / WARM_UP_STEPS)
    return warm_up * (0.5 + 0.5 * math.cos(math.pi * min(1.0, step / max(1, steps)))) + 1e-3

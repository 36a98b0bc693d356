"""Training of a feed-forward net for one style: plan, loop, state to resume from, file and curve."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from universal_style.devices import Backend, backend_named
from universal_style.drivers.whole import drive
from universal_style.errors import CheckpointError, OptionError
from universal_style.folders import pictures_in
from universal_style.images import Image
from universal_style.networks.checkpoints import bundled_folder, load_encoder, sha256
from universal_style.networks.feed_forward import TransformNet, save_net
from universal_style.networks.layers import Layers
from universal_style.networks.pooling import NearestPooling
from universal_style.networks.stage import Site
from universal_style.outputs import check_writable
from universal_style.plots import plot
from universal_style.ranges import at_least, long_side, whole_seed
from universal_style.reference.losses import ContentTerm, Energy, GramAim, RegionWeights, StyleTerm, squared_norm
from universal_style.styles import Style, scaled_style
from universal_style.tensor_files import check_tensor_file
from universal_style.training.gradients import autocast, take_step
from universal_style.training.loop import Report
from universal_style.training.pictures import Batches, as_pixels, check_outside, check_side, held_out_of, stream
from universal_style.training.states import reading_state, restore_scaler, write_state

STYLE_LAYERS = ("relu1_2", "relu2_2", "relu3_3", "relu4_3")
CONTENT_LAYER = "relu3_3"
"""Johnson et al. 2016, section 4.1, with the content one block deeper, where it leaves strokes free."""
WARM_UP_STEPS = 50


@dataclass(frozen=True)
class FeedForwardPlan:
    """What to train, on what, where to write it.

    Attributes:
        style: the style picture.
        pictures: to learn from.
        held_out: to measure on.
        output: the net's file, .safetensors.
        backend: where to train, and in which precision.
        steps: gradient steps, at least 1.
        batch: crops per step, at least 1.
        side: side of the square crops in pixels, a multiple of 16 from 64.
        style_size: long side at which the style is seen; None takes the default of `Stylizer`.
        content_weight: of the content loss beside the style loss, at least 0.
        tv_weight: of the roughness, at least 0.
        learning_rate: peak rate of Adam, between 0 and 1.
        measure_every: steps from one measure to the next, each with a save.
        workers: processes that read pictures, at least 0.
        resume: whether to go on from the state beside the output.
        seed: of crops and parameters.

    Raises:
        OptionError: a number is out of range, or a file to be written is one of the pictures.
        OutputError: the output cannot be written.
    """

    style: Path
    pictures: tuple[Path, ...]
    held_out: tuple[Path, ...]
    output: Path
    backend: Backend
    steps: int = 20000
    batch: int = 4
    side: int = 256
    style_size: int | None = None
    content_weight: float = 0.3
    tv_weight: float = 1.0
    learning_rate: float = 1e-3
    measure_every: int = 200
    workers: int = 2
    resume: bool = True
    seed: int = 0

    def __post_init__(self) -> None:
        at_least(1, steps=self.steps, batch=self.batch, measure_every=self.measure_every)
        at_least(0, workers=self.workers, content_weight=self.content_weight, tv_weight=self.tv_weight)
        if not 0 < self.learning_rate < 1:
            raise OptionError(f"learning-rate {self.learning_rate:g} is out of range; it lies between 0 and 1")
        check_side(self.side, 64)
        long_side("style-size", self.style_size)
        whole_seed(self.seed)
        check_tensor_file(self.output, "net")
        check_writable(self.output)
        spared = {path.resolve() for path in (self.style, *self.pictures, *self.held_out)}
        for path in (self.output, self.state, self.sample, self.curve):
            if path.resolve() in spared:
                raise OptionError(f"output {path} is one of the pictures to learn from; give the net another name")

    @classmethod
    def of(
        cls,
        *,
        style: Path,
        photos: Sequence[Path],
        output: Path,
        device: str = "auto",
        dtype: str = "auto",
        **options: Any,
    ) -> FeedForwardPlan:
        """Find the pictures and look names up.

        Args:
            style: the style picture.
            photos: folders to learn from; every 50th picture is measured on.
            output: the net's file, .safetensors.
            device: auto, cpu, cuda or mps.
            dtype: auto, float32, bfloat16 or float16.
            **options: the plan's other fields.

        Raises:
            InputError: a folder holds no picture.
            OptionError: an option is out of range, or the output lies among the photographs.
        """
        found = pictures_in(*photos)
        check_outside(output, output.parent, photos)
        kept, rest = held_out_of(found)
        return cls(style, tuple(rest or kept), tuple(kept), output, backend_named(device, dtype), **options)

    @property
    def state(self) -> Path:
        """Where a stopped training goes on from."""
        return self.output.with_suffix(".state")

    @property
    def sample(self) -> Path:
        """A held-out crop before and after, written with every state."""
        return self.output.with_suffix(".sample.png")

    @property
    def curve(self) -> Path:
        """The held-out losses against the steps."""
        return self.output.with_suffix(".curve.png")


class Perception:
    """The losses of pictures that should keep a content and take the plan's style.

    Source: Johnson et al. 2016, section 3.2: feature, style and total variation losses.
    """

    def __init__(self, plan: FeedForwardPlan) -> None:
        device = plan.backend.device
        encoder, _ = load_encoder(bundled_folder())
        encoder.to(device).to(memory_format=torch.channels_last)
        self.plan = plan
        self.layers = Layers(encoder, NearestPooling(), frozenset({*STYLE_LAYERS, CONTENT_LAYER}))
        self.shown = Layers(encoder, NearestPooling(), frozenset({CONTENT_LAYER}))
        picture = scaled_style(Image.of(plan.style), plan.style_size)
        style = Style.of_picture(picture, [Layers(encoder, NearestPooling(), frozenset(STYLE_LAYERS))], device)
        self.terms: dict[Any, StyleTerm] = {}
        for site in map(self.layers.site, STYLE_LAYERS):
            side = plan.side // site.stride
            gram = style.at(site).second.float().to(device)
            region = RegionWeights.of(torch.ones(side, side, device=device))
            aim = GramAim(region, 1.0, gram, squared_norm(gram))
            self.terms[site] = StyleTerm(1 / len(STYLE_LAYERS), [aim])

    def __call__(self, pictures: Tensor, contents: Tensor) -> Mapping[str, Tensor]:
        kept = {}

        def keep(site: Site, features: Tensor) -> Tensor:
            kept[site] = ContentTerm(self.plan.content_weight, features)
            return features

        with torch.no_grad():
            drive(self.shown.walk(contents), keep)
        return Energy(self.layers, self.terms, kept, self.plan.tv_weight)(pictures)


def train_feed_forward(plan: FeedForwardPlan) -> Iterator[Report]:
    """Train and write a net, yielding a report after every step and measure.

    Raises:
        CheckpointError: the state to resume from is damaged, of another style or of other options.
    """
    device, precision = plan.backend.device, plan.backend.dtype
    torch.manual_seed(plan.seed)
    perception = Perception(plan)
    network = TransformNet().to(device).to(memory_format=torch.channels_last)
    optimizer = torch.optim.Adam(network.parameters(), lr=plan.learning_rate)
    scaler = torch.amp.GradScaler(device.type, enabled=precision == torch.float16)
    step, curve = 0, list[dict[str, float]]()
    if plan.resume and plan.state.exists():
        step, curve = _load(plan, network, optimizer, scaler)
    held_out = as_pixels(Batches(plan.held_out, (), plan.side, plan.batch, 0, plan.seed)[0].plain, device)
    batches = Batches(plan.pictures, (), plan.side, plan.batch, 0, plan.seed)

    def losses(contents: Tensor) -> Mapping[str, Tensor]:
        with autocast(device, precision):
            return perception(network(contents).float(), contents)

    for batch in stream(batches, step, plan.steps, plan.workers):
        for group in optimizer.param_groups:
            group["lr"] = plan.learning_rate * min(1.0, (step + 1) / WARM_UP_STEPS) * (1 - step / plan.steps) ** 0.5
        terms = losses(as_pixels(batch.plain, device))
        optimizer.zero_grad(set_to_none=True)
        take_step(terms, network, optimizer, scaler)
        step += 1
        yield Report("train", step, plan.steps, loss={name: float(term.detach()) for name, term in terms.items()})
        if step % plan.measure_every == 0 or step == plan.steps:
            with torch.no_grad():
                measured = {name: float(term) for name, term in losses(held_out).items()}
                _sample(held_out, network(held_out)).write(plan.sample)
            curve.append({"step": step, **measured})
            _save(plan, network, optimizer, scaler, step, curve)
            yield Report("measure", step, plan.steps, loss=measured)
    facts = {
        "style": plan.style.name,
        "style_size": str(plan.style_size or "native"),
        "pictures": str(len(plan.pictures)),
        "steps": str(step),
        "batch": f"{plan.batch} crops of {plan.side}",
        "content_weight": f"{plan.content_weight:g}",
        "tv_weight": f"{plan.tv_weight:g}",
        "loss": ", ".join(f"{name} {value:.4f}" for name, value in curve[-1].items() if name != "step"),
        "date": date.today().isoformat(),
    }
    save_net(plan.output, network.float(), facts)
    draw_losses(plan.curve, curve)


def _sample(before: Tensor, after: Tensor) -> Image:
    pictures = torch.cat([before[0], after[0].float()], dim=2).clamp(0, 1)  # side by side
    return Image.of(pictures)


def _save(
    plan: FeedForwardPlan,
    network: TransformNet,
    optimizer: torch.optim.Optimizer,
    scaler: torch.amp.GradScaler,
    step: int,
    curve: Sequence[Any],
) -> None:
    saved = {
        "network": network.state_dict(),
        "optimizer": optimizer.state_dict(),
        "scaler": scaler.state_dict(),
        "step": step,
        "curve": list(curve),
        "style": plan.style.name,
        "options": _options(plan),
    }
    write_state(plan.state, saved)


def _options(plan: FeedForwardPlan) -> dict[str, str]:
    """Say what the weights come from; a training may go on for more steps, or be measured at others."""
    return {
        "style": f"{plan.style.name} of SHA-256 {sha256(plan.style)[:12]}",
        "photos": f"{len(plan.pictures)} pictures",
        "batch": str(plan.batch),
        "side": str(plan.side),
        "style-size": str(plan.style_size or "native"),
        "content-weight": f"{plan.content_weight:g}",
        "tv-weight": f"{plan.tv_weight:g}",
        "learning-rate": f"{plan.learning_rate:g}",
        "seed": str(plan.seed),
    }


def _load(
    plan: FeedForwardPlan,
    network: TransformNet,
    optimizer: torch.optim.Optimizer,
    scaler: torch.amp.GradScaler,
) -> tuple[int, list[dict[str, float]]]:
    with reading_state(plan.state) as saved:
        network.load_state_dict(saved["network"])
        optimizer.load_state_dict(saved["optimizer"])
        restore_scaler(scaler, saved)
        style, step, curve = str(saved["style"]), int(saved["step"]), [dict(point) for point in saved["curve"]]
        before = dict(saved.get("options", {}))  # states had none once
    if style != plan.style.name:
        raise CheckpointError(f"{plan.state} trains {style}, not {plan.style.name}; choose another output")
    now = _options(plan)
    other = [f"{name} {value}, not {now[name]}" for name, value in before.items() if now[name] != value]
    if other:
        raise CheckpointError(
            f"{plan.state} trains with {'; '.join(other)}; give the same, --no-resume or another output"
        )
    return step, curve


def draw_losses(path: Path, curve: Sequence[Mapping[str, float]]) -> None:
    """Draw the held-out losses against the steps as a PNG."""
    with plot(path, 7, 4) as figure:
        axes = figure.add_subplot()
        for name in [key for key in curve[-1] if key != "step"]:
            axes.plot([point["step"] for point in curve], [point[name] for point in curve], label=name)
        axes.set_xlabel("step")
        axes.set_ylabel("held-out loss, weighted")
        axes.set_yscale("log")
        axes.grid(alpha=0.25)
        axes.legend(frameon=False)

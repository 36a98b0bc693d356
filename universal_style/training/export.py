"""From a training state to what is shipped: rounded checkpoint, model card, training curve."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from universal_style.atomic import replacing
from universal_style.networks.checkpoints import SCALE, decoder_name, load_decoder, write_checkpoint
from universal_style.networks.decoder import Decoder
from universal_style.networks.pooling import Pooling
from universal_style.networks.vgg import Encoder
from universal_style.plots import plot
from universal_style.training.loop import Recipe, TrainingState, mean_psnr
from universal_style.training.rounding import rounded

CARD = "README.md"
CURVES = "training-curves.png"
HEAD = "# Checkpoints"
LARGEST_LOSS = 0.05
"""Held-out PSNR in dB that a smaller form may cost; a decoder that loses more takes the next larger one."""


SMALL_WEIGHT = 1 << 18
"""Numbers of a layer under which it may be kept as float16: the shallow layers, nearest to the pixels."""


@dataclass(frozen=True)
class Exported:
    """What was written.

    Attributes:
        psnr: held-out mean in dB of the decoder as trained …
        stored: … and as read back from its file.
        storage: "int8", "int8, small layers float16" or "float16", the first that costs under `LARGEST_LOSS`.
    """

    path: Path
    psnr: float
    stored: float
    storage: str


@torch.inference_mode()
def export_decoder(
    folder: Path,
    encoder: Encoder,
    pooling: Pooling,
    state: TrainingState,
    recipe: Recipe,
    held_out: Sequence[Tensor],
    calibration: Iterable[Tensor],
    facts: Mapping[str, str],
) -> Exported:
    """Write a decoder's checkpoint, choosing int8 where held-out PSNR allows it.

    Args:
        calibration: pixels (n, 3, h, w) by whose features the weights are rounded.
        facts: of the training, for the metadata: data, commit and the like.
    """
    average: Decoder = state.average
    psnr = mean_psnr(encoder, average, pooling, held_out)
    plain = {name: value.detach().float().cpu() for name, value in average.plain().items()}
    name = decoder_name(pooling.name, recipe.level)
    steps = rounded(average, encoder, pooling, calibration)
    halves = {key: value.half() for key, value in plain.items()}
    small = {f"{key}{SCALE}" for key, value in plain.items() if value.numel() < SMALL_WEIGHT}
    mixed = {
        key: halves[key] if f"{key}{SCALE}" in small else value for key, value in steps.items() if key not in small
    }
    forms = {"int8": steps, "int8, small layers float16": mixed, "float16": halves}
    for storage, stored in forms.items():
        metadata = {
            "kind": "decoder",
            "pooling": pooling.name,
            "level": str(recipe.level),
            "storage": storage,
            "licence": "MIT",
            "steps": str(state.step),
            "held_out_psnr": f"{psnr:.2f}",
            **facts,
        }
        path = write_checkpoint(folder, name, stored, metadata)
        decoder, _ = load_decoder(folder, pooling, recipe.level)
        read_back = decoder.to(next(average.parameters()).device).to(memory_format=torch.channels_last)
        kept = mean_psnr(encoder, read_back, pooling, held_out)
        if psnr - kept <= LARGEST_LOSS:
            break
    return Exported(path, psnr, kept, storage)


def draw_curves(path: Path, curves: Mapping[str, Sequence[tuple[int, float, float]]]) -> None:
    """Draw held-out PSNR over steps, one line per decoder, as a PNG."""
    with plot(path, 8, 4.5) as figure:
        axes = figure.add_subplot()
        for name, curve in sorted(curves.items()):
            steps, values = [point[0] for point in curve], [point[2] for point in curve]
            axes.plot(steps, values, label=f"{name}  {values[-1]:.1f} dB", linewidth=1.8, marker="o", markersize=2.5)
        axes.set_xlabel("gradient steps")
        axes.set_ylabel("held-out PSNR, dB")
        axes.grid(alpha=0.25)
        axes.legend(frameon=False, loc="lower right")


def write_card(path: Path, exported: Exported, recipe: Recipe, state: TrainingState, facts: Mapping[str, str]) -> None:
    """Put a decoder's section into the model card beside the checkpoints, in place of an older one."""
    name = exported.path.stem
    lines = [
        f"## {name}",
        "",
        f"- held-out PSNR {exported.stored:.2f} dB as stored ({exported.storage}), {exported.psnr:.2f} dB as trained",
        *_course(recipe, state),
        *(f"- {key}: {value}" for key, value in facts.items()),
        "- licence: MIT",
        "",
    ]
    old = path.read_text(encoding="utf-8") if path.exists() else ""
    head, *sections = old.split("\n## ")
    kept = [section for section in sections if section.splitlines()[0] != name]
    sections = sorted([*(f"## {section.strip()}\n" for section in kept), "\n".join(lines)])
    with replacing(path) as temporary:
        temporary.write_text("\n".join([(head or HEAD).strip() + "\n", *sections]), encoding="utf-8")


def _course(recipe: Recipe, state: TrainingState) -> list[str]:
    """Say by which options a decoder came about, leg by leg where they changed."""
    legs = list(state.legs)
    if not legs or legs[-1]["until"] < state.step:
        legs.append({"until": state.step, **asdict(recipe)})
    words = [
        f"{leg['plain']} plain{_disguised(leg)} + {_recolored(leg)}{leg['transformed']} transformed crops of "
        f"{leg['side']}×{leg['side']}, "
        f"Muon at {leg['learning_rate']:g}, seed {leg['seed']}"
        for leg in legs
    ]
    total = f"- {state.step} steps after the warm start"
    if len(legs) == 1:
        return [f"{total}, {words[0]}"]
    ends = [0, *(leg["until"] for leg in legs)]
    spans = zip(ends, ends[1:], words, strict=False)
    return [total, *(f"- steps {start + 1} to {end}: {said}" for start, end, said in spans)]


def _disguised(leg: Mapping[str, Any]) -> str:
    return f" ({leg['disguised']:.0%} disguised)" if leg["disguised"] else ""


def _recolored(leg: Mapping[str, Any]) -> str:
    return f"{leg['recolored']} recoloured + " if leg["recolored"] else ""

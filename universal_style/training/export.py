"""From a training state to what is shipped: int8 checkpoint, model card, training curve."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import matplotlib as mpl
import torch
from matplotlib.figure import Figure
from torch import Tensor

from universal_style.networks.checkpoints import decoder_name, load_decoder, quantised, write_checkpoint
from universal_style.networks.decoder import Decoder
from universal_style.networks.pooling import Pooling
from universal_style.networks.vgg import Encoder
from universal_style.training.loop import Recipe, TrainingState, mean_psnr

CARD = "README.md"
CURVES = "training-curves.png"
LARGEST_LOSS = 0.05
"""Held-out PSNR in dB that int8 may cost; a decoder that loses more is stored as float16."""


@dataclass(frozen=True)
class Exported:
    """What was written.

    Attributes:
        psnr: held-out mean in dB of the decoder as trained …
        stored: … and as read back from its file.
        storage: "int8" or "float16".
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
    facts: Mapping[str, str],
) -> Exported:
    """Write a decoder's checkpoint, choosing int8 where held-out PSNR allows it.

    Args:
        facts: of the training, for the metadata: data, commit and the like.
    """
    average: Decoder = state.average
    psnr = mean_psnr(encoder, average, pooling, held_out)
    plain = {name: value.detach().float().cpu() for name, value in average.plain().items()}
    name = decoder_name(pooling.name, recipe.level)
    forms = {"int8": quantised(plain), "float16": {key: value.half() for key, value in plain.items()}}
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
        decoder, _ = load_decoder(folder, pooling.name, recipe.level)
        read_back = decoder.to(next(average.parameters()).device, memory_format=torch.channels_last)
        kept = mean_psnr(encoder, read_back, pooling, held_out)
        if psnr - kept <= LARGEST_LOSS:
            break
    return Exported(path, psnr, kept, storage)


def draw_curves(path: Path, curves: Mapping[str, Sequence[tuple[int, float, float]]]) -> None:
    """Draw held-out PSNR over steps, one line per decoder, as a PNG."""
    with mpl.rc_context({"font.size": 10, "axes.spines.top": False, "axes.spines.right": False}):
        figure = Figure(figsize=(8, 4.5), layout="constrained")
        axes = figure.add_subplot()
        for name, curve in sorted(curves.items()):
            steps, values = [point[0] for point in curve], [point[2] for point in curve]
            axes.plot(steps, values, label=f"{name}  {values[-1]:.1f} dB", linewidth=1.8)
        axes.set_xlabel("steps after the closed-form warm start")
        axes.set_ylabel("held-out PSNR, dB")
        axes.grid(alpha=0.25)
        axes.legend(frameon=False, loc="lower right")
        temporary = path.with_name(path.name + ".partial")
        figure.savefig(temporary, dpi=110, format="png")
    temporary.replace(path)


def card_rows(recipe: Recipe, exported: Exported, steps: int) -> dict[str, str]:
    """Say in a row of the model card what a decoder is and how it was trained."""
    options = asdict(recipe)
    return {
        "file": exported.path.name,
        "storage": exported.storage,
        "held-out PSNR": f"{exported.stored:.2f} dB",
        "steps": str(steps),
        "crops": f"{options['plain']} + {options['transformed']} of {options['side']}²",
    }
